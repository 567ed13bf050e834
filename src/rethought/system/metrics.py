"""Everything about the process that can be counted or measured, for `/metrics`.

What always holds: the tables below are the whole list of metrics, and `docs/operations.md` has a line for each; what
ends in `_total` never shrinks while the process lives; a label is a database's, a table's or an issue's name, never
anything a client made up. Looking costs some microseconds per table. `server.py` hands it to `web`.
"""

import os
from collections.abc import Callable, Iterator
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rethought import VERSION
from rethought.catalog.model import SYSTEM_DATABASE
from rethought.system.node import Node

if TYPE_CHECKING:
    from rethought.catalog import TableHandle
    from rethought.store import Group
    from rethought.system.reporting import Reporter

Sample = tuple[dict[str, str], float]
Family = tuple[str, str, str, list[Sample]]
"""A metric: name, kind (`counter` or `gauge`), help, and its values by labels."""

GAUGE: Final = "gauge"
COUNTER: Final = "counter"


class Metric(NamedTuple):
    """`value` is asked with what the table below is about."""

    name: str
    kind: str
    help: str
    value: Callable[[Any], float]


class Server(NamedTuple):
    """What metrics of the server are made of."""

    reporter: "Reporter"
    node: Node


def _oldest(server: Server) -> float:
    started = [query.started for query in server.reporter.engine.running]
    return perf_counter() - min(started) if started else 0.0


SERVER: Final = (
    Metric(
        "start_time_seconds",
        GAUGE,
        "When the process started, seconds since 1970.",
        lambda server: server.node.started,
    ),
    Metric(
        "queries_total", COUNTER, "Queries started.", lambda server: server.reporter.engine.queries
    ),
    Metric(
        "queries_running",
        GAUGE,
        "Queries under way; open cursors and feeds do not count.",
        lambda server: len(server.reporter.engine.running),
    ),
    Metric(
        "cursors_open",
        GAUGE,
        "Open cursors and feeds.",
        lambda server: len(server.reporter.engine.cursors),
    ),
    Metric(
        "oldest_query_seconds",
        GAUGE,
        "Age of the oldest of the queries under way.",
        _oldest,
    ),
    Metric("plans", GAUGE, "Plans of queries kept.", lambda s: s.reporter.engine.plans.size),
    Metric(
        "logins_total", COUNTER, "Attempts to log in.", lambda server: server.reporter.engine.logins
    ),
    Metric(
        "logins_refused_total",
        COUNTER,
        "Of those, the refused ones.",
        lambda server: server.reporter.engine.logins_refused,
    ),
    Metric(
        "tls_failures_total",
        COUNTER,
        "Handshakes of TLS on the driver port that failed.",
        lambda server: server.reporter.tls_failures,
    ),
    Metric(
        "read_documents_total",
        COUNTER,
        "Documents read from tables.",
        lambda server: server.reporter.traffic.read_in_all(),
    ),
    Metric(
        "written_documents_total",
        COUNTER,
        "Documents written to tables.",
        lambda server: server.reporter.traffic.written_in_all(),
    ),
    Metric(
        "client_connections",
        GAUGE,
        "Open driver connections.",
        lambda server: server.reporter.clients().client_connections,
    ),
    Metric(
        "clients_active",
        GAUGE,
        "Of those, with a query under way.",
        lambda server: server.reporter.clients().clients_active,
    ),
    Metric(
        "cache_limit_bytes",
        GAUGE,
        "Memory set aside for pages.",
        lambda server: server.node.cache_mb() * (1 << 20),
    ),
    Metric(
        "disk_free_bytes",
        GAUGE,
        "Free space on the disk of the data directory; -1 when it cannot be told.",
        lambda server: server.reporter.free_bytes(),
    ),
    Metric(
        "process_cpu_seconds_total",
        COUNTER,
        "Processor time of the process.",
        lambda server: process_time(),
    ),
    Metric(
        "process_resident_bytes", GAUGE, "Memory of the process.", lambda server: resident_bytes()
    ),
    Metric(
        "process_open_files",
        GAUGE,
        "Open files of the process, connections included.",
        lambda server: open_files(),
    ),
)

SCRUB: Final = (
    Metric(
        "scrub_running",
        GAUGE,
        "1 while a file is searched for damage.",
        lambda state: state.database is not None,
    ),
    Metric(
        "scrub_progress",
        GAUGE,
        "How much of that file is done, 0 to 1.",
        lambda state: state.progress,
    ),
    Metric(
        "scrub_finished_seconds",
        GAUGE,
        "When the file that has waited longest was last looked through; 0: never.",
        lambda state: state.finished or 0,
    ),
    Metric(
        "scrub_read_bytes_total",
        COUNTER,
        "Bytes read in search of damage.",
        lambda state: state.read_bytes,
    ),
)

