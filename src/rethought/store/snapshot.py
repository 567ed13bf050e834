"""Reading: one committed state of a group, or the state inside an open write batch.

Purpose: answer point reads, scans and counts with bytes, one SQLite row carrying a whole page of documents.
What always holds:
  1. Everything read through one snapshot is of one state, however many commits come meanwhile.
  2. A page has at least one document when the range has one, and about `page_bytes` at most; order is kept.
  3. A snapshot that nobody holds costs nothing: its connection is given back at once.

The newest state is read through the *writer's* connection as long as no write batch is open: its page cache stays
warm across commits, while SQLite empties a reader's cache whenever another connection has committed. Only when a write
begins while somebody holds the snapshot is it moved to a connection of its own (`Readers`), which begins its
transaction before the write can commit. Callers: any room above; synchronous, on the loop's thread only.
"""

from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw

from rethought.errors import OpFailedError, ReqlError
from rethought.store.connection import connect, end_transaction, read_error
from rethought.store.damage import place_of_table
from rethought.store.layout import AFTER, CLOSED, NONE, OPEN, PIN, Range
from rethought.store.model import (
    PERHAPS,
    Bound,
    IndexId,
    Page,
    Position,
    Size,
    TableId,
    Tally,
)
from rethought.store.options import GroupOptions

if TYPE_CHECKING:
    from rethought.store.commit import Writer
    from rethought.store.tables import Table

ROWS_ONE_BY_ONE: Final = 32
"""Up to so many documents are fetched as rows: below this a second look for the end of the page costs more."""

EMPTY: Final = Page(b"", 0, None, None)


