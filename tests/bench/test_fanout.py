"""The programme about many subscribers runs from beginning to end."""

import pytest

from bench.fanout import IDLE, main
from tools.serverprocess import ServerProcess


def test_a_small_run_prints_every_line(
    shared_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--port", str(shared_server.port), "--connections", "2", "--writes", "5"]
    assert main([*options, "--subscribers", "4", "--seconds", "0.1", "--idle", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["4", "2"], ["4", "4"]]
    for line, name in zip(lines[4:], IDLE, strict=True):
        assert line.startswith(name)
