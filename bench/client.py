"""The load generator's side of the wire: connections, pipelined load, whole streams, feeds.

What always holds: answers are framed and their kind is looked at, rows are not decoded, so that the generator costs as
little as it can of the two cores it shares with the server. An error in an answer ends the measurement.
Callers: `bench.workloads`, `bench.yardsticks`.
"""

import json
import re
import selectors
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final, Self

HELLO: Final = struct.pack("<III", 0x400C2D20, 0, 0x7E6970C7)  # V0_4, no key, JSON
HEADER: Final = struct.Struct("<QI")
CONTINUE: Final = b"[2]"
STOP: Final = b"[3]"
KIND: Final = re.compile(rb'"t":(\d+)')
PARTIAL: Final = 3
ERROR_MIN: Final = 16
CHUNK_BYTES: Final = 1 << 20
FEED_S_MAX: Final = 120.0
REPEATS: Final = 3
"""A query over a whole table is run so many times."""


class BenchmarkError(Exception):
    """The server answered with an error, or went away."""


class Connection:
    """One driver connection, handshake done."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, patience_s: float | None = 120
    ) -> None:
        self.socket = socket.create_connection((host, port), timeout=patience_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.token = 0
        self.socket.sendall(HELLO)
        while b"\0" not in self.buffer:
            self.receive()
        answer, _, rest = bytes(self.buffer).partition(b"\0")
        if answer != b"SUCCESS":
            raise BenchmarkError(f"handshake refused: {answer!r}")
        self.buffer = bytearray(rest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def receive(self) -> None:
        chunk = self.socket.recv(CHUNK_BYTES)
        if not chunk:
            raise BenchmarkError("the server closed the connection")
        self.buffer += chunk

    def frame(self, body: bytes) -> bytes:
        """A new query as it goes over the wire."""
        self.token += 1
        return HEADER.pack(self.token, len(body)) + body

    def frame_again(self, body: bytes, token: int) -> bytes:
        return HEADER.pack(token, len(body)) + body

    def frames(self) -> list[bytes]:
        """The bodies of all complete answers received so far."""
        found, at, buffer = [], 0, self.buffer
        while len(buffer) - at >= HEADER.size:
            _, size = HEADER.unpack_from(buffer, at)
            end = at + HEADER.size + size
            if len(buffer) < end:
                break
            found.append(bytes(buffer[at + HEADER.size : end]))
            at = end
        del buffer[:at]
        return found

    def skip(self) -> int:
        """Drop all complete answers, looking at the kind of the first; how many there were."""
        count, at, buffer = 0, 0, self.buffer
        while len(buffer) - at >= HEADER.size:
            _, size = HEADER.unpack_from(buffer, at)
            if len(buffer) - at - HEADER.size < size:
                break
            if not count:
                kind_of(bytes(buffer[at + HEADER.size : at + HEADER.size + size]))
            at += HEADER.size + size
            count += 1
        del buffer[:at]
        return count

    def ask(self, body: bytes) -> bytes:
        """Send one query and wait for its first answer."""
        self.socket.sendall(self.frame(body))
        while not (found := self.frames()):
            self.receive()
        return found[0]

    def drain(self, body: bytes) -> int:
        """Run a query to its end without decoding rows; the number of bytes that came."""
        answer = self.ask(body)
        total = len(answer)
        while kind_of(answer) == PARTIAL:
            self.socket.sendall(self.frame_again(CONTINUE, self.token))
            while not (found := self.frames()):
                self.receive()
            answer = found[0]
            total += len(answer)
        return total

    def value(self, body: bytes) -> Any:
        """Run a query to its end and decode the first row of its answer."""
        answer = json.loads(self.ask(body))
        if answer["t"] >= ERROR_MIN:
            raise BenchmarkError(answer["r"][0])
        return answer["r"][0] if answer["r"] else None


def kind_of(body: bytes) -> int:
    """The answer's type; an error raises."""
    found = KIND.search(body, 0, 64) or KIND.search(body, max(0, len(body) - 4096))
    if found is None:
        raise BenchmarkError(f"an answer without a type: {body[:200]!r}")
    kind = int(found[1])
    if kind >= ERROR_MIN:
        raise BenchmarkError(body[:400].decode("utf-8", "replace"))
    return kind


