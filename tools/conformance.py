"""Replays recorded queries against a server of this tree and holds the result to the ratchet.

The recordings and their replayer live outside this tree (a program that takes `--port` and `--json`); where they
are not at hand there is nothing to do and the status is 0.
Callers: `.ci/run` and `make conformance`.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tools import ratchet
from tools.serverprocess import running

REPLAYER: Final = Path("../shared/conformance/replay.py")


def replay(replayer: Path, report: Path, extra: list[str]) -> int:
    """Run the replayer against a fresh server; its status is 1 when anything differed."""
    with (
        tempfile.TemporaryDirectory(prefix="rethought-conformance-") as folder,
        running(Path(folder) / "data") as server,
    ):
        command = [sys.executable, str(replayer), "--port", str(server.port)]
        command += ["--json", str(report), *extra]
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tools.conformance",
        description=__doc__.split("\n")[0],
        epilog="Options that are not listed here go to the replayer, for example `--file 'math*' -v`.",
    )
    parser.add_argument("--replay", type=Path, default=REPLAYER, help="the replayer's path")
    parser.add_argument("--report", type=Path, help="keep the replayer's report here")
    parser.add_argument("--update", action="store_true", help="raise the ratchet to what passed")
    given, extra = parser.parse_known_args(arguments)
    if not given.replay.exists():
        print(f"conformance: {given.replay} is not here; nothing replayed")
        return 0
    with tempfile.TemporaryDirectory(prefix="rethought-report-") as folder:
        report = given.report or Path(folder) / "report.json"
        status = replay(given.replay, report, extra)
        if status not in (0, 1) or not report.exists():
            print(f"conformance: the replayer ended with status {status} and no report")
            return 1
        options = ["--update"] if given.update else []
        return ratchet.main([str(report), *options])


if __name__ == "__main__":
    sys.exit(main())
