"""One client's hard work, silence or going away is no trouble for the others."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bench.client import CONTINUE, HEADER, HELLO, STOP, BenchmarkError, Connection
from bench.terms import Term, array, row, start, term
from tests.faults.support import TABLE, open_files, prepare, resident_bytes, rows
from tests.waiting import PATIENCE_S, until
from tools.serverprocess import ServerProcess, running

THINGS = 3000
PADDING = "x" * 1000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("isolation")
    with running(folder / "data") as process:
        with prepare(process.port) as client:
            for low in range(0, THINGS, 500):
                things = [{"id": n, "n": n, "padding": PADDING} for n in range(low, low + 500)]
                client.value(start(term("insert", TABLE, array(*things), durability="soft")))
        yield process


def cross_join() -> Term:
    """As good as endless: every pair of things is looked at, for every thing."""
    inner = term("count", term("concat_map", TABLE, row(TABLE, 2)))
    return term("count", term("concat_map", TABLE, row(array(inner), 1)))


def queries_running(client: Connection) -> int:
    jobs = term("table", term("db", "rethinkdb"), "jobs")
    return sum(job["type"] == "query" for job in rows(client, jobs))


def test_a_long_query_lets_others_read_and_ends_with_its_client(server: ServerProcess) -> None:
    with Connection(server.port) as reader, Connection(server.port) as busy:
        alone = queries_running(reader)
        busy.socket.sendall(busy.frame(start(cross_join())))
        for n in range(500):
            assert reader.value(start(term("get", TABLE, n)))["n"] == n
        assert queries_running(reader) == alone + 1
        busy.socket.setblocking(False)
        with pytest.raises(BlockingIOError):  # it has not answered
            busy.socket.recv(1)
        busy.close()
        until(lambda: queries_running(reader) == alone)


def test_a_stopped_query_ends_and_its_connection_goes_on(server: ServerProcess) -> None:
    with Connection(server.port) as client:
        client.socket.sendall(client.frame(start(cross_join())))
        client.socket.sendall(client.frame_again(STOP, client.token))
        while not client.frames():
            client.receive()
        assert client.value(start(term("get", TABLE, 1)))["n"] == 1


def ask_for_more(client: Connection) -> None:
    client.socket.sendall(client.frame_again(CONTINUE, client.token))


def changes(client: Connection) -> Iterator[dict[str, Any]]:
    """What a feed sends, from its next answer on."""
    while True:
        ask_for_more(client)
        while not (found := client.frames()):
            client.receive()
        yield from json.loads(found[0])["r"]


def test_a_subscriber_that_does_not_ask_for_more_is_told_how_much_it_missed(
    server: ServerProcess,
) -> None:
    with ExitStack() as stack:
        silent, follower, writer = (stack.enter_context(Connection(server.port)) for _ in range(3))
        feed = term("changes", TABLE, include_states=True, changefeed_queue_size=100)
        assert b"ready" in silent.ask(start(feed))
        assert b"ready" in follower.ask(start(term("changes", TABLE, include_states=True)))
        for n in range(1000):
            changed = term("update", term("get", TABLE, 5), {"version": n})
            writer.value(start(changed, durability="soft"))
        seen = [change["new_val"]["version"] for change in islice(changes(follower), 1000)]
        assert seen == list(range(1000))
        missed = next(change["error"] for change in changes(silent) if "error" in change)
        assert missed.startswith("Changefeed cache over array size limit, skipped ")


def test_a_client_that_never_reads_costs_little_memory(server: ServerProcess) -> None:
    before = resident_bytes(server.pid)
    with Connection(server.port) as greedy, Connection(server.port) as other:
        scan = start(term("limit", TABLE, 1000))  # an answer of about a megabyte
        greedy.socket.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            for _ in range(2000):
                sent += greedy.socket.send(greedy.frame(scan))
        for n in range(500):
            assert other.value(start(term("get", TABLE, n)))["n"] == n
        assert sent
        assert resident_bytes(server.pid) - before < 150 * 2**20


def half_said(port: int, number: int) -> socket.socket:
    """A connection in one of many states: silent, in mid-handshake, in mid-frame, busy, following."""
    state = number % 6
    if state < 2:
        raw = socket.create_connection(("127.0.0.1", port))
        raw.sendall(HELLO[: 7 * state])
        return raw
    client = Connection(port)
    if state == 3:
        client.socket.sendall(HEADER.pack(1, 1000) + b"[1,")
    elif state == 4:
        client.socket.sendall(client.frame(start(term("changes", TABLE))))
    elif state == 5:
        client.socket.sendall(client.frame(start(cross_join())))
    return client.socket


def test_500_connections_opened_and_dropped_leave_nothing(server: ServerProcess) -> None:
    with Connection(server.port) as client:
        before = open_files(server.pid)
        for wave in range(10):
            with ExitStack() as dropped:
                for number in range(50):
                    dropped.enter_context(half_said(server.port, 50 * wave + number))
        # Read connections of the store's pool may have been opened meanwhile, and stay.
        until(lambda: open_files(server.pid) <= before + 16 and queries_running(client) <= 1)
        assert client.value(start(term("get", TABLE, 1)))["n"] == 1


def read_to_the_end(client: Connection) -> None:
    with suppress(BenchmarkError, ConnectionError):
        while True:
            client.receive()


def test_nonsense_closes_one_connection_and_no_other(server: ServerProcess) -> None:
    with Connection(server.port) as other, Connection(server.port) as client:
        for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, b"\xff" * 100):
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as raw:
                raw.sendall(nonsense)
                with suppress(ConnectionError):
                    while raw.recv(4096):
                        pass
        client.socket.sendall(HEADER.pack(1, 0xFFFFFFFF))
        read_to_the_end(client)
        assert other.value(start(term("get", TABLE, 1)))["n"] == 1
