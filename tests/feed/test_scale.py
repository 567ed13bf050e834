"""Many subscribers: a change costs what those cost whom it concerns, and telling many leaves time for the rest."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from rethinkdb import ast, r

from rethought.feed import hub
from rethought.feed.channel import RangeChannel
from rethought.feed.hub import Hub
from rethought.feed.limit import LimitChannel
from rethought.limits import Limits
from rethought.reql.feed_sources import feeds_of
from rethought.wire.session import HEADER, Session
from tests.feed.node import Feed, Node

NewTable = Callable[..., Any]


@pytest.fixture
def pauses(node: Node, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, Callable[[], None]]]:
    """What would be done after a pause, instead of doing it."""
    asked: list[tuple[float, Callable[[], None]]] = []
    call_later = node.loop.call_later

    def called(delay: float, callback: Callable[..., None], *arguments: Any) -> Any:
        if delay > hub.PAUSE_S_MAX:  # the test's own time limit
            return call_later(delay, callback, *arguments)
        return asked.append((delay, callback))

    monkeypatch.setattr(node.loop, "call_later", called)
    return asked


def follow(node: Node, query: Any, count: int) -> list[Feed]:
    return [node.feed(query) for _ in range(count)]


def numbers(feed: Feed) -> list[int]:
    return [row["new_val"]["id"] for row in feed.take()]


def test_after_telling_many_the_changes_of_the_next_moment_leave_together(
    node: Node, new_table: NewTable, pauses: list[Any]
) -> None:
    table = new_table()
    many = int(hub.PAUSE_S_MIN / hub.TELLING_S) + 1
    feeds = follow(node, table.changes(), many)
    for id in range(3):
        node.run(table.insert({"id": id}))
        node.settle()
    assert [numbers(feed) for feed in feeds] == [[0]] * many
    [(pause, rested)] = pauses
    assert hub.PAUSE_S_MIN <= pause <= hub.PAUSE_S_MAX
    rested()
    assert [numbers(feed) for feed in feeds] == [[1, 2]] * many
    _, rested = pauses.pop()
    rested()
    node.run(table.insert({"id": 3}))
    assert numbers(feeds[0]) == [3]
    for feed in feeds:
        feed.close()


def test_few_are_told_at_once(node: Node, new_table: NewTable, pauses: list[Any]) -> None:
    table = new_table()
    feeds = follow(node, table.changes(), 3)
    for id in range(3):
        node.run(table.insert({"id": id}))
        assert [numbers(feed) for feed in feeds] == [[id]] * 3
    assert not pauses
    for feed in feeds:
        feed.close()


def test_whoever_reads_in_a_pause_has_been_told_everything(
    node: Node, new_table: NewTable, pauses: list[Any]
) -> None:
    table = new_table()
    feeds = follow(node, table.changes(), 100)
    for id in range(2):
        node.run(table.insert({"id": id}))
        node.settle()
    late = node.feed(table.changes(include_initial=True))
    assert sorted(numbers(late)) == [0, 1]
    assert numbers(feeds[0]) == [0, 1]
    pauses[-1][1]()
    assert [len(feed.take()) for feed in feeds] == [0] + [2] * 99
    assert late.take() == []
    for feed in [*feeds, late]:
        feed.close()


SOME: dict[str, Callable[[Any, int], Any]] = {
    "get": lambda t, n: t.get(n),
    "get_all": lambda t, n: t.get_all(*range(20 * n, 20 * n + 20)),
    "between": lambda t, n: t.between(20 * n, 20 * n + 20),
    "get_all by index": lambda t, n: t.get_all(20 * n, 20 * n + 1, index="x"),
    "between by index": lambda t, n: t.between(20 * n, 20 * n + 9, index="x"),
    "filter of a few": lambda t, n: t.get_all(20 * n, index="x").filter(r.row["x"] >= 0),
    "filter by object": lambda t, n: t.filter({"x": 20 * n, "name": "a"}),
    "filter by function": lambda t, n: t.filter((r.row["x"] == 20 * n) & (r.row["name"] == "a")),
    "filter by comparison": lambda t, n: t.filter(
        (r.row["x"] >= 20 * n) & (r.row["name"] != "b") & (20 * n + 9 > r.row["x"])
    ),
    "filter, then map": lambda t, n: t.filter(r.row["x"] == 20 * n).merge({"name": "a"}),
    "region": lambda t, n: t.get_intersecting(
        r.polygon([n, 0], [n, 0.5], [n + 0.5, 0.5]), index="place"
    ),
    "first": lambda t, n: t.between(20 * n, 20 * n + 20).order_by(index="id").limit(3),
    "last by index": lambda t, n: (
        t.between(20 * n, 20 * n + 9, index="x").order_by(index=r.desc("x")).limit(3)
    ),
    "first with a value": lambda t, n: t.order_by(index="x").filter({"x": 20 * n}).limit(3),
    "first on a side": lambda t, n: (
        t.order_by(index="id")
        .filter((r.row["x"] > 20 * n - 1) & (r.row["x"] < 20 * n + 1))
        .limit(3)
    ),
}
"""Parts of a table that do not overlap; the first row of each is number 0 with x = 0 (20 times as much of the next)."""


def document(id: int, number: int) -> dict[str, Any]:
    """A row of the part with this number."""
    point = {"$reql_type$": "GEOMETRY", "coordinates": [number + 0.2, 0.3], "type": "Point"}
    return {"id": id, "name": "a", "place": point, "x": 20 * number}


@pytest.mark.parametrize("kind", SOME)
def test_a_change_asks_only_those_whom_it_concerns(
    node: Node, new_table: NewTable, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    table = new_table("x")
    node.run(table.index_create("place", geo=True))
    node.run(table.index_wait())
    feeds = [node.feed(SOME[kind](table, number).changes()) for number in range(100)]
    asked: list[RangeChannel | LimitChannel] = []
    run = LimitChannel.run
    batch = RangeChannel.batch
    hit = RangeChannel.hit
    monkeypatch.setattr(
        RangeChannel, "batch", lambda each, *rest: (asked.append(each), batch(each, *rest))[1]
    )
    monkeypatch.setattr(
        RangeChannel, "hit", lambda each, *rest: (asked.append(each), hit(each, *rest))[1]
    )
    monkeypatch.setattr(
        LimitChannel, "run", lambda each, *rest: (asked.append(each), run(each, *rest))[1]
    )
    node.run(table.insert(document(-7, -7)))
    node.settle()
    assert asked == []
    row = document(40 if kind in ("get_all", "between", "first") else 2, 2)
    node.run(table.insert(row))
    assert [feed.take() for feed in feeds] == [
        [{"new_val": row, "old_val": None}] if number == 2 else [] for number in range(100)
    ]
    assert len(set(asked)) == 1
    for feed in feeds:
        feed.close()
    assert not node.followed


def send(session: Session, token: int, body: bytes) -> None:
    session.receive(HEADER.pack(token, len(body)) + body)


IDLE: dict[str, Callable[[Any, int], Any]] = {
    "get": lambda t, n: t.get(n).changes(),
    "get_all by index": lambda t, n: t.get_all(n, index="x").changes(),
    "between": lambda t, n: t.between(10 * n, 10 * n + 5).changes(),
    "filter by object": lambda t, n: t.filter({"name": f"user {n}"}).changes(),
    "filter by function": lambda t, n: t.filter(r.row["x"] > 1000 + n).changes(),
    "filter of get_all": lambda t, n: (
        t.get_all(n, index="x").filter(r.row["x"] > 1000 + n).changes()
    ),
    "filter, then pluck": lambda t, n: t.filter(r.row["x"] == 1000 + n).pluck("id").changes(),
    "filter, then map": lambda t, n: t.filter(r.row["x"] > 1000 + n).map(r.row["x"] + n).changes(),
    "with initial values": lambda t, n: t.get_all(n, index="x").changes(include_initial=True),
    "with resume tokens": lambda t, n: t.get(n).changes(include_resume_tokens=True),
    "with tokens and states": lambda t, n: t.get(n).changes(
        include_resume_tokens=True, include_states=True
    ),
    "get_all of 5 keys": lambda t, n: t.get_all(*range(5 * n, 5 * n + 5)).changes(),
    "get_all of 5 keys by index": lambda t, n: t.get_all(
        *range(5 * n, 5 * n + 5), index="x"
    ).changes(),
    "between by index": lambda t, n: t.between(10 * n, 10 * n + 5, index="x").changes(),
    "filter with a default": lambda t, n: t.filter(r.row["x"] > 1000 + n, default=True).changes(),
    "filter with an error by default": lambda t, n: t.filter(
        r.row["x"] > 1000 + n, default=r.error()
    ).changes(),
    "object with a default": lambda t, n: t.filter({"x": n}, default=True).changes(),
    "filter by now": lambda t, n: t.filter(r.row["x"] > r.now() + n).changes(),
    "function of two arguments": lambda t, n: t.map(
        lambda row: row["y"].reduce(lambda one, other: one + other + n)
    ).changes(),
    "variable outside": lambda t, n: r.expr(n).do(
        lambda x: t.filter(lambda row: row["x"] > x).changes()
    ),
    "with global options": lambda t, n: t.filter(r.row["x"] > 1000 + n).changes(),
    "with a database": lambda t, n: t.filter(r.row["x"] > 1000 + n).changes(),
    "row with global options": lambda t, n: t.get(n).changes(),
    "squash": lambda t, n: t.get(n).changes(squash=True),
    "union": lambda t, n: t.get_all(n).union(t.get_all(n, index="x")).changes(),
    "first": lambda t, n: t.order_by(index="x").limit(1 + n % 20).changes(),
    "first behind a bound": lambda t, n: (
        t.between(n / 1000, r.maxval, index="x").order_by(index="x").limit(10).changes()
    ),
    "last before a bound": lambda t, n: (
        t.between(r.minval, 40 - n / 1000).order_by(index=r.desc("id")).limit(10).changes()
    ),
    "first with a value": lambda t, n: (
        t.order_by(index="x").filter({"name": "user", "x": n % 40}).limit(10).changes()
    ),
    "first on a side": lambda t, n: (
        t.order_by(index="x").filter(r.row["x"] < 1000 + n).limit(10).changes()
    ),
    "first, mapped": lambda t, n: (
        t.order_by(index="id").map({"x": r.row["x"] + n}).limit(10).changes()
    ),
    "first, initial": lambda t, n: (
        t.between(n / 1000, 9, index="x")
        .order_by(index="x")
        .limit(10)
        .changes(include_initial=True)
    ),
    "first with offsets": lambda t, n: (
        t.between(n / 1000, 9, index="x")
        .order_by(index="x")
        .limit(10)
        .changes(include_offsets=True)
    ),
    "first with tokens": lambda t, n: (
        t.between(n / 1000, 9, index="x")
        .order_by(index="x")
        .limit(10)
        .changes(include_resume_tokens=True)
    ),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "with global options": {"array_limit": 1000, "durability": "soft"},
    "with a database": {"db": r.db("test")},
    "row with global options": {"max_batch_rows": 500},
}
IDLE_BYTES_MAX = 1000


@pytest.mark.parametrize("kind", IDLE)
def test_an_idle_subscription_takes_less_than_a_kilobyte(
    node: Node, new_table: NewTable, kind: str
) -> None:
    """With its cursor, its token and its query's text."""
    table = new_table("x")
    node.run(table.insert([{"id": id, "name": "user", "x": id, "y": [1] * 50} for id in range(40)]))
    client = node.engine.client("admin", "127.0.0.1", 0)
    limits = Limits(cursors_max=2000)
    session = Session(node.engine, client, limits, wake=lambda: None)

    def follow_rows(first: int, count: int) -> None:
        for number in range(first, first + count):
            query = IDLE[kind](table, number)
            options = OPTIONS.get(kind, {})
            body = json.dumps([1, query, options], default=lambda part: part.build())
            send(session, number, body.encode())
            while number not in session._live:
                node.settle()
            node.settle()
            send(session, number, b"[2]")
            node.settle()
            session.take_out()
        gc.collect()

    follow_rows(1000, 40)  # what is made once
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    follow_rows(1040, 870)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(feeds_of(node.engine).subscriptions()) == 910
    session.close()
    assert not node.followed
    assert taken / 870 < IDLE_BYTES_MAX


