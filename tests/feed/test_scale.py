"""Many subscribers: a change costs what those cost whom it concerns, and telling many leaves time for the rest."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from rethinkdb import r

from rethought.feed import hub
from rethought.feed.channel import RangeChannel
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
    "region": lambda t, n: t.get_intersecting(
        r.polygon([n, 0], [n, 0.5], [n + 0.5, 0.5]), index="place"
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
    asked: list[RangeChannel] = []
    batch = RangeChannel.batch
    hit = RangeChannel.hit
    monkeypatch.setattr(
        RangeChannel, "batch", lambda each, *rest: (asked.append(each), batch(each, *rest))[1]
    )
    monkeypatch.setattr(
        RangeChannel, "hit", lambda each, *rest: (asked.append(each), hit(each, *rest))[1]
    )
    node.run(table.insert(document(-7, -7)))
    node.settle()
    assert asked == []
    row = document(40 if kind in ("get_all", "between") else 2, 2)
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


def test_an_idle_subscription_takes_less_than_a_kilobyte(node: Node, new_table: NewTable) -> None:
    """With its cursor, its token and its query's text."""
    table = new_table()
    client = node.engine.client("admin", "127.0.0.1", 0)
    limits = Limits(cursors_max=2000)
    session = Session(node.engine, client, limits, wake=lambda: None)

    def follow_rows(first: int, count: int) -> None:
        for id in range(first, first + count):
            body = json.dumps([1, table.get(id).changes(), {}], default=lambda part: part.build())
            send(session, id, body.encode())
            node.settle()
            send(session, id, b"[2]")
            session.take_out()
        gc.collect()

    follow_rows(0, 100)  # what is made once
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    follow_rows(100, 570)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(feeds_of(node.engine).subscriptions()) == 670
    session.close()
    assert not node.followed
    assert taken / 570 < 1024
