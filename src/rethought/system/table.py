"""A system table behind the protocol that evaluation knows.

What always holds: rows are small in number and made at each read; primary key order is the order of a scan. One
`SystemTable` stands for the table in the catalog, a `View` of it is what a query reads and writes: it knows in which
form (names or ids) databases, tables and servers are shown.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from greenlet import getcurrent

from rethought.datum.jsonbytes import encode
from rethought.datum.order import compare, equal, order_key
from rethought.errors import OpFailedError, QueryLogicError
from rethought.exec.chunk import Chunk
from rethought.exec.table import Change, Range, check_readable
from rethought.reql.terms.admin import refuse_transaction
from rethought.system.watch import Watch, WatchListener

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from rethought.catalog import Catalog, Database
    from rethought.exec.env import Env

NAME: Final = "name"
UUID: Final = "uuid"
FORMATS: Final = (NAME, UUID)

POLL_SECONDS: Final = 1.0

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asking:
    """Who reads a table, and how it should name things. `user` and `env` are None for the server itself."""

    format: str = NAME
    user: str | None = None
    env: "Env | None" = field(default=None, compare=False)

    @property
    def by_name(self) -> bool:
        return self.format == NAME


class Content(Protocol):
    """Where a system table's rows come from, and what writing to one does."""

    def rows(self, asking: Asking) -> list[Row]:
        """Every row, in any order."""

    def row(self, key: Any, asking: Asking) -> Row | None:
        """The row with this primary key."""

    def write(
        self,
        env: "Env",
        key: Any,
        old: Row | None,
        new: Row | None,
        asking: Asking,
        *,
        own_key: bool,
    ) -> None:
        """Makes a row what it should be. Raises OpFailedError. `own_key`: the server made up the key."""


class SystemTable:
    """A table of the system database, as the catalog lists it."""

    primary_key = "id"
    durability = "soft"
    write_acks = "majority"
    shards = 1
    system = True
    dropped = False
    write_hook = None

    def __init__(
        self,
        name: str,
        id_: str,
        content: Content,
        catalog: "Catalog",
        *,
        topics: frozenset[str] | None,
        loop: "AbstractEventLoop | None" = None,
    ) -> None:
        """`topics` are the changes of the catalog that rows follow from; None when they must be polled."""
        self.name = name
        self.id = id_
        self.content = content
        self.indexes: dict[str, Any] = {}
        self._catalog = catalog
        self._topics = topics
        self._loop = loop
        self._watches: dict[Asking, Watch] = {}

    @property
    def db(self) -> "Database":
        return self._catalog.databases["rethinkdb"]

    def view(self, identifier_format: str = NAME) -> "View":
        return View(self, identifier_format)

    def bound(self, engine: object, form: str) -> "View":
        """What the engine asks for; a system table needs nothing of it."""
        return View(self, form, guarded=True)

    def subscribe(
        self, listener: WatchListener, identifier_format: str = NAME, user: str | None = None
    ) -> Callable[[], None]:
        """Tells `listener` (key, old row, new row) of each change from now on, until the result is called."""
        asking = Asking(identifier_format, user)
        watch = self._watches.get(asking)
        if watch is None:
            watch = self._watches[asking] = Watch(
                lambda: self.content.rows(asking),
                self._catalog,
                self._topics,
                self._loop,
                POLL_SECONDS,
            )
        return watch.add(listener)

    def __repr__(self) -> str:
        return f"<system table {self.name}>"


