"""`stats`: rates and totals of the server and of each table.

What always holds: everything is computed when somebody looks, but for one sample of the totals each second, from which
rates are made: the first look tells the rate of now, too. A file holds all tables of a database, so what a table takes
of it beyond its documents (indexes, journal, free pages, the reading and writing of pages) and of the cache is its
part by size.
"""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

from rethought.catalog.model import Database, TableHandle
from rethought.datum.time import make_time
from rethought.store import Traffic as DiskTraffic
from rethought.store import Usage
from rethought.system.counting import RATE_SECONDS, Rates, Traffic
from rethought.system.node import Node
from rethought.system.table import Asking, Row

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from rethought.catalog import Catalog

Values = Mapping[Hashable, float]


class Stats:
    """The rows of `stats`. With a loop, totals are sampled each second; without, whenever somebody looks."""

    def __init__(
        self, catalog: "Catalog", node: Node, loop: "AbstractEventLoop | None" = None
    ) -> None:
        self._catalog = catalog
        self._node = node
        self._traffic = node.traffic or Traffic(catalog)
        self._loop = loop
        self._rates = Rates(node.clock(), self._totals())
        if loop is not None:
            loop.call_later(RATE_SECONDS, self._sample)

    def _sample(self) -> None:
        self._rates.sample(self._node.clock(), self._totals())
        assert self._loop is not None
        self._loop.call_later(RATE_SECONDS, self._sample)

    def _totals(self) -> dict[Hashable, float]:
        """Everything there is a rate of."""
        totals: dict[Hashable, float] = {
            "queries": self._node.queries_started(),
            "read_docs": self._traffic.read_in_all(),
            "written_docs": self._traffic.written_in_all(),
        }
        for table in self._catalog.user_tables():
            totals[table, "read"] = table.reads
            totals[table, "written"] = self._traffic.written(table)
        for database in self._catalog.user_databases():
            if database.group is not None:
                disk = database.group.traffic()
                totals[database, "read"], totals[database, "written"] = disk
        return totals

    def rows(self, asking: Asking) -> list[Row]:
        identity = self._catalog.identity
        server = identity.name if asking.by_name else identity.id
        now = self._node.clock()
        totals = self._totals()
        rates = self._rates.of(now, totals)
        self._rates.sample(now, totals)
        clients = self._node.clients(asking.env)
        names = ("queries", "read_docs", "written_docs")
        engine: Row = {
            "client_connections": clients.client_connections,
            "clients_active": clients.clients_active,
            **{f"{name}_per_sec": rates[name] for name in names},
        }
        rows: list[Row] = [
            {"id": ["cluster"], "query_engine": engine},
            {
                "id": ["server", identity.id],
                "server": server,
                "query_engine": {**engine, **{f"{name}_total": totals[name] for name in names}},
                **_scrub_field(self._node),
            },
        ]
        usages: dict[Database, Usage] = {}
        for table in self._catalog.user_tables():
            if table.db not in usages:
                usages[table.db] = table.group.usage()
            rows += self._table_rows(table, totals, rates, usages[table.db], server, asking)
        return rows

    def _table_rows(
        self,
        table: TableHandle,
        totals: Values,
        rates: Values,
        usage: Usage,
        server: str,
        asking: Asking,
    ) -> list[Row]:
        names = {
            "db": table.db.name if asking.by_name else table.db.id,
            "table": table.name if asking.by_name else table.id,
        }
        size = table.group.snapshot().size(table.number).bytes
        part = size / usage.documents_bytes if usage.documents_bytes else 0.0
        per_second = {
            "read_docs_per_sec": rates[table, "read"],
            "written_docs_per_sec": rates[table, "written"],
        }
        disk = DiskTraffic(int(totals[table.db, "read"]), int(totals[table.db, "written"]))
        used = usage.file_bytes - usage.free_bytes
        return [
            {"id": ["table", table.id], **names, "query_engine": per_second},
            {
                "id": ["table_server", table.id, self._catalog.identity.id],
                **names,
                "server": server,
                "query_engine": {
                    **per_second,
                    "read_docs_total": totals[table, "read"],
                    "written_docs_total": totals[table, "written"],
                },
                "storage_engine": {
                    "cache": {"in_use_bytes": int(usage.cache_bytes * part)},
                    "disk": {
                        "read_bytes_per_sec": rates[table.db, "read"] * part,
                        "read_bytes_total": int(disk.read_bytes * part),
                        "written_bytes_per_sec": rates[table.db, "written"] * part,
                        "written_bytes_total": int(disk.written_bytes * part),
                        "space_usage": {
                            "data_bytes": size,
                            "garbage_bytes": int(usage.free_bytes * part),
                            "metadata_bytes": int(max(0, used - usage.documents_bytes) * part),
                            "preallocated_bytes": 0,
                        },
                    },
                },
            },
        ]


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
