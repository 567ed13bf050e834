"""The two-users example runs to its end and every step is right."""

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_two_users_see_and_change_what_they_may() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.two_users"],
        cwd=TOP,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Everything was right.\n")
