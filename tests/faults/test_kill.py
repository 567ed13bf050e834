"""`kill -9` at any moment loses nothing that was acknowledged, hard or soft, and leaves no index behind its table; a
subscriber that resumes misses nothing and gets nothing twice."""

import json
import random
import selectors
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field as attribute
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.client import HEADER, BenchmarkError, Connection
from bench.terms import Term, field, row, start, term
from tests.chance import new_seed
from tests.faults.support import TABLE, Follower, check_indexes, prepare
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
    acknowledged: dict[str, int] = attribute(default_factory=dict)  # key → n; -1 is deleted
    under_way: dict[int, tuple[str, int]] = attribute(default_factory=dict)  # token → key, n

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


def followers() -> list[Follower]:
    """Two of every kind of feed that resumes."""
    n = partial(term, "between", TABLE, index="n")
    ordered = partial(term, "order_by", TABLE)
    queries: list[tuple[Term, dict[str, Any]]] = [
        (TABLE, {}),
        (TABLE, {"squash": True}),
        (term("get", TABLE, "1-5"), {}),
        (term("between", TABLE, "0-", "2-"), {}),
        (n(200_000, 700_000), {}),
        (term("filter", TABLE, row(term("lt", field("n"), 500_000))), {}),
        (term("pluck", TABLE, "id", "n"), {}),
        (term("limit", ordered(index="n"), 10), {}),
        (term("limit", ordered(index=term("desc", "n")), 7), {}),
        (term("union", n(0, 100_000), n(900_000, 2_000_000)), {}),
    ]
    return [Follower(query, options) for query, options in queries for _ in range(2)]


def write_until(
    server: ServerProcess, writers: list[Writer], followers: list[Follower], wanted: int
) -> None:
    """Kill the server as soon as `wanted` writes are acknowledged, with others under way."""
    selector = selectors.DefaultSelector()
    for writer in writers:
        selector.register(writer.client.socket, selectors.EVENT_READ, writer)
        for _ in range(DEPTH):
            writer.send()
    for follower in followers:
        selector.register(follower.connect(server.port).socket, selectors.EVENT_READ, follower)
    done = 0
    while done < wanted:
        for ready, _ in selector.select(60):
            done += ready.data.take()
    server.kill()
    selector.close()
    parties: list[Writer | Follower] = [*writers, *followers]
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
    chance = random.Random(seed)
    server = start_server(directory)
    prepare(server.port).close()
    writers: list[Writer] = []
    following = followers()
    try:
        for moment in range(moments):
            known = [writer.acknowledged for writer in writers] or [{} for _ in range(WRITERS)]
            writers = [
                Writer(
                    number, Connection(server.port), random.Random(chance.random()), known[number]
                )
                for number in range(WRITERS)
            ]
            write_until(server, writers, following, chance.randrange(1, 1500))
            server = start_server(directory)
            with Connection(server.port) as client:
                check_writers(check_indexes(client), writers)
                last = {"id": f"moment {moment}", "n": moment}
                client.value(start(term("insert", TABLE, last)))
                for follower in following:
                    with follower.connect(server.port):
                        follower.take_until(follower.expected(client))
    finally:
        for writer in writers:
            writer.close()
        for follower in following:
            follower.close()
        server.stop()


def test_a_killed_server_has_every_acknowledged_write(tmp_path: Path) -> None:
    kill_many_times(tmp_path / "data", seed=new_seed(), moments=2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_server_killed_a_hundred_times_has_every_acknowledged_write(tmp_path: Path) -> None:
    kill_many_times(tmp_path / "data", seed=new_seed(), moments=100)