def throughput(
    port: int,
    make: Callable[[], bytes],
    *,
    seconds: float,
    connections: int = 8,
    depth: int = 32,
) -> float:
    """Queries a second with a full pipeline: each answer is replaced by a new query."""
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(connections):
            client = stack.enter_context(Connection(port))
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.socket.sendall(b"".join(client.frame(make()) for _ in range(depth)))
        done = 0
        begin = now = time.perf_counter()
        end = begin + seconds
        while now < end:
            for key, _ in selector.select(1):
                client = key.data
                client.receive()
                if count := client.skip():
                    done += count
                    client.socket.sendall(b"".join(client.frame(make()) for _ in range(count)))
            now = time.perf_counter()
        return done / (now - begin)


def latencies(port: int, make: Callable[[], bytes], *, count: int) -> list[float]:
    """Sorted seconds of single queries, one after another on one connection."""
    client = Connection(port)
    taken = []
    for _ in range(count):
        body = make()
        begin = time.perf_counter()
        client.ask(body)
        taken.append(time.perf_counter() - begin)
    client.close()
    return sorted(taken)


def whole(port: int, body: bytes, rows: int) -> float:
    """Rows a second of a query that goes over `rows` rows: the best of some repeats."""
    client = Connection(port)
    taken = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        client.drain(body)
        taken.append(time.perf_counter() - begin)
    client.close()
    return rows / min(taken)


class Subscriber:
    """A connection that follows a feed and counts the changes that came."""

    def __init__(self, port: int, body: bytes) -> None:
        self.connection = Connection(port)
        self.changes = 0
        self.connection.socket.sendall(self.connection.frame(body))

    def wait_ready(self) -> None:
        """Until the feed says that it is live (it was opened with `include_states`)."""
        while not (found := self.connection.frames()):
            self.connection.receive()
        self._take(found)

    def on_readable(self) -> None:
        self.connection.receive()
        self._take(self.connection.frames())

    def _take(self, bodies: list[bytes]) -> None:
        client = self.connection
        for body in bodies:
            if kind_of(body) != PARTIAL:
                raise BenchmarkError(f"the feed ended: {body[:200]!r}")
            self.changes += body.count(b'"new_val"')
            client.socket.sendall(client.frame_again(CONTINUE, client.token))


def feed(
    port: int,
    subscription: bytes,
    make: Callable[[], bytes],
    *,
    subscribers: int,
    writes: int,
    window: int = 64,
) -> float:
    """Changes delivered a second: one writer with `window` writes under way, every subscriber gets every change."""
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        followers = [Subscriber(port, subscription) for _ in range(subscribers)]
        for follower in followers:
            stack.enter_context(follower.connection)
            follower.wait_ready()
            selector.register(follower.connection.socket, selectors.EVENT_READ, follower)
        writer = stack.enter_context(Connection(port))
        selector.register(writer.socket, selectors.EVENT_READ, None)
        sent = min(window, writes)
        begin = time.perf_counter()
        writer.socket.sendall(b"".join(writer.frame(make()) for _ in range(sent)))
        while any(follower.changes < writes for follower in followers):
            if time.perf_counter() - begin > FEED_S_MAX:
                raise BenchmarkError("the feeds did not deliver every change in time")
            for key, _ in selector.select(1):
                if key.data is not None:
                    key.data.on_readable()
                    continue
                writer.receive()
                more = min(writer.skip(), writes - sent)
                sent += more
                if more:
                    writer.socket.sendall(b"".join(writer.frame(make()) for _ in range(more)))
        return subscribers * writes / (time.perf_counter() - begin)
