"""How soon a change reaches its subscribers: `python -m bench.latency`; see `--help`.

Purpose: writes leave at a fixed rate whatever the server does (an open loop, so a stall of the server is paid by every
write that was due meanwhile), and the time of each change at each subscriber's socket is noted.
What always holds: `after ack` counts from when the writer's socket had the acknowledgement (a change that came before
it counts as 0), `after due` from when the write should have left. Both include what the load generator itself takes to
look at its sockets one after another. `machine` is how late the same machine wakes a sleeper while nothing is measured:
no server can be better than that. `cpu` is what the server and the generator took, in percent of one core: near 100 the
figures are those of an overload. Callers: `make bench-latency`.
"""

import argparse
import gc
import re
import select
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Self

from bench.client import CONTINUE, PARTIAL, BenchmarkError, Connection, kind_of
from bench.server import Server, measured
from bench.terms import literal, start, table, term
from bench.workloads import empty_tables

NUMBER: Final = re.compile(rb'"id":(\d+)')
FEED: Final = start(term("changes", table("writes"), include_states=True))
PARTIAL_START: Final = b'{"t":3,'
"""How answers of a feed mostly begin; looking for the kind anywhere costs more."""
WARM_UP_S: Final = 0.5
LATE_S_MAX: Final = 30.0
"""For the last changes, after the last write was sent."""


@dataclass(slots=True)
class Share:
    """A sorted list's middle, 99th percentile and largest, in milliseconds."""

    p50: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: list[float]) -> Self:
        ordered = sorted(seconds)
        if not ordered:
            raise BenchmarkError("nothing was measured")
        last = len(ordered) - 1
        return cls(*(1e3 * ordered[int(last * share)] for share in (0.5, 0.99, 1.0)))

    def __str__(self) -> str:
        return f"{self.p50:7.2f} {self.p99:7.2f} {self.most:7.2f}"


@dataclass(slots=True)
class Result:
    """One run."""

    subscribers: int
    rate: float
    after_ack: Share
    after_due: Share
    acknowledged: Share
    machine: Share
    cpu_server: float  # of one core; NaN when it is not known
    cpu_own: float

    def __str__(self) -> str:
        return (
            f"{self.subscribers:11d} {self.rate:8.0f} │{self.after_ack} │{self.after_due} │"
            f"{self.acknowledged} │{self.machine} │{self.cpu_server:6.0%} {self.cpu_own:6.0%}"
        )


HEADING: Final = (
    f"{'':20s} │{'after ack, ms':>23s} │{'after due, ms':>23s} │{'ack after due, ms':>23s} │"
    f"{'machine, ms':>23s} │{'cpu':>6s}\n{'subscribers':>11s} {'writes/s':>8s} │"
    + " │".join([f"{'p50':>7s} {'p99':>7s} {'max':>7s}"] * 4)
    + f" │{'server':>6s} {'own':>6s}"
)


@dataclass(slots=True)
class Subscriber:
    """A connection that follows the table, and when each of its messages came."""

    connection: Connection
    arrivals: list[tuple[float, list[bytes]]] = field(default_factory=list)
    count: int = 0
    again: bytes = b""

    def open(self) -> None:
        body = self.connection.ask(FEED)
        if b"ready" not in body:
            raise BenchmarkError(f"the feed did not open: {body[:200]!r}")
        self.again = self.connection.frame_again(CONTINUE, self.connection.token)
        self.connection.socket.sendall(self.again)

    def on_readable(self) -> None:
        client = self.connection
        client.receive()
        now = time.perf_counter()
        for body in client.frames():
            if not body.startswith(PARTIAL_START) and kind_of(body) != PARTIAL:
                raise BenchmarkError(f"the feed ended: {body[:200]!r}")
            client.socket.send(self.again)
            numbers = NUMBER.findall(body)
            self.arrivals.append((now, numbers))
            self.count += len(numbers)


@dataclass(slots=True)
class Writer:
    """A connection that writes document after document. `acked[n]` is when the answer to number n came."""

    connection: Connection
    frames: list[bytes]
    acked: list[float] = field(default_factory=list)

    def send(self, low: int, high: int) -> None:
        self.connection.socket.sendall(b"".join(self.frames[low:high]))

    def on_readable(self) -> None:
        client = self.connection
        client.receive()
        now = time.perf_counter()
        for body in client.frames():
            if b'"inserted":1' not in body:
                raise BenchmarkError(f"a write failed: {body[:200]!r}")
            self.acked.append(now)


