"""Laws of resuming: whoever writes, wherever a subscriber dies, what it gets in all is what it would have got.

A subscriber follows a query and is killed at random messages, sometimes with the server; it goes on with the last token
it has, or from the beginning when it has none. Everything random comes from one seed, which is the test's parameter.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from rethinkdb import r

from rethought.conversation import Reply
from rethought.feed import catchup, limited, opening
from rethought.limits import Limits
from rethought.reql.feed_sources import feeds_of
from tests.asking import ask
from tests.feed.node import START, Feed, Node

OTHER: Final = r.db("elsewhere").table("laws")

RANGES: Final[dict[str, Callable[[Any], Any]]] = {
    "table": lambda t: t,
    "between": lambda t: t.between(2, 6),
    "get_all": lambda t: t.get_all(1, 2, 2, 7),
    "between on index": lambda t: t.between(1, 3, index="x"),
    "get_all on multi index": lambda t: t.get_all(1, 2, 2, index="m"),
    "order without limit": lambda t: t.order_by(index="x"),
    "filter": lambda t: t.filter(r.row["x"] > 1),
    "pluck": lambda t: t.pluck("x"),
    "point": lambda t: t.get(3),
    "get_intersecting": lambda t: t.get_intersecting(r.circle([0, 0], 250_000), index="g"),
}
UNIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "union": lambda t: t.between(0, 3).union(t.get_all(2, 3, index="x")),
    "union of databases": lambda t: t.union(OTHER),
    "union of kinds": lambda t: t.order_by(index="x").limit(2).union(t.filter(r.row["x"] > 2)),
}
LIMITS: Final[dict[str, Callable[[Any], Any]]] = {
    "first, primary": lambda t: t.order_by(index="id").limit(3),
    "first, descending": lambda t: t.order_by(index=r.desc("x")).limit(3),
    "first, index": lambda t: t.order_by(index="x").limit(4),
    "first, filter": lambda t: t.order_by(index="x").filter(r.row["id"] % 2 == 0).limit(2),
    "first, map": lambda t: t.order_by(index=r.desc("x")).pluck("x").limit(3),
    "first, slice": lambda t: t.between(1, 3, index="x").order_by(index=r.desc("x")).limit(2),
    "first, multi": lambda t: t.order_by(index="m").limit(4),
    "first, multi descending": lambda t: t.order_by(index=r.desc("m")).limit(4),
    "min": lambda t: t.min(index="x"),
    "max": lambda t: t.max(index="x"),
}
QUERIES: Final = RANGES | UNIONS | LIMITS
TIMELESS: Final = Limits(work_slice_seconds=1e-9, batch_seconds=3600.0)
"""Whoever may give way does, every time: a seed is the same history on a machine that is busy."""

EXPECTED: Final[dict[str, Callable[[Any], Any]]] = {
    "min": lambda t: t.order_by(index="x").limit(1),
    "max": lambda t: t.order_by(index=r.desc("x")).limit(1),
    "point": lambda t: t.get_all(3),
}
"""The rows of a query, where it does not give them itself."""


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that reading and catching up take many steps, and writes come in between; first rows are let go of."""
    monkeypatch.setattr(opening, "PAGE", 2)
    monkeypatch.setattr(catchup, "COMMITS", 3)
    monkeypatch.setattr(limited, "KEPT_ROWS_MAX", 2)
    monkeypatch.setattr(limited, "LATELY", 1)


