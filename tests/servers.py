"""Real servers for tests: `rethought serve` as a process of its own, on a free loopback port.

What always holds: a server is ready when its `Server ready` line has been read (never after a pause), and is gone,
ended by its own process id, when its `with` block is left. Callers: the fixtures in `conftest.py`, and tests that
need a server of their own.
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

READY = "Server ready"
PORT = re.compile(r"client driver connections on port (\d+)")
HTTP_PORT = re.compile(r"administrative HTTP connections on port (\d+)")
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 30.0


class NotReadyError(Exception):
    """The server ended, or took too long; the text is what it printed."""


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
        if not self._told.wait(START_SECONDS_MAX) or not self.port or READY not in self.output:
            self.kill()
            raise NotReadyError(self.output)

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
            status = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._close()
        return status

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()


def command(directory: Path, *options: str) -> list[str]:
    port = () if "--driver-port" in options else ("--driver-port", "0")
    program = (sys.executable, "-m", "rethought", "serve")
    web = () if "--http-port" in options else ("--no-http-admin",)
    return [*program, "--directory", str(directory), *web, *port, *options]


def start(
    directory: Path, *options: str, environment: dict[str, str] | None = None
) -> ServerProcess:
    """Start a server on `directory` and wait until it is ready. Raises `NotReadyError`."""
    process = subprocess.Popen(
        command(directory, *options),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    server = ServerProcess(directory, process)
    server.wait_until_ready()
    return server


@contextmanager
def running(
    directory: Path, *options: str, environment: dict[str, str] | None = None
) -> Iterator[ServerProcess]:
    """A server for the length of a `with` block."""
    server = start(directory, *options, environment=environment)
    try:
        yield server
    finally:
        server.stop()
