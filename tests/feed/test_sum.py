"""Laws of feeds: the sum of a feed's messages is what the query behind it gives, whoever writes in between."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rethinkdb import r

from rethought.feed import limited, opening
from tests.feed.node import Feed, Node

QUERIES: dict[str, Callable[[Any], Any]] = {
    "table": lambda t: t,
    "between": lambda t: t.between(2, 6),
    "between open": lambda t: t.between(2, 6, left_bound="open", right_bound="closed"),
    "get_all": lambda t: t.get_all(1, 2, 2, 7),
    "between on index": lambda t: t.between(1, 3, index="x"),
    "get_all on index": lambda t: t.get_all(0, 2, index="x"),
    "between on multi index": lambda t: t.between(1, 3, index="m"),
    "get_all on multi index": lambda t: t.get_all(1, 2, 2, index="m"),
    "filter": lambda t: t.filter(r.row["x"] > 1),
    "filter on index": lambda t: t.get_all(1, 2, index="x").filter(r.row["id"] > 3),
    "pluck": lambda t: t.pluck("x"),
    "map that fails": lambda t: t.filter(r.row["x"] != 2).map(10 / r.row["x"]),
    "field": lambda t: t["x"],
    "union": lambda t: t.between(0, 3).union(t.get_all(2, 3, index="x")),
}

EXPECTED = {
    "map that fails": lambda t: t.filter((r.row["x"] != 2) & (r.row["x"] > 0)).map(10 / r.row["x"])
}
"""What a query gives without the rows it fails for."""

ORDERED: dict[str, Callable[[Any], Any]] = {
    "primary": lambda t: t.order_by(index="id").limit(3),
    "descending": lambda t: t.order_by(index=r.desc("x")).limit(3),
    "index": lambda t: t.order_by(index="x").limit(4),
    "filter": lambda t: t.order_by(index="x").filter(r.row["id"] % 2 == 0).limit(2),
    "map": lambda t: t.order_by(index=r.desc("x")).pluck("x").limit(3),
    "slice": lambda t: t.between(1, 3, index="x").order_by(index=r.desc("x")).limit(2),
    "multi": lambda t: t.order_by(index="m").limit(4),
    "multi descending": lambda t: t.order_by(index=r.desc("m")).limit(4),
}

ids = st.integers(0, 8)
docs = st.builds(
    lambda id, x, m: {"id": id, "x": x, "m": m},
    ids,
    st.one_of(st.integers(0, 4), st.none()),
    st.lists(st.integers(0, 3), max_size=3),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(docs, min_size=1, max_size=4)),
        st.tuples(st.just("delete"), ids),
        st.tuples(st.sampled_from(["pause", "go on", "settle"]), st.none()),
    ),
    max_size=14,
)
forms = st.fixed_dictionaries(
    {"squash": st.booleans(), "include_types": st.booleans(), "include_states": st.booleans()}
)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a reading takes many steps, and writes come in between; and that first rows are let go of."""
    monkeypatch.setattr(opening, "PAGE", 2)
    monkeypatch.setattr(limited, "KEPT_ROWS_MAX", 0)
    monkeypatch.setattr(limited, "LATELY", 0)


@pytest.fixture(scope="module")
def table(node: Node) -> Any:
    table = node.table("sum", "x")
    node.run(table.index_create("m", multi=True))
    node.run(table.index_wait())
    return table


def play(node: Node, table: Any, feed: Feed, script: list[Any]) -> None:
    for what, argument in script:
        if what == "put":
            node.run(table.insert(argument, conflict="replace"))
        elif what == "delete":
            node.run(table.get(argument).delete())
        elif what == "pause":
            feed.pause()
        elif what == "go on":
            feed.go_on()
        else:
            node.settle()
    feed.go_on()
    node.settle()


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def apply(state: Counter[str], message: Any) -> None:
    """A message's old value must be there, or there was a gap or a repeat."""
    old, new = message.get("old_val"), message.get("new_val")
    if old is not None:
        assert state[text(old)] > 0, (message, state)
        state[text(old)] -= 1
    if new is not None:
        state[text(new)] += 1


@pytest.mark.parametrize("name", QUERIES)
@settings(max_examples=15)
@given(
    before=st.lists(docs, max_size=8), script=steps, form=forms, rows=st.sampled_from([1, 3, 99])
)
def test_messages_add_up_to_the_query(
    node: Node, table: Any, name: str, before: Any, script: Any, form: Any, rows: int
) -> None:
    query = QUERIES[name]
    node.run(table.delete())
    node.run(table.insert(before, conflict="replace"))
    feed = node.feed(query(table).changes(include_initial=True, **form), max_batch_rows=rows)
    play(node, table, feed, script)
    node.run(table.insert({"id": 100}))  # whatever came before has been told when this has
    state: Counter[str] = Counter()
    for message in feed.take():
        apply(state, message)
    found = node.run(EXPECTED.get(name, query)(table).coerce_to("array"))
    feed.close()
    assert +state == Counter(text(row) for row in found if row is not None)


@pytest.mark.parametrize("name", ORDERED)
@settings(max_examples=15)
@given(before=st.lists(docs, max_size=8), script=steps, form=forms)
def test_offsets_rebuild_the_order(
    node: Node, table: Any, name: str, before: Any, script: Any, form: Any
) -> None:
    query = ORDERED[name]
    node.run(table.delete())
    node.run(table.insert(before, conflict="replace"))
    feed = node.feed(query(table).changes(include_initial=True, include_offsets=True, **form))
    play(node, table, feed, script)
    rows: list[Any] = []
    for message in feed.take():
        if "state" in message:
            continue
        if message.get("old_offset") is not None:
            assert rows.pop(message["old_offset"]) == message["old_val"]
        if message.get("new_offset") is not None:
            rows.insert(message["new_offset"], message["new_val"])
    found = node.run(query(table).coerce_to("array"))
    feed.close()
    assert rows == found


@settings(max_examples=40)
@given(
    script=steps,
    later=steps,
    cut=st.integers(0, 20),
    name=st.sampled_from(["table", "get_all on multi index", "filter", "between on index"]),
)
def test_a_resumed_feed_tells_what_the_first_did_not(
    node: Node, table: Any, script: Any, later: Any, cut: int, name: str
) -> None:
    query = QUERIES[name](table)
    form = {"include_resume_tokens": True, "include_states": True}
    node.run(table.delete())
    whole = node.feed(query.changes(**form))
    first = node.feed(query.changes(**form))
    play(node, table, first, script)
    seen = first.take()
    first.close()
    seen = seen[: 1 + cut]
    second = node.feed(query.changes(resume_after=seen[-1]["resume_token"], **form))
    play(node, table, second, later)
    told = [message for message in second.take() if "state" not in message]
    expected = whole.take()
    whole.close()
    second.close()
    assert seen + told == expected
