"""`table_config`, `db_config`, `table_status`: rows, accepted writes, refusals."""

from typing import Any

import pytest

from tests.system.conftest import (
    Machine,
    array,
    config,
    create,
    delete,
    get,
    insert,
    replace,
    system,
    table,
    update,
)

WRONG = "The change you're trying to make to `rethinkdb.table_config` has the wrong format. "


@pytest.fixture
def t1(machine: Machine) -> Any:
    """The row of a table `t1`."""
    return machine.value(create("t1"))["config_changes"][0]["new_val"]


def test_a_row_describes_its_table(machine: Machine, t1: Any) -> None:
    assert t1 == {
        "id": t1["id"],
        "name": "t1",
        "db": "test",
        "primary_key": "id",
        "shards": [{"primary_replica": "here", "replicas": ["here"], "nonvoting_replicas": []}],
        "indexes": [],
        "write_acks": "majority",
        "durability": "hard",
        "write_hook": None,
    }
    assert machine.value(system("table_config")) == [t1]
    assert machine.value(config(table("t1"))) == t1


def test_identifiers_are_names_or_ids(machine: Machine, t1: Any) -> None:
    row = machine.value(get(system("table_config", identifier_format="uuid"), t1["id"]))
    server = machine.catalog.identity.id
    assert row["db"] == machine.catalog.database("test").id
    assert row["shards"][0]["primary_replica"] == server
    status = machine.value(get(system("table_status", identifier_format="uuid"), t1["id"]))
    assert status["raft_leader"] == server


def test_a_table_is_renamed_and_configured_by_an_update(machine: Machine, t1: Any) -> None:
    result = machine.value(
        update(config(table("t1")), {"name": "t2", "durability": "soft", "write_acks": "single"})
    )
    assert result["replaced"] == 1
    row = machine.value(get(system("table_config"), t1["id"]))
    assert (row["name"], row["durability"], row["write_acks"]) == ("t2", "soft", "single")
    assert machine.value([62, []]) == ["t2"]


def test_writing_a_row_back_changes_nothing(machine: Machine, t1: Any) -> None:
    row = {
        **t1,
        "shards": array(
            t1["shards"][0] | {"replicas": array("here"), "nonvoting_replicas": array()}
        ),
        "indexes": array(),
    }
    result = machine.value(replace(get(system("table_config"), t1["id"]), row))
    assert result["unchanged"] == 1


def test_deleting_a_row_drops_the_table(machine: Machine, t1: Any) -> None:
    assert machine.value(delete(get(system("table_config"), t1["id"])))["deleted"] == 1
    assert machine.value([62, []]) == []


def test_inserting_a_row_creates_a_table(machine: Machine) -> None:
    result = machine.value(
        insert(system("table_config"), {"db": "test", "name": "made", "primary_key": "k"})
    )
    assert result["inserted"] == 1
    row = machine.value(config(table("made")))
    assert row["id"] == result["generated_keys"][0]
    assert row["primary_key"] == "k"


def test_a_table_moves_with_its_rows_when_its_database_is_changed(
    machine: Machine, t1: Any
) -> None:
    machine.value([57, ["other"]])
    machine.value([75, [table("t1"), "n"]])
    machine.value(insert(table("t1"), array(*({"id": at, "n": at % 3} for at in range(30)))))
    machine.value(update(config(table("t1")), {"db": "other"}))
    moved = [15, [[14, ["other"]], "t1"]]
    assert machine.value([43, [moved]]) == 30
    machine.value([140, [moved]])
    assert machine.value([43, [[78, [moved, 1], {"index": "n"}]]]) == 10
    assert machine.value([62, []]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"foo": 1}, WRONG + "Unexpected key(s): foo"),
        (
            {"durability": "x"},
            WRONG + 'In `durability`: Expected "soft" or "hard", got: "x"',
        ),
        (
            {"write_acks": 3},
            WRONG + 'In `write_acks`: Expected "single" or "majority", got: 3',
        ),
        (
            {"indexes": array("a")},
            WRONG + "The `indexes` field is read-only and can't be used to create or drop indexes.",
        ),
        (
            {"write_hook": 1},
            WRONG + "The `write_hook` field is read-only and can't be used to create or drop a "
            "write hook function.",
        ),
        ({"name": 2}, WRONG + "In `name`: Expected a table name; got 2"),
        (
            {"name": ""},
            WRONG + 'In `name`: "" is not a valid table name; Use A-Z, a-z, 0-9, _ and - only',
        ),
        ({"db": "nodb"}, WRONG + "Database `nodb` does not exist."),
        ({"db": "rethinkdb"}, WRONG + "Database `rethinkdb` does not exist."),
        ({"shards": array()}, WRONG + "In `shards`: You must specify at least one shard."),
        ({"shards": 1}, WRONG + "In `shards`: Expected an array, got 1"),
        (
            {"shards": array({"primary_replica": "here", "replicas": array()})},
            WRONG + "In `shards`: You must specify at least one replica for each shard.",
        ),
        (
            {"shards": array({"primary_replica": "zz", "replicas": array("zz")})},
            WRONG + "In `shards`: In `replicas`: Server `zz` does not exist or is not connected.",
        ),
        (
            {"shards": array({"primary_replica": "here", "replicas": array("here", "here")})},
            WRONG + "In `shards`: In `replicas`: Server `here` is listed more than once.",
        ),
        (
            {"shards": array({"replicas": array("here")})},
            WRONG + "In `shards`: Expected a field named `primary_replica`.",
        ),
        (
            {"shards": array({"primary_replica": None, "replicas": array("here")})},
            WRONG + "In `shards`: In `primary_replica`: Expected a server name; got null",
        ),
        (
            {
                "shards": array(
                    {
                        "primary_replica": "here",
                        "replicas": array("here"),
                        "nonvoting_replicas": array("here"),
                    }
                )
            },
            WRONG + "In `shards`: The primary replica (`here`) must not be a nonvoting replica.",
        ),
        ({"primary_key": "k"}, "It's illegal to change a table's primary key"),
    ],
)
def test_a_wrong_change_is_refused(
    machine: Machine, t1: Any, change: dict[str, Any], message: str
) -> None:
    assert machine.first_error(update(config(table("t1")), change)) == message
    assert machine.value(config(table("t1"))) == t1