class Home:
    """A node of this module's own, which may be restarted, with a table of everything that can be followed."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.under_way = 0  # queries
        self.table = node.table("laws", "x")
        node.run(self.table.index_create("m", multi=True))
        node.run(self.table.index_create("g", geo=True))
        node.run(self.table.index_wait())
        node.run(r.db_create("elsewhere"))
        node.run(r.db("elsewhere").table_create("laws", durability="soft"))

    def empty(self) -> None:
        self.node.run(self.table.delete())
        self.node.run(OTHER.delete())

    def write(self, dice: random.Random) -> None:
        """One query of a few changes, or several at a time."""
        node = self.node
        table = OTHER if dice.random() < 0.2 else self.table
        kind = dice.random()
        if kind < 0.6:
            docs = [document(dice) for _ in range(dice.choice([1, 1, 2, 4]))]
            node.run(table.insert(docs, conflict="replace"))
        elif kind < 0.75:
            node.run(table.get(dice.randrange(9)).delete())
        elif kind < 0.9:
            for _ in range(dice.randrange(2, 5)):  # commits that the feeds are told of together
                self.start(self.one(dice, table))
                for database in self.node.catalog.user_databases():
                    database.group.flush()
        else:
            # Evaluated just before the feeds are told of the one that follows.
            query = self.one(dice, table)
            node.loop.call_soon(lambda: node.loop.call_soon(self.start, query))
            self.start(self.one(dice, table))
            node.settle()
            self.rest()

    def one(self, dice: random.Random, table: Any) -> Any:
        if dice.random() < 0.4:
            return table.get(dice.randrange(9)).delete()
        return table.insert(document(dice), conflict="replace")

    def start(self, query: Any) -> None:
        """A query that nobody waits for yet."""
        body = json.dumps([START, query], default=lambda part: part.build()).encode()
        client = self.node.engine.client("admin", "127.0.0.1", 0)
        self.under_way += 1
        if isinstance(ask(self.node.engine, client, body, self._done), Reply):
            self.under_way -= 1

    def _done(self, _: Any) -> None:
        self.under_way -= 1

    def rest(self) -> None:
        """Until every query is answered and every feed told."""
        self.node.until(lambda: not self.under_way)
        feeds = feeds_of(self.node.engine)
        self.node.until(lambda: not any(hub._pending for hub in feeds._hubs.values()))


def document(dice: random.Random) -> Any:
    point = {"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [dice.randrange(5), 0]}
    return {
        "id": dice.randrange(9),
        "x": dice.choice([None, 0, 1, 2, 3, 4]),
        "m": [dice.randrange(4) for _ in range(dice.randrange(4))],
        "g": dice.choice([None, point]),
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    node = Node(tmp_path_factory.mktemp("laws") / "data", limits=TIMELESS)
    yield Home(node)
    node.close()


class Follower:
    """A subscriber that keeps what it was told, and dies now and then."""

    def __init__(
        self, home: Home, query: Any, form: dict[str, Any], batch: dict[str, Any], queue: int
    ) -> None:
        self.home = home
        self.queue = queue
        self.query = query
        self.form = form
        self.batch = batch
        self.kept: list[Any] = []  # every message up to the last token, without tokens
        self.token: str | None = None
        self.feed: Feed | None = None

    def open(self) -> None:
        changes = self.query.changes(
            resume_after=self.token,
            include_resume_tokens=True,
            changefeed_queue_size=self.queue,
            **self.form,
        )
        self.feed = self.home.node.feed(changes, **self.batch)
        assert self.feed.error is None

    def die(self, dice: random.Random) -> None:
        """Having worked through only some of what has come."""
        assert self.feed is not None
        if dice.random() < 0.7:
            self.feed.go_on()
            self.home.node.settle()
        rows, self.feed.rows = self.feed.rows, []
        first = self.token is None and "include_initial" not in self.form
        self.keep(rows[: dice.randint(int(first), len(rows))])
        self.feed.close()

    def keep(self, rows: list[Any]) -> bool:
        """False when messages were skipped: the feed must be opened again where it says."""
        for row in rows:
            token = row.pop("resume_token", None)
            if "error" in row:
                assert token is not None or self.token is None
                self.token = token
                break
            assert token is not None or self.token is None, row
            self.token = token or self.token
            if "state" not in row:
                self.kept.append(row)
        if self.token is None:
            self.kept = []  # nothing to go on from: the next feed begins anew
        return not any("error" in row for row in rows)

    def finish(self) -> None:
        """Reads until nothing is left; a feed without a place to go on from was read completely then."""
        while True:
            feed = self.feed
            assert feed is not None
            feed.go_on()
            self.home.rest()
            self.home.node.until(lambda feed=feed: feed.error or feed.cursor.waiting)
            rows = feed.take()
            assert feed.error is None
            feed.close()
            if not any("error" in row for row in rows):
                break
            self.keep(rows)
            self.open()
        for row in rows:
            row.pop("resume_token", None)
        self.kept += [row for row in rows if "state" not in row]


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def add_up(messages: list[Any]) -> Counter[str]:
    """A message's old value must be there, or there was a gap or a repeat."""
    state: Counter[str] = Counter()
    for message in messages:
        old, new = message.get("old_val"), message.get("new_val")
        if old is not None:
            assert state[text(old)] > 0, (message, messages)
            state[text(old)] -= 1
        if new is not None:
            state[text(new)] += 1
    return +state


