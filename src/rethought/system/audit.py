"""The audit log: who logged in, and who granted, created, changed or dropped what; never a document, never a secret.

What always holds: one JSON object a line, appended before the query that did it is answered; lines are numbered and
seal each other (`hashchain`), so that `rethought doctor` notices what was changed, removed or cut off; the file is
readable by its owner only and moved aside when it is large; a log that cannot be written is told in the server's log,
and queries go on. Which tables were read and written is told only when asked for, because it costs every query.
Made by `server.py`; hears of changes from the catalog, which knows who is behind them, and of logins from the engine.
"""

import contextlib
import errno
import itertools
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from greenlet import getcurrent

from rethought import hashchain
from rethought.catalog.model import Database
from rethought.datum.jsonbytes import encode
from rethought.errors import ReqlError
from rethought.hashchain import BEGAN, HEAD_RECORD, KEY_RECORD, START, Head, Line

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from rethought.catalog import Catalog

log = logging.getLogger("rethought.audit")


SIZE_MAX: Final = 100 << 20
FILES_MAX: Final = 10
HEAD_SECONDS: Final = 1.0
"""So much of the end of the log could be cut off unnoticed by somebody who stops the machine first."""
TAIL_BYTES: Final = 1 << 20
FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Audit:
    """See the module. At most `files_max` files of about `size_max` bytes are kept, the newest under `path` itself."""

    def __init__(
        self,
        path: Path,
        catalog: "Catalog",
        *,
        data: bool,
        size_max: int = SIZE_MAX,
        files_max: int = FILES_MAX,
        loop: "AbstractEventLoop | None" = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self.data = data
        self._path = path.absolute()
        self._catalog = catalog
        self._size_max = size_max
        self._files_max = files_max
        self._loop = loop
        self._clock = clock
        self._broken = False
        self._closed = False
        self._known = {database.id for database in catalog.databases.values()}
        self._known |= {table.id for table in catalog.user_tables()}
        self._key = self._own_key()
        self._head = self._last_head()
        self._saving: Any = None
        self._file = self._open()
        self._stop = catalog.watch(self._changed)

    def close(self) -> None:
        self._stop()
        self._closed = True
        if self._saving is not None:
            self._saving.cancel()
        self.save_head()
        os.close(self._file)

    # ---- the chain

    def _own_key(self) -> bytes:
        """Kept in the system database, which the key of the data encrypts if there is one."""
        group = self._catalog.group
        key = group.meta_get(KEY_RECORD)
        if key is None:
            key = group.options.random_bytes(hashchain.KEY_BYTES)
            group.meta_put(KEY_RECORD, key)
            group.flush()
        return key

    def _last_head(self) -> Head:
        """Where the chain goes on: after the last line of the file, or, without it, where it was seen last."""
        value = self._catalog.group.meta_get(HEAD_RECORD)
        head = Head(str(self._path), 0, START)
        if value is not None:
            kept = msgspec.json.decode(value, type=Head)
            if kept.path == head.path:
                head = kept
        line = _last_line(self._path)
        number = _number(line)
        if line is None or number is None or number < head.number:
            return head
        return Head(head.path, number, line.hash, head.kept_from)

    def _open(self) -> int:
        file = os.open(self._path, FLAGS, 0o600)
        self._size = os.fstat(file).st_size
        self._file = file
        if self._size and os.pread(file, 1, self._size - 1) != b"\n":
            self._append(b"\n")  # a line that a crash cut short
        if not self._size:
            self._began()
        return file

    def _began(self) -> None:
        self._write({"event": BEGAN, "previous": self._head.hash})

    def _append(self, data: bytes) -> None:
        if os.write(self._file, data) != len(
            data
        ):  # no half lines: the next one begins where this one would have
            os.ftruncate(self._file, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += len(data)

    def _rotate(self) -> None:
        """The file is moved aside, and those before it one further; the oldest goes."""
        path = str(self._path)
        fresh = f"{path}.new"
        file = os.open(fresh, FLAGS | os.O_TRUNC, 0o600)  # before anything is moved
        names = [hashchain.rotated(path, at) for at in range(1, self._files_max)]
        kept_from = _last_number(Path(names[-1] if names else path))
        if kept_from is not None:  # nothing up to there is looked for any more
            self._head = msgspec.structs.replace(self._head, kept_from=kept_from + 1)
        for older, newer in itertools.pairwise([*reversed(names), path]):
            with contextlib.suppress(FileNotFoundError):
                os.replace(newer, older)
        os.replace(fresh, path)
        old, self._file, self._size = self._file, file, 0
        os.fdatasync(old)
        os.close(old)
        self._began()
        self.save_head()

    def _save_soon(self) -> None:
        """Notes the newest line elsewhere once it is on disk; waits for the disk in another thread."""
        self._saving = None
        assert self._loop is not None
        head, file = self._head, os.dup(self._file)

        def synced(done: "Future[None]") -> None:
            if done.exception() is None and not self._closed:
                self._note(head)

        self._loop.run_in_executor(None, _sync, file).add_done_callback(synced)

    def save_head(self) -> None:
        """The same at once."""
        try:
            os.fdatasync(self._file)
        except OSError as error:
            log.warning("The audit log could not be synced: %s", error)
        else:
            self._note(self._head)

    def _note(self, head: Head) -> None:
        try:
            self._catalog.group.meta_put(HEAD_RECORD, msgspec.json.encode(head))
        except ReqlError as error:
            log.warning("The end of the audit log could not be noted: %s", error.message)

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
        head = self._head
        number = head.number + 1
        body = encode({"time": moment, "number": number, **entry})
        line = hashchain.sealed(self._key, head.hash, body)
        try:
            self._append(hashchain.text(line) + b"\n")
            self._head = Head(head.path, number, line.hash, head.kept_from)
            if self._size > self._size_max and entry["event"] != BEGAN:
                self._rotate()
        except OSError as error:
            if not self._broken:
                log.error("The audit log cannot be written: %s", error)
            self._broken = True
        else:
            self._broken = False
        if self._loop is not None and self._saving is None:
            self._saving = self._loop.call_later(HEAD_SECONDS, self._save_soon)


def _last_line(path: Path) -> Line | None:
    """The last line of a file that is one."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    found = map(hashchain.apart, reversed(lines))
    return next((line for line in found if line is not None), None)


def _number(line: Line | None) -> int | None:
    try:
        return None if line is None else hashchain.decode_told(line.body).number
    except msgspec.MsgspecError:
        return None


def _last_number(path: Path) -> int | None:
    return _number(_last_line(path))


def _sync(file: int) -> None:
    try:
        os.fdatasync(file)
    finally:
        os.close(file)


def _who(client: Any) -> dict[str, Any]:
    return {"user": client.user, "address": client.address}
