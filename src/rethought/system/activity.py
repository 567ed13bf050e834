"""`jobs`, `logs` and `current_issues`: what the server does and how it fares.

What always holds: everything is computed when somebody looks. Users who are not `admin`
see and end only their own queries.
"""

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid5

from rethought.catalog.model import TableHandle
from rethought.catalog.permissions import ADMIN
from rethought.datum.time import make_time
from rethought.errors import OpFailedError
from rethought.system.node import LogEntry, Node, RunningQuery
from rethought.system.table import Asking, Row, Write

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.exec.env import Env

UNSTOPPABLE: Final = ("backfill", "disk_compaction", "index_construction")
TERMINATED: Final = "Query terminated by the `rethinkdb.jobs` table."
ISSUE_NAMESPACE: Final = UUID("0b6f6a0c-8c59-4e2b-9f5e-6a1c1b3a7d42")
JOB_NAMESPACE: Final = UUID("5d3b3c1e-51f8-4c7a-8a53-0f4e7f0c2b9d")


class Jobs:
    """`jobs`."""

    def __init__(self, catalog: "Catalog", node: Node) -> None:
        self._catalog = catalog
        self._node = node

    def rows(self, asking: Asking) -> list[Row]:
        rows = []
        for query in self._queries(asking):
            rows.append(self._query(query, asking))
            if asking.env is not None:
                asking.env.tick()  # there may be very many feeds, and each text is printed
        if asking.user in (None, ADMIN):
            rows += self._builds(asking)
        return rows

    def row(self, key: Any, asking: Asking) -> Row | None:
        match key:
            case ["query", str(id_)]:
                found = (query for query in self._queries(asking) if query.id == id_)
                return next((self._query(query, asking) for query in found), None)
            case ["index_construction", str()] if asking.user in (None, ADMIN):
                return next((row for row in self._builds(asking) if row["id"] == key), None)
        return None

    def _queries(self, asking: Asking) -> list[RunningQuery]:
        """Those that whoever asks may see."""
        return [
            query
            for query in self._node.queries(asking.env)
            if asking.user in (None, ADMIN, query.user)
        ]

    def _query(self, query: RunningQuery, asking: Asking) -> Row:
        return {
            "id": ["query", query.id],
            "type": "query",
            "servers": [self._server(asking)],
            "duration_sec": max(0.0, self._node.clock() - query.started),
            "info": {
                "client_address": query.address,
                "client_port": query.port,
                "query": query.text(),
                "user": query.user,
            },
        }

    def _builds(self, asking: Asking) -> list[Row]:
        rows = []
        for table in self._catalog.user_tables():
            for index in table.indexes.values():
                if not table.group.index_ready(index.number):
                    rows.append(self._build(table, index, asking))
        return rows

    def _build(self, table: TableHandle, index: Any, asking: Asking) -> Row:
        id_ = uuid5(JOB_NAMESPACE, f"{table.id}/{index.number}")
        return {
            "id": ["index_construction", str(id_)],
            "type": "index_construction",
            "servers": [self._server(asking)],
            "duration_sec": table.group.index_seconds(index.number),
            "info": {
                "db": table.db.name if asking.by_name else table.db.id,
                "table": table.name if asking.by_name else table.id,
                "index": index.name,
                "progress": table.group.index_progress(index.number),
            },
        }

    def _server(self, asking: Asking) -> str:
        identity = self._catalog.identity
        return identity.name if asking.by_name else identity.id

    def write(self, env: "Env", asked: Write) -> None:
        match asked.key:
            case [str(kind), str()] if kind in UNSTOPPABLE:
                raise OpFailedError(f"Jobs of type `{kind}` cannot be interrupted.")
        if asked.old is not None:
            id_ = asked.old["id"][1]
            self._node.kill(id_, TERMINATED)
            self._catalog.changed("job", id_)


class Logs:
    """The rows of `logs`, newest first."""

    def __init__(self, catalog: "Catalog", node: Node) -> None:
        self._catalog = catalog
        self._node = node

    def rows(self, asking: Asking) -> list[Row]:
        identity = self._catalog.identity
        server = identity.name if asking.by_name else identity.id
        return [_log_row(entry, identity.id, server) for entry in reversed(self._node.logs())]


def _log_row(entry: LogEntry, id_: str, server: str) -> Row:
    return {
        "id": [nanosecond_text(entry.time_ns), id_],
        "level": entry.level,
        "message": entry.message,
        "server": server,
        "timestamp": make_time(round(entry.time_ns / 1e9, 3), "+00:00"),
        "uptime": entry.uptime_seconds,
    }


def nanosecond_text(time_ns: int) -> str:
    """`2026-11-22T07:02:15.570678159`."""
    from datetime import UTC, datetime

    seconds, fraction = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}"


class Issues:
    """The rows of `current_issues`."""

    def __init__(self, catalog: "Catalog", node: Node) -> None:
        self._catalog = catalog
        self._node = node

    def rows(self, asking: Asking) -> list[Row]:
        identity = self._catalog.identity
        here = {"servers": [identity.name if asking.by_name else identity.id]}
        return [
            {
                "id": str(uuid5(ISSUE_NAMESPACE, f"{issue.type}/{issue.subject}")),
                "type": issue.type,
                "critical": issue.critical,
                "info": {**issue.info, **here} if issue.here else issue.info,
                "description": issue.description,
            }
            for issue in self._node.issues()
        ]
