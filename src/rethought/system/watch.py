"""Changes of a system table's rows, for changefeeds.

What always holds: a listener hears of each difference between two looks at the rows, in key order, once. Looks happen
when the catalog changes, or, for rows that follow from nothing that says so, once a second while somebody listens.
Used by `system.table` only.
"""

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.order import hash_key, order_key
from rethought.errors import ReqlError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from rethought.catalog import Catalog

TURN_SECONDS: Final = 0.002

Row = dict[str, Any]
WatchListener = Callable[[Any, Row | None, Row | None], None]
"""Called with key, old row, new row."""


class Watch:
    """Looks at the rows of one table in one form, for all who listen."""

    def __init__(
        self,
        rows: Callable[[], Iterable[Row]],
        catalog: "Catalog",
        topics: frozenset[str] | None,
        loop: "AbstractEventLoop | None",
        poll_seconds: float,
        *,
        only_new: bool = False,
    ) -> None:
        """`only_new`: rows that are there no more are not told of; they only make room for others."""
        self._rows = rows
        self._catalog = catalog
        self._topics = topics
        self._loop = loop
        self._poll_seconds = poll_seconds
        self._only_new = only_new
        self._listeners: list[WatchListener] = []
        self._seen: dict[Any, Row] = {}
        self._stop: Callable[[], None] | None = None
        self._pending = False

    def add(self, listener: WatchListener) -> Callable[[], None]:
        if not self._listeners:
            self._seen = self._look()
            self._start()
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)
                if not self._listeners and self._stop is not None:
                    self._stop()
                    self._stop = None

        return remove

    def _look(self) -> dict[Any, Row]:
        return {hash_key(row["id"]): row for row in self._rows()}

    def _start(self) -> None:
        if self._topics is not None:
            self._stop = self._catalog.watch(self._changed)
        elif self._loop is not None:
            self._poll(self._loop)

    def _poll(self, loop: "AbstractEventLoop") -> None:
        handle = loop.call_later(
            self._poll_seconds, self._gather, loop, iter(self._rows_later()), {}
        )
        self._stop = handle.cancel

    def _rows_later(self) -> Iterator[Row]:
        yield from self._rows()  # made when they are gathered, not now

    def _gather(self, loop: "AbstractEventLoop", rows: Iterator[Row], seen: dict[Any, Row]) -> None:
        """Looks at the rows, some in each turn of the loop: there may be many."""
        end = perf_counter() + TURN_SECONDS
        try:
            for row in rows:
                seen[hash_key(row["id"])] = row
                if perf_counter() > end:
                    handle = loop.call_soon(self._gather, loop, rows, seen)
                    self._stop = handle.cancel
                    return
        except ReqlError:
            pass  # what was looked at went away meanwhile: the next look will see
        else:
            self._compare(seen)
        if self._listeners:
            self._poll(loop)

    def _changed(self, topic: str, _: object) -> None:
        assert self._topics is not None
        if topic not in self._topics or self._pending:
            return
        if self._loop is None:
            self.check()
        else:  # what changes together is looked at once
            self._pending = True
            self._loop.call_soon(self.check)

    def check(self) -> None:
        """Looks now, and tells of what differs from the last look."""
        self._pending = False
        if self._listeners:
            self._compare(self._look())

    def _compare(self, now: dict[Any, Row]) -> None:
        before = self._seen
        self._seen = now
        known = now if self._only_new else {**before, **now}
        keys = [key for key in known if before.get(key) != now.get(key)]
        keys.sort(key=lambda key: order_key((now.get(key) or before[key])["id"]))
        for key in keys:
            old, new = before.get(key), now.get(key)
            for listener in list(self._listeners):
                listener((new or old or {})["id"], old, new)
