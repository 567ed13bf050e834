"""What the running process tells about itself: its log, its counters, its issues, and all of it as metrics.

What always holds: looking costs some microseconds per table, whatever the size of the data; nothing is read from disk;
no secret and no document is in what is told. `server.py` makes a `Reporter` of the process's parts and puts it into the
`Node`; `web` asks it for metrics.
"""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from rethought import VERSION
from rethought import log as server_log
from rethought.store import Usage
from rethought.system.counting import Traffic
from rethought.system.damage import damage_issues
from rethought.system.lockouts import Guessing, lockout_issues
from rethought.system.node import Counters, Issue, LogEntry, Node, RunningQuery, ScrubState

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.exec.env import Env

SPACE_LOW_BYTES: Final = 256 << 20
"""Less free space than this on the disk is an issue before it is an error."""

Sample = tuple[dict[str, str], float]
Family = tuple[str, str, str, list[Sample]]
"""A metric: name, kind (`counter` or `gauge`), help, and its values by labels."""


class Connections(Protocol):
    """What is asked of the wire's listener."""

    @property
    def connections(self) -> list[Any]: ...

    def guessing(self) -> Iterable[Guessing]:
        """Who keeps failing to log in."""


class EngineCounts(Protocol):
    """What is asked of the engine."""

    queries: int
    running: set[Any]


