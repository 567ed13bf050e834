"""A full disk refuses writes with a typed error, lets reads go on, and is forgiven when there is space again. Feeds
never tell of a write that was refused."""

import json
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bench.client import Connection
from bench.terms import array, start, term
from tests.faults.support import TABLE, Follower, check_indexes, prepare
from tools.serverprocess import ServerProcess, running
from tools.serverprocess import start as start_server

OP_FAILED = 4100000
SMALL_BYTES = 24 * 2**20
PADDING = "x" * 2000
More = Callable[[ServerProcess], None]


def mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return not subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        return False


@contextmanager
def small_disk(folder: Path) -> Iterator[More]:
    """A file system of `SMALL_BYTES`; the function that it yields makes it large."""
    folder.mkdir()
    if not mount(folder, f"size={SMALL_BYTES}"):
        pytest.skip("no file system can be mounted here")
    try:
        yield lambda _: _remount(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _remount(folder: Path) -> None:
    assert mount(folder, f"remount,size={10 * SMALL_BYTES}")


@contextmanager
def small_files(folder: Path) -> Iterator[More]:
    """No file of the server may grow past `SMALL_BYTES`, until the function that it yields is called."""
    folder.mkdir()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda server: _allow(server, hard)


def _allow(server: ServerProcess, soft: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (soft, hard))


def fill(client: Connection, first: int) -> tuple[set[Any], dict[str, Any]]:
    """Insert until a write is refused; the keys that were acknowledged, and the refusal."""
    acknowledged: set[Any] = set()
    for low in range(first, first + 100_000, 20):
        things = [{"id": n, "n": n, "padding": PADDING} for n in range(low, low + 20)]
        durability = "hard" if low % 40 else "soft"
        answer = json.loads(
            client.ask(start(term("insert", TABLE, array(*things), durability=durability)))
        )
        if answer["t"] == 1 and not answer["r"][0]["errors"]:
            acknowledged.update(range(low, low + 20))
            continue
        return acknowledged, answer
    raise AssertionError("the disk never became full")


def occupy(ballast: Path) -> None:
    """Take what space is left."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@pytest.mark.parametrize("small", [small_disk, small_files])
def test_a_full_disk_refuses_writes_and_nothing_else(
    tmp_path: Path, small: Callable[[Path], AbstractContextManager[More]]
) -> None:
    folder = tmp_path / "small"
    by_n = term("order_by", TABLE, index="n")
    with small(folder) as more:
        server = start_server(folder / "data")
        followers = [
            Follower(TABLE),
            Follower(term("limit", by_n, 10)),
            Follower(term("get", TABLE, 7)),
        ]
        try:
            with prepare(server.port) as client:
                for follower in followers:
                    follower.connect(server.port)
                if small is small_files:
                    _allow(server, SMALL_BYTES)
                kept, refusal = fill(client, 0)
                assert refusal["t"] == 18, refusal
                assert refusal["e"] == OP_FAILED, refusal
                assert kept
                assert kept <= check_indexes(client).keys()
                for follower in followers:
                    follower.take_until(follower.expected(client))
                more(server)
                one = {"id": "after", "n": 0}
                assert client.value(start(term("insert", TABLE, one)))["inserted"] == 1
                gone = term("delete", term("get", TABLE, 7))
                assert client.value(start(gone))["deleted"] == 1
                for follower in followers:
                    follower.take_until(follower.expected(client))
            server.kill()
            server = start_server(folder / "data")
            with Connection(server.port) as client:
                assert kept - {7} | {"after"} <= check_indexes(client).keys()
        finally:
            for follower in followers:
                follower.close()
            server.stop()


def test_a_server_on_a_full_disk_starts_and_reads(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    with small_disk(folder):
        with running(folder / "data") as server, prepare(server.port) as client:
            kept, _ = fill(client, 0)
        occupy(folder / "ballast")
        with running(folder / "data") as server, Connection(server.port) as client:
            assert kept <= check_indexes(client).keys()