class View:
    """A system table as one query sees it; implements `exec.table.Table`."""

    __slots__ = ("db", "durability", "format", "guarded", "handle", "id", "name", "primary_key")

    rule: Final = None

    def __init__(
        self, table: SystemTable, identifier_format: str, *, guarded: bool = False
    ) -> None:
        self.guarded = (
            guarded  # whether reading needs the permission (a term like config has its own)
        )
        self.handle: Any = table
        self.name = table.name
        self.db: Any = table.db
        self.id = table.id
        self.primary_key = table.primary_key
        self.durability = table.durability
        self.format = identifier_format

    def _asking(self, env: "Env") -> Asking:
        return Asking(self.format, getattr(env.client, "user", None), env)

    # ---- reads

    def read(self, env: "Env", key: Any) -> bytes | None:
        if self.guarded:
            check_readable(env, self.handle)
        row = self.handle.content.row(key, self._asking(env))
        return None if row is None else encode(row)

    def read_many(self, env: "Env", keys: list[Any]) -> list[bytes | None]:
        return [self.read(env, key) for key in keys]

    def chunks(self, env: "Env", selected: Range, want: int) -> Iterator[Chunk]:
        self._check_index(selected.index)
        rows = self._selected(env, selected)
        if rows:
            yield Chunk(len(rows), rows=rows)

    def keyed_chunks(self, env: "Env", selected: Range) -> Iterator[tuple[Chunk, list[Any]]]:
        self._check_index(selected.index)
        rows = self._selected(env, selected)
        if rows:
            yield Chunk(len(rows), rows=rows), [row[self.primary_key] for row in rows]

    def _selected(self, env: "Env", selected: Range) -> list[Row]:
        if self.guarded:
            check_readable(env, self.handle)
        asking = self._asking(env)
        content = self.handle.content
        if selected.keys is not None:
            found = [content.row(key, asking) for key in selected.keys]
            return [row for row in found if row is not None]
        rows = [row for row in content.rows(asking) if _within(row[self.primary_key], selected)]
        rows.sort(
            key=lambda row: order_key(row[self.primary_key]), reverse=bool(selected.descending)
        )
        return rows

    def count(self, env: "Env", selected: Range) -> int | None:
        self._check_index(selected.index)
        return len(self._selected(env, selected))

    def _check_index(self, name: str | None) -> None:
        if name is not None and name != self.primary_key:
            self.index(name)

    def index(self, name: str) -> Any:
        raise OpFailedError(f"Index `{name}` was not found on table `rethinkdb.{self.name}`.")

    # ---- writes

    @contextmanager
    def _acting(self, env: "Env") -> Iterator[None]:
        """Who is behind what the catalog changes here."""
        actors = env.catalog.actors
        actors[getcurrent()] = env.client
        try:
            yield
        finally:
            actors.pop(getcurrent(), None)

    def modify(self, env: "Env", key: Any, change: Change, *, hard: bool) -> tuple[Any, Any]:
        refuse_transaction(env)
        asking = self._asking(env)
        old = self.handle.content.row(key, asking)
        new = change(old)
        if new is old or (new is not None and old is not None and equal(new, old)):
            return old, old
        with self._acting(env):
            self.handle.content.write(env, key, old, new, asking, own_key=False)
        return old, new

    def insert_new(self, env: "Env", doc: Row, *, hard: bool) -> Row | None:
        refuse_transaction(env)
        asking = self._asking(env)
        key = doc[self.primary_key]
        old: Row | None = self.handle.content.row(key, asking)
        if old is not None:
            return old
        try:
            with self._acting(env):
                self.handle.content.write(env, key, None, doc, asking, own_key=_generated(key))
        except OpFailedError as error:  # an error of this row, as INSERT counts them
            raise QueryLogicError(error.message) from error
        return None

    def sync(self, env: "Env") -> None:
        raise OpFailedError("Artificial tables don't support `sync()`.")


_RANDOM_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)


def _generated(key: Any) -> bool:
    """Whether a key looks like one that INSERT makes up; by then nobody knows any more who did."""
    return key.__class__ is str and _RANDOM_UUID.fullmatch(key) is not None


def _within(key: Any, selected: Range) -> bool:
    below = compare(key, selected.lower)
    if below < 0 or (below == 0 and selected.lower_open):
        return False
    above = compare(key, selected.upper)
    return above < 0 or (above == 0 and not selected.upper_open)
