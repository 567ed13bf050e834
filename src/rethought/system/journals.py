"""`journal_config` and `journal_status`: how long the journal of each database is kept, and what it holds.

What always holds: there is one row for each database, under its id; what is set here is in the database's own file and
counts at once. The original has no such tables: they are not listed, as the `_debug` ones are not.
"""

from typing import TYPE_CHECKING, Any, Final

from rethought.catalog.model import SYSTEM_DATABASE, Database
from rethought.catalog.storing import commit
from rethought.datum.text import compact
from rethought.datum.time import make_time
from rethought.errors import OpFailedError
from rethought.store import Group, Retention
from rethought.system.formats import need_field, refuse_others, within, wrong_format
from rethought.system.table import Asking, Row, Write

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.exec.env import Env

BYTES_MAX: Final = 1 << 50


class _PerDatabase:
    """One row for each database."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog

    def rows(self, asking: Asking) -> list[Row]:
        return [self._row(database, asking) for database in self._catalog.user_databases()]

    def row(self, key: Any, asking: Asking) -> Row | None:
        database = self._found(key)
        return None if database is None else self._row(database, asking)

    def _found(self, key: Any) -> Database | None:
        found = self._catalog.database_by_id(key) if key.__class__ is str else None
        return None if found is None or found.name == SYSTEM_DATABASE else found

    def _row(self, database: Database, asking: Asking) -> Row:
        shown = database.name if asking.by_name else database.id
        return {"id": database.id, "db": shown, **self._of(_group(database))}

    def _of(self, group: Group) -> Row:
        raise NotImplementedError


class JournalConfig(_PerDatabase):
    """`journal_config`: null is as the server was started."""

    def _of(self, group: Group) -> Row:
        seconds, bytes_ = group.retention
        return {"retention_bytes": bytes_, "retention_seconds": seconds}

    def write(self, env: "Env", asked: Write) -> None:
        database, old, new = self._found(asked.key), asked.old, asked.new
        if database is None or old is None or new is None:
            return  # nothing is asked of no row; other writes are refused before
        retention = wrong_format("journal_config", lambda: _read(new, old))
        env.require("config", database)
        group = _group(database)
        env.writing(group)
        group.set_retention(retention)
        commit(group)
        self._catalog.changed("database", database)
        env.await_ticket(self._catalog.durable(group))


class JournalStatus(_PerDatabase):
    """`journal_status`: which commits are there, and what is kept."""

    def _of(self, group: Group) -> Row:
        usage = group.journal_usage()
        return {
            "bytes": usage.bytes,
            "commits": usage.commits,
            "first_commit": usage.first or None,
            "last_commit": usage.last,
            "oldest": None if usage.oldest is None else make_time(round(usage.oldest, 3)),
            "retention_bytes": usage.kept_bytes,
            "retention_seconds": usage.kept_seconds,
        }


def _group(database: Database) -> Group:
    assert database.group is not None
    return database.group


def _read(row: Row, old: Row) -> Retention:
    seconds = within("retention_seconds", lambda: _amount(need_field(row, "retention_seconds")))
    bytes_ = within("retention_bytes", lambda: _amount(need_field(row, "retention_bytes")))
    if need_field(row, "db") != old["db"]:
        raise OpFailedError("The `db` field is read-only.")
    refuse_others(row, old)
    if bytes_ is not None and (bytes_ != int(bytes_) or bytes_ > BYTES_MAX):
        raise OpFailedError(f"In `retention_bytes`: Expected an integer of at most {BYTES_MAX}.")
    return Retention(seconds, None if bytes_ is None else int(bytes_))


def _amount(value: Any) -> float | None:
    if value is None:
        return None
    if value.__class__ not in (int, float) or value < 0:
        raise OpFailedError(
            f"Expected a number that is not negative, or null; got {compact(value)}"
        )
    amount: float = value
    return amount
