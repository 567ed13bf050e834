"""The slow search for damage on a running server: found, shown, logged; what is whole is served."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from rethinkdb import r
from rethinkdb.errors import ReqlError, ReqlOpFailedError

from rethought.catalog.model import LazyRule
from rethought.store.connection import connect
from rethought.store.group import NOT_BUILT
from rethought.store.options import DEFAULT_OPTIONS
from rethought.system.scrubbing import Scrubbing
from tests.store.test_group import flip
from tests.system.conftest import Machine, array, create, get, insert, system, table
from tests.waiting import PATIENCE_S
from tools.serverprocess import ServerProcess

OFTEN = ("--scrub-days", "0.000005", "--scrub-rate", "1000")
ROWS = 2_000


def page_of(path: Path, name: str) -> int:
    """A page in the middle of one of SQLite's trees."""
    connection = connect(path, None, vfs=DEFAULT_OPTIONS.vfs, cache_bytes=1 << 20)
    rows = connection.execute(
        "SELECT pageno FROM dbstat WHERE name=? AND pagetype='leaf' ORDER BY path", (name,)
    ).fetchall()
    connection.close()
    return int(str(rows[len(rows) // 2][0]))


@pytest.fixture
def damaged(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> Callable[..., ServerProcess]:
    """A server whose table `test.t`, or an index of it, has a damaged page."""

    def make(tree: str, *options: str) -> ServerProcess:
        first = start_server("--scrub-days", "0")
        with r.connect(port=first.port) as conn:
            r.table_create("t").run(conn)
            r.table_create("whole").run(conn)
            rows = [{"id": n, "n": n % 7, "pad": "x" * 200} for n in range(ROWS)]
            r.table("t").index_create("n").run(conn)
            r.table("t").insert(rows).run(conn)
            r.table("whole").insert(rows).run(conn)
        assert first.stop() == 0
        (path,) = [path for path in (tmp_path / "data").glob("*.db") if path.name != "system.db"]
        flip(path, (page_of(path, tree) - 1) * 4096 + 2_000)
        return start_server(*options)

    return make


def one(conn: Any, number: int) -> Any:
    """A field of a document, or why it cannot be read."""
    try:
        return r.table("t").get(number)["n"].run(conn)
    except ReqlError as error:
        return error.message


def issue(conn: Any) -> Any:
    """The first issue there is; waits for it."""
    feed = r.db("rethinkdb").table("current_issues").changes(include_initial=True).run(conn)
    found = feed.next(wait=PATIENCE_S)["new_val"]
    feed.close()
    return found


@pytest.mark.slow
def test_damage_is_found_shown_and_logged_and_the_rest_is_served(
    damaged: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = damaged("t_1", *OFTEN)
    with r.connect(port=server.port) as conn:
        found = issue(conn)
        assert (found["type"], found["critical"]) == ("damaged_file", True)
        assert found["info"]["db"] == "test"
        assert found["info"]["table"] == "t"
        assert found["info"]["file"].endswith(".db")
        assert "table `test.t`" in found["description"]
        read = [one(conn, number) for number in range(ROWS)]
        refused = [text for text in read if isinstance(text, str)]
        assert 0 < len(refused) < 40  # one page
        assert all("is damaged" in text for text in refused)
        assert all(n == number % 7 for number, n in enumerate(read) if not isinstance(n, str))
        assert r.table("whole").count().run(conn) == ROWS
        assert r.table("whole").filter(r.row["n"] >= 0).count().run(conn) == ROWS
        assert r.table("t").insert({"id": "new", "n": 1}).run(conn)["inserted"] == 1
        log = list(r.db("rethinkdb").table("logs").filter({"level": "error"}).run(conn))
        assert any("Damage in" in line["message"] for line in log)
        status = r.db("rethinkdb").table("stats").filter(lambda row: row["id"][0] == "server")
        (row,) = status.run(conn)
        assert row["scrub"]["read_bytes_total"] > 0
        assert set(row["scrub"]) == {"database", "progress", "finished", "read_bytes_total"}


@pytest.mark.slow
def test_damage_that_a_query_comes_upon_is_shown_without_a_search(
    damaged: Callable[..., ServerProcess],
) -> None:
    server = damaged("t_1", "--scrub-days", "0")
    with r.connect(port=server.port) as conn:
        issues = r.db("rethinkdb").table("current_issues")
        assert list(issues.run(conn)) == []
        with pytest.raises(ReqlError):
            r.table("t").map(r.row["n"]).sum().run(conn)
        (found,) = issues.run(conn)
        assert (found["info"]["db"], found["info"]["table"]) == ("test", "t")
        row = r.db("rethinkdb").table("stats").filter(lambda row: row["id"][0] == "server")
        assert "scrub" not in row.nth(0).run(conn)


@pytest.mark.slow
def test_a_damaged_index_is_named_and_made_whole_by_making_it_again(
    damaged: Callable[..., ServerProcess],
) -> None:
    server = damaged("i_3", *OFTEN)
    with r.connect(port=server.port) as conn:
        found = issue(conn)
        assert (found["info"]["table"], found["info"]["index"]) == ("t", "n")
        feed = r.db("rethinkdb").table("current_issues").changes().run(conn)
        r.table("t").index_drop("n").run(conn)
        r.table("t").index_create("n").run(conn)
        r.table("t").index_wait("n").run(conn)
        while any(r.db("rethinkdb").table("current_issues").run(conn)):
            feed.next(wait=PATIENCE_S)
        assert r.table("t").get_all(3, index="n").count().run(conn) == len(range(3, ROWS, 7))


@pytest.mark.slow
def test_an_index_over_damaged_rows_is_refused_and_an_issue(
    damaged: Callable[..., ServerProcess],
) -> None:
    server = damaged("t_1", "--scrub-days", "0")
    with r.connect(port=server.port) as conn:
        t = r.table("t")
        t.index_create("pad").run(conn)
        for _ in range(2):
            with pytest.raises(
                ReqlOpFailedError, match=r"Index `pad` on table `test\.t` cannot be built"
            ):
                t.index_wait("pad").run(conn)
        assert [found["ready"] for found in t.index_status("pad").run(conn)] == [False]
        places = [found["info"] for found in r.db("rethinkdb").table("current_issues").run(conn)]
        assert "pad" in {info.get("index") for info in places}
        t.index_drop("pad").run(conn)
        assert t.index_list().run(conn) == ["n"]


# ---- in this process


def test_an_index_that_was_given_up_is_built_when_the_damage_is_gone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(machine)
    damaged = [True]
    read = LazyRule._first_keys_of_chunk

    def reading(rule: LazyRule, chunk: bytes) -> list[list[bytes]]:
        if damaged:
            raise apsw.CorruptError
        return read(rule, chunk)

    monkeypatch.setattr(LazyRule, "_first_keys_of_chunk", reading)
    (made,) = machine.catalog.user_tables()
    machine.value(
        [75, [table("t"), "double", [69, [array(1), [24, [[170, [[10, [1]], "id"]], 1]]]]]]
    )
    for _ in range(2):
        assert "cannot be built" in machine.error([140, [table("t")]])
        assert list(made.group.damage.places.values()) == [NOT_BUILT]
        pass_over(machine, scrubbing(machine, lambda: 1_000.0))
    damaged.clear()
    pass_over(machine, scrubbing(machine, lambda: 1_000.0))
    assert all(status["ready"] for status in machine.value([140, [table("t")]]))
    assert machine.value([43, [[78, [table("t"), 7], {"index": "double"}]]]) == 1
    assert made.group.damage.places == {}


def filled(machine: Machine) -> Any:
    machine.value(create("t"))
    machine.value([75, [table("t"), "n"]])
    machine.value([140, [table("t")]])
    machine.value(insert(table("t"), array(*({"id": n, "n": n % 7} for n in range(200)))))
    return machine.catalog.user_databases()


def scrubbing(machine: Machine, now: Callable[[], float]) -> Scrubbing:
    return Scrubbing(
        machine.catalog, every_seconds=100.0, bytes_per_second=1e12, clock=now, chance=lambda: 0.0
    )


def pass_over(machine: Machine, search: Scrubbing) -> list[str]:
    """Looks through every file that is due; their databases."""
    looked = []

    async def look() -> None:
        while (due := search._due()) is not None:
            looked.append(due[0])
            await search._look_through(*due)
        await search.stop()

    machine.loop.run_until_complete(asyncio.wait_for(look(), PATIENCE_S))
    return looked


def test_each_file_is_due_once_in_a_while_and_that_is_remembered(machine: Machine) -> None:
    filled(machine)
    now = [1_000.0]
    search = scrubbing(machine, lambda: now[0])
    assert search.state().finished is None
    assert sorted(pass_over(machine, search)) == ["rethinkdb", "test"]
    assert search.state().finished == 1_000.0
    again = scrubbing(machine, lambda: now[0])
    for _, group in again._groups():
        again._remember(group)
    assert again._due() is None
    now[0] += 100
    assert sorted(pass_over(machine, again)) == ["rethinkdb", "test"]


def test_an_index_that_lost_an_entry_is_an_issue(machine: Machine) -> None:
    from rethought.system.reporting import Reporter

    filled(machine)
    Reporter(machine.catalog, machine.engine, free_bytes=lambda path: 1 << 40).fill(machine.node)
    group = machine.catalog.user_tables()[0].group
    group._writer.connection.execute("DELETE FROM i_2 WHERE r=1")
    pass_over(machine, scrubbing(machine, lambda: 1_000.0))
    (found,) = machine.value(system("current_issues"))
    assert found["info"]["index"] == "n"
    assert "lacks an entry" in found["info"]["message"]
    assert machine.value(get(table("t"), 5))["n"] == 5


def test_what_the_samples_found_is_still_known_when_they_find_it_again(machine: Machine) -> None:
    filled(machine)
    group = machine.catalog.user_tables()[0].group
    group._writer.connection.execute("DELETE FROM i_2 WHERE r=1")
    for _ in range(3):
        pass_over(machine, scrubbing(machine, lambda: 1_000.0))
        assert list(group.damage.places) == ["index 2"]


def test_what_was_found_is_known_after_a_restart(machine: Machine) -> None:
    filled(machine)
    group = machine.catalog.user_tables()[0].group
    group._writer.connection.execute("DELETE FROM i_2 WHERE r=1")
    pass_over(machine, scrubbing(machine, lambda: 1_000.0))
    group.damage.clear()
    again = scrubbing(machine, lambda: 1_001.0)
    again._remember(group)
    assert list(group.damage.places) == ["index 2"]


def test_what_is_damaged_no_more_is_forgotten(machine: Machine) -> None:
    filled(machine)
    group = machine.catalog.user_tables()[0].group
    group.damage.note("table 1", "was damaged")
    pass_over(machine, scrubbing(machine, lambda: 1_000.0))
    assert group.damage.places == {}


def test_a_database_that_is_dropped_meanwhile_does_not_end_the_search(machine: Machine) -> None:
    filled(machine)
    machine.catalog.create_database("other")
    dropped = machine.catalog.database("test")
    looked: list[str] = []

    def chance() -> float:  # asked when samples of an index are about to be taken
        if not dropped.dropped:
            machine.catalog.drop_database(dropped)
        return 0.5

    search = Scrubbing(
        machine.catalog,
        every_seconds=1.0,
        bytes_per_second=1e12,
        clock=lambda: 1_000.0,
        chance=chance,
    )

    async def look() -> None:
        while (due := search._due()) is not None:
            looked.append(due[0])
            await search._pass(*due)
        await search.stop()

    machine.loop.run_until_complete(asyncio.wait_for(look(), PATIENCE_S))
    assert looked.count("test") == 1
    assert sorted(looked) == ["other", "rethinkdb", "test"]
