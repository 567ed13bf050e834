"""The sum of a feed's messages is what its query gives, at every step, whoever writes and whenever it was opened.

Every seed is a history of its own on one small table: several writers, feeds of all kinds in all forms that are opened
in between, read slowly or not at all for a while, and compared with their query now and then. The model is the query.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rethinkdb import r

from rethought.feed import limited, opening
from tests.feed.node import Feed, Node, QueryError
from tests.feed.test_live import AGGREGATES
from tests.feed.test_resume_laws import TIMELESS
from tests.feed.test_sum import EXPECTED, ORDERED, QUERIES

SQUARE = r.polygon([1, 1], [1, 3], [3, 3], [3, 1])

RANGES: dict[str, Callable[[Any], Any]] = {
    **QUERIES,
    "row": lambda t: t.get(3),
    "without": lambda t: t.without("m", "place", "places"),
    "merge": lambda t: t.merge({"more": r.row["x"].default(0) * 2}),
    "has_fields": lambda t: t.has_fields("x"),
    "region": lambda t: t.get_intersecting(SQUARE, index="place"),
    "region, filtered": lambda t: t.get_intersecting(SQUARE, index="place").filter(r.row["id"] > 2),
    "region of a multi index": lambda t: t.get_intersecting(SQUARE, index="places")["id"],
    "union with a region": lambda t: t.between(0, 2).union(
        t.get_intersecting(SQUARE, index="places")
    ),
}
LIMITS: dict[str, Callable[[Any], Any]] = {
    **ORDERED,
    "least": lambda t: t.order_by(index="x").limit(1),
    "first with a value": lambda t: t.order_by(index="x").filter({"g": "a"}).limit(2),
    "first on a side": lambda t: t.order_by(index=r.desc("id")).filter(r.row["x"] > 1).limit(3),
    "most of a range": lambda t: t.between(1, 4, index="x").order_by(index=r.desc("x")).limit(1),
}


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def count(rows: list[Any]) -> Counter[str]:
    """Null is no row."""
    return Counter(text(row) for row in rows if row is not None)


class Rows:
    """The rows of a query in no order, from messages."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = count(rows)

    def apply(self, message: Any) -> None:
        old, new = message.get("old_val"), message.get("new_val")
        if old is not None:
            assert self.rows[text(old)] > 0, f"not there, or not any more: {message}"
            self.rows[text(old)] -= 1
        if new is not None:
            self.rows[text(new)] += 1

    def check(self, found: list[Any]) -> None:
        assert +self.rows == count(found)