def test_filters_that_differ_in_constants_are_one_transformation(
    node: Node, new_table: NewTable
) -> None:
    table = new_table()
    feeds = [
        node.feed(table.filter((r.row["x"] + 1).gt(10 * n)).pluck("x").changes()) for n in range(5)
    ]
    objects = [node.feed(table.filter({"x": {"y": n}}).changes()) for n in range(5)]
    assert len(feeds_of(node.engine).transforms) == 2
    node.run(table.insert([{"id": 1, "x": 25}, {"id": 2, "x": {"y": 3, "z": 4}}, {"id": 3}]))
    told = [{"new_val": {"x": 25}, "old_val": None}]
    assert [feed.take() for feed in feeds] == [told, told, told, [], []]
    row = {"id": 2, "x": {"y": 3, "z": 4}}
    assert [feed.take() for feed in objects] == [
        [{"new_val": row, "old_val": None}] if n == 3 else [] for n in range(5)
    ]
    for feed in (*feeds, *objects):
        feed.close()
    assert not feeds_of(node.engine).transforms


ALIKE: dict[str, Callable[[Any, int], Any]] = {
    "default": lambda t, n: t.filter(r.row["x"] > n, default=n % 2 == 0),
    "error by default": lambda t, n: t.has_fields("x").filter(r.row["x"] > n, default=r.error()),
    "object with a default": lambda t, n: t.filter({"x": n}, default=n % 2 == 0),
    "object that is made": lambda t, n: t.filter({"y": r.literal({"z": n})}),
    "constant": lambda t, n: t.filter(n % 2 == 0),
    "function of two arguments": lambda t, n: t.filter(
        lambda row: row["m"].reduce(lambda one, other: one + other + n) > 6
    ),
    "two functions": lambda t, n: t.filter(r.row["x"] > n).map(
        {"id": r.row["id"], "more": r.row["x"].default(0) + n}
    ),
    "variable outside": lambda t, n: t,
    "time of the query": lambda t, n: t.filter(
        lambda row: r.now() - n < r.epoch_time(row["x"] + 2e9)
    ),
    "arguments": lambda t, _: t.filter(r.row["x"] > 2).pluck(r.args(["id", "x"])),
    "first rows": lambda t, n: t.order_by(index="x").filter(r.row["x"] > n, default=False).limit(9),
}
GLOBAL_OPTIONS: list[dict[str, Any]] = [
    {},
    {"array_limit": 100, "durability": "soft"},
    {"default": True},
]


