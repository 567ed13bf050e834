"""Resume tokens, and feeds that go on where another stopped."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rethinkdb import r

from rethought.errors import OpFailedError, QueryLogicError
from rethought.feed import resume
from rethought.feed.resume import Mark, Origin, text_of
from tests.asking import ask
from tests.feed.node import START, Feed, Node, QueryError

NewTable = Callable[..., Any]

big, small = st.integers(0, 2**63), st.integers(0, 2**32 - 1)
marks = st.builds(Mark, st.binary(min_size=16, max_size=16), big, big, small, small, small, small)
tokens = st.lists(marks, min_size=1, max_size=3)


@given(tokens)
def test_a_token_comes_back_as_it_was(token: list[Mark]) -> None:
    assert resume.parse(text_of(token).decode()) == token


@given(tokens, st.data())
def test_a_mangled_token_is_refused(token: list[Mark], data: st.DataObject) -> None:
    text = text_of(token).decode()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda char: char != text[at]))
    mangled = text[:at] + other + text[at + 1 :]
    with suppress(QueryLogicError):
        assert resume.parse(mangled) == token  # spare bits of base64, or padding


TABLE = b"a" * 16


def origin(index: str | None = None, number: int = 0) -> Origin:
    return Origin(
        TABLE,
        index,
        None,
        epoch_of=lambda seq: 1 if seq < 8 else 2,
        index_number=lambda: number,
    )


GONE = "no longer in the journal"
ELSEWHERE = "is not in the database's history"


@pytest.mark.parametrize(
    ("mark", "journal", "message"),
    [
        (Mark(TABLE, 1, 5), (1, 9), None),
        (Mark(TABLE, 1, 5), (6, 9), None),
        (Mark(TABLE, 1, 5, 0, 3), (6, 9), GONE),
        (Mark(TABLE, 1, 5, 0, 3, span=2), (4, 9), None),
        (Mark(TABLE, 1, 5, 0, 3, span=2), (5, 9), GONE),
        (Mark(TABLE, 1, 5), (7, 9), GONE),
        (Mark(TABLE, 1, 5), (0, 9), GONE),
        (Mark(TABLE, 2, 9), (0, 9), None),
        (Mark(TABLE, 1, 9), (1, 9), ELSEWHERE),
        (Mark(TABLE, 2, 7), (1, 9), ELSEWHERE),
        (Mark(TABLE, 2, 10), (1, 9), ELSEWHERE),
        (Mark(b"b" * 16, 1, 5), (1, 9), "of another table"),
    ],
)
def test_a_mark_must_fit_the_journal(
    mark: Mark, journal: tuple[int, int], message: str | None
) -> None:
    if message is None:
        resume.check(mark, origin(), *journal)
        return
    with pytest.raises(OpFailedError, match=message):
        resume.check(mark, origin(), *journal)


def test_a_mark_must_fit_the_feed() -> None:
    journal = (1, 9)
    indexed = Mark(TABLE, 1, 5, 7)
    resume.check(indexed, origin("x", 7), *journal)
    resume.check(indexed, origin(), *journal)  # any feed of the table may go on from there
    with pytest.raises(OpFailedError, match="of another index than `x` is now"):
        resume.check(indexed, origin("x", 8), *journal)
    with pytest.raises(OpFailedError, match="of another query"):
        resume.check(Mark(TABLE, 1, 5, 0, 3, 44, 2), origin(), *journal, form=45)
    with pytest.raises(OpFailedError, match="of another query"):
        resume.check_parts([indexed], 2)


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[Node]:
    """A node whose journal keeps nothing it need not keep."""
    node = Node(tmp_path / "data", journal_bytes=2_000, save_commits=8)
    yield node
    node.close()


def test_a_journal_that_was_cut_is_an_error(own_node: Node) -> None:
    node = own_node
    table = node.table("t")
    feed = node.feed(table.changes(include_resume_tokens=True))
    node.run(table.insert({"id": 0}))
    [first] = feed.take()
    feed.close()
    # Only what the counters in the file know of is forgotten, and closing saves them.
    for _ in range(3):
        for id in range(60):
            node.run(table.insert({"id": id, "text": "x" * 200}, conflict="replace"))
            node.run(table.get(id).delete())
        node.restart()
    for id in range(100, 160):
        node.run(table.insert({"id": id}))
    with pytest.raises(QueryError, match="no longer in the journal"):
        node.run(table.changes(resume_after=first["resume_token"]))
    assert not node.followed


def test_what_a_database_keeps_decides_which_tokens_are_good(own_node: Node) -> None:
    node = own_node
    kept = r.db("rethinkdb").table("journal_config").filter({"db": "test"})
    table = node.table("t")
    assert node.run(kept.update({"retention_bytes": 10**9}))["replaced"] == 1
    feed = node.feed(table.changes(include_resume_tokens=True))
    node.run(table.insert({"id": 0}))
    [first] = feed.take()
    feed.close()
    for id in range(1, 100):
        node.run(table.insert({"id": id}))
    feed = node.feed(table.changes(resume_after=first["resume_token"]))
    assert [row["new_val"]["id"] for row in feed.take()] == list(range(1, 100))
    feed.close()
    node.run(kept.update({"retention_bytes": None}))
    node.settle()
    with pytest.raises(QueryError, match="no longer in the journal"):
        node.run(table.changes(resume_after=first["resume_token"]))


def test_a_feed_goes_on_after_a_restart(own_node: Node) -> None:
    node = own_node
    table = node.table("t", "x")
    query = table.get_all(1, index="x")
    feed = node.feed(query.changes(include_resume_tokens=True, include_types=True))
    node.run(table.insert([{"id": 1, "x": 1}, {"id": 2, "x": 2}, {"id": 3, "x": 1}]))
    seen = feed.take()
    feed.close()
    node.run(table.get(3).update({"x": 2}))
    node.restart()
    node.run(table.get(2).update({"x": 1}))
    feed = node.feed(query.changes(resume_after=seen[0]["resume_token"], include_types=True))
    node.run(table.get(2).delete())
    assert [(row["type"], (row["new_val"] or row["old_val"])["id"]) for row in feed.take()] == [
        ("add", 3),
        ("remove", 3),
        ("add", 2),
        ("remove", 2),
    ]
    feed.close()


def test_what_a_slow_reader_missed_can_be_had_again(node: Node, new_table: NewTable) -> None:
    table = new_table()
    query = table.changes(include_resume_tokens=True, changefeed_queue_size=3)
    feed = node.feed(query)
    feed.pause()
    for id in range(6):
        node.run(table.insert({"id": id}))
        node.settle()
    feed.go_on()
    rows = feed.take()
    feed.close()
    error = next(row for row in rows if "error" in row)
    again = node.feed(table.changes(resume_after=error["resume_token"]))
    known = [row["new_val"]["id"] for row in rows[: rows.index(error)]]
    assert known + [row["new_val"]["id"] for row in again.take()] == list(range(6))
    again.close()


def test_what_was_skipped_while_the_rows_there_were_are_read_is_behind_no_token(
    node: Node, new_table: NewTable
) -> None:
    table = new_table()
    node.run(table.insert({"id": 0}))
    query = table.changes(include_initial=True, include_resume_tokens=True, changefeed_queue_size=1)
    feed = Feed(node, node.start(query), reading=False)
    client = node.engine.client("admin", "127.0.0.1", 0)
    for n in range(2):
        body = json.dumps([START, table.get(0).update({"n": n})], default=lambda part: part.build())
        ask(node.engine, client, body.encode(), lambda _: None)
        for database in node.catalog.user_databases():
            database.group.flush()
    # The reading comes to its end before the feeds are told of these in their own turn.
    reading = feed.cursor._reading.opening  # type: ignore[union-attr]
    while not reading.done:
        reading.step()
    feed.go_on()
    first, error = feed.take()
    assert first == {"new_val": {"id": 0}}
    assert error == {"error": "Changefeed cache over array size limit, skipped 2 elements."}
    feed.close()


def test_the_ready_state_is_a_place_to_resume_from(node: Node, new_table: NewTable) -> None:
    table = new_table()
    node.run(table.insert({"id": 1}))
    feed = node.feed(
        table.changes(include_resume_tokens=True, include_states=True, include_initial=True)
    )
    rows = feed.take()
    feed.close()
    assert ["resume_token" in row for row in rows] == [False, False, True]
    node.run(table.insert({"id": 2}))
    feed = node.feed(table.changes(resume_after=rows[-1]["resume_token"]))
    assert [row["new_val"]["id"] for row in feed.take()] == [2]
    feed.close()


def test_a_young_journal_renews_no_tokens(node: Node, new_table: NewTable) -> None:
    table = new_table()
    form = {"include_resume_tokens": True, "include_states": True}
    feed = node.feed(table.get(-1).changes(**form))
    for id in range(40):  # far from anything being forgotten
        node.run(table.insert({"id": id}))
    assert [row["state"] for row in feed.take()] == ["ready"]
    feed.close()


@pytest.mark.parametrize(
    "query",
    [
        lambda table: table.filter({"loud": False}),
        lambda table: table.get(-1),
        lambda table: table.order_by(index="id").limit(1),
    ],
)
def test_who_follows_something_quiet_gets_new_tokens(
    own_node: Node, query: Callable[[Any], Any]
) -> None:
    node = own_node
    table = node.table("t")
    node.run(table.insert({"id": -1, "loud": False}))
    form = {"include_resume_tokens": True, "include_states": True, "include_types": True}
    feed = node.feed(query(table).changes(**form))
    behind = node.feed(query(table).changes(**form).pluck("state", "resume_token"))
    plain = node.feed(query(table).changes(include_resume_tokens=True))
    [first] = feed.take()
    for id in range(300):  # the journal goes round several times
        node.run(table.insert({"id": id, "loud": True}))
    told = feed.take()
    assert {row["state"] for row in told} == {"ready"}
    assert {row["state"] for row in behind.take()} == {"ready"}
    assert 3 < len(told) < 100
    assert plain.take() == []
    for each in (feed, behind, plain):
        each.close()
    node.run(table.get(-1).update({"x": 1}))
    with pytest.raises(QueryError, match="no longer in the journal"):
        node.run(query(table).changes(resume_after=first["resume_token"]))
    again = node.feed(query(table).changes(resume_after=told[-1]["resume_token"]))
    assert [row["new_val"]["x"] for row in again.take()] == [1]
    again.close()
    assert not node.followed


def test_the_quiet_part_of_a_union_gets_a_new_token_too(own_node: Node) -> None:
    node = own_node
    loud, quiet = node.table("loud"), node.table("quiet")
    query = loud.union(quiet)
    feed = node.feed(query.changes(include_resume_tokens=True, include_states=True))
    for id in range(200):
        node.run(loud.insert({"id": id}))
    rows = feed.take()
    feed.close()
    assert [row["new_val"]["id"] for row in rows if "state" not in row] == list(range(200))
    node.run(quiet.insert({"id": "q"}))
    feed = node.feed(query.changes(resume_after=rows[-1]["resume_token"]))
    assert [row["new_val"]["id"] for row in feed.take()] == ["q"]
    feed.close()


def test_another_query_may_go_on_from_a_token(node: Node, new_table: NewTable) -> None:
    """A token is a place in the history of a table: whoever resumes is told what their query says of later changes."""
    table = new_table("x")
    first = node.feed(table.filter(r.row["x"] > 0).changes(include_resume_tokens=True))
    node.run(table.insert([{"id": 0, "x": 1}, {"id": 1, "x": -1}]))
    [message] = first.take()
    first.close()
    node.run(table.insert([{"id": 2, "x": -1}, {"id": 3, "x": 1}]))
    token = message["resume_token"]
    for query, ids in (
        (table.filter(r.row["x"] < 0), [2]),
        (table.filter(r.row["x"] > 0).pluck("id"), [3]),
        (table.get(2), [2]),
        (table.get_all(1, -1, index="x"), [2, 3]),
        (table, [2, 3]),
    ):
        feed = node.feed(query.changes(resume_after=token))
        assert sorted(row["new_val"]["id"] for row in feed.take()) == ids
        feed.close()


def test_a_token_of_another_table_is_refused(node: Node, new_table: NewTable) -> None:
    one, other = new_table(), new_table()
    feed = node.feed(one.changes(include_resume_tokens=True))
    node.run(one.insert({"id": 1}))
    [row] = feed.take()
    feed.close()
    with pytest.raises(QueryError, match="the token is of another table"):
        node.run(other.changes(resume_after=row["resume_token"]))
    assert node.run(r.expr(1)) == 1
    assert not node.followed


def test_a_table_dropped_while_a_feed_catches_up_ends_it(node: Node, new_table: NewTable) -> None:
    table = new_table()
    feed = node.feed(table.changes(include_resume_tokens=True))
    node.run(table.insert({"id": 0}))
    [row] = feed.take()
    feed.close()
    for id in range(1, 200):
        node.run(table.insert({"id": id}))
    reply = node.start(table.changes(resume_after=row["resume_token"]))
    name = node.run(table.info()["name"])
    node.run(r.db("test").table_drop(name))
    assert reply.cursor is not None
    bodies = []
    while reply.cursor is not None:
        reply = node.more(reply.cursor)
        bodies.append(reply.body)
    assert b"Changefeed aborted (unavailable)." in bodies[-1]
    assert not node.followed


def messages(feed: Feed) -> list[Any]:
    """What has come, without the tokens."""
    return [{key: row[key] for key in row if key != "resume_token"} for row in feed.take()]


def test_states_of_a_resumed_feed_come_before_and_after_what_was_missed(
    node: Node, new_table: NewTable
) -> None:
    table = new_table()
    form = {"include_resume_tokens": True, "include_states": True, "include_types": True}
    feed = node.feed(table.changes(include_initial=True, resume_after=None, **form))
    node.run(table.insert({"id": 1}))
    *_, row = feed.take()
    feed.close()
    token = row["resume_token"]
    node.run(table.insert({"id": 2}))
    missed = {"new_val": {"id": 2}, "old_val": None, "type": "add"}
    ready = {"state": "ready", "type": "state"}
    feed = node.feed(table.changes(resume_after=token, **form))
    assert messages(feed) == [missed, ready]
    feed.close()
    feed = node.feed(table.changes(resume_after=token, include_initial=True, **form))
    [first, *rest] = feed.take()
    assert first == {"state": "initializing", "resume_token": token, "type": "state"}
    assert [row.get("state") for row in rest] == [None, "ready"]
    feed.close()
    feed = node.feed(table.changes(resume_after=rest[-1]["resume_token"], **form))
    assert messages(feed) == [ready]
    feed.close()


def test_first_rows_are_told_as_they_changed_since_the_token(
    node: Node, new_table: NewTable
) -> None:
    table = new_table("x")
    node.run(table.insert([{"id": id, "x": id * 10} for id in range(1, 6)]))
    query = table.order_by(index="x").limit(2)
    form = {"include_resume_tokens": True, "include_offsets": True}
    feed = node.feed(query.changes(**form))
    node.run(table.get(2).delete())
    [row] = feed.take()
    feed.close()
    node.run(table.insert({"id": 9, "x": 5}))
    node.run(table.get(1).update({"x": 99}))
    feed = node.feed(query.changes(resume_after=row["resume_token"], **form))
    nine, three = {"id": 9, "x": 5}, {"id": 3, "x": 30}
    assert messages(feed) == [
        {"new_offset": 0, "new_val": nine, "old_offset": 1, "old_val": three},
        {"new_offset": 1, "new_val": three, "old_offset": 1, "old_val": {"id": 1, "x": 10}},
    ]
    feed.close()


def test_a_feed_goes_on_between_the_messages_of_one_change_to_its_first_rows(
    node: Node, new_table: NewTable
) -> None:
    table = new_table()
    node.run(table.insert([{"id": id} for id in range(6)]))
    query = table.order_by(index="id").limit(3)
    feed = node.feed(query.changes(include_resume_tokens=True))
    node.run(table.get_all(0, 1, 2).delete())
    rows = feed.take()
    feed.close()
    assert len(rows) == 3
    node.run(table.delete())
    for at in range(3):
        again = node.feed(
            query.changes(resume_after=rows[at]["resume_token"], include_resume_tokens=True)
        )
        assert again.take()[: 2 - at] == rows[at + 1 :]
        again.close()
    with pytest.raises(QueryError, match="the token is of another query"):
        node.run(table.order_by(index="id").limit(2).changes(resume_after=rows[0]["resume_token"]))


def test_the_token_of_a_union_has_the_place_in_every_part(node: Node, new_table: NewTable) -> None:
    one, other = new_table(), new_table()
    query = one.union(other)
    feed = node.feed(query.changes(include_resume_tokens=True, include_states=True))
    node.run(one.insert({"id": 1}))
    node.settle()
    node.run(other.insert({"id": 2}))
    rows = feed.take()
    feed.close()
    node.run(one.insert({"id": 3}))
    told = []
    for row in rows:
        feed = node.feed(query.changes(resume_after=row["resume_token"]))
        told.append(sorted(message["new_val"]["id"] for message in messages(feed)))
        feed.close()
    assert told == [[1, 2, 3], [2, 3], [3]]
    with pytest.raises(QueryError, match="the token is of another query"):
        node.run(one.changes(resume_after=rows[0]["resume_token"]))
    with pytest.raises(QueryError, match="the token is of another table"):
        node.run(other.union(one).changes(resume_after=rows[0]["resume_token"]))


def test_tokens_pass_through_terms_behind_the_feed(node: Node, new_table: NewTable) -> None:
    table = new_table()
    query = table.between(0, 5).union(table.between(5, 9))
    changes = query.changes(include_resume_tokens=True, include_states=True)
    feed = node.feed(changes.map(lambda row: row["resume_token"]))
    [token] = feed.take()
    feed.close()
    node.run(table.insert([{"id": 1}, {"id": 6}]))
    feed = node.feed(query.changes(resume_after=token)["new_val"]["id"])
    assert sorted(feed.take()) == [1, 6]
    feed.close()


def test_a_document_that_looks_like_a_token_is_none(node: Node, new_table: NewTable) -> None:
    table = new_table()
    query = table.union(table.get_all())
    node.run(table.insert({"id": 1, "resume_token": "mine"}))
    feed = node.feed(
        query.changes(include_initial=True, include_states=True, include_resume_tokens=True)
    )
    rows = feed.take()
    feed.close()
    assert rows[1] == {"new_val": {"id": 1, "resume_token": "mine"}}
    assert ["resume_token" in row for row in rows] == [False, False, True]


@pytest.fixture(scope="module")
def followed(node: Node) -> dict[str, Any]:
    """Queries on a table of few commits, by what they are."""
    table = node.table("forged", "x")
    for id in range(3):
        node.run(table.insert({"id": id, "x": id}))
    return {
        "table": table,
        "index": table.get_all(1, index="x"),
        "first": table.order_by(index="x").limit(2),
        "union": table.union(table),
    }


@settings(max_examples=60)
@given(
    data=st.data(),
    kind=st.sampled_from(["table", "index", "first", "union"]),
    squash=st.booleans(),
)
def test_a_token_that_somebody_made_up_harms_nobody(
    node: Node, followed: dict[str, Any], data: st.DataObject, kind: str, squash: bool
) -> None:
    handle = node.catalog.databases["test"].tables["forged"]
    number = st.one_of(st.integers(0, 9), small)
    seq = data.draw(st.one_of(st.integers(0, handle.group.seq + 2), big))
    mark = Mark(
        bytes.fromhex(handle.id.replace("-", "")),
        handle.group.epoch_of(seq) if seq < 2**60 else 1,
        seq,
        data.draw(st.one_of(st.just(0), number)),
        *(data.draw(number) for _ in range(3)),
    )
    token = text_of([mark] * (2 if kind == "union" else 1)).decode()
    reply = node.start(followed[kind].changes(resume_after=token, squash=squash))
    answer = json.loads(reply.body)
    if answer["t"] == 3:
        Feed(node, reply).close()
    else:
        assert answer["e"] in (3_000_000, 4_100_000), answer
    assert not node.followed
