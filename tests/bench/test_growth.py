"""The programs about growth and about the life of a large table run from beginning to end."""

import pytest

from bench.growth import GROWN, main
from bench.workloads import ROWS


def test_what_grows_is_what_the_benchmark_measures() -> None:
    assert set(GROWN) <= {row.name for row in ROWS}


@pytest.mark.slow
def test_a_small_table_and_a_smaller_one(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--docs", "3000", "--base", "300", "--seconds", "0.05", "--runs", "1"]
    assert main(options) == 0
    printed = capsys.readouterr().out
    for name in [
        *GROWN,
        "index build, field",
        "start after a kill",
        "doctor",
        "table_drop, its answer",
    ]:
        assert f"\n{name} " in printed, name
    assert "another client waits" in printed