@pytest.mark.parametrize("options", GLOBAL_OPTIONS, ids=lambda options: "-".join(options) or "none")
@pytest.mark.parametrize("name", ALIKE)
def test_feeds_that_differ_in_data_share_what_is_compiled_and_nothing_else(
    node: Node,
    new_table: NewTable,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, Any],
) -> None:
    # The driver numbers variables on and on; a query whose number has one more digit is compiled anew.
    monkeypatch.setattr(ast.Func, "nextVarId", 100)
    table = new_table("x")
    if name == "variable outside":
        queries = [r.expr(n).do(lambda x: table.filter(lambda row: row["x"] > x)) for n in range(5)]
        feeds = [
            node.feed(
                r.expr(n).do(lambda x: table.filter(lambda row: row["x"] > x).changes()), **options
            )
            for n in range(5)
        ]
    else:
        queries = [ALIKE[name](table, n) for n in range(5)]
        feeds = [node.feed(query.changes(), **options) for query in queries]
    assert len(feeds_of(node.engine).transforms) == 1
    rows = [{"id": id, "x": id, "y": {"z": id}, "m": [id, 1]} for id in range(6)]
    node.run(table.insert([*rows, {"id": 6}, {"id": 7, "y": {"z": 1, "more": 2}, "m": [1]}]))

    def text(row: Any) -> str:
        return json.dumps(row, sort_keys=True)

    for query, feed in zip(queries, feeds, strict=True):
        there = [text(row) for row in node.run(query, **options)]
        assert sorted(text(row["new_val"]) for row in feed.take()) == sorted(there)
        feed.close()
    assert not feeds_of(node.engine).transforms
    assert not node.followed