def put_in_order(messages: list[Any]) -> list[Any]:
    rows: list[Any] = []
    for message in messages:
        if message.get("old_offset") is not None:
            assert rows.pop(message["old_offset"]) == message["old_val"], (message, messages)
        if message.get("new_offset") is not None:
            rows.insert(message["new_offset"], message["new_val"])
    return rows


def play(home: Home, seed: int) -> None:
    dice = random.Random(seed)
    name = dice.choice(list(QUERIES))
    query = QUERIES[name](home.table)
    squash = dice.choice([False, False, False, True])
    form: dict[str, Any] = {
        "squash": squash,
        "include_types": dice.random() < 0.3,
        "include_states": dice.random() < 0.5,
        "include_offsets": name in LIMITS and dice.random() < 0.7,
    }
    batch = {"max_batch_rows": dice.choice([1, 2, 99])}
    initial = dice.random() < 0.5
    restarts = dice.random() < 0.2
    home.empty()
    if initial:
        for _ in range(dice.randrange(5)):
            home.write(dice)
        home.node.settle()
        form["include_initial"] = True
    else:
        form["include_states"] = True  # has a token to begin with
    whole = home.node.feed(query.changes(**form))
    follower = Follower(home, query, form, batch, dice.choice([1, 1, 100]))
    follower.open()
    for _ in range(dice.randrange(1, 5)):
        for _ in range(dice.randrange(5)):
            step = dice.random()
            assert follower.feed is not None
            if step < 0.6:
                home.write(dice)
            elif step < 0.75:
                follower.feed.pause()
                for _ in range(dice.randrange(5)):
                    home.write(dice)
                    home.node.settle()
            elif step < 0.9:
                follower.feed.go_on()
            else:
                home.node.settle()
        follower.die(dice)
        for _ in range(dice.randrange(3)):
            home.write(dice)
        if restarts and dice.random() < 0.5:
            home.rest()
            home.node.restart()
        follower.open()
    follower.finish()
    rows = EXPECTED.get(name, QUERIES[name])(home.table)
    found = home.node.run(rows.coerce_to("array"))
    if form["include_offsets"]:
        assert put_in_order(follower.kept) == found
    else:
        assert add_up(follower.kept) == Counter(text(row) for row in found)
    home.rest()
    expected = [row for row in whole.take() if "state" not in row]
    whole.close()
    if not restarts:
        if name in RANGES and not squash and not initial:
            assert follower.kept == expected
        if name == "union" and not squash and not initial:
            assert Counter(map(text, follower.kept)) == Counter(map(text, expected))
    feeds = feeds_of(home.node.engine)
    home.node.settle()
    assert not feeds._hubs
    assert not feeds.cursors


@pytest.mark.parametrize("seed", range(30))
def test_a_follower_that_dies_misses_nothing_and_gets_nothing_twice(home: Home, seed: int) -> None:
    play(home, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(at, at + 50) for at in range(1_000, 2_000, 50)], ids=str)
def test_a_follower_that_dies_misses_nothing_often(home: Home, seeds: range) -> None:
    for seed in seeds:
        try:
            play(home, seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