class Reporter:
    """See the module. `listener` is None before the port is open."""

    def __init__(
        self,
        catalog: "Catalog",
        engine: EngineCounts,
        *,
        lockouts: Callable[[], list[Issue]] = list,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        log: server_log.Log = server_log.LOG,
    ) -> None:
        self.catalog = catalog
        self.engine = engine
        self.listener: Connections | None = None
        self._lockouts = lockouts
        self._free_bytes = free_bytes
        self._log = log
        self.traffic = Traffic(catalog)

    def fill(self, node: Node) -> None:
        """Gives the system tables what they ask of the process."""
        node.counters = self.counters
        node.traffic = self.traffic
        node.logs = self.logs
        node.issues = self.issues

    # ---- for the system tables

    def counters(self, asking: "Env | None" = None) -> Counters:
        """`asking` is the query that wants to know, if there is one: whoever asks is active."""
        listener = self.listener
        connections = [] if listener is None else listener.connections
        return Counters(
            queries=self.engine.queries,
            read_docs=self.traffic.read_in_all(),
            written_docs=self.traffic.written_in_all(),
            client_connections=len(connections),
            clients_active=sum(not connection.session.idle for connection in connections)
            + (
                asking is not None and all(query.env is not asking for query in self.engine.running)
            ),
        )

    def logs(self) -> list[LogEntry]:
        """Oldest first."""
        return [
            LogEntry(entry.time_ns, entry.uptime, entry.level, entry.full_message)
            for entry in tuple(self._log.recent)
        ]

    def issues(self) -> list[Issue]:
        found = [*self._write_issues(), *self._damage(), *self._lockouts(), *self._guessing()]
        found += self._log_issue()
        found += self._space_issue()
        return found

    def _write_issues(self) -> list[Issue]:
        groups = [("the system database", self.catalog.group)]
        groups += [
            (f"database `{database.name}`", database.group)
            for database in self.catalog.user_databases()
            if database.group is not None
        ]
        return [
            Issue(
                type="write_error",
                subject=str(group.path),
                critical=True,
                info={"file": group.path.name, "message": group.trouble},
                description=f"Writing to {name} fails: {group.trouble} Reads go on.",
            )
            for name, group in groups
            if group.trouble is not None
        ]

    def _guessing(self) -> list[Issue]:
        return [] if self.listener is None else lockout_issues(self.listener.guessing())

    def _damage(self) -> list[Issue]:
        found = damage_issues(self.catalog)
        found += [
            Issue(
                type="unknown_file",
                subject=id_,
                critical=False,
                info={"file": f"{id_}.db"},
                description=(
                    f"The file `{id_}.db` in the data directory belongs to no database. It is left "
                    "alone; remove it, or move it away, when you know what it is."
                ),
            )
            for id_ in self.catalog.unknown_files
        ]
        return found

    def _log_issue(self) -> list[Issue]:
        message = self._log.trouble
        if message is None:
            return []
        return [
            Issue(
                type="log_write_error",
                subject="log",
                critical=False,
                info={"message": message},
                description=f"The following error occurred while writing the log file: {message}",
            )
        ]

    def _space_issue(self) -> list[Issue]:
        directory = self.catalog.files.directory
        try:
            free = self._free_bytes(directory)
        except OSError:
            return []
        if free >= SPACE_LOW_BYTES:
            return []
        return [
            Issue(
                type="disk_space_low",
                subject="disk",
                critical=False,
                info={"free_bytes": free},
                description=(
                    f"Only {free >> 20} MB are free on the disk of the data directory. When there "
                    "is no space left, writes fail and reads go on."
                ),
            )
        ]

    # ---- for Prometheus

    def metrics(self, node: Node) -> list[Family]:
        """Everything that can be counted or measured, for `/metrics`."""
        counters = self.counters()
        identity = self.catalog.identity
        running: list[RunningQuery] = node.queries(None)
        now = node.clock()
        oldest = max((now - query.started for query in running), default=0.0)
        info = {"version": VERSION, "name": identity.name, "id": identity.id}
        return [
            _gauge("info", "Who this server is; always 1.", 1, info),
            _gauge("start_time_seconds", "When the process started.", node.started),
            _counter("queries_total", "Queries started.", counters.queries),
            _counter("read_documents_total", "Documents read from tables.", counters.read_docs),
            _counter(
                "written_documents_total", "Documents written to tables.", counters.written_docs
            ),
            _gauge("client_connections", "Open driver connections.", counters.client_connections),
            _gauge(
                "clients_active", "Connections with a query under way.", counters.clients_active
            ),
            _gauge("queries_running", "Queries under way, feeds included.", len(running)),
            _gauge("oldest_query_seconds", "Age of the oldest query under way.", max(0.0, oldest)),
            _gauge("cache_limit_bytes", "Memory set aside for pages.", node.cache_mb() * (1 << 20)),
            *self._issue_metrics(node),
            *_scrub_metrics(node.scrub()),
            *self._database_metrics(),
            *self._table_metrics(),
        ]

    def _issue_metrics(self, node: Node) -> list[Family]:
        counts: dict[tuple[str, str], int] = {}
        for issue in node.issues():
            key = (issue.type, "true" if issue.critical else "false")
            counts[key] = counts.get(key, 0) + 1
        samples: list[Sample] = [
            ({"type": type_, "critical": critical}, count)
            for (type_, critical), count in sorted(counts.items())
        ]
        return [("issues", "gauge", "Rows of current_issues.", samples)]

    def _database_metrics(self) -> list[Family]:
        usages: list[tuple[dict[str, str], Usage]] = [
            ({"database": database.name}, database.group.usage())
            for database in self.catalog.user_databases()
            if database.group is not None
        ]
        commits: list[Sample] = [
            ({"database": database.name}, database.group.seq)
            for database in self.catalog.user_databases()
            if database.group is not None
        ]
        damaged: list[Sample] = [
            ({"database": database.name}, len(database.group.damage.places))
            for database in self.catalog.user_databases()
            if database.group is not None
        ]
        return [
            ("commits", "gauge", "Number of the newest commit.", commits),
            *(
                (name, "gauge", help_, [(labels, float(usage[at])) for labels, usage in usages])
                for at, (name, help_) in enumerate(
                    (
                        ("file_bytes", "Size of the database's file."),
                        ("free_bytes", "Of that, free for new data."),
                        ("log_bytes", "Size of the write-ahead log."),
                        ("cache_bytes", "Pages of the database in memory."),
                        ("documents_bytes", "Documents of all its tables."),
                    )
                )
            ),
            ("damaged_places", "gauge", "Tables, indexes and other parts with damage.", damaged),
        ]

    def _table_metrics(self) -> list[Family]:
        documents: list[Sample] = []
        sizes: list[Sample] = []
        reads: list[Sample] = []
        writes: list[Sample] = []
        for table in self.catalog.user_tables():
            labels = {"database": table.db.name, "table": table.name}
            size = table.group.snapshot().size(table.number)
            documents.append((labels, size.documents))
            sizes.append((labels, size.bytes))
            reads.append((labels, table.reads))
            writes.append((labels, self.traffic.written(table)))
        return [
            ("table_documents", "gauge", "Documents in the table.", documents),
            ("table_bytes", "gauge", "Their size.", sizes),
            ("table_read_documents_total", "counter", "Documents read from it.", reads),
            ("table_written_documents_total", "counter", "Documents written to it.", writes),
        ]


def _scrub_metrics(state: ScrubState | None) -> list[Family]:
    if state is None:
        return []
    return [
        _gauge(
            "scrub_running", "1 while a file is searched for damage.", state.database is not None
        ),
        _gauge("scrub_progress", "How much of that file is done, 0 to 1.", state.progress),
        _gauge(
            "scrub_finished_seconds",
            "When the last pass over the file that has waited longest ended; 0: never.",
            state.finished or 0,
        ),
        _counter("scrub_read_bytes_total", "Bytes read in search of damage.", state.read_bytes),
    ]


def _gauge(name: str, help_: str, value: float, labels: dict[str, str] | None = None) -> Family:
    return name, "gauge", help_, [(labels or {}, value)]


def _counter(name: str, help_: str, value: float) -> Family:
    return name, "counter", help_, [({}, value)]
