"""A client may go away at any moment: nothing of it stays, what was acknowledged stays, the others notice nothing."""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from bench.terms import array, row, start, term
from rethought.limits import Limits
from tests.faults.inside import TABLE, Inside, inside
from tests.faults.test_limits import ask, endless, text_of
from tests.wire.client import HEADER, JSON, V0_4, V1_0, Client, Login, Raw, frame

THINGS = 300


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    limits = Limits(queries_max=2, undivided_seconds=0.3, shutdown_seconds=0.05)
    with inside(tmp_path_factory.mktemp("disconnects"), limits) as running:
        with Client(running.port) as client:
            ask(client, term("table_create", term("db", "test"), "things"))
            things = [{"id": n, "n": n, "padding": "x" * 1000} for n in range(THINGS)]
            ask(client, term("insert", TABLE, array(*things)), durability="soft")
        yield running


# ---- handshake


def nothing_said(node: Inside) -> Raw:
    return Raw(node.port)


def half_a_magic_number(node: Inside) -> Raw:
    raw = Raw(node.port)
    raw.send(struct.pack("<I", V1_0)[:2])
    return raw


def after_the_magic_number(node: Inside) -> Raw:
    raw = Raw(node.port)
    raw.send(struct.pack("<I", V1_0))
    raw.until_nul()
    return raw


def half_a_first_message(node: Inside) -> Raw:
    raw = after_the_magic_number(node)
    raw.send(Login().first()[:20])
    return raw


def after_the_first_message(node: Inside) -> Raw:
    raw = after_the_magic_number(node)
    raw.send(Login().first())
    raw.until_nul()
    return raw


def a_wrong_password(node: Inside) -> Raw:
    raw = after_the_magic_number(node)
    login = Login("admin", "wrong")
    raw.send(login.first())
    first = raw.until_nul().decode()
    raw.send(login.final(first.partition('"authentication":"')[2].partition('"')[0]))
    return raw


def half_a_legacy_key(node: Inside) -> Raw:
    raw = Raw(node.port)
    raw.send(struct.pack("<II", V0_4, 100) + b"half")
    return raw


def right_after_the_handshake(node: Inside) -> Raw:
    raw = Raw(node.port)
    raw.send(struct.pack("<III", V0_4, 0, JSON))  # its answer is not read
    return raw


# ---- queries


def half_a_header(node: Inside) -> Raw:
    client = Client(node.port)
    client.send(HEADER.pack(1, 100)[:7])
    return client


def half_a_query(node: Inside) -> Raw:
    client = Client(node.port)
    client.send(HEADER.pack(1, 10_000_000) + b"[1," + b" " * 1_000_000)
    return client


def running_queries_and_more_in_the_queue(node: Inside) -> Raw:
    client = Client(node.port)
    for token in range(5):
        client.query(token, start(endless()))
    return client


def a_query_that_is_compiled(node: Inside) -> Raw:
    client = Client(node.port)
    client.query(1, start(array(*range(50_000))))
    return client


def hard_writes_under_way(node: Inside) -> Raw:
    client = Client(node.port)
    for token in range(50):
        write = term("update", term("get", TABLE, token), {"v": token})
        client.query(token, start(write, durability="hard"))
    return client


def a_write_of_many_rows(node: Inside) -> Raw:
    client = Client(node.port)
    client.query(1, start(term("update", TABLE, {"w": 1}), durability="soft"))
    return client


def a_transaction(node: Inside) -> Raw:
    client = Client(node.port)
    write = term("update", TABLE, {"t": 1})
    client.query(1, start(array(write, endless()), transaction=True))
    return client


def a_large_answer_half_read(node: Inside) -> Raw:
    client = Client(node.port)
    client.query(1, start(term("map", array(*range(200)), row(text_of(90_000)))))
    client.exactly(1000)
    return client


def noreply_writes_that_nobody_waits_for(node: Inside) -> Raw:
    client = Client(node.port)
    for token in range(50):
        write = term("update", term("get", TABLE, token), {"v": -token})
        client.query(token, start(write, noreply=True))
    client.query(51, b"[4]")
    return client


# ---- cursors and feeds


def an_open_cursor(node: Inside) -> Raw:
    client = Client(node.port)
    assert client.ask(1, start(TABLE, max_batch_rows=2))["t"] == 3
    return client


def an_open_cursor_asked_for_more(node: Inside) -> Raw:
    client = an_open_cursor(node)
    client.send(frame(1, b"[2]") * 20)
    return client


def an_open_feed(node: Inside) -> Raw:
    client = Client(node.port)
    assert client.ask(1, start(term("changes", TABLE)))["t"] == 3
    client.send(frame(1, b"[2]"))
    return client


def a_feed_of_one_row(node: Inside) -> Raw:
    client = Client(node.port)
    feed = term("changes", term("get", TABLE, 1), include_initial=True)
    assert client.ask(1, start(feed))["t"] == 3
    return client


def a_feed_that_reads_initial_values(node: Inside) -> Raw:
    client = Client(node.port)
    client.query(1, start(term("changes", TABLE, include_initial=True), max_batch_rows=1))
    return client


def a_feed_of_the_first_rows(node: Inside) -> Raw:
    client = Client(node.port)
    first = term("limit", term("order_by", TABLE, index="id"), 5)
    assert client.ask(1, start(term("changes", first, include_initial=True)))["t"] == 3
    return client


def a_feed_of_a_system_table(node: Inside) -> Raw:
    client = Client(node.port)
    status = term("table", term("db", "rethinkdb"), "table_config")
    client.query(1, start(term("changes", status)))
    return client


PHASES: list[Callable[[Inside], Raw]] = [
    nothing_said,
    half_a_magic_number,
    after_the_magic_number,
    half_a_first_message,
    after_the_first_message,
    a_wrong_password,
    half_a_legacy_key,
    right_after_the_handshake,
    half_a_header,
    half_a_query,
    running_queries_and_more_in_the_queue,
    a_query_that_is_compiled,
    hard_writes_under_way,
    a_write_of_many_rows,
    a_transaction,
    a_large_answer_half_read,
    noreply_writes_that_nobody_waits_for,
    an_open_cursor,
    an_open_cursor_asked_for_more,
    an_open_feed,
    a_feed_of_one_row,
    a_feed_that_reads_initial_values,
    a_feed_of_the_first_rows,
    a_feed_of_a_system_table,
]


def close(raw: Raw) -> None:
    raw.sock.close()


def reset(raw: Raw) -> None:
    """As a machine does that was switched off and on again."""
    import socket

    raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.sock.close()


def half_close(raw: Raw) -> None:
    with suppress(OSError):
        raw.sock.shutdown(1)
    raw.rest()
    raw.sock.close()


@pytest.mark.parametrize("leave", [close, reset, half_close], ids=lambda leave: leave.__name__)
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
def test_whoever_leaves_leaves_nothing(
    phase: Callable[[Inside], Raw], leave: Callable[[Raw], None], node: Inside
) -> None:
    leave(phase(node))
    with Client(node.port) as other:
        assert ask(other, term("get", TABLE, 7))["n"] == 7
        assert ask(other, term("count", TABLE)) == THINGS
    assert node.settled() == {}


def test_a_transaction_whose_client_left_is_whole_or_nothing(node: Inside) -> None:
    with Client(node.port) as client:
        client.query(1, start(term("update", TABLE, {"whole": 1}), transaction=True))
    assert node.settled() == {}
    with Client(node.port) as other:
        marked = term("count", term("filter", TABLE, {"whole": 1}))
        assert ask(other, marked) in (0, THINGS)
