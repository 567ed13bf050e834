"""A system table's rows as the feeds see a table: states, and commits that lead from one to the next.

What always holds: a commit holds each difference between two looks at the rows once, in key order; a snapshot is the
state after the last commit. Looks happen when the catalog changes, when a feed asks (`flush`), and, for rows that
follow from nothing that says so, once a second; and only while somebody listens. There is no journal: nothing can be
resumed.
Stands in for a `store.Group` in a feed's hub; made by `system.table`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from time import time
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.jsonbytes import encode
from rethought.datum.keys import primary_bound
from rethought.errors import OpFailedError
from rethought.store import Change, Commit, Listener, Page, Size, TableId

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from rethought.catalog import Catalog

POLL_SECONDS: Final = 1.0
TABLE: Final = TableId(1)
"""The number of the only table."""

Row = dict[str, Any]
Rows = dict[bytes, bytes]
"""Encoded rows by encoded key, in the order of keys."""


class RowsGroup:
    """See the module. `topics` are the catalog's changes that rows follow from, None when they must be polled."""

    def __init__(
        self,
        look: Callable[[], list[Row]],
        catalog: "Catalog",
        topics: frozenset[str] | None,
        loop: "AbstractEventLoop | None",
    ) -> None:
        self._look = look
        self._catalog = catalog
        self._topics = topics
        self._loop = loop
        self._listeners: list[Listener] = []
        self._rows: Rows = {}
        self._stop: Callable[[], None] | None = None
        self._pending = False
        self.seq = 0
        self.journal_first_seq = 0
        self.writable = True

    # ---- reading

    def flush(self) -> None:
        """Looks now; tells listeners of what differs from the last look."""
        self._pending = False
        if self._listeners:
            self._advance(self._read())

    def snapshot(self) -> "RowsSnapshot":
        return RowsSnapshot(self.seq, self._rows if self._listeners else self._read())

    def journal(self, after: int, limit: int = 0) -> Iterator[Commit]:
        return iter(())

    def _read(self) -> Rows:
        found = {primary_bound(row["id"]): encode(row) for row in self._look()}
        return {key: found[key] for key in sorted(found)}

    # ---- listening

    def subscribe(self, listener: Listener) -> None:
        if not self._listeners:
            self._rows = self._read()
            self._start()
        self._listeners.append(listener)

    def unsubscribe(self, listener: Listener) -> None:
        self._listeners.remove(listener)
        if not self._listeners and self._stop is not None:
            self._stop()
            self._stop = None

    def _start(self) -> None:
        if self._topics is not None:
            self._stop = self._catalog.watch(self._changed)
        elif self._loop is not None:
            self._poll(self._loop)

    def _poll(self, loop: "AbstractEventLoop") -> None:
        def look() -> None:
            self._poll(loop)
            self.flush()

        self._stop = loop.call_later(POLL_SECONDS, look).cancel

    def _changed(self, topic: str, _: object) -> None:
        assert self._topics is not None
        if topic not in self._topics or self._pending:
            return
        if self._loop is None:
            self.flush()
        else:  # what changes together is looked at once
            self._pending = True
            self._loop.call_soon(self.flush)

    def _advance(self, now: Rows) -> None:
        before, self._rows = self._rows, now
        changes = [
            Change(TABLE, key, before.get(key), now.get(key))
            for key in sorted({**before, **now})
            if before.get(key) != now.get(key)
        ]
        if changes:
            self.seq += 1
            commit = Commit(self.seq, time(), changes)
            for listener in list(self._listeners):
                listener(commit)


class RowsSnapshot:
    """One state of the rows, with the methods of a store's snapshot that feeds use."""

    def __init__(self, seq: int, rows: Rows) -> None:
        self.seq = seq
        self._rows = rows

    def acquire(self) -> "RowsSnapshot":
        return self

    def release(self) -> None:
        """Nothing is held."""

    def get(self, table: TableId, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def get_many(self, table: TableId, keys: list[bytes]) -> Rows:
        return {key: self._rows[key] for key in keys if key in self._rows}

    def scan(
        self,
        table: TableId,
        lower: bytes | None = None,
        upper: bytes | None = None,
        *,
        lower_open: bool = False,
        upper_open: bool = False,
        descending: bool = False,
        after: bytes | None = None,
        limit: int = 1_000,
        keys: bool = False,
    ) -> Page:
        if after is not None and descending:
            upper, upper_open = after, True
        elif after is not None:
            lower, lower_open = after, True
        every = list(self._rows)
        start = 0
        if lower is not None:
            start = bisect_right(every, lower) if lower_open else bisect_left(every, lower)
        end = len(every)
        if upper is not None:
            end = bisect_left(every, upper) if upper_open else bisect_right(every, upper)
        chosen = every[start:end]
        if descending:
            chosen.reverse()
        page = chosen[:limit]
        return Page(
            b",".join([self._rows[key] for key in page]),
            len(page),
            page[-1] if len(chosen) > limit else None,
            list(page) if keys else None,
        )

    def scan_any(self, table: TableId, after: bytes | None = None, limit: int = 1_000) -> Page:
        return self.scan(table, after=after, limit=limit)

    def index_scan(self, *args: Any, **options: Any) -> Page:
        raise OpFailedError("System tables have no secondary indexes.")

    def count(self, table: TableId) -> int:
        return len(self._rows)

    def size(self, table: TableId) -> Size:
        return Size(len(self._rows), sum(map(len, self._rows.values())))
