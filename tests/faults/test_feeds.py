"""Whatever happens to the table, the index or the client: a feed tells the truth, goes on, or says why not."""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rethinkdb import r
from rethinkdb.errors import ReqlOpFailedError

from tests.faults.support import resident_bytes
from tests.waiting import PATIENCE_S, until
from tools.serverprocess import ServerProcess, running

ABORTED = "Changefeed aborted (unavailable)."
_numbers = itertools.count()

KINDS: dict[str, Callable[[Any], Any]] = {
    "table": lambda t: t,
    "row": lambda t: t.get(1),
    "filter": lambda t: t.filter(r.row["n"] >= 0),
    "range of an index": lambda t: t.between(0, 100, index="n"),
    "first rows": lambda t: t.order_by(index="n").limit(5),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running(tmp_path_factory.mktemp("feeds") / "data") as process:
        yield process


@pytest.fixture
def conn(server: ServerProcess) -> Iterator[Any]:
    with r.connect(port=server.port) as connection:
        yield connection


@pytest.fixture
def table(conn: Any) -> Any:
    """A table with the index `n`, in a database of its own."""
    name = f"d{next(_numbers)}"
    r.db_create(name).run(conn)
    r.db(name).table_create("things", durability="soft").run(conn)
    table = r.db(name).table("things")
    table.index_create("n").run(conn)
    table.index_wait().run(conn)
    return table


def take(feed: Any, count: int) -> list[Any]:
    return [feed.next(wait=PATIENCE_S) for _ in range(count)]


def following(conn: Any, table: Any) -> int:
    """How many feeds on a table the server knows of."""
    name = table.info()["db"]["name"].run(conn)
    jobs = r.db("rethinkdb").table("jobs").filter({"type": "query"})
    texts = jobs["info"]["query"].run(conn)
    return sum("changes(" in text and name in text for text in texts)


# ---- clients


def test_the_feeds_of_a_client_that_goes_away_are_gone(
    server: ServerProcess, conn: Any, table: Any
) -> None:
    leaving = [r.connect(port=server.port) for _ in range(3)]
    for connection in leaving:
        for kind in KINDS.values():
            kind(table).changes().run(connection)
        table.changes().pluck("new_val").run(connection)
    staying = table.changes().run(conn)
    assert following(conn, table) == 3 * (len(KINDS) + 1) + 1
    leaving[0].close()
    for connection in leaving[1:]:
        connection._instance._socket._socket.close()  # as a process that was killed
    until(lambda: following(conn, table) == 1)
    table.insert({"id": 1}).run(conn)
    assert take(staying, 1) == [{"new_val": {"id": 1}, "old_val": None}]
    staying.close()
    until(lambda: following(conn, table) == 0)


def test_one_who_does_not_read_costs_a_bounded_amount_and_the_others_nothing(
    server: ServerProcess, conn: Any, table: Any
) -> None:
    rounds, things, size = 20, 100, 10_000

    def write(number: int) -> list[Any]:
        rows = [{"id": id, "n": number, "text": "x" * size} for id in range(things)]
        table.insert(rows, conflict="replace", durability="soft").run(conn)
        return rows

    for number in range(3 * rounds):  # as far as the store's own memory grows
        write(-number)
    with r.connect(port=server.port) as lazy, r.connect(port=server.port) as eager:
        silent = table.changes(changefeed_queue_size=200).run(lazy)
        reading = table.changes().run(eager)
        before = resident_bytes(server.pid)
        for number in range(rounds):
            rows = write(number)
            assert [change["new_val"] for change in take(reading, things)] == rows
        # Every message has the old document and the new one.
        assert resident_bytes(server.pid) - before < rounds * things * size
        told, missed = 0, 0
        while told + missed < rounds * things:
            change = silent.next(wait=PATIENCE_S)
            if "error" in change:
                missed += skipped(change["error"])
            else:
                told += 1
        assert missed
        assert told + missed == rounds * things
        table.insert({"id": "next"}).run(conn)
        assert take(silent, 1) == [{"new_val": {"id": "next"}, "old_val": None}]


def skipped(error: str) -> int:
    found = re.fullmatch(r"Changefeed cache over array size limit, skipped (\d+) elements\.", error)
    assert found
    return int(found[1])


# ---- tables and databases


@pytest.mark.parametrize("what", ["table", "database"])
def test_dropping_ends_the_feeds_of_what_is_dropped_and_no_other(
    server: ServerProcess, conn: Any, table: Any, what: str
) -> None:
    name = table.info()["db"]["name"].run(conn)
    other_name = f"{name}_other"
    r.db_create(other_name).run(conn)
    r.db(other_name).table_create("things").run(conn)
    other = r.db(other_name).table("things")
    staying = other.changes().run(conn)
    feeds = [kind(table).changes().run(conn) for kind in KINDS.values()]
    feeds.append(table.changes().pluck("new_val").run(conn))
    table.insert([{"id": 1, "n": 1}]).run(conn)
    for feed in feeds:
        assert take(feed, 1)[0]["new_val"]["id"] == 1
    if what == "table":
        r.db(name).table_drop("things").run(conn)
    else:
        r.db_drop(name).run(conn)
    for feed in feeds:
        with pytest.raises(ReqlOpFailedError) as ended:
            feed.next(wait=PATIENCE_S)
        assert ended.value.message == ABORTED
    other.insert({"id": 2}).run(conn)
    assert take(staying, 1)[0]["new_val"] == {"id": 2}
    staying.close()


def test_a_table_may_be_renamed_under_its_feeds(conn: Any, table: Any) -> None:
    feeds = [kind(table).changes().run(conn) for kind in KINDS.values()]
    name = table.info()["db"]["name"].run(conn)
    table.config().update({"name": "renamed"}).run(conn)
    renamed = r.db(name).table("renamed")
    renamed.insert({"id": 1, "n": 1}).run(conn)
    for feed in feeds:
        assert take(feed, 1) == [{"new_val": {"id": 1, "n": 1}, "old_val": None}]
        feed.close()


# ---- indexes


@pytest.mark.parametrize("change", ["drop", "rename"])
def test_feeds_by_an_index_that_is_gone_fall_silent(conn: Any, table: Any, change: str) -> None:
    whole = table.changes().run(conn)
    ranged = KINDS["range of an index"](table).changes().run(conn)
    first = KINDS["first rows"](table).changes().run(conn)
    table.insert({"id": 1, "n": 1}).run(conn)
    for feed in (whole, ranged, first):
        assert len(take(feed, 1)) == 1
    if change == "drop":
        table.index_drop("n").run(conn)
    else:
        table.index_rename("n", "m").run(conn)
    table.insert({"id": 2, "n": 2}).run(conn)
    assert take(whole, 1)[0]["new_val"]["id"] == 2
    for feed in (ranged, first):
        with pytest.raises(r.errors.ReqlTimeoutError):
            feed.next(wait=0.05)
    assert following(conn, table) == 3
    if change == "rename":
        table.index_rename("m", "n").run(conn)
        table.insert({"id": 3, "n": 3}).run(conn)
        assert take(ranged, 1)[0]["new_val"]["id"] == 3
    for feed in (whole, ranged, first):
        feed.close()


def test_the_first_rows_by_an_index_that_is_replaced_end_with_the_next_write(
    conn: Any, table: Any
) -> None:
    first = KINDS["first rows"](table).changes().run(conn)
    table.index_create("other", r.row["n"] * -1).run(conn)
    table.index_wait("other").run(conn)
    table.index_rename("other", "n", overwrite=True).run(conn)
    table.insert({"id": 1, "n": 1}).run(conn)
    with pytest.raises(ReqlOpFailedError) as ended:
        first.next(wait=PATIENCE_S)
    assert ended.value.message == "The secondary index `n` was replaced by a different one."
