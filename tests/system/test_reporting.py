"""What a process tells about itself: counters, log, issues, metrics."""

import asyncio
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rethought import log as server_log
from rethought.conversation import Reply
from rethought.system.metrics import metrics
from rethought.system.node import ScrubState
from rethought.system.reporting import Reporter
from rethought.system.swapping import Swapping, major_faults, swapped_bytes
from rethought.system.table import Asking
from tests.asking import ask
from tests.system.conftest import Machine, array, create, get, insert, system, table
from tests.waiting import PATIENCE_S

TOP = Path(__file__).parent.parent.parent


class Full(io.StringIO):
    """A file on a disk without space."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def log() -> Iterator[server_log.Log]:
    log = server_log.Log()
    log.console = None
    yield log
    log.close_file()


@pytest.fixture
def reporter(machine: Machine, log: server_log.Log) -> Reporter:
    reporter = Reporter(machine.catalog, machine.engine, free_bytes=lambda path: 1 << 40, log=log)
    reporter.fill(machine.node)
    return reporter


def filled(machine: Machine) -> None:
    machine.value(create("t"))
    machine.value(insert(table("t"), array(*({"id": n, "text": "x" * 100} for n in range(50)))))


def row(machine: Machine, *id_: str) -> dict[str, object]:
    found: dict[str, object] = machine.value(get(system("stats"), array(*id_)))
    return found


def test_reads_writes_and_queries_are_counted(machine: Machine, reporter: Reporter) -> None:
    filled(machine)
    queries, read = machine.node.queries_started(), reporter.traffic.read_in_all()
    machine.value(get(table("t"), 3))
    machine.value([39, [table("t"), {"text": "y"}]])
    assert machine.node.queries_started() == queries + 2
    assert reporter.traffic.read_in_all() == read + 51
    assert reporter.traffic.written_in_all() == 50


def test_a_table_shows_what_it_takes(machine: Machine, reporter: Reporter) -> None:
    filled(machine)
    machine.value([43, [[39, [table("t"), {"text": "y"}]]]])
    handle = machine.catalog.user_tables()[0]
    found = row(machine, "table_server", handle.id, machine.catalog.identity.id)
    storage = found["storage_engine"]
    assert isinstance(storage, dict)
    assert storage["cache"]["in_use_bytes"] > 0
    assert storage["disk"]["space_usage"]["data_bytes"] > 50 * 100
    engine = found["query_engine"]
    assert isinstance(engine, dict)
    assert engine["read_docs_total"] == 50
    assert engine["written_docs_total"] == 50


def test_the_log_is_a_table_with_the_query_of_an_entry(
    machine: Machine, reporter: Reporter, log: server_log.Log
) -> None:
    record = logging.LogRecord("rethought.x", logging.ERROR, "", 1, "first", (), None)
    log.emit(record)
    record = logging.LogRecord("rethought.x", logging.INFO, "", 1, "second", (), None)
    record.query = "q1"
    log.emit(record)
    rows = machine.value(system("logs"))
    assert [(each["level"], each["message"]) for each in rows] == [
        ("info", "[query q1] second"),
        ("error", "first"),
    ]


def test_a_log_that_cannot_be_written_is_an_issue_until_it_can(
    machine: Machine, reporter: Reporter, log: server_log.Log, tmp_path: Path
) -> None:
    log.file = Full()
    log.emit(logging.LogRecord("rethought.x", logging.ERROR, "", 1, "lost", (), None))
    (issue,) = machine.value(system("current_issues"))
    assert issue["type"] == "log_write_error"
    assert "No space left on device" in issue["info"]["message"]
    log.open_file(tmp_path / "log")
    log.emit(logging.LogRecord("rethought.x", logging.ERROR, "", 1, "kept", (), None))
    assert machine.value(system("current_issues")) == []


def test_too_little_space_is_an_issue(machine: Machine, log: server_log.Log) -> None:
    Reporter(machine.catalog, machine.engine, free_bytes=lambda path: 1, log=log).fill(machine.node)
    (issue,) = machine.value(system("current_issues"))
    assert (issue["type"], issue["critical"]) == ("disk_space_low", False)


def test_a_write_that_failed_is_an_issue(
    machine: Machine, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(machine)
    group = machine.catalog.user_tables()[0].group
    monkeypatch.setattr(type(group), "trouble", property(lambda self: "The disk is full."))
    types = {issue["type"] for issue in machine.value(system("current_issues"))}
    assert types == {"write_error"}


def test_a_file_that_belongs_to_nobody_is_an_issue(machine: Machine, reporter: Reporter) -> None:
    machine.catalog.unknown_files.append("stray")
    (issue,) = machine.value(system("current_issues"))
    assert (issue["type"], issue["info"]["file"]) == ("unknown_file", "stray.db")
    machine.catalog.unknown_files.clear()


def test_metrics_name_every_table(machine: Machine, reporter: Reporter) -> None:
    filled(machine)
    families = {name: samples for name, _, _, samples in metrics(reporter, machine.node)}
    assert families["table_documents"] == [({"database": "test", "table": "t"}, 50)]
    assert families["written_documents_total"] == [({}, 50)]
    assert [labels["database"] for labels, _ in families["file_bytes"]] == ["rethinkdb", "test"]
    assert all(size > 0 for _, size in families["file_bytes"])
    assert families["process_resident_bytes"][0][1] > 1 << 20
    assert families["disk_free_bytes"] == [({}, 1 << 40)]
    assert families["issues"] == []


def test_refused_logins_are_counted(machine: Machine, reporter: Reporter) -> None:
    for outcome in ("accepted", "wrong password", "wrong password"):
        machine.engine.login("bob", "10.0.0.1", outcome)
    families = {name: samples for name, _, _, samples in metrics(reporter, machine.node)}
    assert families["logins_total"] == [({}, 3)]
    assert families["logins_refused_total"] == [({}, 2)]


def test_every_metric_is_documented_and_named_as_prometheus_asks(
    machine: Machine, reporter: Reporter
) -> None:
    machine.node.scrub = lambda: ScrubState(None, 0.0, None, 0)
    families = metrics(reporter, machine.node)
    text = (TOP / "docs" / "operations.md").read_text()
    documented = re.findall(r"^\| `rethought_(\w+)` \| (gauge|counter) \| (.*) \|$", text, re.M)
    assert [(name, kind) for name, kind, _ in documented] == [
        (name, kind) for name, kind, _, _ in families
    ]
    assert [help_ for _, _, help_ in documented] == [help_ for _, _, help_, _ in families]
    assert {name for name, kind, _, _ in families if name.endswith("_total")} == {
        name for name, kind, _, _ in families if kind == "counter"
    }


def test_totals_do_not_shrink_when_tables_and_databases_are_dropped(
    machine: Machine, reporter: Reporter
) -> None:
    filled(machine)
    machine.value([43, [[39, [table("t"), {"text": "y"}]]]])
    traffic = reporter.traffic
    assert (traffic.read_in_all(), traffic.written_in_all()) == (50, 50)
    machine.value([61, ["t"]])
    assert traffic.read_in_all() == 50
    machine.value([58, ["test"]])
    assert (traffic.read_in_all(), traffic.written_in_all()) == (50, 50)


def test_the_disk_is_measured_and_shared_out_by_size(machine: Machine, reporter: Reporter) -> None:
    filled(machine)
    machine.value(create("small"))
    machine.value(insert(table("small"), {"id": 1}))
    server = machine.catalog.identity.id
    disks = {}
    for handle in machine.catalog.user_tables():
        found = row(machine, "table_server", handle.id, server)
        storage = found["storage_engine"]
        assert isinstance(storage, dict)
        disks[handle.name] = storage["disk"]
    assert disks["t"]["written_bytes_total"] > 50 * 100 > disks["small"]["written_bytes_total"]
    traffic = machine.catalog.user_tables()[0].group.traffic()
    total = sum(disk["written_bytes_total"] for disk in disks.values())
    assert traffic.written_bytes - 2 <= total <= traffic.written_bytes
    usage = machine.catalog.user_tables()[0].group.usage()
    space = sum(sum(disk["space_usage"].values()) for disk in disks.values())
    assert usage.file_bytes - 8 <= space <= usage.file_bytes


def test_a_lot_of_swapping_is_an_issue_until_it_is_ten_minutes_ago(
    machine: Machine, reporter: Reporter
) -> None:
    faults, swapped = [5_000], [1 << 20]
    reporter.swapping = Swapping(faults=lambda: faults[0], swapped=lambda: swapped[0])
    issues = system("current_issues")
    for now, count in ((0.0, 5_000), (300.0, 12_000), (600.0, 16_000)):
        assert machine.value(issues) == []
        faults[0] = count
        reporter.swapping.look(now)
    (issue,) = machine.value(issues)
    assert (issue["type"], issue["critical"]) == ("memory_error", False)
    assert issue["info"] == {"message": issue["description"], "servers": ["here"]}
    swapped[0] = 0
    assert machine.value(issues) == []
    swapped[0] = 1
    reporter.swapping.look(901.0)
    assert machine.value(issues) == []


def test_the_system_is_asked_for_faults_and_swap() -> None:
    assert major_faults() >= 0
    assert swapped_bytes() >= 0


def test_every_type_of_issue_is_documented() -> None:
    source = TOP / "src" / "rethought" / "system"
    types = {
        name
        for path in source.glob("*.py")
        for name in re.findall(r'^ +type="(\w+)",$', path.read_text(), re.MULTILINE)
    }
    text = (TOP / "docs" / "operations.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \| [^|]* \|$", text, re.MULTILINE))
    assert {"damaged_file", "write_error", "login_lockout"} <= types
    assert types <= documented


def test_many_tables_are_looked_at_in_turns(machine: Machine, reporter: Reporter) -> None:
    database = machine.catalog.database("test")
    for number in range(200):
        machine.catalog.create_table(database, f"t{number}")
    turns = []
    machine.engine.scheduler.slice_seconds = 0.0  # each table is a slice of its own
    client = machine.engine.client("admin", "127.0.0.1", 1)

    async def look() -> bytes:
        answered = machine.loop.create_future()
        body = b'[1,[43,[[15,[[14,["rethinkdb"]],"stats"]]]],{}]'
        reply = ask(machine.engine, client, body, answered.set_result)
        while not answered.done() and not isinstance(reply, Reply):
            turns.append(1)
            machine.catalog.drop_table(database.tables[f"t{len(turns)}"])
            await asyncio.sleep(0)
        found = reply if isinstance(reply, Reply) else answered.result()
        return bytes(found.body)

    body = machine.loop.run_until_complete(asyncio.wait_for(look(), PATIENCE_S))
    assert body.startswith(b'{"t":1')
    assert len(turns) > 50


def test_a_feed_of_stats_is_told_in_turns_what_a_query_reads(
    machine: Machine, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rethought.system import watch

    monkeypatch.setattr(watch, "TURN_SECONDS", 0.0)
    filled(machine)
    heard: list[object] = []
    stats = machine.catalog.system_table("stats")
    stop = stats.subscribe(lambda key, old, new: heard.append((key, new)))
    (looking,) = stats._watches.values()
    machine.value([39, [table("t"), {"text": "y"}]])
    machine.value([43, [[39, [table("t"), {"text": "y"}]]]])
    assert looking._loop is not None
    looking._gather(looking._loop, iter(list(stats.content.rows(Asking()))), {})
    assert heard == []  # the first row was one turn
    machine.turn(10)
    stop()
    keys = [key for key, _ in heard]  # type: ignore[misc]
    assert keys == sorted(keys)
    assert ["cluster"] in keys
