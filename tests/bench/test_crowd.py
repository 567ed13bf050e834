"""A well-behaved client among abusive ones: the program runs, and every kind of excess meets its limit."""

import pytest

from bench.abuse import KINDS
from bench.crowd import main, shares

MEETS = {
    "queries": "limited", "rows": "limited", "time": "limited", "memory": "limited", "array": "limited",
    "nesting": "answered", "frames": "cut off", "connections": "refused", "guesses": "refused",
    "feeds": "holding on", "answers": "holding on",
}  # fmt: skip
"""What becomes of a client of each kind."""


def test_every_kind_has_its_share() -> None:
    assert sum(shares(500, []).values()) == 500
    assert shares(3, ["rows", "time"]) == {"rows": 2, "time": 1}


@pytest.mark.slow
def test_a_small_crowd_runs_into_every_limit(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--clients", str(6 * len(KINDS)), "--gets", "300", "--rounds", "1", "--settle", "5"]
    assert main(options) == 0
    printed = capsys.readouterr().out
    assert MEETS.keys() == KINDS.keys()
    for kind, fate in MEETS.items():
        assert f"{kind}: {fate} " in printed, printed
    assert "alone" in printed
