"""`stats`: rates and totals of the server and of each table.

What always holds: everything is computed when somebody looks, but for one sample of the totals each second, from which
rates are made: the first look tells the rate of now, too. A file holds all tables of a database, so what a table takes
of it beyond its documents (indexes, journal, free pages, the reading and writing of pages) and of the cache is its
part by size.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from rethought.catalog.model import Database, TableHandle
from rethought.datum.time import make_time
from rethought.store import Traffic as DiskTraffic
from rethought.store import Usage
from rethought.system.counting import RATE_SECONDS, Samples, Traffic
from rethought.system.node import Node
from rethought.system.table import Asking, Row

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from rethought.catalog import Catalog


class Seen(NamedTuple):
    """Totals at one moment. `tables` are documents read and written, `disks` bytes."""

    queries: int
    read_docs: int
    written_docs: int
    tables: dict[TableHandle, tuple[int, int]]
    disks: dict[Database, DiskTraffic]


NO_DOCUMENTS: Final = (0, 0)
NO_BYTES: Final = DiskTraffic(0, 0)


class Stats:
    """The rows of `stats`. With a loop, totals are sampled each second; without, whenever somebody looks."""

    def __init__(
        self, catalog: "Catalog", node: Node, loop: "AbstractEventLoop | None" = None
    ) -> None:
        self._catalog = catalog
        self._node = node
        self._traffic = node.traffic or Traffic(catalog)
        self._loop = loop
        self._samples = Samples(node.clock(), self._look())
        if loop is not None:
            loop.call_later(RATE_SECONDS, self._sample)

    def _sample(self) -> None:
        if self._catalog.closed:
            return
        self._samples.take(self._node.clock(), self._look())
        assert self._loop is not None
        self._loop.call_later(RATE_SECONDS, self._sample)

    def _look(self) -> Seen:
        traffic = self._traffic
        return Seen(
            self._node.queries_started(),
            traffic.read_in_all(),
            traffic.written_in_all(),
            traffic.by_table(),
            {
                database: database.group.traffic()
                for database in self._catalog.databases.values()
                if database.group is not None
            },
        )

    def rows(self, asking: Asking) -> Iterator[Row]:
        now = self._node.clock()
        seen = self._look()
        spent, before = self._samples.before(now)
        self._samples.take(now, seen)
        yield from self._server_rows(seen, before, spent, asking)
        usages: dict[Database, Usage] = {}
        for table in self._catalog.user_tables():
            if table.dropped:  # meanwhile: others have their turn while there are many tables
                continue
            if table.db not in usages:
                usages[table.db] = table.group.usage()
            yield from self._table_rows(table, seen, before, spent, usages[table.db], asking)
            if asking.env is not None:
                asking.env.tick()

    def _server_rows(self, seen: Seen, before: Seen, spent: float, asking: Asking) -> Iterator[Row]:
        identity = self._catalog.identity
        clients = self._node.clients(asking.env)
        totals = {
            "queries": (seen.queries, before.queries),
            "read_docs": (seen.read_docs, before.read_docs),
            "written_docs": (seen.written_docs, before.written_docs),
        }
        engine: Row = {
            "client_connections": clients.client_connections,
            "clients_active": clients.clients_active,
            **{f"{name}_per_sec": (now - was) / spent for name, (now, was) in totals.items()},
        }
        yield {"id": ["cluster"], "query_engine": engine}
        yield {
            "id": ["server", identity.id],
            "server": identity.name if asking.by_name else identity.id,
            "query_engine": {
                **engine,
                **{f"{name}_total": now for name, (now, _) in totals.items()},
            },
            **_scrub_field(self._node),
        }

    def _table_rows(
        self,
        table: TableHandle,
        seen: Seen,
        before: Seen,
        spent: float,
        usage: Usage,
        asking: Asking,
    ) -> Iterator[Row]:
        identity = self._catalog.identity
        names = {
            "db": table.db.name if asking.by_name else table.db.id,
            "table": table.name if asking.by_name else table.id,
        }
        read, written = seen.tables.get(table, NO_DOCUMENTS)
        read_before, written_before = before.tables.get(table, NO_DOCUMENTS)
        per_second = {
            "read_docs_per_sec": (read - read_before) / spent,
            "written_docs_per_sec": (written - written_before) / spent,
        }
        disk = seen.disks.get(table.db, NO_BYTES)
        disk_before = before.disks.get(table.db, NO_BYTES)
        size = table.group.snapshot().size(table.number).bytes
        part = size / usage.documents_bytes if usage.documents_bytes else 0.0
        used = usage.file_bytes - usage.free_bytes
        yield {"id": ["table", table.id], **names, "query_engine": per_second}
        yield {
            "id": ["table_server", table.id, identity.id],
            **names,
            "server": identity.name if asking.by_name else identity.id,
            "query_engine": {
                **per_second,
                "read_docs_total": read,
                "written_docs_total": written,
            },
            "storage_engine": {
                "cache": {"in_use_bytes": int(usage.cache_bytes * part)},
                "disk": {
                    "read_bytes_per_sec": (disk.read_bytes - disk_before.read_bytes) / spent * part,
                    "read_bytes_total": int(disk.read_bytes * part),
                    "written_bytes_per_sec": (disk.written_bytes - disk_before.written_bytes)
                    / spent
                    * part,
                    "written_bytes_total": int(disk.written_bytes * part),
                    "space_usage": {
                        "data_bytes": size,
                        "garbage_bytes": int(usage.free_bytes * part),
                        "metadata_bytes": int(max(0, used - usage.documents_bytes) * part),
                        "preallocated_bytes": 0,
                    },
                },
            },
        }


def _scrub_field(node: Node) -> Row:
    """What a server's row says of the slow search for damage; nothing when there is none."""
    state = node.scrub()
    if state is None:
        return {}
    finished = state.finished
    return {
        "scrub": {
            "database": state.database,
            "progress": state.progress,
            "finished": None if finished is None else make_time(round(finished, 3), "+00:00"),
            "read_bytes_total": state.read_bytes,
        }
    }
