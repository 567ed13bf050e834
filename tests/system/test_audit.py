"""The audit log names who did what, and holds neither documents nor passwords."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rethought.system.audit import Audit
from tests.system.conftest import (
    Machine,
    config,
    create,
    delete,
    get,
    insert,
    system,
    table,
    update,
)

BOB = get(system("users"), "bob")


class Log:
    """What is told, without the numbers and seals of the lines."""

    def __init__(self, machine: Machine, path: Path, *, data: bool) -> None:
        self.path = path
        self.taken = 1  # the first line says that a file began
        machine.engine.keep_audit(Audit(path, machine.catalog, data=data, clock=lambda: 0.0))

    def take(self) -> list[dict[str, Any]]:
        lines = self.path.read_text().splitlines()[self.taken :]
        self.taken += len(lines)
        entries = [json.loads(line) for line in lines]
        return [
            {name: entry[name] for name in entry if name not in ("number", "hash")}
            for entry in entries
        ]


@pytest.fixture
def log(machine: Machine, tmp_path: Path) -> Log:
    return Log(machine, tmp_path / "audit", data=False)


def test_administration_is_told_with_who_did_it(machine: Machine, log: Log) -> None:
    machine.value(create("t"))
    machine.value([75, [table("t"), "i"]])
    machine.value([57, ["d"]])
    machine.value(update(config(table("t")), {"name": "u"}))
    machine.value([61, ["u"]])
    machine.value([58, ["d"]])
    admin = {"time": "1970-01-01T00:00:00.000+00:00", "user": "admin", "address": "127.0.0.1"}
    assert log.take() == [
        {**admin, "event": "table_created", "database": "test", "table": "t"},
        {**admin, "event": "indexes_changed", "database": "test", "table": "t", "indexes": ["i"]},
        {**admin, "event": "database_created", "database": "d"},
        {**admin, "event": "table_changed", "database": "test", "table": "u"},
        {**admin, "event": "table_dropped", "database": "test", "table": "u"},
        {**admin, "event": "database_dropped", "database": "d"},
    ]


def test_users_and_grants_are_told_without_passwords(machine: Machine, log: Log) -> None:
    machine.value(insert(system("users"), {"id": "bob", "password": "hidden"}))
    machine.value(create("t"))
    machine.value([188, [table("t"), "bob", {"read": True}]])
    machine.value(delete(BOB))
    text = log.path.read_text()
    assert "hidden" not in text
    events = [
        {name: entry[name] for name in entry if name not in ("time", "user", "address")}
        for entry in log.take()
    ]
    assert events[0] == {"event": "user_changed", "subject": "bob"}
    assert events[2] == {
        "event": "permissions_changed",
        "grantee": "bob",
        "database": "test",
        "table": "t",
        "permissions": {"read": True},
        "rules": [],
    }
    assert {"event": "user_dropped", "subject": "bob"} in events


def test_what_a_user_is_refused_is_no_change(machine: Machine, log: Log) -> None:
    machine.value(insert(system("users"), {"id": "bob", "password": False}))
    log.take()
    assert "permission" in machine.error(create("t"), "bob")
    assert log.take() == []


def test_a_change_without_a_query_has_nobody_behind_it(machine: Machine, log: Log) -> None:
    machine.value(create("t"))
    log.take()
    machine.catalog.create_database("own")
    assert [entry["user"] for entry in log.take()] == [None]


def test_logins_are_told(machine: Machine, log: Log) -> None:
    machine.engine.login("bob", "10.0.0.1", "wrong password")
    (entry,) = log.take()
    assert (entry["event"], entry["outcome"]) == ("login", "wrong password")


def test_data_access_is_told_only_when_asked_for(
    machine: Machine, log: Log, tmp_path: Path
) -> None:
    machine.value(create("t"))
    log.take()
    machine.value(insert(table("t"), {"id": 1, "secret": "hidden"}))
    assert log.take() == []
    every = Log(machine, tmp_path / "data", data=True)
    machine.value(insert(table("t"), {"id": 2, "secret": "hidden"}))
    machine.value([43, [table("t")]])
    machine.value(update(table("t"), {"x": 1}))
    assert "hidden" not in every.path.read_text()
    kinds = [(entry["event"], entry["table"], entry["user"]) for entry in every.take()]
    assert kinds == [(kind, "t", "admin") for kind in ("write", "read", "read", "write")]


def test_the_file_is_for_its_owner_only_and_queries_go_on_without_it(
    machine: Machine, log: Log
) -> None:
    assert log.path.stat().st_mode & 0o777 == 0o600
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, machine.engine.audit._file)
    os.close(full)
    assert machine.value(create("t"))["tables_created"] == 1
