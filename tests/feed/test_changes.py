"""What a feed tells, as a client sees it: elements, states, limits, ends. Through an engine in this process."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from rethinkdb import r

from rethought.feed import opening
from rethought.reql.feed_sources import feeds_of
from tests.feed.node import Feed, Node, QueryError

NewTable = Callable[..., Any]


def kinds(rows: list[Any]) -> list[str]:
    return [row.get("state", row["type"]) for row in rows]


# ---- elements


def test_a_table_tells_what_enters_changes_and_leaves(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feed = node.feed(table.changes())
    assert feed.notes == [1]
    assert feed.take() == []
    node.run(table.insert({"id": 1}))
    node.run(table.get(1).update({"a": 2}))
    node.run(table.get(1).update({"a": 2}))
    node.run(table.get(1).delete())
    assert feed.take() == [
        {"new_val": {"id": 1}, "old_val": None},
        {"new_val": {"a": 2, "id": 1}, "old_val": {"id": 1}},
        {"new_val": None, "old_val": {"a": 2, "id": 1}},
    ]
    feed.close()


def test_types_name_each_element(node: Node, new_table: NewTable) -> None:
    table = new_table()
    node.run(table.insert({"id": 1}))
    feed = node.feed(table.changes(include_initial=True, include_states=True, include_types=True))
    assert feed.notes == [1, 5]
    node.run(table.insert({"id": 2}))
    node.run(table.get(2).update({"a": 1}))
    node.run(table.get(1).delete())
    assert kinds(feed.take()) == ["initializing", "initial", "ready", "add", "change", "remove"]
    feed.close()


def test_values_are_compared_after_the_transformation(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feed = node.feed(table.filter(r.row["n"] > 5).pluck("n").changes())
    node.run(table.insert([{"id": 1, "n": 6}, {"id": 2, "n": 1}, {"id": 3}]))
    node.run(table.get(1).update({"other": True}))
    node.run(table.get(2).update({"n": 7}))
    node.run(table.get(1).update({"n": 0}))
    assert feed.take() == [
        {"new_val": {"n": 6}, "old_val": None},
        {"new_val": {"n": 7}, "old_val": None},
        {"new_val": None, "old_val": {"n": 6}},
    ]
    feed.close()


def test_a_row_counts_as_often_as_it_is_asked_for(node: Node, new_table: NewTable) -> None:
    table = new_table("tags", multi=True)
    by_key = node.feed(table.get_all(1, 1).changes())
    by_tag = node.feed(table.get_all("a", "b", index="tags").changes(include_types=True))
    node.run(table.insert({"id": 1, "tags": ["a", "b"]}))
    node.run(table.get(1).update({"tags": ["b", "c"]}))
    assert len(by_key.take()) == 4
    assert kinds(by_tag.take()) == ["add", "add", "change", "remove"]
    by_key.close()
    by_tag.close()


def test_a_point_tells_of_a_row_that_is_not_there_yet(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feed = node.feed(table.get(7).changes(include_initial=True, include_states=True))
    assert feed.notes == [2, 5]
    assert feed.bodies[0].startswith(
        b'{"t":3,"r":[{"state":"initializing"},{"new_val":null},{"state":"ready"}]'
    )
    node.run(table.insert([{"id": 7}, {"id": 8}]))
    assert feed.take()[3:] == [{"new_val": {"id": 7}, "old_val": None}]
    feed.close()


def test_nothing_ever_comes_of_nothing(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feeds = [
        node.feed(table.get_all().changes(include_initial=True, include_states=True)),
        node.feed(table.between(5, 1).changes(include_initial=True, include_states=True)),
    ]
    node.run(table.insert([{"id": id} for id in range(8)]))
    for feed in feeds:
        assert feed.take() == [{"state": "initializing"}, {"state": "ready"}]
        feed.close()


def test_a_whole_table_with_equal_queries_is_one_channel(node: Node, new_table: NewTable) -> None:
    table = new_table()
    mine = table.filter(lambda row: row["a"] == 1).changes()
    same = table.filter(lambda other: other["a"] == 1).changes()
    other = table.filter(lambda row: row["a"] == 2).changes()
    feeds = [node.feed(query) for query in (mine, same, other)]
    [channels] = [
        tables.channels
        for hub in feeds_of(node.engine)._hubs.values()
        for tables in hub._tables.values()
    ]
    assert len(channels) == 2
    node.run(table.insert({"id": 1, "a": 1}))
    rows = [feed.take() for feed in feeds]
    assert rows[0] == rows[1] != rows[2] == []
    assert feeds[0].bodies[-1] is feeds[1].bodies[-1]
    for feed in feeds:
        feed.close()
    assert not node.followed


def test_equal_parameters_of_different_types_are_different_feeds(
    node: Node, new_table: NewTable
) -> None:
    table = new_table()
    number = node.feed(table.filter({"a": 1}).changes())
    truth = node.feed(table.filter({"a": True}).changes())
    node.run(table.insert([{"id": 1, "a": 1}, {"id": 2, "a": True}, {"id": 3, "a": 1.0}]))
    assert [row["new_val"]["id"] for row in number.take()] == [1, 3]
    assert [row["new_val"]["id"] for row in truth.take()] == [2]
    number.close()
    truth.close()


def test_a_captured_value_does_not_leak_into_other_feeds(node: Node, new_table: NewTable) -> None:
    table = new_table()
    node.run(table.insert({"id": "want", "n": 1}))
    query = r.do(
        table.get("want")["n"], lambda n: table.filter(lambda row: row["a"] == n).changes()
    )
    first = node.feed(query)
    node.run(table.get("want").update({"n": 2}))
    second = node.feed(query)
    node.run(table.insert([{"id": 1, "a": 1}, {"id": 2, "a": 2}]))
    assert [row["new_val"]["id"] for row in first.take()] == [1]
    assert [row["new_val"]["id"] for row in second.take()] == [2]
    first.close()
    second.close()


# ---- initial values


def test_initial_values_and_changes_meet_without_gap(
    node: Node, new_table: NewTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PAGE", 2)
    table = new_table()
    node.run(table.insert([{"id": id} for id in range(6)]))
    feed = Feed(
        node,
        node.start(table.changes(include_initial=True, include_states=True, include_types=True)),
        reading=False,
    )
    node.run(table.get(0).update({"seen": True}))  # was read already
    node.run(table.get(5).update({"seen": True}))  # will be
    node.run(table.get(1).delete())
    node.run(table.get(4).delete())
    feed.go_on()
    rows = feed.take()
    assert kinds(rows) == [
        *("initializing", "initial", "initial", "change", "remove"),
        *("initial", "initial", "initial", "ready"),
    ]
    assert rows[-2]["new_val"] == {"id": 5, "seen": True}
    feed.close()


def test_a_row_that_moves_behind_the_reading_is_taken_back(
    node: Node, new_table: NewTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PAGE", 2)
    table = new_table("x")
    node.run(table.insert([{"id": id, "x": id} for id in range(4)]))
    feed = Feed(
        node,
        node.start(
            table.between(0, 9, index="x").changes(include_initial=True, include_types=True)
        ),
        reading=False,
    )
    node.run(table.get(0).update({"x": 7}))
    node.run(table.get(3).update({"x": 0.5}))
    feed.go_on()
    rows = feed.take()
    assert kinds(rows) == ["initial", "initial", "uninitial", "initial", "initial", "initial"]
    assert rows[2] == {"old_val": {"id": 0, "x": 0}, "type": "uninitial"}
    feed.close()


# ---- delivery


def test_changes_of_one_turn_leave_together_in_batches_of_the_size_asked_for(
    node: Node, new_table: NewTable
) -> None:
    table = new_table()
    feed = node.feed(table.changes(), max_batch_rows=3)
    node.run(table.insert([{"id": id} for id in range(7)]))
    feed.take()
    assert [body.count(b"new_val") for body in feed.bodies] == [0, 3, 3, 1]
    feed.close()


@pytest.mark.parametrize("after", [False, True])
def test_a_slow_reader_is_told_how_much_it_missed(
    node: Node, new_table: NewTable, after: bool
) -> None:
    table = new_table()
    query = table.changes(changefeed_queue_size=5)
    feed = node.feed(query.filter(True) if after else query)
    feed.pause()
    node.run(table.insert({"id": "first"}))  # answers the CONTINUE that waits
    node.settle()
    for id in range(7):
        node.run(table.insert({"id": id}))
        node.settle()
    feed.go_on()
    rows = feed.take()
    assert rows[0]["new_val"] == {"id": "first"}
    assert rows[1] == {"error": "Changefeed cache over array size limit, skipped 6 elements."}
    assert [row["new_val"]["id"] for row in rows[2:]] == [6]
    feed.close()


def test_a_slow_reader_of_large_documents_holds_a_bounded_amount_of_memory(
    node: Node, new_table: NewTable
) -> None:
    table = new_table()
    node.engine.limits = replace(node.engine.limits, changefeed_queue_bytes=50_000)
    try:
        lazy, eager = node.feed(table.changes()), node.feed(table.changes())
    finally:
        node.engine.limits = replace(node.engine.limits, changefeed_queue_bytes=256 << 20)
    lazy.pause()
    node.run(table.insert({"id": "first"}))
    for id in range(8):
        node.run(table.insert({"id": id, "text": "x" * 10_000}))
        node.settle()
    lazy.go_on()
    rows = lazy.take()
    assert rows[1:] == [
        {"error": "Changefeed cache over array size limit, skipped 5 elements."},
        *eager.take()[-3:],
    ]
    lazy.pause()
    for id in range(4):  # what was taken counts no more
        node.run(table.get(id).delete())
    lazy.go_on()
    assert [row["old_val"]["id"] for row in lazy.take()] == [0, 1, 2, 3]
    lazy.close()
    eager.close()


def test_squash_merges_changes_of_a_row(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feed = node.feed(table.changes(squash=True))
    feed.pause()
    node.run(table.insert({"id": 0}))
    node.settle()
    for n in range(3):
        node.run(table.insert({"id": 1, "n": n}, conflict="replace"))
    node.run(table.insert({"id": 2}))
    node.run(table.get(2).delete())
    node.run(table.insert({"id": 3}))
    node.settle()
    feed.go_on()
    assert feed.take()[1:] == [
        {"new_val": {"id": 1, "n": 2}, "old_val": None},
        {"new_val": {"id": 3}, "old_val": None},
    ]
    feed.close()


def test_squash_with_a_pause_merges_what_comes_meanwhile(
    node: Node, new_table: NewTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = new_table()
    pauses: list[Callable[[], None]] = []
    call_later = node.loop.call_later

    def called(delay: float, callback: Callable[..., None], *arguments: Any) -> Any:
        if delay == 600:
            pauses.append(callback)
        return call_later(delay, callback, *arguments)

    monkeypatch.setattr(node.loop, "call_later", called)
    feed = node.feed(table.changes(squash=600))
    node.run(table.insert({"id": 1, "n": 0}))
    node.run(table.get(1).update({"n": 1}))
    assert feed.take() == []
    [its_end] = pauses
    its_end()
    assert feed.take() == [{"new_val": {"id": 1, "n": 1}, "old_val": None}]
    node.run(table.get(1).delete())
    node.run(r.table_drop(node.run(table.info()["name"])))
    assert feed.take() == [{"new_val": None, "old_val": {"id": 1, "n": 1}}]
    assert feed.error == "Changefeed aborted (unavailable)."
    feed.close()


def test_terms_after_changes_see_the_elements(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feed = node.feed(table.changes()["new_val"]["id"].filter(r.row > 2).limit(2))
    for id in range(6):
        node.run(table.insert({"id": id}))
    assert feed.take() == [3, 4]
    assert feed.ended
    assert not node.followed


def test_a_subquery_after_changes_reads_the_newest_state(node: Node, new_table: NewTable) -> None:
    table, names = new_table(), new_table()
    feed = node.feed(table.changes().map(lambda change: names.get(change["new_val"]["id"])["name"]))
    node.run(names.insert({"id": 1, "name": "one"}))
    node.run(table.insert({"id": 1}))
    assert feed.take() == ["one"]
    feed.close()


def test_an_error_after_changes_ends_the_feed(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feed = node.feed(table.changes().map(r.row["new_val"]["nosuch"]))
    node.run(table.insert({"id": 1}))
    feed.take()
    assert feed.error is not None
    assert feed.error.startswith("No attribute `nosuch` in object:")
    assert not node.followed


def test_feeds_joined_after_changes_do_not_wait_for_each_other(
    node: Node, new_table: NewTable
) -> None:
    left, right = new_table(), new_table()
    query = left.changes().union(right.get(1).changes()["new_val"], [{"id": 0}])
    feed = node.feed(query)
    assert feed.notes == [4]
    node.run(right.insert({"id": 1}))
    node.run(left.insert({"id": 2}))
    assert feed.take() == [{"id": 0}, {"id": 1}, {"new_val": {"id": 2}, "old_val": None}]
    feed.close()
    assert not node.followed


# ---- order


def test_a_row_that_was_deleted_and_made_anew_in_one_query_is_told_as_itself(
    node: Node, new_table: NewTable
) -> None:
    table = new_table()
    node.run(table.insert([{"id": 0}, {"id": 1}]))
    feed = node.feed(table.order_by(index="id").limit(2).changes())
    node.run(
        r.expr([0, 1, 2]).for_each(
            lambda step: r.branch(
                step == 0,
                table.get(0).delete(),
                step == 1,
                table.get(1).update({"n": 1}),
                table.insert({"id": 0, "n": 2}),
            )
        )
    )
    assert feed.take() == [
        {"new_val": {"id": 0, "n": 2}, "old_val": {"id": 0}},
        {"new_val": {"id": 1, "n": 1}, "old_val": {"id": 1}},
    ]
    feed.close()


def test_the_first_rows_are_kept_up_to_date(node: Node, new_table: NewTable) -> None:
    table = new_table("x")
    node.run(table.insert([{"id": id, "x": id * 10} for id in range(5)]))
    feed = node.feed(table.order_by(index="x").limit(2).changes(include_offsets=True))
    assert feed.notes == [3]
    node.run(table.get(0).delete())
    node.run(table.insert({"id": 9, "x": 5}))
    node.run(table.get(4).update({"x": 41}))
    assert feed.take() == [
        {
            "new_offset": 1,
            "new_val": {"id": 2, "x": 20},
            "old_offset": 0,
            "old_val": {"id": 0, "x": 0},
        },
        {
            "new_offset": 0,
            "new_val": {"id": 9, "x": 5},
            "old_offset": 1,
            "old_val": {"id": 2, "x": 20},
        },
    ]
    feed.close()


def test_another_index_under_the_name_ends_an_ordered_feed(node: Node, new_table: NewTable) -> None:
    table = new_table("x", "y")
    ordered = node.feed(table.order_by(index="x").limit(2).changes())
    ranged = node.feed(table.get_all(1, index="x").changes())
    node.run(table.index_rename("y", "x", overwrite=True))
    node.run(table.insert({"id": 1, "y": 1}))
    assert ordered.take() == []
    assert ordered.error == "The secondary index `x` was replaced by a different one."
    assert len(ranged.take()) == 1
    node.run(table.index_drop("x"))
    node.run(table.insert({"id": 2, "y": 1}))
    assert ranged.take() == []
    ranged.close()


# ---- ends


@pytest.mark.parametrize(
    "follow",
    [
        lambda table: table.changes(),
        lambda table: table.get(1).changes(),
        lambda table: table.order_by(index="id").limit(1).changes(),
        lambda table: table.changes()["new_val"],
    ],
)
def test_a_dropped_table_ends_its_feeds(
    node: Node, new_table: NewTable, follow: Callable[[Any], Any]
) -> None:
    table = new_table()
    feed = node.feed(follow(table))
    node.run(table.insert({"id": 1}))
    name = table.info()["name"]
    node.run(r.table_drop(node.run(name)))
    rows = feed.take()
    assert len(rows) == 1
    assert feed.error == "Changefeed aborted (unavailable)."
    assert not node.followed


def test_whoever_may_not_read_any_more_gets_nothing_more(node: Node, new_table: NewTable) -> None:
    table = new_table()
    node.run(r.db("rethinkdb").table("users").insert({"id": "reader", "password": False}))
    node.run(table.grant("reader", {"read": True}))
    feeds = [
        node.feed(table.changes(), user="reader"),
        node.feed(table.changes()["new_val"], user="reader"),
    ]
    node.run(table.insert({"id": 1}))
    node.settle()
    node.run(table.grant("reader", {"read": False}))
    node.run(table.insert({"id": 2}))
    for feed in feeds:
        assert len(feed.take()) == 1
        assert feed.error == "User `reader` does not have the required `read` permission."
    assert not node.followed


def test_closing_leaves_nothing_behind(node: Node, new_table: NewTable) -> None:
    table = new_table("x")
    queries = [
        table.changes(),
        table.get(1).changes(squash=2),
        table.get_all(1, 2, index="x").changes(include_initial=True),
        table.filter({"x": 1}).changes(),
        table.order_by(index="x").limit(3).changes(),
        table.union(table.between(1, 2)).changes(),
        table.changes().map(r.row["new_val"]),
    ]
    for query in queries:
        feed = node.feed(query)
        node.run(table.insert({"id": 1, "x": 1}, conflict="replace"))
        feed.close()
        feed.close()
        node.settle()
        assert not node.followed
        assert not node.followed
    assert not node.engine.running


# ---- system tables


def test_system_tables_have_feeds(node: Node, new_table: NewTable) -> None:
    config = r.db("rethinkdb").table("table_config")
    feed = node.feed(config.pluck("name").changes())
    table = new_table()
    name = node.run(table.info()["name"])
    node.run(r.table_drop(name))
    assert feed.take() == [
        {"new_val": {"name": name}, "old_val": None},
        {"new_val": None, "old_val": {"name": name}},
    ]
    feed.close()
    assert not node.followed
    with pytest.raises(QueryError, match="System tables don't support changefeeds on"):
        node.run(config.order_by(index="id").limit(1).changes())


# ---- refusals

EAGER = "Cannot call `changes` on an eager stream."


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (lambda t: r.expr([1]).changes(), EAGER),
        (lambda t: t.order_by("x").changes(), EAGER),
        (lambda t: t.skip(1).changes(), EAGER),
        (lambda t: t.distinct().changes(), EAGER),
        (lambda t: t.group("x").changes(), EAGER),
        (lambda t: t.changes().changes(), EAGER),
        (lambda t: t.limit(1).changes(), "Cannot get changes on the first elements"),
        (lambda t: t.union(t).limit(1).changes(), "Cannot call `changes` on a slice of a union."),
        (
            lambda t: t.concat_map(lambda _: [1]).changes(),
            "Cannot call `changes` after `concat_map`.",
        ),
        (lambda t: t.count().changes(), "Cannot convert NUMBER to SEQUENCE"),
        (
            lambda t: t.filter(lambda row: row["x"] > r.random()).changes(),
            "after a non-deterministic function.",
        ),
        (
            lambda t: t.order_by(index="id").limit(1).pluck("x").changes(),
            "have a transformation following a `limit` term.",
        ),
        (lambda t: t.changes(include_offsets=True), "Cannot include offsets for range subs."),
        (lambda t: t.get(1).changes(include_offsets=True), "offsets for point subs."),
        (lambda t: t.get_all().changes(include_offsets=True), "offsets for empty subs."),
        (lambda t: t.changes(squash=-1), "Expected BOOL or a positive NUMBER"),
        (lambda t: t.changes(squash="x"), "Expected BOOL or NUMBER but found STRING."),
        (lambda t: t.changes(changefeed_queue_size=0), "Illegal changefeed queue size `0`."),
        (lambda t: t.changes().count(), "on an infinite stream (such as a changefeed)."),
        (lambda t: t.changes(resume_after="x"), "is not a resume token"),
    ],
)
def test_what_cannot_be_a_feed_is_refused(
    node: Node, new_table: NewTable, query: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(QueryError) as refused:
        node.run(query(new_table()))
    assert message in str(refused.value)
    assert not node.followed


def test_a_region_is_followed(node: Node, new_table: NewTable) -> None:
    table = new_table()
    node.run(table.index_create("place", geo=True))
    node.run(table.index_wait())
    node.run(table.insert({"id": 0, "place": r.point(1.5, 1.5)}))
    square = r.polygon([1, 1], [1, 2], [2, 2], [2, 1])
    feed = node.feed(
        table.get_intersecting(square, index="place")["id"].changes(include_initial=True)
    )
    assert feed.take() == [{"new_val": 0}]
    node.run(
        table.insert([{"id": 1, "place": r.point(1.2, 1.2)}, {"id": 2, "place": r.point(9, 9)}])
    )
    node.run(table.get(1).update({"place": r.point(5, 5)}))
    assert feed.take() == [{"new_val": 1, "old_val": None}, {"new_val": None, "old_val": 1}]
    feed.close()


def test_a_missing_index_is_silence_for_a_range_and_an_error_for_an_order(
    node: Node, new_table: NewTable
) -> None:
    table = new_table()
    feed = node.feed(table.get_all(1, index="nosuch").changes(include_initial=True))
    node.run(table.insert({"id": 1, "nosuch": 1}))
    assert feed.take() == []
    feed.close()
    with pytest.raises(QueryError, match="Index `nosuch` was not found on table"):
        node.run(table.order_by(index="nosuch").limit(1).changes())
