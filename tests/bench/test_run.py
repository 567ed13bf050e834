"""The benchmark runs from beginning to end against a server of this tree."""

import json
from pathlib import Path

import pytest

from bench.run import main


def test_a_small_benchmark_prints_every_row_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    options = ["--docs", "300", "--seconds", "0.05", "--only", "count", "--json", str(figures)]
    assert main(options) == 0
    printed = capsys.readouterr().out
    measured = json.loads(figures.read_text())["this tree"]
    assert "failed" not in printed
    assert {"count", "filter, count", "index build, field"} <= measured.keys()
    assert all(value > 0 for values in measured.values() for value in values)


@pytest.mark.slow
def test_every_workload_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--docs", "1000", "--seconds", "0.1"]) == 0
    assert "failed" not in capsys.readouterr().out
