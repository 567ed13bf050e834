"""A system table behind the protocol that evaluation knows.

What always holds: rows are small in number and made at each read; primary key order is the order of a scan. One
`SystemTable` stands for the table in the catalog, a `View` of it is what a query reads and writes: it knows in which
form (names or ids) databases, tables and servers are shown.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from greenlet import getcurrent

from rethought.datum.jsonbytes import encode
from rethought.datum.order import compare, equal, hash_key, order_key
from rethought.errors import OpFailedError, QueryLogicError
from rethought.exec.chunk import Chunk
from rethought.exec.table import Change, Range, check_readable, counted_keys
from rethought.reql.terms.admin import refuse_transaction
from rethought.system.watch import Watch, WatchListener

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from rethought.catalog import Catalog, Database
    from rethought.exec.env import Env

NAME: Final = "name"

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


class Write(NamedTuple):
    """What somebody asks a row to become; None stands for no row. `own_key`: the server made up the key."""

    key: Any
    old: Row | None
    new: Row | None
    asking: Asking
    own_key: bool = False


class Refusals(NamedTuple):
    """What a table says to writes it never accepts, whatever the row; None: its content decides."""

    insert: str | None = None
    update: str | None = None
    delete: str | None = None

    def of(self, old: Row | None, new: Row | None) -> str | None:
        if new is None:
            return self.delete
        return self.insert if old is None else self.update


NO_REFUSALS: Final = Refusals()


class Content(Protocol):
    """Where a system table's rows come from."""

    def rows(self, asking: Asking) -> Iterable[Row]:
        """Every row; in the order of a scan, when the table has an order of its own.

        May give way to others in between, where a query asks.
        """

    def row(self, key: Any, asking: Asking) -> Row | None:
        """The row with this primary key."""


class Written(Content, Protocol):
    """The content of a table that accepts some writes."""

    def write(self, env: "Env", asked: Write) -> None:
        """Makes a row what it should be; also called for a row that is not there and shall not be.

        Raises OpFailedError.
        """


class Few:
    """The rows of a table that has few: one is found by making them all."""

    def __init__(self, rows: Callable[[Asking], Iterable[Row]]) -> None:
        self.rows = rows

    def row(self, key: Any, asking: Asking) -> Row | None:
        wanted = hash_key(key)
        return next((row for row in self.rows(asking) if hash_key(row["id"]) == wanted), None)


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
        refusals: Refusals = NO_REFUSALS,
        own_order: bool = False,
        listed: bool = True,
        loop: "AbstractEventLoop | None" = None,
    ) -> None:
        """`topics` are the changes of the catalog that rows follow from; None when they must be polled.

        `own_order`: rows are a sequence like a log: a scan keeps the order of the content's rows, not that of their
        keys, and a feed does not tell of rows that fall off its end.
        """
        self.name = name
        self.id = id_
        self.content = content
        self.refusals = refusals
        self.own_order = own_order
        self.listed = listed
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
                only_new=self.own_order,
            )
        return watch.add(listener)

    def shown(self, row: Any) -> Any:
        """A written row as answers may show it."""
        hide: Callable[[Any], Any] | None = getattr(self.content, "hide", None)
        return row if hide is None else hide(row)

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

    def key_counts(self, env: "Env", selected: Range) -> Iterator[list[tuple[Any, int]]]:
        return counted_keys(self.keyed_chunks(env, selected))

    def _selected(self, env: "Env", selected: Range) -> list[Row]:
        if self.guarded:
            check_readable(env, self.handle)
        asking = self._asking(env)
        content = self.handle.content
        if selected.keys is not None:
            found = [content.row(key, asking) for key in selected.keys]
            return [row for row in found if row is not None]
        rows = [row for row in content.rows(asking) if _within(row[self.primary_key], selected)]
        if selected.descending is not None or not self.handle.own_order:
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
        self._refuse(old, new)
        if new is not None and (new is old or (old is not None and equal(new, old))):
            return old, old
        with self._acting(env):
            own_key = old is None and key == env.generated
            self.handle.content.write(env, Write(key, old, new, asking, own_key))
        return old, new

    def insert_new(self, env: "Env", doc: Row, *, hard: bool) -> Row | None:
        refuse_transaction(env)
        asking = self._asking(env)
        key = doc[self.primary_key]
        old: Row | None = self.handle.content.row(key, asking)
        if old is not None:
            return old
        try:
            self._refuse(None, doc)
            with self._acting(env):
                self.handle.content.write(env, Write(key, None, doc, asking, key == env.generated))
        except OpFailedError as error:  # an error of this row, as INSERT counts them
            raise QueryLogicError(error.message) from error
        return None

    def _refuse(self, old: Row | None, new: Row | None) -> None:
        refusal = self.handle.refusals.of(old, new)
        if refusal is not None:
            raise OpFailedError(refusal)

    def sync(self, env: "Env") -> None:
        raise OpFailedError("Artificial tables don't support `sync()`.")


def _within(key: Any, selected: Range) -> bool:
    below = compare(key, selected.lower)
    if below < 0 or (below == 0 and selected.lower_open):
        return False
    above = compare(key, selected.upper)
    return above < 0 or (above == 0 and not selected.upper_open)
