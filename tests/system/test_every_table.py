"""Every system table through the official driver: what all share, what each refuses, what feeds of each tell."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rethinkdb import RethinkDB
from rethinkdb.errors import (
    ReqlOpFailedError,
    ReqlOpIndeterminateError,
    ReqlQueryLogicError,
    ReqlTimeoutError,
)

from rethought.system.registry import IDS
from tests.system.conftest import Machine, system
from tests.waiting import PATIENCE_S, until
from tools.serverprocess import ServerProcess

r = RethinkDB()
SYSTEM = r.db("rethinkdb")
NAMES = sorted(IDS)
EMPTY = ("_debug_scratch", "current_issues")
RESTLESS = ("jobs", "stats", "_debug_stats")  # rows that differ from one look to the next


Run = Callable[[Any], Any]


def everything(cursor: Any) -> Any:
    return list(cursor) if hasattr(cursor, "close") else cursor


@pytest.fixture(scope="module")
def conn(shared_server: ServerProcess) -> Iterator[Any]:
    conn = RethinkDB().connect(port=shared_server.port, db="every_table")
    r.db_create("every_table").run(conn)
    r.table_create("t").run(conn)
    yield conn
    r.db_drop("every_table").run(conn)
    conn.close()


@pytest.fixture
def run(conn: Any) -> Run:
    return lambda query: everything(query.run(conn))


@pytest.fixture
def other(shared_server: ServerProcess) -> Iterator[Any]:
    conn = RethinkDB().connect(port=shared_server.port)
    yield conn
    conn.close()


# ---- what all share

SPECIAL = "Database `rethinkdb` is special; "
REFUSED: list[tuple[str, Callable[[Any], Any], str]] = [
    ("config", lambda t: t.config(), SPECIAL + "you can't configure the tables in it."),
    (
        "reconfigure",
        lambda t: t.reconfigure(shards=1, replicas=1),
        SPECIAL + "you can't configure the tables in it.",
    ),
    ("rebalance", lambda t: t.rebalance(), SPECIAL + "you can't rebalance the tables in it."),
    (
        "status",
        lambda t: t.status(),
        SPECIAL + "the system tables in it don't have meaningful status information.",
    ),
    (
        "wait",
        lambda t: t.wait(),
        SPECIAL + "the system tables in it are always available and don't need to be waited on.",
    ),
    ("sync", lambda t: t.sync(), "Artificial tables don't support `sync()`."),
    (
        "index_create",
        lambda t: t.index_create("x"),
        SPECIAL + "you can't create secondary indexes on the tables in it.",
    ),
    (
        "set_write_hook",
        lambda t: t.set_write_hook(lambda context, old, new: new),
        SPECIAL + "you can't set a write hook on the tables in it.",
    ),
    (
        "a feed of an order",
        lambda t: t.order_by(index="id").limit(1).changes(),
        "System tables don't support changefeeds on `.limit()`.",
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_terms_of_users_tables_are_refused(run: Run, name: str) -> None:
    for what, query, message in REFUSED:
        with pytest.raises(ReqlOpFailedError) as caught:
            run(query(SYSTEM.table(name)))
        assert caught.value.message == message, what


@pytest.mark.parametrize("name", NAMES)
def test_a_table_describes_itself(run: Run, name: str) -> None:
    info = run(SYSTEM.table(name).info())
    count = info.pop("doc_count_estimates")
    assert [type(each) for each in count] == [int]
    assert info == {
        "db": {
            "id": "b99b9572-8e53-5fef-9a2b-5e6aba3edf1c",
            "name": "rethinkdb",
            "type": "DB",
        },
        "id": IDS[name],
        "indexes": [],
        "name": name,
        "primary_key": "id",
        "type": "TABLE",
    }
    assert run(SYSTEM.table(name).index_list()) == []
    assert run(SYSTEM.table(name).index_status()) == []
    assert run(SYSTEM.table(name).get_write_hook()) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_read_by_its_key_only(run: Run, name: str) -> None:
    table = SYSTEM.table(name)
    for query in (table.get_all("x", index="i"), table.order_by(index="i")):
        with pytest.raises(ReqlOpFailedError) as caught:
            run(query)
        assert caught.value.message == f"Index `i` was not found on table `rethinkdb.{name}`."
    rows = run(table.order_by(index="id"))
    if name not in RESTLESS:
        assert [run(table.get(row["id"])) for row in rows] == rows
        assert run(table.get_all(*[row["id"] for row in rows]).order_by("id")) == rows
        assert run(table.between(r.minval, r.maxval).order_by(index=r.desc("id"))) == rows[::-1]
    assert run(table.get(["no", "such", "row"])) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_options_of_a_table_are_checked(run: Run, name: str) -> None:
    rows = run(SYSTEM.table(name, identifier_format="uuid", read_mode="majority").count())
    assert rows >= 0
    with pytest.raises(ReqlQueryLogicError) as caught:
        run(SYSTEM.table(name, identifier_format="foo"))
    assert caught.value.message == (
        'Identifier format `foo` unrecognized (options are "name" and "uuid").'
    )


# ---- writes that no row makes right


def never(name: str, noun: str = "table") -> str:
    return f"It's illegal to write to the `rethinkdb.{name}` {noun}."


READ_ONLY = {
    "table_status": never("table_status"),
    "server_status": never("server_status"),
    "current_issues": never("current_issues"),
    "stats": never("stats"),
    "logs": never("logs", "system table"),
    "_debug_stats": never("_debug_stats"),
    "_debug_table_status": never("table_status"),
}


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_read_only_table_refuses_every_write(run: Run, name: str) -> None:
    table = SYSTEM.table(name)
    writes = [
        table.insert({"id": "x"}),
        table.insert({}),
        table.get("x").replace({"id": "x"}),
        table.get("x").delete(),
    ]
    if name not in EMPTY:
        row = table.order_by(index="id").nth(0)["id"]
        writes += [
            table.get(row).update({"a": 1}),
            table.get(row).update({}),
            table.get(row).delete(),
        ]
    for write in writes:
        result = run(write)
        assert (result["errors"], result["first_error"]) == (1, READ_ONLY[name])


NO_INSERT = "It's illegal to insert new rows into the `rethinkdb.{}`"
NO_DELETE = "It's illegal to delete rows from the `rethinkdb.{}`"
ONLY_DELETIONS = "The `rethinkdb.jobs` system table only allows deletions, not inserts or updates."


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda s: s.table("server_config").insert({"id": "x"}), "server_config insert"),
        (lambda s: s.table("server_config").get("x").delete(), "server_config delete"),
        (lambda s: s.table("cluster_config").insert({"id": "x"}), "cluster_config insert"),
        (lambda s: s.table("cluster_config").get("heartbeat").delete(), "cluster_config delete"),
    ],
)
def test_servers_and_clusters_are_neither_added_nor_removed(
    run: Run, write: Callable[[Any], Any], message: str
) -> None:
    name, kind = message.split()
    noun = "system table" if name == "server_config" else "table"
    text = NO_INSERT if kind == "insert" else NO_DELETE
    assert run(write(SYSTEM))["first_error"] == f"{text.format(name)} {noun}."


@pytest.mark.parametrize(
    ("write", "outcome"),
    [
        (SYSTEM.table("jobs").insert({"id": ["query", "x"]}), ONLY_DELETIONS),
        (SYSTEM.table("jobs").update({"a": 1}), ONLY_DELETIONS),
        (SYSTEM.table("jobs").get(["query", "gone"]).delete(), "skipped"),
        (
            SYSTEM.table("jobs").get(["backfill", "gone"]).delete(),
            "Jobs of type `backfill` cannot be interrupted.",
        ),
        (SYSTEM.table("users").get("nobody").delete(), "User `nobody` not found."),
        (SYSTEM.table("permissions").get(["nobody"]).delete(), "No user named `nobody`."),
        (SYSTEM.table("table_config").get("gone").delete(), "skipped"),
        (
            SYSTEM.table("table_config").insert({"name": "x", "db": "test", "id": r.uuid()}),
            "you must let the database generate the primary key automatically.",
        ),
        (
            SYSTEM.table("db_config").insert({"name": "x", "id": r.uuid()}),
            "you must use an auto-generated primary key.",
        ),
        (SYSTEM.table("db_config").get("gone").delete(), "skipped"),
        (
            SYSTEM.table("server_config").update({"cache_size_mb": 1e18}),
            "The proposed cache size of 1000000000000000000 MB is larger than the maximum legal "
            "value for this platform (1125899906842624 MB). The configuration was not changed.",
        ),
    ],
)
def test_a_row_that_is_not_there_is_what_each_table_says(
    run: Run, write: Any, outcome: str
) -> None:
    result = run(write)
    if outcome == "skipped":
        assert (result["skipped"], result["errors"]) == (1, 0)
    else:
        assert result["first_error"].endswith(outcome)


def test_a_key_the_server_made_up_is_taken_whatever_is_said_of_conflicts(run: Run) -> None:
    table = SYSTEM.table("table_config")
    for conflict in ("error", "replace", "update"):
        row = {"name": "made", "db": "every_table"}
        assert run(table.insert(row, conflict=conflict))["inserted"] == 1
        assert run(table.filter(row).delete())["deleted"] == 1


# ---- feeds


def told(feed: Any, count: int, wait: float = PATIENCE_S) -> list[Any]:
    return [feed.next(wait=wait) for _ in range(count)]


@pytest.mark.parametrize("name", NAMES)
def test_a_feed_begins_with_the_rows_there_are(conn: Any, run: Run, name: str) -> None:
    rows = run(SYSTEM.table(name).order_by(index="id"))
    feed = SYSTEM.table(name).changes(include_initial=True, include_states=True).run(conn)
    assert feed.next(wait=PATIENCE_S) == {"state": "initializing"}
    initial = []
    while True:
        message = feed.next(wait=PATIENCE_S)
        if "state" in message:
            break
        initial.append(message["new_val"])
    assert message == {"state": "ready"}
    feed.close()
    if name not in RESTLESS:
        assert sorted(initial, key=lambda row: str(row["id"])) == sorted(
            rows, key=lambda row: str(row["id"])
        )
    else:
        assert initial


def other_database(conn: Any) -> None:
    r.db_create("every_other").run(conn)
    r.db_drop("every_other").run(conn)


def other_table(conn: Any) -> None:
    r.db("every_table").table_create("u").run(conn)
    r.db("every_table").table_drop("u").run(conn)


def other_user(conn: Any) -> None:
    SYSTEM.table("users").insert({"id": "every_user", "password": "x"}).run(conn)
    r.db("every_table").grant("every_user", {"read": True}).run(conn)
    SYSTEM.table("users").get("every_user").delete().run(conn)


def other_tags(conn: Any) -> None:
    SYSTEM.table("server_config").update({"tags": ["default", "x"]}).run(conn)
    SYSTEM.table("server_config").update({"tags": ["default"]}).run(conn)


def other_name(conn: Any) -> None:
    config = SYSTEM.table("server_config")
    name = config.nth(0)["name"].run(conn)
    config.update({"name": "every_name"}).run(conn)
    config.update({"name": name}).run(conn)


def other_heartbeat(conn: Any) -> None:
    SYSTEM.table("cluster_config").update({"heartbeat_timeout_secs": 12}).run(conn)
    SYSTEM.table("cluster_config").update({"heartbeat_timeout_secs": 10}).run(conn)


def other_scratch(conn: Any) -> None:
    SYSTEM.table("_debug_scratch").insert({"id": "every"}).run(conn)
    SYSTEM.table("_debug_scratch").get("every").delete().run(conn)


@pytest.mark.parametrize(
    ("name", "act", "field"),
    [
        ("db_config", other_database, "name"),
        ("table_config", other_table, "name"),
        ("table_status", other_table, "name"),
        ("_debug_table_status", other_table, "name"),
        ("users", other_user, "id"),
        ("permissions", other_user, "user"),
        ("server_config", other_tags, "tags"),
        ("server_status", other_name, "name"),
        ("cluster_config", other_heartbeat, "heartbeat_timeout_secs"),
        ("_debug_scratch", other_scratch, "id"),
    ],
)
def test_a_feed_tells_of_what_comes_and_goes(
    conn: Any, other: Any, name: str, act: Callable[[Any], None], field: str
) -> None:
    feed = SYSTEM.table(name).changes().run(conn)
    act(other)
    there, gone = told(feed, 2)
    feed.close()
    assert there["new_val"][field] is not None
    assert there["new_val"] == gone["old_val"]
    assert there["old_val"] == gone["new_val"]


def test_the_feed_of_a_configuration_follows_its_table(conn: Any, other: Any) -> None:
    feed = r.table("t").config().changes(include_initial=True).run(conn)
    r.db("every_table").table("t").config().update({"durability": "soft"}).run(other)
    r.db("every_table").table("t").config().update({"durability": "hard"}).run(other)
    assert [each["new_val"]["durability"] for each in told(feed, 3)] == ["hard", "soft", "hard"]
    feed.close()


def test_a_feed_of_rates_tells_each_second(conn: Any, other: Any) -> None:
    feed = SYSTEM.table("stats").get(["cluster"]).changes(include_initial=True).run(conn)
    first = feed.next(wait=PATIENCE_S)["new_val"]
    r.range(3).count().run(other)
    assert told(feed, 1)[0]["new_val"]["query_engine"] != first["query_engine"]
    feed.close()


# ---- joins


def test_system_tables_are_joined_like_others(run: Run) -> None:
    rows = run(
        SYSTEM.table("table_status", identifier_format="uuid")
        .filter({"name": "t"})
        .eq_join("raft_leader", SYSTEM.table("server_status"))
    )
    (server,) = run(SYSTEM.table("server_status"))
    assert [row["right"]["name"] for row in rows] == [server["name"]]
    ids = run(
        SYSTEM.table("table_config")
        .get_all(r.args(SYSTEM.table("table_status")["id"].coerce_to("array")))["id"]
        .coerce_to("array")
    )
    assert sorted(ids) == sorted(run(SYSTEM.table("table_config")["id"].coerce_to("array")))


def test_issues_and_stats_name_servers_in_the_form_asked_for(machine: Machine) -> None:
    from rethought.system.node import Issue

    machine.node.issues = lambda: [Issue("log_write_error", "log", False, {"message": "m"}, "d")]
    (named,) = machine.value(system("current_issues"))
    (numbered,) = machine.value(system("current_issues", identifier_format="uuid"))
    assert named["info"] == {"message": "m", "servers": ["here"]}
    assert numbered["info"]["servers"] == [machine.catalog.identity.id]
    assert named["id"] == numbered["id"]


# ---- logs


def test_the_log_comes_newest_first_and_can_be_turned(run: Run) -> None:
    rows = run(SYSTEM.table("logs")["id"].coerce_to("array"))
    assert len(rows) > 1
    assert rows == sorted(rows, reverse=True)
    assert run(SYSTEM.table("logs").order_by(index="id")["id"]) == rows[::-1]
    assert run(SYSTEM.table("logs").limit(1)["id"]) == rows[:1]


def test_a_feed_of_the_log_tells_of_new_lines_only(machine: Machine) -> None:
    from rethought.system.node import LogEntry

    lines = [LogEntry(number, 0.0, "info", str(number)) for number in range(5)]
    machine.node.logs = lambda: lines[-2:]
    heard: list[Any] = []
    log = machine.catalog.system_table("logs")
    stop = log.subscribe(lambda key, old, new: heard.append((old, new and new["message"])))
    lines.append(LogEntry(5, 0.0, "info", "5"))
    (watch,) = log._watches.values()
    watch.check()
    stop()
    assert heard == [(None, "5")]


# ---- jobs


def my_jobs(conn: Any, text: str) -> list[Any]:
    return [
        job
        for job in everything(SYSTEM.table("jobs").run(conn))
        if text in job["info"]["query"] and "jobs" not in job["info"]["query"]
    ]


def test_an_open_cursor_is_a_job_and_can_be_ended(conn: Any, other: Any) -> None:
    cursor = r.range(1, 100_000_001).run(conn)
    cursor.next()
    (job,) = my_jobs(other, "r.range(1, 100000001)")
    assert job["type"] == "query"
    assert job["info"]["user"] == "admin"
    assert job["duration_sec"] > 0
    assert SYSTEM.table("jobs").get(job["id"]).delete().run(other)["deleted"] == 1
    with pytest.raises(ReqlOpIndeterminateError) as caught:
        list(cursor)
    assert caught.value.message == "Query terminated by the `rethinkdb.jobs` table."
    assert my_jobs(other, "r.range(1, 100000001)") == []


@pytest.mark.parametrize(
    ("feed", "text"),
    [
        (r.db("every_table").table("t").changes(), '.table("t").changes()'),
        (r.db("every_table").table("t").get(1).changes(), ".get(1).changes()"),
        (r.db("every_table").table("t").changes()["new_val"], '.changes()("new_val")'),
    ],
)
def test_a_feed_is_a_job_and_ends_at_once_when_it_is_deleted(
    conn: Any, other: Any, feed: Any, text: str
) -> None:
    cursor = feed.run(conn)
    with pytest.raises(ReqlTimeoutError):
        cursor.next(wait=False)
    (job,) = my_jobs(other, text)
    assert SYSTEM.table("jobs").get(job["id"]).delete().run(other)["deleted"] == 1
    with pytest.raises(ReqlOpIndeterminateError):
        cursor.next(wait=PATIENCE_S)
    assert my_jobs(other, text) == []


def test_a_cursor_that_was_read_or_closed_is_no_job(conn: Any, other: Any) -> None:
    whole = r.range(100_002).run(conn)
    list(whole)
    begun = r.range(100_002).run(conn)
    begun.next()
    begun.close()  # without waiting for an answer
    until(lambda: my_jobs(other, "r.range(100002)") == [])


def test_whoever_asks_is_active(run: Run) -> None:
    engine = run(SYSTEM.table("stats").get(["cluster"]))["query_engine"]
    assert engine["client_connections"] >= engine["clients_active"] >= 1
