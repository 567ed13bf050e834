"""`users` and `permissions`, GRANT, and what a user without rights can do."""

import json
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

BOB = get(system("users"), "bob")


@pytest.fixture
def bob(machine: Machine) -> str:
    machine.value(insert(system("users"), {"id": "bob", "password": "secret"}))
    return "bob"


def grant(user: str, permissions: Any, target: Any = None) -> list[Any]:
    return [188, [*([] if target is None else [target]), user, permissions]]


def test_a_user_row_only_says_whether_there_is_a_password(machine: Machine, bob: str) -> None:
    assert machine.value(BOB) == {"id": "bob", "password": True}
    assert machine.value(update(BOB, {"password": False}))["replaced"] == 1
    assert machine.value(BOB) == {"id": "bob", "password": False}
    assert machine.value(get(system("users"), "admin")) == {"id": "admin", "password": False}


def test_a_password_may_have_its_own_iterations(machine: Machine, bob: str) -> None:
    machine.value(update(BOB, {"password": {"password": "p", "iterations": 7}}))
    verifier = machine.catalog.users.verifier("bob")
    assert verifier is not None
    assert verifier.iterations == 7


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "x"}, "Expected a field named `password`."),
        (
            {"id": "x", "password": None},
            "Expected an object, string or boolean for `password`, got null.",
        ),
        (
            {"id": "x", "password": True},
            "Expected an object or string to set the password, or `false` to keep it unset, got "
            "true.",
        ),
        (
            {"id": "x", "password": {"password": "p"}},
            "Expected a field named `iterations`.",
        ),
        (
            {"id": "x", "password": {"password": "p", "iterations": 0}},
            "Expected `iterations` to be an integer greater than zero, got 0.",
        ),
        (
            {"id": "x", "password": {"password": 4, "iterations": 1}},
            "Expected `password` to be a string, got 4.",
        ),
        ({"id": "x", "password": "p", "z": 1}, "Unexpected key(s) `z`."),
        ({"id": 3, "password": "p"}, "Expected a username as the primary key, got 3."),
    ],
)
def test_a_wrong_user_row_is_refused(machine: Machine, row: Any, message: str) -> None:
    assert machine.first_error(insert(system("users"), row)) == message


@pytest.mark.parametrize("password", ["hunter2", {"password": "hunter2", "iterations": 2}])
@pytest.mark.parametrize("changes", [True, "always"])
def test_no_answer_to_a_write_shows_the_password(
    machine: Machine, password: Any, changes: Any
) -> None:
    row = {"id": "eve", "password": password}
    options = {"return_changes": changes}
    answers = [
        machine.value([56, [system("users"), row], options]),
        machine.value([56, [system("users"), row], options]),  # a duplicate
        machine.value([56, [system("users"), row], {**options, "conflict": "replace"}]),
        machine.value([56, [system("users"), row], {**options, "conflict": "error"}]),
        machine.value([53, [get(system("users"), "eve"), {"password": password}], options]),
        machine.value([55, [get(system("users"), "eve"), row], options]),
        machine.value([55, [get(system("users"), "eve"), {**row, "id": "x"}], options]),
        machine.value([55, [get(system("users"), "eve"), {**row, "z": 1}], options]),
        machine.value([53, [system("users"), {"password": password}], options]),
    ]
    assert "hunter2" not in json.dumps(answers)
    assert answers[0]["changes"] == [{"new_val": {"id": "eve", "password": True}, "old_val": None}]
    assert answers[1]["first_error"].startswith("Duplicate primary key `id`:")
    assert answers[6]["first_error"].startswith("Primary key `id` cannot be changed")
    assert machine.catalog.users.has_password("eve")


def test_an_answer_says_that_a_password_was_taken_away(machine: Machine, bob: str) -> None:
    for password in ("", {"password": "", "iterations": 1}, False):
        row = {"id": "bob", "password": password}
        found = machine.value([55, [BOB, row], {"return_changes": "always"}])
        assert found["changes"][0]["new_val"] == {"id": "bob", "password": False}


def test_admin_stays(machine: Machine) -> None:
    assert (
        machine.first_error(delete(get(system("users"), "admin")))
        == "The user `admin` can't be deleted."
    )


def test_deleting_a_user_takes_its_permissions(machine: Machine, bob: str) -> None:
    machine.value(grant(bob, {"read": True}))
    machine.value(delete(BOB))
    assert machine.catalog.permissions.settings == {}


