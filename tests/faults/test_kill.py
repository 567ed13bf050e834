"""`kill -9` at any moment loses nothing that was acknowledged, hard or soft, and leaves no index behind its table; a
subscriber that resumes misses nothing and gets nothing twice."""

import json
import os
import random
import selectors
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.client import CONTINUE, HEADER, BenchmarkError, Connection
from bench.terms import start, term
from tests.faults.support import TABLE, check_indexes, prepare
from tools.serverprocess import ServerProcess
from tools.serverprocess import start as start_server

WRITERS = 4
DEPTH = 16


@dataclass
class Writer:
    """A connection with `DEPTH` writes under way, each on a key of its own, and what is known of them."""

    number: int
    client: Connection
    chance: random.Random
    acknowledged: dict[str, int] = field(default_factory=dict)  # key → n; -1 is deleted
    under_way: dict[int, tuple[str, int]] = field(default_factory=dict)  # token → key, n

    def send(self) -> None:
        busy = {key for key, _ in self.under_way.values()}
        key = next(
            key
            for _ in range(1000)
            for key in [f"{self.number}-{self.chance.randrange(200)}"]
            if key not in busy
        )
        durability = self.chance.choice(["hard", "soft"])
        present = self.acknowledged.get(key, -1) >= 0
        if present and self.chance.random() < 0.3:
            n = -1
            query = term("delete", term("get", TABLE, key), durability=durability)
        else:
            n = self.chance.randrange(1_000_000)
            thing = {"id": key, "n": n, "padding": "x" * self.chance.randrange(600)}
            query = term("insert", TABLE, thing, conflict="replace", durability=durability)
        self.client.socket.sendall(self.client.frame(start(query)))
        self.under_way[self.client.token] = (key, n)

    def close(self) -> None:
        self.client.close()

    def take(self) -> int:
        """Note the acknowledgements that came, and send as many writes anew."""
        self.client.receive()
        count, buffer = 0, self.client.buffer
        while len(buffer) >= HEADER.size:
            token, size = HEADER.unpack_from(buffer)
            if len(buffer) < HEADER.size + size:
                break
            answer = json.loads(bytes(buffer[HEADER.size : HEADER.size + size]))
            del buffer[: HEADER.size + size]
            assert answer["t"] == 1, answer
            assert answer["r"][0]["errors"] == 0, answer
            key, n = self.under_way.pop(token)
            self.acknowledged[key] = n
            count += 1
        for _ in range(count):
            self.send()
        return count


@dataclass
class Follower:
    """Builds the table from its changes alone, resuming after each crash where it stopped."""

    board: dict[Any, Any] = field(default_factory=dict)
    token: str | None = None
    client: Connection | None = None

    def connect(self, port: int) -> Connection:
        self.client = Connection(port)
        where = {"include_initial": True} if self.token is None else {"resume_after": self.token}
        if self.token is None:
            self.board.clear()
        feed = term("changes", TABLE, include_resume_tokens=True, **where)
        self.client.socket.sendall(self.client.frame(start(feed)))
        return self.client

    def close(self) -> None:
        if self.client is not None:
            self.client.close()

    def take(self) -> int:
        """Apply what came. Counts as no write."""
        assert self.client is not None
        self.client.receive()
        for body in self.client.frames():
            answer = json.loads(body)
            assert answer["t"] == 3, answer
            for change in answer["r"]:
                self.apply(change)
            with suppress(OSError):
                self.client.socket.sendall(self.client.frame_again(CONTINUE, self.client.token))
        return 0

    def apply(self, change: dict[str, Any]) -> None:
        old, new = change.get("old_val"), change["new_val"]
        row: Any = old if new is None else new
        key = row["id"]
        if "resume_token" in change:
            self.token = change["resume_token"]
        if "old_val" in change:  # not an initial value
            assert self.board.get(key) == old, f"{key}: a change is missing, or came twice"
        self.board.pop(key, None)
        if new is not None:
            self.board[key] = new

    def take_until(self, key: str) -> None:
        while key not in self.board:
            self.take()


def write_until(
    server: ServerProcess, writers: list[Writer], follower: Follower, wanted: int
) -> None:
    """Kill the server as soon as `wanted` writes are acknowledged, with others under way."""
    selector = selectors.DefaultSelector()
    for writer in writers:
        selector.register(writer.client.socket, selectors.EVENT_READ, writer)
        for _ in range(DEPTH):
            writer.send()
    selector.register(follower.connect(server.port).socket, selectors.EVENT_READ, follower)
    done = 0
    while done < wanted:
        for ready, _ in selector.select(60):
            done += ready.data.take()
    server.kill()
    selector.close()
    parties: list[Writer | Follower] = [*writers, follower]
    for party in parties:  # what was already on its way counts as received too
        with suppress(BenchmarkError, OSError):
            while True:
                party.take()
        party.close()


def check_writers(things: dict[Any, Any], writers: list[Writer]) -> None:
    for writer in writers:
        possible = {key: {n} for key, n in writer.acknowledged.items()}
        for key, n in writer.under_way.values():
            possible.setdefault(key, {-1}).add(n)
        for key, values in possible.items():
            left = things[key]["n"] if key in things else -1
            assert left in values, f"{key}: {left} is there, acknowledged were {values}"
            writer.acknowledged[key] = left
        writer.under_way.clear()


def kill_many_times(directory: Path, seed: int, moments: int) -> None:
    print(f"seed {seed}")  # shown when the test fails
    chance = random.Random(seed)
    server = start_server(directory)
    prepare(server.port).close()
    writers: list[Writer] = []
    follower = Follower()
    try:
        for moment in range(moments):
            known = [writer.acknowledged for writer in writers] or [{} for _ in range(WRITERS)]
            writers = [
                Writer(
                    number, Connection(server.port), random.Random(chance.random()), known[number]
                )
                for number in range(WRITERS)
            ]
            write_until(server, writers, follower, chance.randrange(1, 1500))
            server = start_server(directory)
            with Connection(server.port) as client, follower.connect(server.port):
                check_writers(check_indexes(client), writers)
                last = f"moment {moment}"
                client.value(start(term("insert", TABLE, {"id": last, "n": moment})))
                follower.take_until(last)
                assert follower.board == check_indexes(client)
    finally:
        for writer in writers:
            writer.close()
        follower.close()
        server.stop()


def test_a_killed_server_has_every_acknowledged_write(tmp_path: Path) -> None:
    kill_many_times(tmp_path / "data", seed=int.from_bytes(os.urandom(4)), moments=3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_server_killed_a_hundred_times_has_every_acknowledged_write(tmp_path: Path) -> None:
    kill_many_times(tmp_path / "data", seed=int.from_bytes(os.urandom(4)), moments=100)
