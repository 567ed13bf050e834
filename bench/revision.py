"""Another revision of this tree, installed in an environment of its own for the length of a comparison.

What always holds: the checkout that the benchmark runs from is not touched (a git worktree in a temporary folder), and
both are gone afterwards. Callers: `bench.run`.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)


@contextmanager
def installed(revision: str) -> Iterator[str]:
    """Yields the Python of an environment in which that revision is installed."""
    with tempfile.TemporaryDirectory(prefix="rethought-revision-") as folder:
        tree, environment = Path(folder) / "tree", Path(folder) / "venv"
        _run("git", "worktree", "add", "--quiet", "--detach", tree, revision)
        try:
            _run(sys.executable, "-m", "venv", environment)
            python = environment / "bin" / "python"
            lock = tree / "requirements-dev.lock"
            pinned: list[str | Path] = ["--constraint", lock] if lock.exists() else []
            _run(python, "-m", "pip", "install", "--quiet", *pinned, tree)
            yield str(python)
        finally:
            _run("git", "worktree", "remove", "--force", tree)
