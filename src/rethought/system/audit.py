"""The audit log: who logged in, and who granted, created, changed or dropped what; never a document, never a secret.

What always holds: one JSON object a line, appended before the query that did it is answered; the file is readable by
its owner only; a log that cannot be written is told in the server's log, and queries go on. Which tables were read and
written is told only when asked for, because it costs every query. Made by `server.py`; hears of changes from the
catalog, which knows who is behind them, and of logins from the engine.
"""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from rethought.catalog.model import Database
from rethought.datum.jsonbytes import encode

if TYPE_CHECKING:
    from rethought.catalog import Catalog

log = logging.getLogger("rethought.audit")


class Audit:
    """See the module."""

    def __init__(
        self, path: Path, catalog: "Catalog", *, data: bool, clock: Callable[[], float] = time
    ) -> None:
        self.data = data
        self._catalog = catalog
        self._clock = clock
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._broken = False
        self._known = {database.id for database in catalog.databases.values()}
        self._known |= {table.id for table in catalog.user_tables()}
        self._stop = catalog.watch(self._changed)

    def close(self) -> None:
        self._stop()
        os.close(self._file)

    # ---- what is told

    def login(self, user: str, address: str, outcome: str) -> None:
        """Somebody tried to log in; `outcome` is `accepted` or the refusal."""
        self._write({"event": "login", "user": user, "address": address, "outcome": outcome})

    def access(self, client: Any, table: Any, kind: str) -> None:
        """A query reads or writes a table."""
        self._write({"event": kind, **_who(client), "database": table.db.name, "table": table.name})

    def _changed(self, topic: str, what: Any) -> None:
        describe = getattr(self, f"_{topic}", None)
        if describe is not None:
            actor = self._catalog.actors.get(getcurrent())
            who = {"user": None, "address": None} if actor is None else _who(actor)
            self._write({**describe(what), **who})

    def _database(self, database: Database) -> dict[str, Any]:
        return {"event": self._fate("database", database), "database": database.name}

    def _table(self, table: Any) -> dict[str, Any]:
        event = self._fate("table", table)
        return {"event": event, "database": table.db.name, "table": table.name}

    def _fate(self, kind: str, what: Any) -> str:
        if what.dropped:
            self._known.discard(what.id)
            return f"{kind}_dropped"
        if what.id in self._known:
            return f"{kind}_changed"
        self._known.add(what.id)
        return f"{kind}_created"

    def _index(self, table: Any) -> dict[str, Any]:
        return {
            "event": "indexes_changed",
            "database": table.db.name,
            "table": table.name,
            "indexes": sorted(table.indexes),
        }

    def _permission(self, scope: Any) -> dict[str, Any]:
        user, database_id, table_id = scope
        told: dict[str, Any] = {"event": "permissions_changed", "grantee": user}
        database = None if database_id is None else self._catalog.database_by_id(database_id)
        if database_id is not None:
            told["database"] = database_id if database is None else database.name
        if table_id is not None:
            tables = {} if database is None else database.tables
            names = [table.name for table in tables.values() if table.id == table_id]
            told["table"] = names[0] if names else table_id
        permissions = self._catalog.permissions
        told["permissions"] = permissions.settings.get(scope, {})
        told["rules"] = sorted(permissions.rules(scope))
        return told

    def _user(self, name: str) -> dict[str, Any]:
        exists = name in self._catalog.users
        return {"event": "user_changed" if exists else "user_dropped", "subject": name}

    def _server(self, record: Any) -> dict[str, Any]:
        return {"event": "server_changed", "name": record.name}

    def _cluster(self, _: Any) -> dict[str, Any]:
        return {"event": "cluster_changed"}

    def _job(self, id_: str) -> dict[str, Any]:
        return {"event": "query_ended", "query": id_}

    # ---- writing

    def _write(self, entry: dict[str, Any]) -> None:
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        try:
            os.write(self._file, encode({"time": moment, **entry}) + b"\n")
        except OSError as error:
            if not self._broken:
                log.error("The audit log cannot be written: %s", error)
            self._broken = True
        else:
            self._broken = False


def _who(client: Any) -> dict[str, Any]:
    return {"user": client.user, "address": client.address}