def test_feeds_with_other_global_options_do_not_share(node: Node, new_table: NewTable) -> None:
    table = new_table()
    query = table.filter(r.row["x"] > 1)
    feeds = [node.feed(query.changes(), default=given) for given in (True, False, True)]
    assert len(feeds_of(node.engine).transforms) == 2
    node.run(table.insert([{"id": 1}, {"id": 2, "x": 2}]))
    assert [numbers(feed) for feed in feeds] == [[1, 2], [2], [1, 2]]
    for feed in feeds:
        feed.close()


VALUES = [
    *(None, False, True, -1, 0, 1, 1.5, 2, "", "a", "b", [], [0], [None, 1], [{"a": 1}, 5]),
    *([{"a": 2}, 3], [[{"a": 1}], 1], {}, {"a": 1}, {"a": 2}),
    *(r.epoch_time(5), r.binary(b"x"), r.point(1, 2)),
]
"""Of every type, and of those that no key can hold."""

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": lambda row, value: row == value,
    "lt": lambda row, value: row < value,
    "le": lambda row, value: row <= value,
    "gt": lambda row, value: row > value,
    "ge": lambda row, value: row >= value,
    "turned": lambda row, value: r.expr(value) < row,
    "both": lambda row, value: (row >= value) & (row <= "a"),
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_finds_the_rows_that_its_filter_finds(
    node: Node, new_table: NewTable, name: str
) -> None:
    """Whatever the types are: values without a place among keys have one among all values."""
    table = new_table()
    plain = [value for value in VALUES if not isinstance(value, r.ast.RqlQuery)]
    queries = [table.filter(COMPARISONS[name](r.row["x"], value)) for value in plain]
    feeds = [node.feed(query.changes()) for query in queries]
    rows = [{"id": id, "x": value} for id, value in enumerate(VALUES)]
    node.run(table.insert([*rows, {"id": -1}]))
    told = [{row["new_val"]["id"] for row in feed.take()} for feed in feeds]
    assert told == [{row["id"] for row in node.run(query)} for query in queries]
    node.run(table.update({"x": r.row["id"]}))  # leaves some, enters others
    left = [{row["id"] for row in node.run(query)} for query in queries]
    for feed, before, now in zip(feeds, told, left, strict=True):
        for row in feed.take():
            before.discard((row["old_val"] or {}).get("id"))
            if row["new_val"] is not None:
                before.add(row["new_val"]["id"])
        assert before == now
        feed.close()
    assert not node.followed


def test_telling_gives_way_to_others_and_keeps_the_order(
    node: Node, new_table: NewTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = new_table()
    monkeypatch.setattr(hub, "SLICE_S", -1.0)  # every step is a slice
    feeds = [node.feed(table.filter(r.row["x"] % (n + 1) == 0).changes()) for n in range(5)]
    turns: list[int] = []
    drain = Hub._drain
    monkeypatch.setattr(Hub, "_drain", lambda *given: (turns.append(1), drain(*given))[1])
    for id in range(3):
        node.run(table.insert({"id": id, "x": 0}))
    assert [numbers(feed) for feed in feeds] == [[0, 1, 2]] * 5
    assert len(turns) > 5
    del turns[:]
    node.run(table.insert({"id": 3, "x": 0}))
    late = node.feed(table.changes(include_initial=True))  # all is told before it reads
    assert sorted(numbers(late)) == [0, 1, 2, 3]
    assert [numbers(feed) for feed in feeds] == [[3]] * 5
    for feed in (*feeds, late):
        feed.close()
    assert not node.followed
