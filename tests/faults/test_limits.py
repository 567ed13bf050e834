"""Each limit, exceeded by a client over a real socket: what that client sees, and that nothing is left of it.

What always holds: `EXCESSES` has a row for every limit there is; while a client is past one, another is served.
"""

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields, replace

from bench.terms import Term, array, row, start, term
from rethought.limits import Limits
from rethought.system import kill_query
from rethought.wire.turnstile import Turnstile
from tests.faults.inside import TABLE, Inside, inside
from tests.waiting import PATIENCE_S, until
from tests.wire.client import HEADER, V0_3, V1_0, Client, Login, Raw, frame, log_in

SMALL = Limits(
    connections_max=12,
    handshake_seconds=60.0,
    handshakes_per_address=5,
    guesses_per_user=2,
    login_delay_seconds=0.2,
    listen_backlog_max=20,
    query_bytes=100_000,
    query_drain_bytes=300_000,
    response_bytes=1_500_000,
    frame_seconds=60.0,
    queries_max=4,
    cursors_max=3,
    inbound_bytes=150_000,
    read_ahead_bytes=30_000,
    write_high_water_bytes=50_000,
    write_backlog_bytes=2_000_000,
    receive_slice_seconds=0.0001,
    refused_share=0.5,
    refused_wait_seconds=0.05,
    nesting_max=50,
    array_limit=3000,
    query_seconds=60.0,
    query_memory_bytes=64 << 20,
    undivided_seconds=60.0,
    work_slice_seconds=0.0005,
    batch_rows_min=2,
    batch_bytes=400_000,
    batch_seconds=60.0,
    first_batch_scaledown=2,
    changefeed_queue_size=5,
    changefeed_queue_bytes=1_000_000,
    serial_feed_seconds=0.02,
    http_connections_max=8,
    http_head_bytes=2_000,
    http_head_seconds=60.0,
    http_body_seconds=60.0,
    http_idle_seconds=60.0,
    http_sessions_max=2,
    http_query_seconds=60.0,
    shutdown_seconds=0.05,
)
HURRIED: dict[str, dict[str, float]] = {
    "handshake_seconds": {"handshake_seconds": 0.6},
    "frame_seconds": {"frame_seconds": 0.1},
    "queries_max": {"query_seconds": 0.3},
    "query_seconds": {"query_seconds": 0.3},
    "undivided_seconds": {"undivided_seconds": 0.05},
}
"""Limits of time that are short only where they are the matter: a busy machine may stop anybody for so long."""
THINGS = 300
PADDING = "x" * 1000


def fill(directory: Path) -> None:
    with inside(directory, SMALL) as node, Client(node.port) as client:
        ask(client, term("table_create", term("db", "test"), "things"))
        for low in range(0, THINGS, 50):
            things = [{"id": n, "n": n, "padding": PADDING} for n in range(low, low + 50)]
            ask(client, term("insert", TABLE, array(*things)), durability="soft")


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    directory = tmp_path_factory.mktemp("limits")
    fill(directory)
    with inside(directory, SMALL) as running:
        yield running


@pytest.fixture
def node(name: str, usual: Inside, tmp_path: Path) -> Iterator[Inside]:
    """For the excess of that name."""
    if name not in HURRIED:
        yield usual
        return
    fill(tmp_path)
    with inside(tmp_path, replace(SMALL, **HURRIED[name])) as hurried:
        yield hurried


def connected(node: Inside) -> Client:
    """A client whose handshake was in time."""
    while True:
        with suppress(EOFError, ConnectionError):
            return Client(node.port)


def ask(client: Client, query: Term, **options: Term) -> Any:
    """A value, from a client that shall not fail."""
    response = client.ask(1 << 40, start(query, **options))
    assert response["t"] in (1, 2), response
    return response["r"][0]


def refused(client: Client, query: Term, **options: Term) -> str:
    """The text of a resource limit error."""
    response = client.ask(1 << 40, start(query, **options))
    assert (response["t"], response.get("e")) == (18, 2000000), response
    text: str = response["r"][0]
    return text