class Places:
    """The first rows of an order, from messages with offsets."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = list(rows)

    def apply(self, message: Any) -> None:
        if message.get("old_offset") is not None:
            assert self.rows.pop(message["old_offset"]) == message["old_val"]
        if message.get("new_offset") is not None:
            self.rows.insert(message["new_offset"], message["new_val"])

    def check(self, found: list[Any]) -> None:
        assert self.rows == found


class Value:
    """An aggregate, from the messages of a live one."""

    def __init__(self, rows: list[Any]) -> None:
        [self.value] = rows

    def apply(self, message: Any) -> None:
        if "old_val" in message:
            self.check([message["old_val"]])
        self.value = message["new_val"]

    def check(self, found: list[Any]) -> None:
        [value] = found
        if value is None or self.value is None:
            assert value is self.value
        else:
            assert self.value == pytest.approx(value, rel=1e-9)


class Follower:
    """A feed, what its messages add up to, and the query that says what that must be."""

    def __init__(self, node: Node, table: Any, dice: random.Random) -> None:
        self.node = node
        kinds: Any = dice.choice([RANGES, RANGES, LIMITS, AGGREGATES])
        self.name = dice.choice(list(kinds))
        self.query = EXPECTED.get(self.name, kinds[self.name])(table)
        initial = dice.random() < 0.6
        self.types = dice.random() < 0.4
        self.states = dice.random() < 0.4
        form = {"include_types": self.types, "include_states": self.states}
        form |= {"include_initial": initial, "squash": dice.random() < 0.3}
        model: Any = Rows
        if kinds is LIMITS and dice.random() < 0.6:
            form["include_offsets"] = True
            model = Places
        if kinds is AGGREGATES:
            form["live"] = True
            model = Value
        before = self.found()
        self.model = model([None] if initial and model is Value else [] if initial else before)
        self.due = [["initializing"], ["ready"]] if initial else [["ready"]]
        changes = kinds[self.name](table).changes(**form)
        self.ready = not initial
        batch: Any = {"max_batch_rows": dice.choice([1, 3, 99])}
        self.feed = Feed(node, node.start(changes, **batch), reading=dice.random() < 0.5)

    def found(self) -> list[Any]:
        try:
            result = self.node.run(self.query)
        except QueryError:
            return [None]
        return list(result) if isinstance(result, list) else [result]

    def take(self) -> None:
        for message in self.feed.take():
            if "state" in message:
                assert self.states
                assert [message["state"]] == self.due.pop(0)
                self.ready = message["state"] == "ready"
                continue
            if self.types:
                self.check_type(message)
            self.model.apply(message)
        assert self.feed.error is None

    def check_type(self, message: Any) -> None:
        old, new = message.get("old_val", "none"), message.get("new_val", "none")
        if old == "none":
            assert message["type"] == "initial"
        elif new == "none":
            assert message["type"] == "uninitial"
        elif not isinstance(self.model, Value):
            expected = "add" if old is None else "remove" if new is None else "change"
            assert message["type"] == expected

    def check(self) -> None:
        self.feed.go_on()
        self.take()
        assert not (self.states and self.due)
        self.model.check(self.found())


class Home:
    """The table that all histories use one after another."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.table = node.table("model", "x")
        node.run(self.table.index_create("m", multi=True))
        node.run(self.table.index_create("place", geo=True))
        node.run(self.table.index_create("places", geo=True, multi=True))
        node.run(self.table.index_wait())

    def document(self, dice: random.Random) -> dict[str, Any]:
        def point() -> Any:
            return r.point(dice.randint(0, 4), dice.randint(0, 4))

        place = dice.choice([point(), point(), r.circle([2, 2], 250_000, num_vertices=5), None])
        document = {
            "id": dice.randint(0, 8),
            "g": dice.choice("abc"),
            "m": [dice.randint(0, 3) for _ in range(dice.randint(0, 3))],
            "place": place,
            "places": [point() for _ in range(dice.randint(0, 3))],
        }
        x = dice.choice([None, 0, 1, 2, 3, 4, 0.1])
        return document if x is None else document | {"x": x}

    def write(self, dice: random.Random) -> None:
        table = self.table
        what = dice.random()
        if what < 0.6:
            documents = [self.document(dice) for _ in range(dice.randint(1, 4))]
            self.node.run(table.insert(documents, conflict="replace", durability="soft"))
        elif what < 0.8:
            self.node.run(table.get(dice.randint(0, 8)).delete(durability="soft"))
        elif what < 0.95:
            x = dice.randint(0, 4)
            self.node.run(table.between(1, 5).update({"x": x}, durability="soft"))
        else:
            self.node.run(table.delete(durability="soft"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    node = Node(tmp_path_factory.mktemp("model") / "data", limits=TIMELESS)
    yield Home(node)
    node.close()


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a reading takes many steps, and writes come in between; and that first rows are let go of."""
    monkeypatch.setattr(opening, "PAGE", 2)
    monkeypatch.setattr(limited, "KEPT_ROWS_MAX", 3)
    monkeypatch.setattr(limited, "LATELY", 2)


def play(home: Home, seed: int) -> None:
    followers: list[Follower] = []
    try:
        follow(home, followers, random.Random(seed))
        for follower in followers:
            follower.check()
    except BaseException:
        print(f"seed {seed}")
        raise
    finally:
        for follower in followers:
            follower.feed.close()
    assert not home.node.followed


def follow(home: Home, followers: list[Follower], dice: random.Random) -> None:
    for _ in range(dice.randrange(4)):
        home.write(dice)
    for _ in range(dice.randrange(6, 20)):
        step = dice.random()
        if step < 0.5 or not followers:
            home.write(dice)
        if step < 0.2 or not followers:
            followers.append(Follower(home.node, home.table, dice))
            continue
        follower = dice.choice(followers)
        if step < 0.65:
            follower.feed.pause()
        elif step < 0.8:
            follower.feed.go_on()
        elif step < 0.9:
            follower.check()
        else:
            home.node.settle()


@pytest.mark.parametrize("seed", range(30))
def test_feeds_add_up_to_their_queries(home: Home, seed: int) -> None:
    play(home, seed)


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(10))
def test_feeds_add_up_to_their_queries_often(home: Home, hundred: int) -> None:
    for seed in range(1000 + 100 * hundred, 1100 + 100 * hundred):
        play(home, seed)
