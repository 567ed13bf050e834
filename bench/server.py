"""The server under measurement as a process: what it takes of the machine.

What always holds: a server that `measured` started is gone when its block is left; of one that ran already only the
port is known, and what it takes is NaN. Reads /proc, so elsewhere than on Linux everything is NaN.
Callers: `bench.run`, `bench.growth`, `bench.latency`, `bench.fanout`.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.serverprocess import ServerProcess, running

UNKNOWN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class Server:
    """See the module."""

    port: int
    pid: int | None = None

    def cpu_s(self) -> float:
        """Seconds of processor time so far."""
        text = self._proc("stat")
        if text is None:
            return UNKNOWN
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> float:
        text = self._proc("statm")
        return UNKNOWN if text is None else int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _proc(self, name: str) -> str | None:
        path = Path(f"/proc/{self.pid}/{name}")
        return path.read_text() if self.pid is not None and path.exists() else None


def megabytes(folder: Path) -> float:
    """What the files of a data directory take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def held(process: ServerProcess) -> str:
    """Memory and disk, as text."""
    memory = Server(process.port, process.pid).resident_bytes() / 2**20
    return f"resident memory {memory:.0f} MB, data directory {megabytes(process.directory):.0f} MB"


@contextmanager
def measured(port: int | None = None) -> Iterator[Server]:
    """A server of this tree for the length of a block, or the one that listens on `port`."""
    if port is not None:
        yield Server(port)
        return
    with (
        tempfile.TemporaryDirectory(prefix="rethought-bench-") as folder,
        running(Path(folder) / "data") as process,
    ):
        yield Server(process.port, process.pid)
