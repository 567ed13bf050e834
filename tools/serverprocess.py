"""Real servers: `rethought serve` as a process of its own, on a free loopback port.

What always holds: a server is ready when its `Server ready` line has been read (never after a pause); its data is in
the folder given; it is gone, ended by its own process id, when its `with` block is left.
Callers: tests (most by the fixtures in `tests/conftest.py`), `tools`, `bench`, `examples`.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

READY: Final = "Server ready"
PORT: Final = re.compile(r"client driver connections on port (\d+)")
HTTP_PORT: Final = re.compile(r"administrative HTTP connections on port (\d+)")
START_S_MAX: Final = 120.0
STOP_S_MAX: Final = 60.0
TALKATIVE: Final = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
"""What makes a Python process say at once what it says, and SIGABRT show where all its threads are."""


class NotReadyError(Exception):
    """The server ended, or took too long; the text is what it printed."""


class NotStoppedError(Exception):
    """The server was asked to stop, and did not; the text is what it printed, and where it was."""


@dataclass
class ServerProcess:
    """A running server. `lines` is what it printed so far."""

    directory: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    port: int = 0
    _reader: threading.Thread | None = None
    _told: threading.Event = field(default_factory=threading.Event)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_until_ready(self) -> None:
        """Reading goes on in the background, or the server would wait for a full pipe one day."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._told.wait(START_S_MAX) or not self.port or READY not in self.output:
            self.kill()
            raise NotReadyError("the server did not start:\n" + self.output)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if found := PORT.search(line):
                self.port = int(found[1])
            if READY in line:
                self._told.set()
        self._told.set()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop, wait until it has; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # prints where it is
            self.process.wait()
            self._close()
            raise NotStoppedError("the server did not stop:\n" + self.output) from None
        self._close()
        return status

    def kill(self) -> None:
        """End it as a power cut would: at once, with no chance to tidy up."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()


def command(directory: Path, *options: str, python: str = sys.executable) -> list[str]:
    """The command line of a server: any free port and no HTTP, unless the options say otherwise."""
    port = () if "--driver-port" in options else ("--driver-port", "0")
    web = () if "--http-port" in options else ("--no-http-admin",)
    program = (python, "-m", "rethought", "serve")
    return [*program, "--directory", str(directory), *web, *port, *options]


def start(
    directory: Path,
    *options: str,
    python: str = sys.executable,
    environment: dict[str, str] | None = None,
) -> ServerProcess:
    """Start a server and wait until it is ready; the caller ends it. Raises `NotReadyError`."""
    process = subprocess.Popen(
        command(directory, *options, python=python),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **TALKATIVE, **(environment or {})},
    )
    server = ServerProcess(directory, process)
    server.wait_until_ready()
    return server


@contextmanager
def running(
    directory: Path,
    *options: str,
    python: str = sys.executable,
    environment: dict[str, str] | None = None,
) -> Iterator[ServerProcess]:
    """A server for the length of a `with` block."""
    server = start(directory, *options, python=python, environment=environment)
    try:
        yield server
    finally:
        server.stop()