def endless() -> Term:
    pairs = term("concat_map", TABLE, row(TABLE, 2))
    triples = term("concat_map", pairs, row(TABLE, 3))
    return term("count", term("filter", triples, row(False, 4)))


def let(variable: int, value: Term, body: Term) -> Term:
    return term("funcall", row(body, variable), value)


def text_of(size: int) -> Term:
    """A string of so many bytes, made by the server."""
    return term("add", *[PADDING] * (size // len(PADDING)))


def unread(port: int) -> socket.socket:
    """A connection whose answers stay in the server, nearly all of them."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(PATIENCE_S)
    raw.connect(("127.0.0.1", port))
    raw.sendall(struct.pack("<III", 0x400C2D20, 0, 0x7E6970C7))
    assert raw.recv(8) == b"SUCCESS\0"
    return raw


def until_end(raw: socket.socket) -> None:
    with suppress(ConnectionError):
        while raw.recv(1 << 16):
            pass


# ---- connections


def connections_max(node: Inside) -> None:
    with ExitStack() as stack:
        for _ in range(SMALL.connections_max - 1):  # somebody else is there
            stack.enter_context(Client(node.port))
        raw = stack.enter_context(Raw(node.port))
        raw.send(struct.pack("<I", V1_0))
        assert json.loads(raw.until_nul())["error"] == "Too many connections (limit 12)."
        assert raw.rest() == b""


def handshake_seconds(node: Inside) -> None:
    with Raw(node.port) as raw:
        raw.send(struct.pack("<I", V1_0) + Login().first())
        raw.until_nul()
        raw.until_nul()
        assert raw.rest() == b""


def handshakes_per_address(node: Inside) -> None:
    with ExitStack() as stack:
        waiting = [stack.enter_context(Raw(node.port)) for _ in range(5)]
        for raw in waiting:
            raw.send(struct.pack("<I", V1_0))
            raw.until_nul()
        raw = stack.enter_context(Raw(node.port))
        raw.send(struct.pack("<I", V1_0))
        text = "Too many logins under way from this address (limit 5)."
        assert json.loads(raw.until_nul())["error"] == text


def guesses_per_user(node: Inside) -> None:
    with ExitStack() as stack:
        for _ in range(3):  # which cost nothing
            raw = stack.enter_context(Raw(node.port))
            assert log_in(raw, Login("guessed", "x"))["error_code"] == 12
        throttle = node.listener.throttle
        over = [node.on_loop(lambda: throttle.begin("10.0.0.1", "guessed")) for _ in range(2)]
        raw = stack.enter_context(Raw(node.port))
        assert log_in(raw, Login("guessed", "x"))["error"] == "Wrong password"
        # A fourth that was looked at would be told of.
        assert not any(each.name == "guessed" for each in node.listener.guessing())
        for each in over:
            node.on_loop(each)


def login_delay_seconds(node: Inside) -> None:
    delays = [node.on_loop(lambda: node.listener.failed("10.9.9.9", "late")) for _ in range(9)]
    assert delays[0] == 0.0
    assert delays[-1] == SMALL.login_delay_seconds
    with Raw(node.port) as raw:
        assert log_in(raw, Login("late", "x"))["error_code"] == 12  # it comes all the same


def handshake_message_bytes(node: Inside) -> None:
    with Raw(node.port) as raw:
        raw.send(struct.pack("<I", V1_0) + b"x" * 2048)
        raw.until_nul()
        assert json.loads(raw.until_nul())["error"] == "Limited read buffer size."
        assert raw.rest() == b""


def listen_backlog_max(node: Inside) -> None:
    """While the server accepts nobody, the system lets as many in as this says, and one."""
    with ExitStack() as stack:

        def hold() -> int:
            comers = [stack.enter_context(socket.socket()) for _ in range(30)]
            for each in comers:
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", node.port))
            until(lambda: let_in(comers) > SMALL.listen_backlog_max)
            return let_in(comers)

        assert node.on_loop(hold) == SMALL.listen_backlog_max + 1


def let_in(comers: list[socket.socket]) -> int:
    count = 0
    for each in comers:
        with suppress(OSError):
            each.getpeername()
            count += 1
    return count


# ---- frames


def query_bytes(node: Inside) -> None:
    with Client(node.port) as client:
        client.send(frame(5, b" " * 200_000))
        token, response = client.response()
        text = "Query size (200000) greater than maximum (100000)."
        assert (token, response["t"], response["r"]) == (5, 16, [text])
        assert client.rest() == b""


def query_drain_bytes(node: Inside) -> None:
    with Client(node.port) as client:
        client.send(HEADER.pack(5, 300_001))  # none of it follows
        assert client.response()[1]["r"][0].startswith("Query size (300001)")


def response_bytes(node: Inside) -> None:
    with Client(node.port) as client:
        large = term("map", array(*range(20)), row(text_of(90_000)))
        text = refused(client, large)
        assert text.startswith("Response size (")
        assert text.endswith(") greater than maximum (1500000).")


def frame_seconds(node: Inside) -> None:
    with Client(node.port) as client:
        client.send(HEADER.pack(1, 1000) + b"[1,")
        assert client.rest() == b""


# ---- holding back


def queries_max(node: Inside) -> None:
    with Client(node.port) as client:
        for token in range(1, 5):
            client.query(token, start(endless()))
        client.query(5, start(1))
        assert client.response()[0] in range(1, 5)  # one must end before the fifth is looked at
        assert 5 in [client.response()[0] for _ in range(4)]


def cursors_max(node: Inside) -> None:
    with Client(node.port) as client:
        for token in range(1, 4):
            assert client.ask(token, start(TABLE))["t"] == 3
        assert refused(client, TABLE) == "Too many open cursors on this connection (limit 3)."
        assert client.ask(3, b"[3]")["t"] == 2
        assert client.ask(4, start(TABLE))["t"] == 3


def inbound_bytes(node: Inside) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(node.port)) for _ in range(3)]
        for client, size in zip(clients, (20_000, 90_000, 50_000), strict=True):
            client.send(HEADER.pack(1, 99_000) + b" " * size)
        assert clients[1].rest() == b""  # the one that holds most


def read_ahead_bytes(node: Inside) -> None:
    with Client(node.port) as client:
        for token in range(1, 5):
            client.query(token, start(endless()))
        enough = frame(9, b"[1,1]" + b" " * 50_000)
        client.send(enough)
        # More at once might be read in one go, and be too much for all clients together.
        until(lambda: not node.on_loop(lambda: is_read(node, client)))
        client.sock.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):  # what is not read stays with the client at last
            while True:
                sent += client.sock.send(enough)
        assert node.on_loop(lambda: node.listener._inbound_bytes) < SMALL.inbound_bytes < sent
        # Whoever is not read from cannot be seen leaving.
        for query in node.on_loop(lambda: list(node.engine.running)):
            node.on_loop(lambda query=query: kill_query(node.engine, query.env.id, "enough"))


def is_read(node: Inside, client: Client) -> bool:
    port = client.sock.getsockname()[1]
    [mine] = [member for member in node.listener.connections if member.peer[1] == port]
    reading: bool = mine._reading
    return reading


def write_high_water_bytes(node: Inside) -> None:
    before = node.engine.queries
    with unread(node.port) as raw:
        raw.settimeout(0.05)
        with suppress(TimeoutError):
            raw.sendall(frame(1, start(term("coerce_to", TABLE, "array"))) * 1000)
    assert node.engine.queries - before < 100


def write_backlog_bytes(node: Inside) -> None:
    with unread(node.port) as raw:
        large = term("map", array(*range(14)), row(text_of(90_000)))
        pairs = term("concat_map", TABLE, row(TABLE, 5))
        slow = let(7, term("count", term("filter", pairs, row(False, 6))), large)
        raw.sendall(b"".join(frame(token, start(slow)) for token in range(1, 5)))
        until(lambda: node.held()["connections"] == 1)  # somebody else
        until_end(raw)


class Noted(Turnstile):
    """Remembers how long everybody had to wait."""

    def __init__(self) -> None:
        super().__init__(SMALL.refused_share, SMALL.refused_wait_seconds)
        self.waits: list[float] = []

    def wait(self, now: float, cost_seconds: float) -> float:
        self.waits.append(super().wait(now, cost_seconds))
        return self.waits[-1]


def refused_wait_seconds(node: Inside) -> None:
    """Whoever runs into limits without end is held back, and let go of again."""
    noted = node.listener.turnstile = Noted()
    with Client(node.port) as client:
        for token in range(20):
            client.query(token, start(term("order_by", TABLE, "n"), array_limit=1))
        assert sorted(client.response()[0] for _ in range(20)) == list(range(20))
    assert noted.waits
    assert 0 < min(noted.waits) <= max(noted.waits) <= SMALL.refused_wait_seconds


# ---- queries


def nesting_max(node: Inside) -> None:
    deep: Term = 1
    for _ in range(60):
        deep = array(deep)
    with Client(node.port) as client:
        response = client.ask(1, start(deep))
        assert response["t"] == 17
        assert response["r"] == ["The query is nested too deep (more than 50 levels)."]


def array_limit(node: Inside) -> None:
    with Client(node.port) as client:
        many = term("concat_map", TABLE, row(array(*range(20)), 2))
        assert refused(client, term("coerce_to", many, "array")).startswith(
            "Array over size limit `3000`."
        )


def query_seconds(node: Inside) -> None:
    with Client(node.port) as client:
        assert refused(client, endless()) == "The query ran for more than 0.3 seconds."


def query_memory_bytes(node: Inside) -> None:
    with Client(node.port) as client:
        doubled: Term = text_of(90_000)
        for variable in range(10, 20):
            value = term("var", variable)
            doubled = let(variable, doubled, term("add", value, value))
        text = refused(client, doubled)
        assert text == f"A value of this query is too large (more than {8 << 20} bytes)."


def undivided_seconds(node: Inside) -> None:
    with Client(node.port) as client:
        first = term("insert", TABLE, {"id": "never"})
        text = refused(client, array(first, endless()), transaction=True)
        assert text == "Evaluation that must not be interrupted took more than 0.05 seconds."
        assert ask(client, term("get", TABLE, "never")) is None


def work_slice_seconds(node: Inside) -> None:
    """A query that goes on and on gives way: others are answered before it."""
    with Client(node.port) as busy, Client(node.port) as other:
        busy.query(1, start(endless()))
        for n in range(20):
            assert ask(other, term("get", TABLE, n))["n"] == n
        assert node.held()["queries"] == 1


def batches(node: Inside) -> None:
    """All rows fit into a batch, but not into a first one."""
    with Client(node.port) as client:
        for token, options in enumerate(
            (
                {"first_batch_scaledown_factor": 1},
                {"max_batch_bytes": 2 * SMALL.batch_bytes},
                {"min_batch_rows": THINGS + 1},
            )
        ):
            assert client.ask(token, start(TABLE, **options))["t"] == 2, options
        assert client.ask(9, start(TABLE))["t"] == 3


def batch_seconds(node: Inside) -> None:
    with Client(node.port) as client:
        rows = term("map", TABLE, row(1, 2))
        in_time = client.ask(1, start(rows))
        hurried = client.ask(2, start(rows, max_batch_seconds=0))
        assert in_time["t"] == 2
        assert hurried["t"] == 3


# ---- feeds


def changefeed_queue_size(node: Inside) -> None:
    with Client(node.port) as silent, Client(node.port) as writer:
        assert silent.ask(1, start(term("changes", TABLE, include_states=True)))["t"] == 3
        for n in range(50):
            ask(writer, term("update", term("get", TABLE, 1), {"v": n}), durability="soft")
        seen: list[Any] = []
        while not any("error" in change for change in seen):
            seen += silent.ask(1, b"[2]")["r"]
        (error,) = (change["error"] for change in seen if "error" in change)
        assert error.startswith("Changefeed cache over array size limit, skipped ")


def serial_feed_seconds(node: Inside) -> None:
    with Client(node.port, version=V0_3) as client:
        client.query(1, start(term("changes", term("get", TABLE, 2))))
        assert client.response()[1]["t"] == 3
        client.query(1, b"[2]")
        assert client.response()[1]["r"] == []


Excess = Callable[[Inside], None]

EXCESSES: dict[str, Excess | str] = {
    "connections_max": connections_max,
    "handshake_seconds": handshake_seconds,
    "handshakes_per_address": handshakes_per_address,
    "guesses_per_user": guesses_per_user,
    "login_delay_seconds": login_delay_seconds,
    "handshake_message_bytes": handshake_message_bytes,
    "listen_backlog_max": listen_backlog_max,
    "query_bytes": query_bytes,
    "query_drain_bytes": query_drain_bytes,
    "response_bytes": response_bytes,
    "frame_seconds": frame_seconds,
    "queries_max": queries_max,
    "cursors_max": cursors_max,
    "inbound_bytes": inbound_bytes,
    "read_ahead_bytes": read_ahead_bytes,
    "write_high_water_bytes": write_high_water_bytes,
    "write_backlog_bytes": write_backlog_bytes,
    "receive_slice_seconds": "tests.wire.test_connection:test_a_turn_of_one_client_ends_so_that_others_have_theirs",
    "refused_share": "tests.wire.test_turnstile:test_the_wait_pays_for_the_work",
    "refused_wait_seconds": refused_wait_seconds,
    "nesting_max": nesting_max,
    "array_limit": array_limit,
    "query_seconds": query_seconds,
    "query_memory_bytes": query_memory_bytes,
    "undivided_seconds": undivided_seconds,
    "work_slice_seconds": work_slice_seconds,
    "batch_rows_min": batches,
    "batch_bytes": batches,
    "batch_seconds": batch_seconds,
    "first_batch_scaledown": batches,
    "changefeed_queue_size": changefeed_queue_size,
    "changefeed_queue_bytes": (
        "tests.feed.test_changes"
        ":test_a_slow_reader_of_large_documents_holds_a_bounded_amount_of_memory"
    ),
    "serial_feed_seconds": serial_feed_seconds,
    "http_connections_max": "tests.web.test_http_limits:test_who_has_said_nothing_for_longest_makes_room",
    "http_head_bytes": "tests.web.test_http_limits:test_a_head_that_is_too_long_is_refused",
    "http_head_seconds": "tests.web.test_http_limits:test_a_head_that_does_not_come_ends_the_connection",
    "http_body_seconds": "tests.web.test_http_limits:test_a_body_that_does_not_come_ends_the_connection",
    "http_idle_seconds": "tests.web.test_http_limits:test_a_connection_that_asks_for_nothing_more_ends",
    "http_sessions_max": "tests.web.test_http_limits:test_conversations_beyond_the_limit_are_refused",
    "http_query_seconds": "tests.web.test_http_limits:test_a_query_that_takes_too_long_is_cut",
    "shutdown_seconds": "tests.wire.test_connection:test_shutting_down_lets_running_queries_finish",
}
"""What exceeds each limit; a text says where else that is tested."""


def test_every_limit_is_exceeded_somewhere() -> None:
    assert EXCESSES.keys() == {field.name for field in fields(Limits)}
    changed = [
        field.name for field in fields(Limits) if getattr(SMALL, field.name) == field.default
    ]
    assert changed == ["handshake_message_bytes"]  # a fact of the protocol


@pytest.mark.parametrize(
    "name", [name for name, excess in EXCESSES.items() if isinstance(excess, str)]
)
def test_what_is_tested_elsewhere_is_tested(name: str) -> None:
    from importlib import import_module

    module, _, function = str(EXCESSES[name]).partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("name", [name for name, excess in EXCESSES.items() if callable(excess)])
def test_a_limit_stops_one_client_and_leaves_nothing(name: str, node: Inside) -> None:
    excess = EXCESSES[name]
    assert callable(excess)
    with connected(node) as other:
        excess(node)
        assert ask(other, term("get", TABLE, 7))["n"] == 7
    assert node.settled() == {}
