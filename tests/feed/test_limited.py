"""Feeds of first rows that nothing happens to keep no rows, and are as exact as if they did."""

from collections.abc import Callable
from typing import Any

import pytest
from rethinkdb import r

from rethought.feed import limited
from rethought.feed.limit import LimitChannel
from rethought.reql.feed_sources import feeds_of
from tests.feed.node import Feed, Node

NewTable = Callable[..., Any]


def channels(node: Node) -> list[LimitChannel]:
    found = []
    for hub in feeds_of(node.engine)._hubs.values():
        for feeds in hub.tables:
            found += feeds.limited.channels
    return found


def awake(node: Node) -> list[int]:
    """The limits of those that keep rows."""
    return sorted(channel.limit for channel in channels(node) if channel.top is not None)


def close(node: Node, feeds: list[Feed]) -> None:
    for feed in feeds:
        feed.close()
    assert not node.followed


def added(id: int, gone: int | None) -> dict[str, Any]:
    return {"new_val": {"id": id}, "old_val": None if gone is None else {"id": gone}}


@pytest.mark.parametrize("options", [{}, {"include_initial": True}, {"include_offsets": True}])
def test_a_feed_keeps_no_rows_before_something_happens(
    node: Node, new_table: NewTable, options: dict[str, bool]
) -> None:
    table = new_table()
    node.run(table.insert([{"id": id} for id in range(0, 100, 10)]))
    feeds = [
        node.feed(table.order_by(index="id").limit(n).changes(**options)) for n in (2, 3, 2, 12)
    ]
    assert len(channels(node)) == 3
    assert awake(node) == []
    node.run(table.insert({"id": 15}))  # behind the second row, not behind the third
    node.settle()
    assert awake(node) == [3, 12]
    close(node, feeds)


def test_what_happens_behind_the_last_row_wakes_nobody(node: Node, new_table: NewTable) -> None:
    table = new_table("x")
    node.run(table.insert([{"id": id, "x": id % 3} for id in range(30)]))
    first = table.order_by(index="x").limit(5)
    last = table.between(0, 20).order_by(index=r.desc("id")).limit(5)
    feeds = [node.feed(first.changes()), node.feed(last.changes())]
    node.run(table.insert([{"id": 31, "x": 1}, {"id": 32, "x": 0}, {"id": 10.5}]))
    node.run(table.get_all(5, 20, 31).delete())
    assert [feed.take() for feed in feeds] == [[], []]
    assert awake(node) == []
    node.run(table.get(12).delete())  # the last of the first five
    node.run(table.get(16).update({"x": 2}))  # one of the last five
    [[gone], [changed]] = [feed.take() for feed in feeds]
    assert gone == {"new_val": {"id": 15, "x": 0}, "old_val": {"id": 12, "x": 0}}
    assert changed == {"new_val": {"id": 16, "x": 2}, "old_val": {"id": 16, "x": 1}}
    close(node, feeds)


def test_rows_are_let_go_of_when_nothing_happens_to_them_for_a_while(
    node: Node, new_table: NewTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited, "KEPT_ROWS_MAX", 4)
    monkeypatch.setattr(limited, "LATELY", 2)
    table = new_table()
    node.run(table.insert([{"id": id} for id in range(0, 100, 10)]))

    def tell(id: int) -> None:
        node.run(table.insert({"id": id}))
        node.settle()

    feeds = [node.feed(table.order_by(index="id").limit(3).changes())]
    feeds.append(node.feed(table.order_by(index=r.desc("id")).limit(2).changes()))
    tell(19)
    assert awake(node) == [3]
    tell(81)
    assert awake(node) == [2, 3]  # too many rows, but of late
    tell(82)
    tell(83)
    assert awake(node) == [2]
    tell(18)
    assert awake(node) == [2, 3]
    assert feeds[0].take() == [added(19, 20), added(18, 19)]
    assert feeds[1].take() == [added(81, 80), added(82, 81), added(83, 82)]
    close(node, feeds)


def test_a_feed_that_merges_keeps_its_rows_until_it_is_read(
    node: Node, new_table: NewTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited, "KEPT_ROWS_MAX", 0)
    monkeypatch.setattr(limited, "LATELY", 0)
    table = new_table()
    node.run(table.insert([{"id": id} for id in range(0, 100, 10)]))
    feed = node.feed(table.order_by(index="id").limit(2).changes(squash=True))
    feed.pause()
    node.run(table.insert({"id": 1}))
    assert feed.take() == [added(1, 10)]
    for id in (0.1, 0.2, 0.3):
        node.run(table.insert({"id": id}))
        node.run(table.insert({"id": 50 + id}))
        node.settle()
    assert awake(node) == [2]
    feed.go_on()
    assert feed.take() == [added(0.1, 1)]
    for id in (51, 52):
        node.run(table.insert({"id": id}))
        node.run(table.get(0).update({"x": id}))
        node.settle()
    node.run(table.insert({"id": 53}))
    close(node, [feed])


def test_the_last_row_that_others_follow_moves_the_bound(node: Node, new_table: NewTable) -> None:
    """Found by its last row, which deletions move on and insertions move back."""
    table = new_table()
    node.run(table.insert([{"id": id} for id in range(0, 100, 10)]))
    feed = node.feed(table.order_by(index="id").limit(2).changes())
    node.run(table.get_all(0, 10, 20).delete())
    assert [row["new_val"] for row in feed.take()] == [{"id": 30}, {"id": 40}]
    node.run(table.insert({"id": 35}))
    assert feed.take() == [added(35, 40)]
    node.run(table.insert({"id": 36}))
    assert feed.take() == []
    node.run(table.get(35).delete())
    assert feed.take() == [{"new_val": {"id": 36}, "old_val": {"id": 35}}]
    node.run(table.delete())
    assert [row["new_val"] for row in feed.take()] == [None, None]
    node.run(table.insert({"id": 99}))
    assert feed.take() == [added(99, None)]
    close(node, [feed])


def test_there_are_no_first_rows_of_an_empty_range(node: Node, new_table: NewTable) -> None:
    table = new_table()
    node.run(table.insert({"id": 2}))
    query = table.between(3, 1).order_by(index="id").limit(2)
    feed = node.feed(query.changes(include_initial=True))
    node.run(table.insert([{"id": 1}, {"id": 3}]))
    node.run(table.get(2).delete())
    assert feed.take() == node.run(query) == []
    close(node, [feed])
