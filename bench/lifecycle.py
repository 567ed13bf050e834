"""The life of a large table: killed and started again, examined, indexed, emptied, dropped.

What always holds: while the server works, another client asks for one document again and again, and the longest it had
to wait is printed beside what the work took; every step begins with all documents there. Callers: `bench.growth`.
"""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.client import Connection
from bench.server import Server, held, megabytes
from bench.terms import DATABASE, start, table, term
from bench.workloads import CITY_AGE, FILTERED
from tools.serverprocess import ServerProcess, running
from tools.serverprocess import start as started

PAUSE_S: Final = 0.001
IDLE_SHARE: Final = 0.1
LOOK_S: Final = 0.5


class Witness:
    """A client that gets one document over and over: how long it waited, in seconds."""

    def __init__(self, port: int) -> None:
        self.waits: list[float] = []
        self._client = Connection(port)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        body = start(term("get", table("writes"), 1))
        while not self._ended.wait(PAUSE_S):
            begin = time.perf_counter()
            self._client.ask(body)
            self.waits.append(time.perf_counter() - begin)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> str:
        self._ended.set()
        self._thread.join()
        self._client.close()
        ordered = sorted(self.waits)
        median, late, most = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 1))
        return f"another client waits {median * 1e3:.1f} / {late * 1e3:.1f} / {most * 1e3:.1f} ms"


@contextmanager
def witnessed(port: int, what: str, documents: int) -> Iterator[None]:
    """Prints what the block took, and what another client went through meanwhile (median, 99th, longest)."""
    witness = Witness(port)
    witness.begin()
    begin = time.perf_counter()
    yield
    seconds = time.perf_counter() - begin
    print(
        f"{what:34s} {seconds:8.2f} s {documents / seconds:12,.0f} docs/s, {witness.end()}",
        flush=True,
    )


def until_idle(process: ServerProcess) -> None:
    """Until what the server does in the background is done: it takes next to no processor time any more."""
    server = Server(process.port, process.pid)
    used = server.cpu_s()
    while True:
        time.sleep(LOOK_S)
        before, used = used, server.cpu_s()
        if not used - before > IDLE_SHARE * LOOK_S:
            return


def ready(directory: Path, what: str) -> ServerProcess:
    """Starts a server; prints how long it took."""
    begin = time.perf_counter()
    process = started(directory)
    print(f"{what:34s} {time.perf_counter() - begin:8.2f} s, then {held(process)}", flush=True)
    return process


def measure(process: ServerProcess, documents: int) -> None:
    """`process` is killed; others take its place."""
    directory = process.directory
    with Connection(process.port) as client:
        client.value(start(term("insert", table("writes"), {"id": 1}, conflict="replace")))
    process.kill()
    _, name, function = CITY_AGE
    process = ready(directory, "start after a kill")
    try:
        with Connection(process.port, patience_s=None) as client:
            ask = client.drain
            with witnessed(process.port, "filter, count", documents):
                ask(start(FILTERED))
            with witnessed(process.port, "index build, function", documents):
                client.value(start(term("index_create", table(), name, function)))
                ask(start(term("index_wait", table(), name)))
            print(f"{'':34s} {held(process)}", flush=True)
    finally:
        process.stop()
    examine(directory)
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    process = ready(directory, "start after a stop")
    try:
        with Connection(process.port, patience_s=None) as client:
            with witnessed(process.port, "delete of all documents", documents):
                client.drain(start(term("delete", table(), durability="soft")))
            print(f"{'':34s} {held(process)}", flush=True)
    finally:
        process.stop()
    shutil.rmtree(directory)
    with running(copy) as process, Connection(process.port, patience_s=None) as client:
        with witnessed(process.port, "table_drop, its answer", documents):
            client.value(start(term("table_drop", term("db", DATABASE), "docs")))
        with witnessed(process.port, "  and its pages given back", documents):
            until_idle(process)
        print(f"{'':34s} {held(process)}", flush=True)


def examine(directory: Path) -> None:
    """How long `rethought doctor` takes."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "rethought", "doctor", "-d", str(directory)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - begin
    print(
        f"{'doctor':34s} {seconds:8.2f} s {megabytes(directory) / seconds:12,.1f} MB/s", flush=True
    )
