"""Clients that each do, without end, what a limit of the server stops.

What always holds: a client waits for its answer before it asks again, and comes back when it is cut off; answers are
framed and their kind is looked at, no more, so that hundreds of clients cost a fraction of a core. One process holds
all of them: it prints a line when every client has been answered once, and its counts when its input ends.
Started by `bench.crowd` as `python -m bench.abuse PORT KIND=COUNT...`.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from bench.client import CONTINUE, HEADER
from bench.terms import Term, array, field, row, start, table, term

V1_0: Final = struct.pack("<I", 0x34C2BDC3)
LIMITED: Final = b'"e":2000000'
AGAIN_SECONDS: Final = 0.02
"""From being cut off to coming back."""

NONCE: Final = base64.b64encode(b"abusive clients, all alike").decode()
FRAME_BYTES: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to run into a limit. `user` is who it is as, with the limits that `bench.crowd` gives it."""

    user: str
    body: Callable[[], bytes]
    password: str = ""
    # What a client does with its answers: reads them and asks again, or leaves them in its socket.
    reads: bool = True
    # Queries sent at once.
    depth: int = 1


def _endless() -> Term:
    """Hours of work that holds next to nothing."""
    pairs = term("concat_map", table(), row(table(), 2))
    return term("count", term("filter", pairs, row(term("eq", field("age"), -1))))


def _hungry() -> Term:
    """An array that grows and grows."""
    doubled = term("concat_map", table(), row(array(*[term("var", 1)] * 40)))
    return term("order_by", doubled, "score")


FILTERED: Final = term("count", term("filter", table(), row(term("gt", field("age"), 50))))

KINDS: Final[dict[str, Kind]] = {
    "queries": Kind("crowd_queries", lambda: start(term("get", table(), 1)), depth=4),
    "rows": Kind("crowd_rows", lambda: start(FILTERED)),
    "time": Kind("crowd_time", lambda: start(_endless())),
    "memory": Kind("crowd_memory", lambda: start(_hungry(), array_limit=10_000_000)),
    "array": Kind("crowd_free", lambda: start(term("order_by", table(), "age"), array_limit=100)),
    "nesting": Kind("crowd_free", lambda: b"[1," + b"[2,[" * 150 + b"]]" * 150 + b"]"),
    "frames": Kind("crowd_free", lambda: b" " * FRAME_BYTES),
    "connections": Kind("crowd_connections", lambda: b"", depth=0),
    "guesses": Kind("crowd_free", lambda: b"", password="not this one"),
    "feeds": Kind("crowd_free", lambda: start(term("changes", table(), include_initial=True)), reads=False),
    "answers": Kind("crowd_free", lambda: start(term("limit", table(), 2000)), reads=False, depth=50),
}  # fmt: skip


class Abuser(asyncio.Protocol):
    """One client. `crowd` counts what happens to it."""

    def __init__(self, crowd: "Crowd", name: str) -> None:
        self.crowd = crowd
        self.name = name
        self.kind = KINDS[name]
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self.step = 0  # of the handshake; past it 3
        self.token = 0
        self.first = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's, but behave like them.
        self.transport = cast(asyncio.Transport, transport)
        hello = {
            "protocol_version": 0,
            "authentication_method": "SCRAM-SHA-256",
            "authentication": f"n,,n={self.kind.user},r={NONCE}",
        }
        self.transport.write(V1_0 + json.dumps(hello).encode() + b"\0")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.step < 3:
            self._shake_hands()
        if self.step == 3:
            self._take_answers()

    def connection_lost(self, exc: Exception | None) -> None:
        self.crowd.note(self, "cut off")
        self.crowd.again(self.name)

    def _shake_hands(self) -> None:
        while self.step < 3 and b"\0" in self.buffer:
            text, _, rest = bytes(self.buffer).partition(b"\0")
            self.buffer = bytearray(rest)
            answer = json.loads(text)
            if not answer["success"]:
                self.crowd.note(self, "refused")
                return
            self.step += 1
            if self.step == 2:
                self.write(self._proof(answer["authentication"]))
            elif self.step == 3:
                self._begin()

    def _proof(self, first: str) -> bytes:
        fields = dict(part.split("=", 1) for part in first.split(","))
        salt = base64.b64decode(fields["s"])
        # A wrong password is wrong after one iteration, too.
        count = 1 if self.kind.password else int(fields["i"])
        salted = hashlib.pbkdf2_hmac("sha256", self.kind.password.encode(), salt, count)
        key = hmac.digest(salted, b"Client Key", "sha256")
        bare = f"n={self.kind.user},r={NONCE}"
        message = f"{bare},{first},c=biws,r={fields['r']}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
        return json.dumps({"authentication": f"c=biws,r={fields['r']},p={proof}"}).encode() + b"\0"

    def _begin(self) -> None:
        if not self.kind.reads:
            cast(asyncio.Transport, self.transport).pause_reading()
        if not self.kind.reads or not self.kind.depth:
            self.crowd.note(self, "holding on")
        for _ in range(self.kind.depth):
            self._ask()

    def _ask(self) -> None:
        self.token += 1
        body = self.crowd.bodies[self.name]
        self.write(HEADER.pack(self.token, len(body)) + body)

    def _take_answers(self) -> None:
        buffer = self.buffer
        while len(buffer) >= HEADER.size:
            token, size = HEADER.unpack_from(buffer)
            end = HEADER.size + size
            if len(buffer) < end:
                return
            head = bytes(buffer[HEADER.size : HEADER.size + 64])
            del buffer[:end]
            if b'"t":3' in head:
                self.write(HEADER.pack(token, len(CONTINUE)) + CONTINUE)
                continue
            self.crowd.note(self, "limited" if LIMITED in head else "answered")
            self._ask()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)


class Crowd:
    """All clients of the process."""

    def __init__(self, port: int, counts: dict[str, int]) -> None:
        self.port = port
        self.counts = counts
        self.bodies = {name: KINDS[name].body() for name in counts}
        self.seen: Counter[str] = Counter()
        self.missing = Counter(counts)
        self.tasks: set[asyncio.Task[None]] = set()
        self.over = False

    def note(self, client: Abuser, what: str) -> None:
        self.seen[f"{client.name}: {what}"] += 1
        if self.missing[client.name] > 0:
            self.missing[client.name] -= 1
            if not any(self.missing.values()):
                print("all here", flush=True)

    def again(self, name: str) -> None:
        if not self.over:
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.join, name)

    def join(self, name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(name))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Abuser(self, name), "127.0.0.1", self.port)
        except OSError:
            self.again(name)

    async def run(self) -> None:
        for name, count in self.counts.items():
            for _ in range(count):
                self.join(name)
        begun = time.perf_counter()
        before = dict(self.seen)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        self.over = True
        usage = resource.getrusage(resource.RUSAGE_SELF)
        figures = {
            "seconds": time.perf_counter() - begun,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "seen": {name: count - before.get(name, 0) for name, count in self.seen.items()},
        }
        print(json.dumps(figures), flush=True)


def main(arguments: list[str]) -> None:
    import uvloop

    # It gives way to the client that is measured: it is the server's tail that counts.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    counts = {
        name: int(count) for name, _, count in (each.partition("=") for each in arguments[1:])
    }
    uvloop.run(Crowd(int(arguments[0]), counts).run())


if __name__ == "__main__":
    main(sys.argv[1:])
