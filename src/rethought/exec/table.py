"""The one interface through which evaluation reaches a table, and the part of a table a query selects.

What always holds: terms, joins and writes know only `Table`; a user's table (`exec.local`), a system table and, later,
a table elsewhere implement it. A `Selection` is a lazy stream over a `Range` of a table.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rethought.datum.order import equal
from rethought.datum.text import truncated
from rethought.datum.values import MAXVAL, MINVAL
from rethought.errors import Frame, QueryLogicError
from rethought.exec.chunk import Chunk
from rethought.exec.settling import settled
from rethought.exec.values import Source, Stream, wrong_datum, wrong_value

if TYPE_CHECKING:
    from rethought.exec.env import Env

Change = Callable[[dict[str, Any] | None], dict[str, Any] | None]
"""A row's new document (None: no row) from its newest old one. May raise, which is an error of that row."""


@dataclass(slots=True)
class Range:
    """Rows between two bounds of an index (None: the primary key). `keys` instead lists single keys (get_all).
    `descending` is None while no order was asked for. Never changed once it is made: not frozen, because that takes
    three times as long to make."""

    index: str | None = None
    lower: Any = MINVAL
    upper: Any = MAXVAL
    lower_open: bool = False
    upper_open: bool = False
    descending: bool | None = None
    keys: tuple[Any, ...] | None = None
    bounded: bool = False  # between was called, if only with the widest bounds

    @property
    def whole(self) -> bool:
        return self.lower is MINVAL and self.upper is MAXVAL and self.keys is None

    def narrowed(self, changes: dict[str, Any]) -> "Range":
        """Another one, but for these attributes the same."""
        new = Range(
            self.index,
            self.lower,
            self.upper,
            self.lower_open,
            self.upper_open,
            self.descending,
            self.keys,
            self.bounded,
        )
        for name, value in changes.items():
            setattr(new, name, value)
        return new


class Table(Protocol):
    """What evaluation asks of a table. Keys are data; documents are canonical JSON bytes."""

    @property
    def name(self) -> str: ...

    @property
    def db(self) -> Any: ...

    @property
    def id(self) -> str: ...

    @property
    def primary_key(self) -> str: ...

    @property
    def durability(self) -> str: ...

    @property
    def rule(self) -> Any:
        """What the user's rules leave of the rows (an `exec.ruled.Rule`), None for all of them."""

    @property
    def handle(self) -> Any:
        """The catalog's object."""

    def read(self, env: "Env", key: Any) -> bytes | None:
        """The document with this primary key; raises the protocol's error for what cannot be a key."""

    def read_many(self, env: "Env", keys: list[Any]) -> list[bytes | None]:
        """As `read`, for many keys."""

    def chunks(self, env: "Env", selected: Range, want: int) -> Iterator[Chunk]:
        """The documents of a range."""

    def keyed_chunks(self, env: "Env", selected: Range) -> Iterator[tuple[Chunk, list[Any]]]:
        """The documents of a range of an index, with each entry's index value."""

    def key_counts(self, env: "Env", selected: Range) -> Iterator[list[tuple[Any, int]]]:
        """The values of a range of an index, in order, and how many entries each has: without reading documents where
        that is possible. The last value of a list may be the first of the next."""

    def range_chunks(
        self, env: "Env", index: Any, ranges: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Chunk]:
        """The documents with an entry of an index in one of these ranges of stored keys; once for each entry."""

    def count(self, env: "Env", selected: Range) -> int | None:
        """How many rows, when that is known without reading them."""

    def index(self, name: str) -> Any:
        """The index, refused when there is none or it is not ready."""

    def modify(self, env: "Env", key: Any, change: Change, *, hard: bool) -> tuple[Any, Any]:
        """Replaces one row atomically by what `change` makes of it; returns old and new document."""

    def insert_new(self, env: "Env", doc: dict[str, Any], *, hard: bool) -> Any:
        """Stores a document if its key is free: None, or the document that is there."""

    def sync(self, env: "Env") -> None:
        """Returns when everything written so far is on disk."""


def counted_keys(
    chunks: Iterator[tuple[Chunk, list[Any]]],
) -> Iterator[list[tuple[Any, int]]]:
    """`key_counts` out of `keyed_chunks`."""
    for _, keys in chunks:
        counts: list[tuple[Any, int]] = []
        for key in keys:
            if counts and equal(counts[-1][0], key):
                counts[-1] = (key, counts[-1][1] + 1)
            else:
                counts.append((key, 1))
        yield counts


class TableSource(Source):
    """Reads a range of a table."""

    __slots__ = ("range", "table")
    by_row = True

    def __init__(self, table: Table, selected: Range) -> None:
        self.table = table
        self.range = selected

    def chunks(self, env: "Env", want: int) -> Iterator[Chunk]:
        return self.table.chunks(env, self.range, want)

    def settled(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        if self.range.descending is not None or self.table.handle.system:
            return chunks
        pkey = self.table.primary_key
        return settled(chunks, pkey, by_key=self.range.index in (None, pkey))


class Selection(Stream):
    """A table, or a slice of one: between, get_all, indexed order_by."""

    __slots__ = ("range", "sliced")

    def __init__(self, table: Table, selected: Range, *, sliced: bool = False) -> None:
        super().__init__(TableSource(table, selected), table=table)
        self.range = selected
        self.sliced = sliced

    def narrowed(self, **changes: Any) -> "Selection":
        assert self.table is not None
        return Selection(self.table, self.range.narrowed(changes), sliced=True)

    @property
    def whole(self) -> bool:
        """Whether this is the table as it is, in no order."""
        return not self.sliced and self.range.keys is None

    @property
    def value_name(self) -> str:
        if self.range.keys is not None:
            return "SELECTION"
        return "TABLE_SLICE" if self.sliced else "TABLE"

    @property
    def type_name(self) -> str:
        if self.range.keys is not None:
            return "SELECTION<STREAM>"
        return "TABLE_SLICE" if self.sliced else "TABLE"

    def printed(self) -> str:
        assert self.table is not None
        if self.sliced or self.range.keys is not None:
            return f"SELECTION ON table({self.table.name})"
        return f'table("{self.table.name}")'


def check_readable(env: "Env", handle: Any) -> None:
    """Refuses to read a table for a user who may not. Naming a table needs no permission, its rows do."""
    if env.client.user != "admin":
        env.require("read", handle)
        if env.rights >= 0:
            env.check_rules(handle)


def need_whole(env: "Env", value: Any, at: Frame) -> Selection:
    """A table, whole and in no order."""
    if not isinstance(value, Selection) or not value.whole:
        raise wrong_value("TABLE", value, at)
    return value


def need_slice(env: "Env", value: Any, at: Frame) -> Selection:
    """A table or a slice of one."""
    if not isinstance(value, Selection) or value.range.keys is not None:
        raise wrong_value("TABLE_SLICE", value, at)
    return value


def bound_is_open(value: Any, name: str) -> bool:
    """An `open` / `closed` option."""
    if value == "open":
        return True
    if value == "closed":
        return False
    if value.__class__ is not str:
        raise wrong_datum("STRING", value, name)
    raise QueryLogicError(
        f"Expected `open` or `closed` for optarg `{name}` (got `{truncated(value)}`)."
    )
