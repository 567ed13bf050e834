"""Starts a real server as a process of its own, for the tools, the benchmark and the examples.

What always holds: the server listens on the loopback interface, on a port that was free, with its data in the
folder given; when the `with` block ends the process is gone. Readiness is its `Server ready` line, never a pause.
Callers: `tools`, `bench`, `examples`. Tests have fixtures of their own.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

READY: Final = "Server ready"
PORT: Final = re.compile(r"client driver connections on port (\d+)")
START_S_MAX: Final = 60.0
STOP_S_MAX: Final = 30.0


class NotStarted(Exception):
    """The server ended, or said nothing in time; the message holds what it printed."""


@dataclass(slots=True)
class ServerProcess:
    """A running server."""

    port: int
    directory: Path
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """End it as a power cut would: at once, with no chance to tidy up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it as an operator would, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def start(
    directory: Path,
    *options: str,
    python: str = sys.executable,
    port: int = 0,
    environment: dict[str, str] | None = None,
) -> ServerProcess:
    """Start a server and wait until it is ready; the caller ends it. Port 0 is any free one."""
    command = [python, "-m", "rethought", "serve", "--directory", str(directory)]
    command += ["--driver-port", str(port), "--no-http-admin", *options]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
    )
    said: list[str] = []
    ready = threading.Event()
    # The reader goes on to the end, so that the server never waits for a full pipe.
    threading.Thread(target=_listen, args=(process, said, ready), daemon=True).start()
    if not ready.wait(START_S_MAX) or process.poll() is not None:
        process.kill()
        process.wait()
        raise NotStarted("the server did not start:\n" + "".join(said))
    found = PORT.search("".join(said))
    return ServerProcess(int(found[1]) if found else port, directory, process)


def _listen(process: "subprocess.Popen[str]", said: list[str], ready: threading.Event) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if not ready.is_set():
                said.append(line)
                if READY in line:
                    ready.set()
    process.wait()
    ready.set()


@contextmanager
def running(
    directory: Path, *options: str, python: str = sys.executable
) -> Iterator[ServerProcess]:
    """A server for the length of a `with` block."""
    server = start(directory, *options, python=python)
    try:
        yield server
    finally:
        server.stop()
