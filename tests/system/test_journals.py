"""`journal_config` and `journal_status`: how much of a journal is kept, through ReQL."""

from typing import Any

import pytest

from tests.system.conftest import Machine, create, delete, get, insert, system, table, update

WRONG = "The change you're trying to make to `rethinkdb.journal_config` has the wrong format. "
BEGIN = {"retention_bytes": None, "retention_seconds": None}


@pytest.fixture
def db(machine: Machine) -> str:
    """The id of the database `test`."""
    return machine.catalog.database("test").id


def the(db: str, name: str = "journal_config") -> Any:
    return get(system(name), db)


def test_a_database_keeps_what_the_server_was_started_with(machine: Machine, db: str) -> None:
    assert machine.value(system("journal_config")) == [{"id": db, "db": "test", **BEGIN}]
    status = machine.value(the(db, "journal_status"))
    group = machine.catalog.database("test").group
    assert group is not None
    assert status.pop("oldest")["$reql_type$"] == "TIME"
    assert status == {
        "id": db,
        "db": "test",
        "bytes": group.journal_usage().bytes,
        "commits": group.seq,
        "first_commit": 1,
        "last_commit": group.seq,
        "retention_bytes": machine.options.journal_bytes,
        "retention_seconds": machine.options.journal_seconds,
    }


def test_what_is_set_counts_at_once_and_after_a_restart(machine: Machine, db: str) -> None:
    machine.value(create("t"))
    for id in range(20):
        machine.value(insert(table("t"), {"id": id}))
    assert machine.value(the(db, "journal_status"))["commits"] > 20
    result = machine.value(update(the(db), {"retention_seconds": 0, "retention_bytes": 1000}))
    assert result["replaced"] == 1
    machine.turn(9)
    status = machine.value(the(db, "journal_status"))
    assert status["commits"] < 5
    assert (status["retention_seconds"], status["retention_bytes"]) == (0, 1000)
    machine.close()
    again = Machine(machine.directory, machine.loop)
    status = again.value(the(db, "journal_status"))
    assert (status["retention_seconds"], status["retention_bytes"]) == (0, 1000)
    again.value(update(the(db), BEGIN))
    status = again.value(the(db, "journal_status"))
    assert status["retention_seconds"] == machine.options.journal_seconds
    again.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"retention_seconds": "x"},
            'In `retention_seconds`: Expected a number that is not negative, or null; got "x"',
        ),
        (
            {"retention_bytes": -1},
            "In `retention_bytes`: Expected a number that is not negative, or null; got -1",
        ),
        (
            {"retention_bytes": True},
            "In `retention_bytes`: Expected a number that is not negative, or null; got true",
        ),
        (
            {"retention_bytes": 1.5},
            f"In `retention_bytes`: Expected an integer of at most {1 << 50}.",
        ),
        (
            {"retention_bytes": 1e300},
            f"In `retention_bytes`: Expected an integer of at most {1 << 50}.",
        ),
        ({"db": "other"}, "The `db` field is read-only."),
        ({"days": 3}, "Unexpected key(s): days"),
    ],
)
def test_a_row_of_another_form_is_refused(
    machine: Machine, db: str, change: Any, message: str
) -> None:
    assert machine.value(update(the(db), change))["first_error"] == WRONG + message
    assert machine.value(the(db)) == {"id": db, "db": "test", **BEGIN}


def test_rows_come_and_go_with_their_databases(machine: Machine, db: str) -> None:
    result = machine.value(delete(the(db)))
    assert "illegal to delete rows" in result["first_error"]
    result = machine.value(insert(system("journal_config"), {"db": "new"}))
    assert "illegal to insert new rows" in result["first_error"]
    result = machine.value(update(the(db, "journal_status"), {"bytes": 0}))
    assert "illegal to write" in result["first_error"]


def test_a_feed_tells_of_another_retention(machine: Machine, db: str) -> None:
    told: list[Any] = []
    content = machine.catalog.system_table("journal_config")
    stop = content.subscribe(lambda key, old, new: told.append((key, old, new)))
    machine.value(update(the(db), {"retention_seconds": 60}))
    machine.turn()
    stop()
    row = {"id": db, "db": "test", **BEGIN}
    assert told == [(db, row, {**row, "retention_seconds": 60})]


def test_the_original_has_no_such_tables(machine: Machine) -> None:
    listed = machine.value([62, [[14, ["rethinkdb"]]]])
    assert "stats" in listed
    assert not any(name.startswith(("journal", "_debug")) for name in listed)