def measure(
    server: Server,
    subscribers: int,
    *,
    rate: float,
    seconds: float,
    first: int,
    durability: str,
) -> Result:
    """One run; documents are numbered from `first` on."""
    port = server.port
    warm_up = min(WARM_UP_S, seconds)
    count = int(rate * (seconds + warm_up))
    skip = int(rate * warm_up)
    machine = oversleep(warm_up)
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(port)) for _ in range(subscribers)]
        followers = [Subscriber(connection) for connection in connections]
        for follower in followers:
            follower.open()
        connection = stack.enter_context(Connection(port))
        frames = [
            connection.frame(
                start(term("insert", table("writes"), literal(number), durability=durability))
            )
            for number in range(first, first + count)
        ]
        writer = Writer(connection, frames)
        for each in (*connections, connection):
            # With a time limit Python asks the system before every call whether the socket is ready.
            each.socket.settimeout(None)
        gc.collect()
        gc.disable()
        before = time.perf_counter(), server.cpu_s(), time.process_time()
        try:
            begin = run(writer, followers, count, 1 / rate)
        finally:
            gc.enable()
        took = time.perf_counter() - before[0]
        cpu = (server.cpu_s() - before[1]) / took, (time.process_time() - before[2]) / took
    due = [begin + number / rate for number in range(count)]
    acked = writer.acked
    after_ack, after_due = [], []
    for follower in followers:
        for arrival, numbers in follower.arrivals:
            for text in numbers:
                number = int(text) - first
                if number >= skip:
                    after_ack.append(max(0.0, arrival - acked[number]))
                    after_due.append(arrival - due[number])
    return Result(
        subscribers,
        (count - 1) / took if (took := acked[-1] - acked[0]) else 0.0,
        Share.of(after_ack),
        Share.of(after_due),
        Share.of([acked[number] - due[number] for number in range(skip, count)]),
        Share.of(machine),
        *cpu,
    )


def run(writer: Writer, followers: list[Subscriber], count: int, period: float) -> float:
    """Sends every write when it is due, until everybody has everything; when the first was due."""
    parties: list[Writer | Subscriber] = [writer, *followers]
    by_socket = {party.connection.socket.fileno(): party for party in parties}
    clock = time.perf_counter
    sent = 0
    with select.epoll() as poll:
        for each in by_socket:
            poll.register(each, select.EPOLLIN)
        begin = clock() + 0.05

        def send_due() -> None:
            nonlocal sent
            due = min(count, int((clock() - begin) / period) + 1)
            if due > sent:
                writer.send(sent, due)
                sent = due

        while len(writer.acked) < count or any(each.count < count for each in followers):
            pause = 1.0
            if sent < count:
                pause = max(0.0, begin + sent * period - clock())
            elif clock() > begin + count * period + LATE_S_MAX:
                raise BenchmarkError("not every change came in time")
            # `poll` alone would wait in whole milliseconds.
            select.select([poll], (), (), pause)
            if clock() >= begin:
                send_due()
            for each, _ in poll.poll(0):
                by_socket[each].on_readable()
                if sent < count:
                    send_due()
    return begin


def oversleep(seconds: float) -> list[float]:
    """How much too late this machine wakes somebody who sleeps half a millisecond."""
    late = []
    end = time.perf_counter() + seconds
    before = time.perf_counter()
    while before < end:
        time.sleep(0.0005)
        now = time.perf_counter()
        late.append(now - before - 0.0005)
        before = now
    return late


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.latency", description=__doc__.split("\n")[0])
    parser.add_argument("--rate", type=float, default=2000, help="writes a second (default 2000)")
    parser.add_argument("--seconds", type=float, default=5.0, help="per run (default 5)")
    parser.add_argument("--runs", type=int, default=3, help="runs each (default 3)")
    parser.add_argument(
        "--subscribers",
        type=int,
        action="append",
        metavar="N",
        help="each on a connection of its own (default: 1 and 50)",
    )
    parser.add_argument("--durability", choices=("soft", "hard"), default="soft")
    parser.add_argument(
        "--port",
        type=int,
        help="measure a server that runs already; its database rethought_bench is replaced",
    )
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        server = stack.enter_context(measured(given.port))
        with Connection(server.port) as client:
            empty_tables(client, "writes")
        print(HEADING, flush=True)
        first = 10**9
        # At 20 writes a second the server is idle: the shortest way there is.
        for rate, subscribers in [
            (20.0, 1),
            *((given.rate, n) for n in given.subscribers or (1, 50)),
        ]:
            for _ in range(given.runs):
                result = measure(
                    server,
                    subscribers,
                    rate=rate,
                    seconds=given.seconds,
                    first=first,
                    durability=given.durability,
                )
                print(result, flush=True)
                first += 10**7
    return 0


if __name__ == "__main__":
    sys.exit(main())
