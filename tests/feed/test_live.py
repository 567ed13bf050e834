"""Live aggregates: their value is always what the aggregate gives."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rethinkdb import r

from tests.feed.node import Node, QueryError

NewTable = Callable[..., Any]

AGGREGATES: dict[str, Callable[[Any], Any]] = {
    "count": lambda t: t.count(),
    "count of a filter": lambda t: t.filter(r.row["x"] > 1).count(),
    "sum": lambda t: t.sum("x"),
    "sum of a map": lambda t: t.map(r.row["x"].default(0) * 0.1).sum(),
    "avg": lambda t: t.avg("x"),
    "max": lambda t: t.map(r.row["x"].default(0)).max(),
    "min": lambda t: t["x"].min(),
}

docs = st.builds(
    lambda id, x, g: {"id": id, "g": g} | ({} if x is None else {"x": x}),
    st.integers(0, 9),
    st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([0.1, 0.2, 1e17, 0.7])),
    st.sampled_from(["a", "b", "c"]),
)
scripts = st.lists(st.one_of(docs, st.integers(0, 9)), max_size=12)


@pytest.fixture(scope="module")
def table(node: Node) -> Any:
    return node.table("live")


def play(node: Node, table: Any, script: list[Any]) -> None:
    for step in script:
        if isinstance(step, int):
            node.run(table.get(step).delete())
        else:
            node.run(table.insert(step, conflict="replace"))


def value_of(node: Node, query: Any) -> Any:
    try:
        return node.run(query)
    except QueryError:
        return None


@pytest.mark.parametrize("name", AGGREGATES)
@settings(max_examples=15)
@given(before=st.lists(docs, max_size=6), script=scripts)
def test_the_last_value_told_is_that_of_the_query(
    node: Node, table: Any, name: str, before: list[Any], script: list[Any]
) -> None:
    query = AGGREGATES[name](table)
    node.run(table.delete())
    node.run(table.insert(before, conflict="replace"))
    feed = node.feed(query.changes(live=True, include_initial=True))
    play(node, table, script)
    messages = feed.take()
    feed.close()
    for earlier, later in pairwise(messages):
        assert later["old_val"] == earlier["new_val"]
    found = value_of(node, query)
    told = messages[-1]["new_val"]
    assert told is found is None or told == pytest.approx(found, rel=1e-9)


@settings(max_examples=25)
@given(before=st.lists(docs, max_size=6), script=scripts)
def test_groups_come_and_go(node: Node, table: Any, before: list[Any], script: list[Any]) -> None:
    query = table.group("g").count()
    node.run(table.delete())
    node.run(table.insert(before, conflict="replace"))
    feed = node.feed(query.changes(live=True, include_initial=True))
    play(node, table, script)
    groups: dict[str, int] = {}
    for message in feed.take():
        assert groups.pop(message["group"], None) == message["old_val"]
        if message["new_val"] is not None:
            groups[message["group"]] = message["new_val"]
    feed.close()
    found = node.run(query)["data"]
    assert groups == {name: count for name, count in found}


def test_sums_leave_nothing_behind(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feed = node.feed(table.sum("x").changes(live=True, include_states=True, include_types=True))
    node.run(table.insert([{"id": 1, "x": 1e17}, {"id": 2, "x": 0.1}]))
    node.run(table.get(1).delete())
    assert feed.take() == [
        {"state": "ready", "type": "state"},
        {"new_val": 1e17, "old_val": 0, "type": "change"},
        {"new_val": 0.1, "old_val": 1e17, "type": "change"},
    ]
    assert feed.notes == [2, 5]
    feed.close()
    assert not node.followed


def test_lost_changes_are_made_good_by_reading_again(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feed = node.feed(table.count().changes(live=True, changefeed_queue_size=3))
    feed.pause()
    for id in range(9):
        node.run(table.insert({"id": id}))
        node.settle()
    feed.go_on()
    assert feed.take()[-1]["new_val"] == 9
    node.run(table.get(0).delete())
    assert feed.take() == [{"new_val": 8, "old_val": 9}]
    feed.close()


@pytest.mark.parametrize(
    "query",
    [
        lambda t: t.changes(live=True),
        lambda t: t.count(1).changes(live=True),
        lambda t: t.max(index="id").changes(live=True),
        lambda t: t.order_by(index="id").limit(3).count().changes(live=True),
        lambda t: t.count().changes(live=True, include_resume_tokens=True),
    ],
)
def test_other_queries_are_refused(
    node: Node, new_table: NewTable, query: Callable[[Any], Any]
) -> None:
    with pytest.raises(QueryError):
        node.run(query(new_table()))
    assert not node.followed