DATABASE: Final = (
    Metric("commits", GAUGE, "Number of the newest commit.", lambda group: group.seq),
    Metric("file_bytes", GAUGE, "Size of the database's file.", lambda g: g.usage().file_bytes),
    Metric("free_bytes", GAUGE, "Of that, free for new data.", lambda g: g.usage().free_bytes),
    Metric("log_bytes", GAUGE, "Size of the write-ahead log.", lambda g: g.usage().log_bytes),
    Metric(
        "cache_bytes", GAUGE, "Pages of the database in memory.", lambda g: g.usage().cache_bytes
    ),
    Metric(
        "documents_bytes",
        GAUGE,
        "Documents of all its tables.",
        lambda group: group.usage().documents_bytes,
    ),
    Metric(
        "journal_commits", GAUGE, "Commits the journal holds.", lambda g: g.journal_usage().commits
    ),
    Metric("journal_bytes", GAUGE, "Their size.", lambda group: group.journal_usage().bytes),
    Metric(
        "disk_read_bytes_total",
        COUNTER,
        "Pages fetched from the file.",
        lambda group: group.traffic().read_bytes,
    ),
    Metric(
        "disk_written_bytes_total",
        COUNTER,
        "Pages written to the log and to the file.",
        lambda group: group.traffic().written_bytes,
    ),
    Metric(
        "write_failing",
        GAUGE,
        "1 after a write that failed, until one succeeds.",
        lambda group: group.trouble is not None,
    ),
    Metric(
        "damaged_places",
        GAUGE,
        "Tables, indexes and other parts with damage.",
        lambda group: len(group.damage.places),
    ),
)

TABLE: Final = (
    Metric("table_documents", GAUGE, "Documents in the table.", lambda at: at[1].documents),
    Metric("table_bytes", GAUGE, "Their size.", lambda at: at[1].bytes),
    Metric(
        "table_read_documents_total", COUNTER, "Documents read from it.", lambda at: at[0].reads
    ),
    Metric("table_written_documents_total", COUNTER, "Documents written to it.", lambda at: at[2]),
)


def metrics(reporter: "Reporter", node: Node) -> list[Family]:
    """Every metric with its values of now."""
    identity = reporter.catalog.identity
    info = {"version": VERSION, "name": identity.name, "id": identity.id}
    found: list[Family] = [("info", GAUGE, "Who this server is; always 1.", [(info, 1)])]
    found += _families(SERVER, [({}, Server(reporter, node))])
    state = node.scrub()
    if state is not None:
        found += _families(SCRUB, [({}, state)])
    found.append(_issues(node))
    found += _families(DATABASE, [({"database": name}, group) for name, group in groups(reporter)])
    found += _families(
        TABLE, [(_labels(table), _seen(reporter, table)) for table in tables(reporter)]
    )
    return found


def _families(
    listed: tuple[Metric, ...], subjects: list[tuple[dict[str, str], Any]]
) -> list[Family]:
    return [
        (each.name, each.kind, each.help, [(labels, each.value(what)) for labels, what in subjects])
        for each in listed
    ]


def _issues(node: Node) -> Family:
    counts: dict[tuple[str, str], int] = {}
    for issue in node.issues():
        key = (issue.type, "true" if issue.critical else "false")
        counts[key] = counts.get(key, 0) + 1
    samples: list[Sample] = [
        ({"type": type_, "critical": critical}, count)
        for (type_, critical), count in sorted(counts.items())
    ]
    return "issues", GAUGE, "Rows of current_issues.", samples


def groups(reporter: "Reporter") -> Iterator[tuple[str, "Group"]]:
    """Every file, with the name of its database."""
    yield SYSTEM_DATABASE, reporter.catalog.group
    for database in reporter.catalog.user_databases():
        if database.group is not None:
            yield database.name, database.group


def tables(reporter: "Reporter") -> list["TableHandle"]:
    return reporter.catalog.user_tables()


def _labels(table: "TableHandle") -> dict[str, str]:
    return {"database": table.db.name, "table": table.name}


def _seen(reporter: "Reporter", table: "TableHandle") -> tuple[Any, Any, int]:
    size = table.group.snapshot().size(table.number)
    return table, size, reporter.traffic.written(table)


def resident_bytes() -> int:
    """0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
