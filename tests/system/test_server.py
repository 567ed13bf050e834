"""`server_config`, `server_status`, `cluster_config`, and the tables of activity."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rethought.system.node import Issue, LogEntry, Node, redacted
from rethought.system.stats import Stats
from tests.system.conftest import Machine, array, create, delete, get, insert, system, update

WRONG = "The row you're trying to put into `rethinkdb.server_config` has the wrong format. "


def me(machine: Machine) -> Any:
    return get(system("server_config"), machine.catalog.identity.id)


def test_the_server_describes_itself(machine: Machine) -> None:
    id_ = machine.catalog.identity.id
    assert machine.value(system("server_config")) == [
        {"id": id_, "name": "here", "tags": ["default"], "cache_size_mb": "auto"}
    ]
    (status,) = machine.value(system("server_status"))
    assert (status["id"], status["name"]) == (id_, "here")
    assert status["network"]["http_admin_port"] == "<no http admin>"
    assert status["network"]["connected_to"] == {}
    assert status["process"]["version"].startswith("rethinkdb 2.4.")
    assert status["process"]["time_started"]["$reql_type$"] == "TIME"


def test_secrets_of_the_command_line_are_not_shown() -> None:
    words = ("rethought", "serve", "--initial-password", "p1", "--initial-password=p2", "-d", "x")
    assert redacted(words) == (
        "rethought",
        "serve",
        "--initial-password",
        "***",
        "--initial-password=***",
        "-d",
        "x",
    )


def test_the_server_is_renamed_and_tagged(machine: Machine) -> None:
    change = {"name": "there", "tags": array("b", "a", "b"), "cache_size_mb": 0.5}
    assert machine.value(update(me(machine), change))["replaced"] == 1
    row = machine.value(me(machine))
    assert (row["name"], row["tags"], row["cache_size_mb"]) == ("there", ["a", "b"], 0.5)
    assert machine.catalog.identity.name == "there"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"tags": array("a b")},
            WRONG + 'In `tags`: "a b" is not a valid server tag; Use A-Z, a-z, 0-9, _ and - only',
        ),
        ({"tags": 3}, WRONG + "In `tags`: Expected an array, got 3"),
        (
            {"cache_size_mb": -1},
            WRONG + "In `cache_size_mb`: Cache size cannot be negative.",
        ),
        (
            {"cache_size_mb": "big"},
            WRONG + "In `cache_size_mb`: Expected a number or 'auto', got \"big\"",
        ),
    ],
)
def test_a_wrong_server_row_is_refused(
    machine: Machine, change: dict[str, Any], message: str
) -> None:
    assert machine.first_error(update(me(machine), change)) == message


def test_servers_are_neither_added_nor_removed_by_rows(machine: Machine) -> None:
    assert (
        machine.first_error(insert(system("server_config"), {"id": "x"}))
        == "It's illegal to insert new rows into the `rethinkdb.server_config` system table."
    )
    assert (
        machine.first_error(delete(me(machine)))
        == "It's illegal to delete rows from the `rethinkdb.server_config` system table."
    )


def test_the_heartbeat_is_at_least_two_seconds(machine: Machine) -> None:
    row = get(system("cluster_config"), "heartbeat")
    assert machine.value(row) == {"id": "heartbeat", "heartbeat_timeout_secs": 10}
    assert machine.value(update(row, {"heartbeat_timeout_secs": 2.5}))["replaced"] == 1
    assert machine.value(row)["heartbeat_timeout_secs"] == 2.5
    assert machine.first_error(update(row, {"heartbeat_timeout_secs": 1})).endswith(
        "The heartbeat timeout must be at least two seconds"
    )
    assert machine.value(get(system("cluster_config"), "auth")) is None


@pytest.mark.parametrize("name", ["server_status", "current_issues", "stats", "_debug_stats"])
def test_read_only_tables_refuse_rows(machine: Machine, name: str) -> None:
    assert (
        machine.first_error(insert(system(name), {"id": "x"}))
        == f"It's illegal to write to the `rethinkdb.{name}` table."
    )


def test_the_log_is_a_table(machine: Machine) -> None:
    machine.node.logs = lambda: [LogEntry(1_700_000_000_123_456_789, 1.5, "info", "hello")]
    id_ = machine.catalog.identity.id
    assert machine.value(system("logs")) == [
        {
            "id": ["2023-11-14T22:13:20.123456789", id_],
            "level": "info",
            "message": "hello",
            "server": "here",
            "timestamp": {
                "$reql_type$": "TIME",
                "epoch_time": 1_700_000_000.123,
                "timezone": "+00:00",
            },
            "uptime": 1.5,
        }
    ]
    assert (
        machine.first_error(insert(system("logs"), {"id": 1}))
        == "It's illegal to write to the `rethinkdb.logs` system table."
    )


def test_an_issue_keeps_its_id(machine: Machine) -> None:
    issue = Issue("log_write_error", "log", False, {"servers": ["here"]}, "The log cannot grow.")
    machine.node.issues = lambda: [issue]
    (first,) = machine.value(system("current_issues"))
    (second,) = machine.value(system("current_issues"))
    assert first == second
    assert first["type"] == "log_write_error"


def test_rates_are_of_the_last_seconds(machine: Machine) -> None:
    now = [0.0]
    started = [0]
    machine.node.clock = lambda: now[0]
    machine.node.queries_started = lambda: started[0]
    cluster = get(system("stats"), array("cluster"))
    for now[0], queries in ((2e9, 1_000), (2e9 + 1, 1_100), (2e9 + 1.5, 1_150)):
        started[0] = queries
        row = machine.value(cluster)
    assert row["query_engine"]["queries_per_sec"] == 100
    now[0], started[0] = 2e9 + 2, 1_300
    assert machine.value(cluster)["query_engine"]["queries_per_sec"] == 200


def test_written_documents_are_counted_by_table(machine: Machine) -> None:
    now = [1e9]
    machine.node.clock = lambda: now[0]
    id_ = machine.value(create("t"))["config_changes"][0]["new_val"]["id"]
    machine.value(system("stats"))
    now[0] = 3e9
    machine.value(system("stats"))
    machine.value(insert([15, ["t"]], array({"id": 1}, {"id": 2}, {"id": 3})))
    machine.value(delete(get([15, ["t"]], 1)))
    now[0] += 2
    row = machine.value(
        get(system("stats"), array("table_server", id_, machine.catalog.identity.id))
    )
    assert row["query_engine"]["written_docs_total"] == 4
    assert row["query_engine"]["written_docs_per_sec"] == 2


def test_jobs_contain_the_query_that_asks(machine: Machine) -> None:
    (job,) = machine.value(system("jobs"))
    assert job["type"] == "query"
    assert job["info"]["user"] == "admin"
    assert job["id"][0] == "query"
    assert (
        machine.first_error(insert(system("jobs"), {"id": array("query", "x")}))
        == "The `rethinkdb.jobs` system table only allows deletions, not inserts or updates."
    )


def test_the_scratch_table_keeps_rows_and_is_not_listed(machine: Machine) -> None:
    scratch = system("_debug_scratch")
    assert machine.value(insert(scratch, {"id": 1, "a": 1}))["inserted"] == 1
    assert machine.value(update(get(scratch, 1), {"a": 2}))["replaced"] == 1
    assert machine.value(scratch) == [{"id": 1, "a": 2}]
    assert machine.value(delete(get(scratch, 1)))["deleted"] == 1
    assert machine.value(scratch) == []
    names = machine.value([62, [[14, ["rethinkdb"]]]])
    assert "_debug_scratch" not in names
    assert len(names) == 12


def test_watching_tells_of_each_change_once(machine: Machine) -> None:
    heard: list[Any] = []
    stop = machine.catalog.system_table("db_config").subscribe(
        lambda key, old, new: heard.append((old and old["name"], new and new["name"]))
    )
    machine.value([57, ["d"]])
    machine.turn()
    machine.value(update([174, [[14, ["d"]]]], {"name": "e"}))
    machine.turn()
    machine.value([58, ["e"]])
    machine.turn()
    stop()
    machine.value([57, ["unheard"]])
    machine.turn()
    assert heard == [(None, "d"), ("d", "e"), ("e", None)]


def test_sampling_ends_with_the_catalog(machine: Machine) -> None:
    timers: list[Callable[[], None]] = []
    loop = SimpleNamespace(call_later=lambda _, sample: timers.append(sample))
    Stats(machine.catalog, Node(), cast(Any, loop))
    timers.pop()()
    assert len(timers) == 1  # the next second's
    machine.catalog.closed = True
    timers.pop()()
    assert not timers
