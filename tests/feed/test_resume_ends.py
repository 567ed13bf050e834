"""What ends feeds, what does not, and what a token is worth afterwards."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rethinkdb import r

from tests.feed.node import Node, QueryError

NewTable = Callable[..., Any]
ABORTED = "Changefeed aborted (unavailable)."


def token_of(node: Node, table: Any, query: Any, id: int = 1) -> str:
    """Of the message of one insert."""
    feed = node.feed(query.changes(include_resume_tokens=True))
    node.run(table.insert({"id": id, "x": 1, "y": 1}))
    [row] = feed.take()
    feed.close()
    token: str = row["resume_token"]
    return token


def refusal(node: Node, query: Any, token: str) -> str:
    with pytest.raises(QueryError) as refused:
        node.run(query.changes(resume_after=token))
    assert not node.followed
    return str(refused.value)


def ids(node: Node, query: Any, token: str) -> list[Any]:
    feed = node.feed(query.changes(resume_after=token))
    rows = feed.take()
    assert feed.error is None
    feed.close()
    return [row["new_val"]["id"] for row in rows]


INDEXED: list[Callable[[Any], Any]] = [
    lambda table: table.get_all(1, index="x"),
    lambda table: table.order_by(index="x").limit(3),
]


def test_a_dropped_table_is_not_resumed_not_even_under_its_name(node: Node) -> None:
    table = node.table("again")
    token = token_of(node, table, table)
    node.run(r.table_drop("again"))
    assert "Table `test.again` does not exist." in refusal(node, table, token)
    node.table("again")
    assert refusal(node, table, token) == "Cannot resume: the token is of another table."


def test_a_renamed_table_goes_on_and_so_do_its_tokens(node: Node) -> None:
    table = node.table("before")
    feed = node.feed(table.changes(include_resume_tokens=True))
    node.run(table.insert({"id": 1}))
    node.run(table.config().update({"name": "after"}))
    after = r.table("after")
    node.run(after.insert({"id": 2}))
    first, second = feed.take()
    feed.close()
    node.run(after.insert({"id": 3}))
    assert second["new_val"] == {"id": 2}
    assert ids(node, after, first["resume_token"]) == [2, 3]


@pytest.mark.parametrize("query", INDEXED)
def test_without_its_index_a_feed_is_not_resumed(
    node: Node, new_table: NewTable, query: Callable[[Any], Any]
) -> None:
    table = new_table("x")
    token = token_of(node, table, query(table))
    node.run(table.index_drop("x"))
    name = node.run(table.info()["name"])
    expected = f"Index `x` was not found on table `test.{name}`."
    assert refusal(node, query(table), token) == expected
    node.run(table.index_create("x"))
    node.run(table.index_wait())
    expected = "Cannot resume: the token is of another index than `x` is now."
    assert refusal(node, query(table), token) == expected
    assert ids(node, table, token) == []


@pytest.mark.parametrize("replaced", [False, True])
def test_an_index_that_goes_while_a_feed_catches_up_ends_it(
    node: Node, new_table: NewTable, *, replaced: bool
) -> None:
    table = new_table("x", "y")
    query = table.order_by(index="x").limit(3)
    token = token_of(node, table, query)
    for id in range(2, 200):
        node.run(table.insert({"id": id}))
    reply = node.start(query.changes(resume_after=token))
    if replaced:
        node.run(table.index_rename("y", "x", overwrite=True))
    else:
        node.run(table.index_drop("x"))
    while reply.cursor is not None:
        reply = node.more(reply.cursor)
    gone = b"The secondary index `x` was replaced by a different one."
    assert (gone if replaced else b"Cannot resume: the index `x` was dropped.") in reply.body
    assert not node.followed


@pytest.mark.parametrize(
    "query",
    [
        lambda table, index: table.get_all(1, index=index),
        lambda table, index: table.order_by(index=index).limit(3),
    ],
)
def test_an_index_keeps_its_tokens_under_another_name(
    node: Node, new_table: NewTable, query: Callable[[Any, str], Any]
) -> None:
    table = new_table("x", "y")
    token = token_of(node, table, query(table, "x"))
    node.run(table.insert({"id": 2, "x": 1}))
    node.run(table.index_rename("x", "z"))
    assert ids(node, query(table, "z"), token) == [2]
    node.run(table.index_rename("y", "x"))
    expected = "Cannot resume: the token is of another index than `x` is now."
    assert refusal(node, query(table, "x"), token) == expected


@pytest.mark.parametrize(
    "query",
    [
        lambda table: table,
        lambda table: table.get(1),
        lambda table: table.order_by(index="id").limit(2),
    ],
)
def test_another_number_of_shards_ends_feeds_but_no_tokens(
    node: Node, new_table: NewTable, query: Callable[[Any], Any]
) -> None:
    table = new_table()
    feed = node.feed(query(table).changes(include_resume_tokens=True))
    node.run(table.rebalance())
    node.run(table.reconfigure(shards=1, replicas=1))
    node.run(table.insert({"id": 1, "x": 1}))
    [row] = feed.take()
    assert feed.error is None
    node.run(table.reconfigure(shards=2, replicas=1))
    assert feed.take() == []
    assert feed.error == ABORTED
    assert not node.followed
    node.run(table.get(1).update({"x": 2}))
    feed = node.feed(query(table).changes(resume_after=row["resume_token"]))
    assert [row["new_val"]["x"] for row in feed.take()] == [2]
    feed.close()


def test_a_table_in_another_database_has_another_history(node: Node) -> None:
    node.run(r.db_create("elsewhere"))
    table = node.table("moves")
    token = token_of(node, table, table)
    node.run(table.config().update({"db": "elsewhere"}))
    message = refusal(node, r.db("elsewhere").table("moves"), token)
    assert message.startswith("Cannot resume: the change")
    node.run(r.db_drop("elsewhere"))


def test_system_tables_have_no_tokens(node: Node) -> None:
    table = r.db("rethinkdb").table("table_config")
    expected = "System tables keep no journal: their feeds have no resume tokens."
    with pytest.raises(QueryError, match=expected):
        node.run(table.changes(include_resume_tokens=True))
    with pytest.raises(QueryError, match=expected):
        node.run(table.get("x").changes(include_resume_tokens=True))
    assert not node.followed


# ---- another history


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Node, Callable[[], Node]]]:
    """A node, and a way to begin another on a copy of its files (the first one is closed and opened again)."""
    node = Node(tmp_path / "data")
    made: list[Node] = []

    def copy() -> Node:
        node.engine.close()
        node.catalog.close()
        shutil.copytree(tmp_path / "data", tmp_path / f"copy{len(made)}")
        node._open()
        made.append(Node(tmp_path / f"copy{len(made)}"))
        return made[-1]

    yield node, copy
    for each in (node, *made):
        each.close()


LOST = "Cannot resume: the change of this token is not in the database's history."
kinds = pytest.mark.parametrize(
    "query",
    [
        lambda table: table,
        lambda table: table.order_by(index="id").limit(9),
        lambda table: table.between(0, 5).union(table.between(5, 10)),
    ],
)


@kinds
def test_a_token_is_good_in_the_history_it_is_of(
    two: tuple[Node, Callable[[], Node]], query: Callable[[Any], Any]
) -> None:
    node, copy = two
    table = node.table("t")
    common = token_of(node, table, query(table), 1)
    other = copy()
    mine, its = token_of(node, table, query(table), 2), token_of(other, table, query(table), 3)
    assert ids(node, query(table), common) == [2]
    assert ids(other, query(table), common) == [3]
    for each, own, foreign in ((node, mine, its), (other, its, mine)):
        assert refusal(each, query(table), foreign) == LOST
        each.restart()
        assert refusal(each, query(table), foreign) == LOST
        each.run(table.insert({"id": 4}))
        assert ids(each, query(table), own) == [4]


@kinds
def test_a_token_of_a_commit_that_was_lost_is_refused_when_its_number_is_given_again(
    tmp_path: Path, query: Callable[[Any], Any]
) -> None:
    node = Node(tmp_path / "data")
    table = node.table("t")
    kept = token_of(node, table, query(table), 1)
    # What is on the disk now is what a loss of power leaves; later commits are lost with the end of the log.
    shutil.copytree(tmp_path / "data", tmp_path / "left")
    lost = [token_of(node, table, query(table), id) for id in (2, 3)]
    node.close()
    left = Node(tmp_path / "left")
    assert ids(left, query(table), kept) == []
    assert [refusal(left, query(table), token) for token in lost] == [LOST, LOST]
    for id in range(4, 9):
        left.run(table.insert({"id": id}))
    assert [refusal(left, query(table), token) for token in lost] == [LOST, LOST]
    assert sorted(ids(left, query(table), kept)) == [4, 5, 6, 7, 8]
    left.restart()
    assert refusal(left, query(table), lost[0]) == LOST
    left.close()
