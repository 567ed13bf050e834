"""The flights example runs to its end and every answer is right."""

import subprocess
import sys
from pathlib import Path

import pytest

from examples.flights import data

TOP = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_answer_is_right_and_nothing_acknowledged_is_lost() -> None:
    try:
        data.install()
    except data.NoData as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [sys.executable, "-m", "examples.flights", "--flights", "50000"],
        cwd=TOP,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Everything was right.\n")