class Readers:
    """Connections for snapshots that outlive a commit. They are opened when needed; a few are kept for the next."""

    def __init__(self, path: Path, options: GroupOptions) -> None:
        self._path = path
        self._options = options
        self._idle: list[apsw.Connection] = []
        self.busy = 0
        self.missed = 0  # pages that had to be fetched, by connections that were given back
        self._closed = False

    def take(self) -> apsw.Connection:
        """A connection whose transaction has begun on the last committed state."""
        connection = self._idle.pop() if self._idle else self._open()
        connection.execute("BEGIN")
        connection.execute(PIN).fetchall()  # the first read fixes the state
        self.busy += 1
        return connection

    def give(self, connection: apsw.Connection) -> None:
        self.busy -= 1
        self.missed += connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS, True)[0]
        end_transaction(connection)
        if not self._closed and len(self._idle) < self._options.readers_idle_max:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Closes what is idle now, and what is busy when it is given back."""
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _open(self) -> apsw.Connection:
        options = self._options
        return connect(
            self._path, options.key, vfs=options.vfs, cache_bytes=options.reader_cache_bytes
        )


class Snapshot:
    """See the module. Shared by all who read the same state: each holds it from `acquire` to `release`.

    All statements go through one cursor, so each fetches all of its rows at once.
    """

    __slots__ = (
        "_execute",
        "_holders",
        "_options",
        "_own",
        "_sizes",
        "_tables",
        "_writer",
        "seq",
    )

    def __init__(self, writer: "Writer") -> None:
        self.seq = writer.seq
        self._writer = writer
        self._execute: Callable[..., Any] = writer.execute
        self._tables = writer.tables
        self._options = writer.options
        self._sizes: dict[TableId, Size] | None = None  # None: as the tables say now
        self._own: apsw.Connection | None = None
        self._holders = 0

    # ---- holding

    def acquire(self) -> "Snapshot":
        self._holders += 1
        return self

    def release(self) -> None:
        self._holders -= 1
        if not self._holders and self._own is not None:
            own, self._own = self._own, None
            self._execute = _released
            self._writer.readers.give(own)

    @property
    def held(self) -> bool:
        return self._holders > 0

    def leave_writer(self, sizes: dict[TableId, Size] | None = None) -> None:
        """Called before the writer's connection leaves this state: moves to an own connection if anybody holds it.

        `sizes` are those of the committed state, when the tables' counters are ahead of it.
        """
        if self._holders:
            self._own = self._writer.readers.take()
            self._sizes = sizes or self._tables.sizes()
            self._execute = self._own.cursor().execute
        else:
            self._execute = _released

    def end(self) -> None:
        """The group closes under it."""
        self._execute = _closed

    def moved(self, sizes: dict[TableId, Size]) -> "Snapshot":
        """On a connection of its own at once."""
        self._holders += 1
        self.leave_writer(sizes)
        self._holders -= 1
        return self

    def _failed(self, error: apsw.Error, table: TableId) -> ReqlError:
        self._writer.damage.failed(error, place_of_table(table))
        if self._own is not None:
            # Fails until it is released: another transaction might be of a later state.
            return read_error(self._writer.path, error)
        return self._writer.fail_read(error)

    # ---- single documents

    def get(self, table: TableId, key: bytes) -> bytes | None:
        try:
            document: bytes | None = self._execute(self._tables[table].sql.get, (key,)).get
        except apsw.Error as error:
            raise self._failed(error, table) from error
        return document

    def get_many(self, table: TableId, keys: list[bytes]) -> dict[bytes, bytes]:
        """The documents that are there, by key."""
        execute, sql, found = self._execute, self._tables[table].sql.get, {}
        try:
            for key in keys:
                document = execute(sql, (key,)).get
                if document is not None:
                    found[key] = document
        except apsw.Error as error:
            raise self._failed(error, table) from error
        return found

    # ---- ranges

    def scan(
        self,
        table: TableId,
        lower: Bound = None,
        upper: Bound = None,
        *,
        lower_open: bool = False,
        upper_open: bool = False,
        descending: bool = False,
        after: bytes | None = None,
        limit: int,
        keys: bool = False,
        alone: bool = False,
    ) -> Page:
        """Documents in the order of their primary keys; `after` is the last page's. `alone`: there is no next one."""
        if after is not None:
            if descending:
                upper, upper_open = after, True
            else:
                lower, lower_open = after, True
        state = self._tables[table]
        sql = state.sql.range(_end(lower, lower_open), _end(upper, upper_open), descending)
        return self._page(state, sql, _bounds(lower, upper), limit, keys, alone)

    def scan_any(
        self, table: TableId, after: int | None = None, limit: int = 1000, *, alone: bool = False
    ) -> Page:
        """All documents in the order that reads fastest."""
        state = self._tables[table]
        return self._page(state, state.sql.scan_any, (after or 0,), limit, False, alone)

    def index_scan(
        self,
        table: TableId,
        index: IndexId,
        lower: Bound = None,
        upper: Bound = None,
        *,
        lower_open: bool = False,
        upper_open: bool = False,
        descending: bool = False,
        after: Position | None = None,
        limit: int,
        keys: bool = False,
        alone: bool = False,
    ) -> Page:
        """Documents in the order (index key, primary key, number), once for each entry; bounds are index keys."""
        state = self._tables[table]
        ends = _end(lower, lower_open), _end(upper, upper_open)
        low, high, bounds = _after(*ends, lower, upper, after, descending)
        sql = state.indexes[index].sql.range(low, high, descending)
        return self._page(state, sql, bounds, limit, keys, alone)

    def index_tally(
        self,
        table: TableId,
        index: IndexId,
        lower: Bound = None,
        upper: Bound = None,
        *,
        lower_open: bool = False,
        upper_open: bool = False,
        descending: bool = False,
        after: Position | None = None,
        limit: int,
    ) -> Tally:
        """As `index_scan`, but only how many entries each key has: `limit` counts entries, no document is read."""
        state = self._tables[table]
        ends = _end(lower, lower_open), _end(upper, upper_open)
        low, high, bounds = _after(*ends, lower, upper, after, descending)
        sql = state.indexes[index].sql.range(low, high, descending)
        try:
            counts = self._tally(sql, bounds, limit, descending=descending)
            position = None
            if sum([count for _, count in counts]) == limit:
                position = self._execute(sql.position, (*bounds, 1, limit - 1)).get
        except apsw.Error as error:
            raise self._failed(error, table) from error
        return Tally(counts, position)

    def _tally(
        self, sql: Range, bounds: tuple[Any, ...], limit: int, *, descending: bool
    ) -> list[tuple[bytes, int]]:
        counts: list[Any] = self._execute(sql.tally, (*bounds, limit)).fetchall()
        return counts[::-1] if descending else counts

    def count_scan(
        self,
        table: TableId,
        lower: Bound = None,
        upper: Bound = None,
        *,
        lower_open: bool = False,
        upper_open: bool = False,
        after: bytes | None = None,
        limit: int,
    ) -> tuple[int, bytes | None]:
        """How many documents a page of `scan` would have, and where to go on; reads keys only."""
        if after is not None:
            lower, lower_open = after, True
        state = self._tables[table]
        sql = state.sql.range(_end(lower, lower_open), _end(upper, upper_open), False)
        try:
            count, last = self._execute(sql.tally, (*_bounds(lower, upper), limit)).get
        except apsw.Error as error:
            raise self._failed(error, table) from error
        return count, last if count == limit else None

    def _page(
        self,
        state: "Table",
        sql: Range,
        bounds: tuple[Any, ...],
        limit: int,
        keys: bool,
        alone: bool,
    ) -> Page:
        try:
            options = self._options
            if limit * state.largest > options.page_bytes:
                limit = self._fit(state, sql, bounds, limit)
            elif alone:
                return self._documents(sql, bounds, limit)
            if limit <= ROWS_ONE_BY_ONE or (keys and not sql.by_entry):
                return self._rows(sql, bounds, limit, keys)
            row: Any = self._execute(sql.page, (*bounds, limit)).get
            count = row[1]
            if count == 0:
                return EMPTY._replace(keys=[]) if keys else EMPTY
            found = None
            if keys:
                tally = self._tally(sql, bounds, count, descending=sql.descending)
                found = list(chain.from_iterable(repeat(key, times) for key, times in tally))
            if count < limit:
                return Page(row[0], count, None, found)
            if len(row) == 3:
                return Page(row[0], count, row[2], found)
            position = self._execute(sql.position, (*bounds, 1, count - 1)).get
            return Page(row[0], count, position, found)
        except apsw.Error as error:
            raise self._failed(error, state.id) from error

    def _documents(self, sql: Range, bounds: tuple[Any, ...], limit: int) -> Page:
        found: Any = self._execute(sql.docs, (*bounds, limit)).get
        if found is None:
            return EMPTY
        if found.__class__ is bytes:
            return Page(found, 1, PERHAPS if limit == 1 else None)
        count = len(found)
        return Page(b",".join(found), count, PERHAPS if count == limit else None)

    def _rows(self, sql: Range, bounds: tuple[Any, ...], limit: int, keys: bool) -> Page:
        rows: list[Any] = self._execute(sql.rows, (*bounds, limit)).fetchall()
        if not rows:
            return EMPTY._replace(keys=[]) if keys else EMPTY
        single = len(rows[0]) == 2
        after = None
        if len(rows) == limit:
            after = rows[-1][1] if single else rows[-1][1:]
        found = [row[1] for row in rows] if keys else None
        return Page(b",".join([row[0] for row in rows]), len(rows), after, found)

    def _fit(self, state: "Table", sql: Range, bounds: tuple[Any, ...], limit: int) -> int:
        """How many documents the next page may have, at least 1."""
        options = self._options
        average = state.bytes // state.docs + 1 if state.docs > 0 else state.largest
        limit = max(1, min(limit, options.page_bytes // average))
        if limit * state.largest <= options.page_bytes_max:
            return limit
        total = 0
        sizes = self._execute(sql.sizes, (*bounds, limit)).fetchall()
        for count, (size,) in enumerate(sizes, 1):
            total += size
            if total > options.page_bytes:
                return max(1, count - 1) if total > options.page_bytes_max else count
        return limit

    # ---- numbers

    def count(self, table: TableId) -> int:
        """All documents of a table; takes no longer for a large one."""
        return self.size(table).documents

    def size(self, table: TableId) -> Size:
        if self._sizes is not None:
            return self._sizes.get(table) or Size(0, 0)
        state = self._tables[table]
        return Size(state.docs, state.bytes)


def _end(bound: Bound, is_open: bool) -> int:
    if bound is None:
        return NONE
    return OPEN if is_open else CLOSED


def _bounds(lower: Bound, upper: Bound) -> tuple[bytes, ...]:
    if lower is None:
        return () if upper is None else (upper,)
    return (lower,) if upper is None else (lower, upper)


def _after(
    low: int,
    high: int,
    lower: Bound,
    upper: Bound,
    after: Position | None,
    descending: bool,
) -> tuple[int, int, tuple[Any, ...]]:
    """How a range of an index ends on both sides, and its parameters, from where the last page ended."""
    if after is None:
        return low, high, _bounds(lower, upper)
    if descending:
        return low, AFTER, (*_bounds(lower, None), *after)
    return AFTER, high, (*after, *_bounds(None, upper))


def _closed(*_: Any) -> Any:
    raise OpFailedError("The database was closed while the query was running.")


def _released(*_: Any) -> Any:
    raise AssertionError("a snapshot is used that nobody holds")
