"""What many subscribers cost: `python -m bench.fanout`; see `--help`.

Two tables. The first: everybody follows one table that is written to at a fixed rate, each document by itself; does
the server keep up, and what does a message cost it. The second: subscriptions that nothing happens to; how much memory
each takes with all that belongs to it, and what a write that concerns none of them costs beside them.
What always holds: subscribers ask for more as soon as they have something, as drivers do; the server is a new one for
every line (save with `--port`), since memory that was used once stays with a process. Callers: `make bench-fanout`.
"""

import argparse
import gc
import select
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from bench.client import CONTINUE, HEADER, BenchmarkError, Connection
from bench.server import Server, measured
from bench.terms import Term, array, field, literal, row, start, table, term
from bench.workloads import empty_tables

FEED: Final = start(term("changes", table("writes")))
LATE_S_MAX: Final = 60.0
ROWS: Final = 200
"""In the table that idle subscriptions follow."""


class Crowd:
    """A connection with several feeds. Counts the changes of all of them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.changes = 0
        self.messages = 0

    def follow(self, body: bytes) -> None:
        answer = self.connection.ask(body)
        if b'"t":3' not in answer:
            raise BenchmarkError(f"the feed did not open: {answer[:200]!r}")
        self.connection.socket.sendall(self.connection.frame_again(CONTINUE, self.connection.token))

    def on_readable(self) -> None:
        client = self.connection
        client.receive()
        buffer = client.buffer
        at = 0
        questions = []
        while len(buffer) - at >= HEADER.size:
            token, size = HEADER.unpack_from(buffer, at)
            end = at + HEADER.size + size
            if len(buffer) < end:
                break
            self.changes += buffer.count(b'"new_val"', at, end)
            self.messages += 1
            questions.append(client.frame_again(CONTINUE, token))
            at = end
        del buffer[:at]
        if questions:
            client.socket.sendall(b"".join(questions))


def followed(
    server: Server, subscribers: int, connections: int, *, rate: float, seconds: float
) -> str:
    """A line of the first table."""
    with ExitStack() as stack:
        crowds = [Crowd(stack.enter_context(Connection(server.port))) for _ in range(connections)]
        for number in range(subscribers):
            crowds[number % connections].follow(FEED)
        writer = stack.enter_context(Connection(server.port))
        count = int(rate * seconds)
        frames = [
            writer.frame(start(term("insert", table("writes"), literal(number), durability="soft")))
            for number in range(count)
        ]
        poll = stack.enter_context(select.epoll())
        by_socket = {crowd.connection.socket.fileno(): crowd for crowd in crowds}
        for each in by_socket:
            poll.register(each, select.EPOLLIN)
        poll.register(writer.socket.fileno(), select.EPOLLIN)
        for connection in (writer, *(crowd.connection for crowd in crowds)):
            connection.socket.settimeout(None)
        gc.collect()
        gc.disable()
        cpu, own = server.cpu_s(), time.process_time()
        begin = time.perf_counter()
        sent = acked = 0
        last_ack = begin
        while acked < count or any(
            crowd.changes < count * subscribers // connections for crowd in crowds
        ):
            now = time.perf_counter()
            while sent < count and now >= begin + sent / rate:
                writer.socket.sendall(frames[sent])
                sent += 1
            if now > begin + seconds + LATE_S_MAX:
                raise BenchmarkError("not every change came in time")
            pause = max(0.0, begin + sent / rate - now) if sent < count else 1.0
            for each, _ in poll.poll(pause):
                crowd = by_socket.get(each)
                if crowd is None:
                    writer.receive()
                    acked += writer.skip()
                    last_ack = time.perf_counter()
                else:
                    crowd.on_readable()
        end = time.perf_counter()
        took = end - begin
        cpu, own = server.cpu_s() - cpu, time.process_time() - own
        gc.enable()
    changes = count * subscribers
    messages = sum(crowd.messages for crowd in crowds)
    return (
        f"{subscribers:11d} {connections:11d} {count / (last_ack - begin):8.0f} "
        f"{changes / took:11,.0f} {messages / took:11,.0f} {1e3 * (end - last_ack):11.0f} "
        f"{cpu / took:7.0%} {own / took:6.0%} {1e6 * cpu / changes:10.1f}"
    )


FOLLOWED_HEADING: Final = (
    f"{'subscribers':>11s} {'connections':>11s} {'writes/s':>8s} {'changes/s':>11s} "
    f"{'messages/s':>11s} {'behind, ms':>11s} {'server':>7s} {'own':>6s} {'µs/change':>10s}"
)


def followed_as(query: Term, **options: Term) -> bytes:
    return start(term("changes", query, **options))


def where(comparison: str, name: str, value: Term) -> Term:
    return term("filter", table(), row(term(comparison, field(name), value)))


def behind(number: int) -> Term:
    """Of the rows of the table, those with an age above one that is different for each number."""
    return term("between", table(), number % 100 + number / 100_000, term("maxval"), index="age")


def first(limit: int, rows: Term, predicate: Term | None = None) -> Term:
    ordered = term("order_by", rows, index="age")
    return term(
        "limit", ordered if predicate is None else term("filter", ordered, predicate), limit
    )


IDLE: Final[dict[str, Callable[[int], bytes]]] = {
    "get": lambda n: followed_as(term("get", table(), n)),
    "get_all of 5 keys": lambda n: followed_as(term("get_all", table(), *range(5 * n, 5 * n + 5))),
    "between": lambda n: followed_as(term("between", table(), 10 * n, 10 * n + 5)),
    "get_all by index": lambda n: followed_as(term("get_all", table(), n, index="age")),
    "between by index": lambda n: followed_as(
        term("between", table(), 10 * n, 10 * n + 5, index="age")
    ),
    "filter by equality": lambda n: followed_as(term("filter", table(), {"name": f"user-{n}"})),
    "filter by function": lambda n: followed_as(where("eq", "score", 2000 + n)),
    "filter by comparison": lambda n: followed_as(where("gt", "age", 2000 + n)),
    "filter of get_all": lambda n: followed_as(
        term("filter", term("get_all", table(), n, index="age"), row(term("gt", field("score"), 5)))
    ),
    "filter that is computed": lambda n: followed_as(
        term("filter", table(), row(term("gt", term("add", field("age"), 1), 2000 + n)))
    ),
    "filter and pluck": lambda n: followed_as(
        term("pluck", where("eq", "score", 2000 + n), "id", "name")
    ),
    "filter and map": lambda n: followed_as(
        term("map", where("gt", "age", 2000 + n), row(term("add", field("age"), n)))
    ),
    "first 3": lambda n: followed_as(
        term(
            "limit",
            term("order_by", term("between", table(), 10 * n, 10 * n + 5), index="id"),
            3,
        )
    ),
    "first 10 behind a bound": lambda n: followed_as(first(10, behind(n))),
    "first n": lambda n: followed_as(first(1 + abs(n) % 1000, table())),
    "first 10 of a filter": lambda n: followed_as(
        first(10, table(), row(term("lt", field("score"), 20_000 + n)))
    ),
    "first 10, offsets": lambda n: followed_as(first(10, behind(n)), include_offsets=True),
    "first 10, initial": lambda n: followed_as(first(10, behind(n)), include_initial=True),
    "first 10, tokens": lambda n: followed_as(first(10, behind(n)), include_resume_tokens=True),
    "filter with a default": lambda n: followed_as(
        term("filter", table(), row(term("gt", field("age"), 2000 + n)), default=True)
    ),
    "filter, global options": lambda n: start(
        term("changes", where("gt", "age", 2000 + n)), durability="soft", array_limit=1000
    ),
    "get, global options": lambda n: start(
        term("changes", term("get", table(), n)), max_batch_rows=500
    ),
    "table": lambda _: followed_as(table()),
    "get, initial": lambda n: followed_as(
        term("get", table(), n), include_initial=True, include_states=True
    ),
    "filter, initial": lambda n: followed_as(where("gt", "age", 2000 + n), include_initial=True),
    "get, tokens": lambda n: followed_as(term("get", table(), n), include_resume_tokens=True),
    "get, tokens and states": lambda n: followed_as(
        term("get", table(), n), include_resume_tokens=True, include_states=True
    ),
    "filter, tokens": lambda n: followed_as(
        where("gt", "age", 2000 + n), include_resume_tokens=True
    ),
}
"""Kinds of subscription by number, which makes each different (but for those of the whole table)."""


def idle(server: Server, name: str, subscribers: int, connections: int, writes: int) -> str:
    """A line of the second table."""
    with ExitStack() as stack:
        client = stack.enter_context(Connection(server.port))
        empty_tables(client, "docs", "writes")
        client.value(start(term("index_create", table(), "age")))
        client.drain(start(term("index_wait", table(), "age")))
        client.value(
            start(term("insert", table(), array(*map(literal, range(ROWS))), durability="soft"))
        )
        crowds = [Crowd(stack.enter_context(Connection(server.port))) for _ in range(connections)]
        warm_up = Crowd(stack.enter_context(Connection(server.port)))
        for number in range(200):  # whatever is compiled or opened once
            warm_up.follow(IDLE[name](-number - 1))
        before = [unrelated(server, client, name, writes) for name in ("writes", "docs")]
        memory = server.resident_bytes()
        begin = time.perf_counter()
        for number in range(subscribers):
            crowds[number % connections].follow(IDLE[name](number))
        took = time.perf_counter() - begin
        memory = server.resident_bytes() - memory
        after = [unrelated(server, client, name, writes) for name in ("writes", "docs")]
    costs = " ".join(f"{old:8.0f} →{new:5.0f}" for old, new in zip(before, after, strict=True))
    return f"{name:24s} {memory / subscribers:10.0f} {1e6 * took / subscribers:9.0f} {costs}"


def unrelated(server: Server, client: Connection, name: str, writes: int) -> float:
    """What a write takes of the server that no subscription has to do with, in µs."""
    first = time.monotonic_ns()
    before = server.cpu_s()
    for number in range(writes):
        document = literal(number) | {"id": -first - number, "age": -1, "name": "nobody"}
        client.drain(start(term("insert", table(name), document, durability="soft")))
    return 1e6 * (server.cpu_s() - before) / writes


IDLE_HEADING: Final = (
    f"{'idle subscriptions':24s} {'bytes each':>10s} {'open, µs':>9s} {'other table, µs':>15s} "
    f"{'same table, µs':>15s}"
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.fanout", description=__doc__.split("\n")[0])
    parser.add_argument("--subscribers", type=int, default=1000, help="of one table (default 1000)")
    parser.add_argument("--rate", type=float, default=200, help="writes a second (default 200)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of writing (default 5)")
    parser.add_argument("--idle", type=int, default=10_000, help="idle ones (default 10000)")
    parser.add_argument("--connections", type=int, default=100, help="they share (default 100)")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="kinds of idle")
    parser.add_argument("--writes", type=int, default=2000, help="beside idle ones (default 2000)")
    parser.add_argument(
        "--port",
        type=int,
        help="measure a server that runs already; its database rethought_bench is replaced",
    )
    given = parser.parse_args(arguments)
    if given.subscribers:
        print(FOLLOWED_HEADING, flush=True)
    for connections in dict.fromkeys((given.connections, given.subscribers)):
        if given.subscribers:
            with measured(given.port) as server:
                with Connection(server.port) as client:
                    empty_tables(client, "writes")
                line = followed(
                    server,
                    given.subscribers,
                    connections,
                    rate=given.rate,
                    seconds=given.seconds,
                )
            print(line, flush=True)
    if given.idle:
        print(IDLE_HEADING, flush=True)
    for name in IDLE if given.idle else ():
        if not given.only or any(word in name for word in given.only):
            with measured(given.port) as server:
                print(idle(server, name, given.idle, given.connections, given.writes), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