def test_permissions_are_rows(machine: Machine, bob: str) -> None:
    row = machine.value(create("t"))["config_changes"][0]["new_val"]
    database = machine.catalog.database("test").id
    machine.value(grant(bob, {"read": True}))
    machine.value(grant(bob, {"write": False}, [14, ["test"]]))
    machine.value(grant(bob, {"config": True}, table("t")))
    mine = machine.value([39, [system("permissions"), {"user": "bob"}]])
    assert mine == [
        {"id": ["bob"], "user": "bob", "permissions": {"read": True}},
        {
            "id": ["bob", database],
            "user": "bob",
            "database": "test",
            "permissions": {"write": False},
        },
        {
            "id": ["bob", database, row["id"]],
            "user": "bob",
            "database": "test",
            "table": "t",
            "permissions": {"config": True},
        },
    ]


def test_writing_a_permissions_row_merges(machine: Machine, bob: str) -> None:
    key = array("bob")
    machine.value(
        insert(system("permissions"), {"id": key, "permissions": {"read": True, "write": True}})
    )
    mine = get(system("permissions"), key)
    machine.value(replace(mine, {"id": key, "user": "bob", "permissions": {"read": False}}))
    assert machine.value(mine)["permissions"] == {"read": False, "write": True}
    machine.value(update(mine, {"permissions": {"read": None, "write": None}}))
    assert machine.value(mine) is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"permissions": {}}, "You must specify a primary key."),
        ({"id": array("zz"), "permissions": {}}, "No user named `zz`."),
        (
            {"id": array("bob", "x"), "permissions": {}},
            'Expected a UUID as the database, got "x".',
        ),
        ({"id": array("bob")}, "Expected a field `permissions`."),
        ({"id": array("bob"), "permissions": {}, "zz": 1}, "Unexpected key(s) `zz`."),
        (
            {"id": array("bob"), "permissions": {}, "user": "x"},
            "The key `user` does not match the primary key.",
        ),
    ],
)
def test_a_wrong_permissions_row_is_refused(
    machine: Machine, bob: str, row: Any, message: str
) -> None:
    assert machine.first_error(insert(system("permissions"), row)) == message


def denied(permission: str) -> str:
    return f"User `bob` does not have the required `{permission}` permission."


def test_a_user_can_do_nothing_without_a_grant(machine: Machine, bob: str) -> None:
    machine.value(create("t"))
    assert machine.error(table("t"), bob) == denied("read")
    assert machine.error(create("u"), bob) == denied("config")
    assert machine.error([57, ["d"]], bob) == denied("config")
    assert machine.error(system("users"), bob) == denied("read")
    assert machine.value([59, []], bob) == ["rethinkdb", "test"]
    for query in ([62, [[14, ["test"]]]], [177, [[14, ["test"]]]], [175, [table("t")]]):
        assert machine.error(query, bob) == denied("read")
    machine.value(grant(bob, {"config": True}, table("t")))
    assert machine.value([62, [[14, ["test"]]]], bob) == ["t"]


def test_what_is_granted_is_allowed(machine: Machine, bob: str) -> None:
    machine.value(create("t"))
    machine.value(grant(bob, {"read": True}))
    assert machine.value(table("t"), bob) == []
    assert machine.error(insert(table("t"), {"id": 1}), bob) == denied("write")
    machine.value(grant(bob, {"write": True}, table("t")))
    assert machine.value(insert(table("t"), {"id": 1}), bob)["inserted"] == 1
    assert machine.error([75, [table("t"), "i"]], bob) == denied("config")
    machine.value(grant(bob, {"config": True}, table("t")))
    assert machine.value([75, [table("t"), "i"]], bob) == {"created": 1}


def test_dropping_a_database_needs_rights_on_all_its_tables(machine: Machine, bob: str) -> None:
    machine.value([57, ["d"]])
    machine.value([60, [[14, ["d"]], "t"]])
    machine.value(grant(bob, {"config": True}, [14, ["d"]]))
    machine.value(grant(bob, {"config": False, "read": True}, [15, [[14, ["d"]], "t"]]))
    assert machine.error([58, ["d"]], bob) == denied("config")


def test_changing_configuration_needs_the_row_and_the_target(machine: Machine, bob: str) -> None:
    machine.value(create("t"))
    machine.value(grant(bob, {"read": True, "write": True}, [14, ["rethinkdb"]]))
    row = get(system("table_config"), machine.catalog.database("test").tables["t"].id)
    response = machine.ask(update(row, {"name": "u"}), bob)
    assert denied("config") in str(response)
    machine.value(grant(bob, {"config": True, "read": True}, table("t")))
    assert machine.value(update(config(table("t")), {"name": "u"}), bob)["replaced"] == 1


def test_users_see_only_their_own_jobs(machine: Machine, bob: str) -> None:
    machine.value(grant(bob, {"read": True}, system("jobs")))
    (job,) = machine.value(system("jobs"), bob)
    assert job["info"]["user"] == "bob"
