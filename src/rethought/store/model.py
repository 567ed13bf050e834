"""The store's vocabulary: what goes in, what comes out, what it is given from outside.

Plain data and protocols, no behaviour. Every module of the room imports this one; other rooms import the names from
`rethought.store`.
"""

from collections.abc import Callable, Set
from typing import Any, Final, NamedTuple, NewType, Protocol

TableId = NewType("TableId", int)
IndexId = NewType("IndexId", int)
"""Numbers of tables and indexes: unique within a group, never used twice."""

META: Final = TableId(0)
"""Stands for the small records (`meta`) in the journal; a real table has a number above 0."""

Bound = bytes | None
"""An end of a range of keys; None is without end."""

Position = tuple[bytes, bytes, int]
"""A place in an index: the index key, the primary key, and the number among equal entries of one document."""


class Change(NamedTuple):
    """One document before and after; None where there is none."""

    table: TableId
    key: bytes
    old: bytes | None
    new: bytes | None


class Commit(NamedTuple):
    """What one transaction changed. `seq` counts commits of the group without gaps; `time` is seconds since 1970."""

    seq: int
    time: float
    changes: list[Change]


class Tally(NamedTuple):
    """A piece of an index: its keys in order, and how many entries each has. `after` as in a page; a key whose entries
    go on there is also the first of the next piece."""

    counts: list[tuple[bytes, int]]
    after: "Position | None"


PERHAPS: Final = object()
"""Whether there is more after a page that nobody means to follow."""


class Page(NamedTuple):
    """A piece of a scan.

    `docs` are the documents joined with commas (empty when there are none); `after` is where to go on, None when the
    range is exhausted, PERHAPS when there may be more and nobody means to go on; `keys` are the primary keys, or the
    index keys, in the order of the documents, when asked for.
    """

    docs: bytes
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody wants here
    after: Any
    keys: list[bytes] | None = None


class Size(NamedTuple):
    documents: int
    bytes: int


class Usage(NamedTuple):
    """What a group takes, in bytes: its file, of that what is free, its log, its page cache, its documents."""

    file_bytes: int
    free_bytes: int
    log_bytes: int
    cache_bytes: int
    documents_bytes: int


class Traffic(NamedTuple):
    """Bytes of pages fetched from the file and written to it and its log, since the group was opened."""

    read_bytes: int
    written_bytes: int


class Retention(NamedTuple):
    """How long, and how much of, the journal of a group is kept; None is as the options say."""

    seconds: float | None = None
    bytes: int | None = None


class JournalUsage(NamedTuple):
    """What a group's journal holds: its first commit (0 when it has none) and the last one, how many, their bytes, the
    time of the oldest; and what is kept."""

    first: int
    last: int
    commits: int
    bytes: int
    oldest: float | None
    kept_seconds: float
    kept_bytes: int


class IndexRule(Protocol):
    """How documents become index keys. The store knows no more of a query language than this."""

    def keys(self, doc: Any) -> list[bytes]:
        """The encoded index keys of one decoded document; empty when it is not indexed."""
        ...

    def same(self, old: Any, new: Any) -> bool:
        """Whether two documents have the same keys, when that shows at a glance."""
        ...

    def reads(self, fields: Set[str]) -> bool:
        """Whether keys may depend on one of these top-level fields."""
        ...

    def keys_of_chunk(self, chunk: bytes) -> list[list[bytes]]:
        """The same for each document of a joined chunk, in order."""
        ...


class Loop(Protocol):
    """The part of an event loop the store uses; asyncio's and uvloop's loops have it."""

    def call_soon(self, callback: Callable[..., object], *args: Any) -> object: ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> object: ...

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object: ...

    def create_future(self) -> Any: ...


Listener = Callable[[Commit], None]