def test_a_replace_must_carry_every_field(machine: Machine, t1: Any) -> None:
    row = {name: value for name, value in t1.items() if name not in ("shards", "indexes")}
    row["indexes"] = array()
    row["shards"] = array({"primary_replica": "here", "replicas": array("here")})
    del row["durability"]
    assert (
        machine.first_error(replace(config(table("t1")), row))
        == WRONG + "Expected a field named `durability`."
    )


def test_names_that_are_taken_are_refused(machine: Machine, t1: Any) -> None:
    machine.value(create("t2"))
    assert (
        machine.first_error(update(config(table("t1")), {"name": "t2"}))
        == "Can't rename table `test.t1` to `test.t2` because table `test.t2` already exists."
    )
    assert (
        machine.first_error(insert(system("table_config"), {"db": "test", "name": "t2"}))
        == "Table `test.t2` already exists."
    )


def test_a_new_table_gets_its_id_from_the_server(machine: Machine) -> None:
    message = machine.first_error(
        insert(system("table_config"), {"id": "mine", "db": "test", "name": "t"})
    )
    assert message.startswith("There is no existing table with the given ID.")


def test_databases_are_created_renamed_and_dropped_through_their_rows(machine: Machine) -> None:
    created = machine.value(insert(system("db_config"), {"name": "d"}))
    key = created["generated_keys"][0]
    assert machine.value(get(system("db_config"), key)) == {"id": key, "name": "d"}
    assert machine.value(update(config([14, ["d"]]), {"name": "e"}))["replaced"] == 1
    assert machine.value([59, []]) == ["e", "rethinkdb", "test"]
    assert machine.value(delete(config([14, ["e"]])))["deleted"] == 1
    assert machine.value([59, []]) == ["rethinkdb", "test"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"name": "test"}, "Database `test` already exists."),
        ({"name": "rethinkdb"}, "Database `rethinkdb` already exists."),
        (
            {"name": "d", "x": 1},
            "The change you're trying to make to `rethinkdb.db_config` has the wrong format. "
            "Unexpected key(s): x",
        ),
        (
            {},
            "The change you're trying to make to `rethinkdb.db_config` has the wrong format. "
            "Expected a field named `name`.",
        ),
        (
            {"name": "d 10"},
            "The change you're trying to make to `rethinkdb.db_config` has the wrong format. In "
            '`name`: "d 10" is not a valid db name; Use A-Z, a-z, 0-9, _ and - only',
        ),
        (
            {"name": "d", "id": "mine"},
            "If you want to create a new table by inserting into `rethinkdb.db_config`, you must "
            "use an auto-generated primary key.",
        ),
    ],
)
def test_a_wrong_database_row_is_refused(
    machine: Machine, row: dict[str, Any], message: str
) -> None:
    assert machine.first_error(insert(system("db_config"), row)) == message


def test_a_database_cannot_take_the_name_of_another(machine: Machine) -> None:
    machine.value([57, ["d"]])
    assert (
        machine.first_error(update(config([14, ["d"]]), {"name": "test"}))
        == "Cannot rename database `d` to `test` because database `test` already exists."
    )


def test_status_cannot_be_written(machine: Machine, t1: Any) -> None:
    assert (
        machine.first_error(update(get(system("table_status"), t1["id"]), {"name": "x"}))
        == "It's illegal to write to the `rethinkdb.table_status` table."
    )


def test_ranges_and_order_follow_the_primary_key(machine: Machine) -> None:
    for name in ("a", "b", "c"):
        machine.value(create(name))
    ids = sorted(row["id"] for row in machine.value(system("table_config")))
    between = [182, [system("table_config"), ids[1], [181, []]]]
    assert [row["id"] for row in machine.value([41, [between], {"index": "id"}])] == ids[1:]
    ordered = machine.value([41, [system("table_config")], {"index": [74, ["id"]]}])
    assert [row["id"] for row in ordered] == ids[::-1]
    assert (
        machine.error([78, [system("table_config"), 1], {"index": "x"}])
        == "Index `x` was not found on table `rethinkdb.table_config`."
    )


def test_the_catalog_cannot_be_changed_in_a_transaction(machine: Machine) -> None:
    assert "transaction" in machine.error(create("t"), transaction=True)
    assert machine.value([62, []]) == []
