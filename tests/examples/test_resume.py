"""The follower of the documents gets every change once, whoever is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_followers_miss_nothing_when_they_or_the_server_are_killed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.resume"],
        cwd=TOP,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=1100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("Everything was right.\n")
    assert "Python: " in done.stdout


@pytest.mark.parametrize(("language", "program"), [("python", "follow.py"), ("js", "follow.js")])
def test_the_documents_show_what_runs(language: str, program: str) -> None:
    shown = (TOP / "docs" / "changefeeds.md").read_text().split(f"```{language}\n")[1]
    code, _, _ = shown.partition("```")
    assert code in (TOP / "examples" / "resume" / program).read_text()
