"""The part of a table that a feed looks at, and reading it page by page.

What always holds: a `View` is plain data, equal when it selects the same; a `Reader` goes through a view in key order,
so that for every row it is known whether it was read already (`passed`), however the table changes meanwhile. The parts
of `opening` drive readers; channels ask views and readers what a change means.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from rethought.feed.documents import Documents, of_page
from rethought.store import IndexId, IndexRule, Position, Snapshot, TableId

FoundIndex = tuple[IndexId, IndexRule]
FindIndex = Callable[[str], FoundIndex | None]
"""The index of a name, as it is now: None when it is gone."""


@dataclass(frozen=True, slots=True)
class View:
    """Rows by primary key (`index` None) or by an index: those between two bounds, or those with one of `keys`
    (which may repeat). Keys and bounds are encoded."""

    index: str | None = None
    lower: bytes | None = None
    upper: bytes | None = None
    lower_open: bool = False
    upper_open: bool = False
    keys: tuple[bytes, ...] | None = None

    @property
    def whole(self) -> bool:
        return (
            self.index is None and self.keys is None and self.lower is None and self.upper is None
        )

    @property
    def empty(self) -> bool:
        return self.keys == ()

    @property
    def interval(self) -> tuple[bytes, bytes | None]:
        """The bounds as the first key that is inside and the first that is not any more, None being the end."""
        low = b"" if self.lower is None else self.lower
        high = self.upper
        if self.lower_open:
            low += b"\0"
        if high is not None and not self.upper_open:
            high += b"\0"
        return low, high

    def holds(self, key: bytes) -> bool:
        """Whether a key (of the index, or the primary one) lies between the bounds."""
        lower, upper = self.lower, self.upper
        if lower is not None and (key < lower or (self.lower_open and key == lower)):
            return False
        return upper is None or key < upper or (key == upper and not self.upper_open)

    def count(self, keys: list[bytes], counts: "Counter[bytes] | None") -> int:
        """How many times a row with these keys is in the view; `counts` counts `self.keys`."""
        if counts is not None:
            return sum([counts[key] for key in keys if key in counts])
        if self.keys is not None:
            return sum([self.keys.count(key) for key in keys])
        if len(keys) == 1:
            return 1 if self.holds(keys[0]) else 0
        return sum([self.holds(key) for key in keys])


EMPTY: Final = View(keys=())


class Reader:
    """Reads a view's rows in the order of the keys it is defined by."""

    def __init__(self, view: View, table: TableId, index: IndexId | None) -> None:
        self.view = view
        self.done = view.empty
        self._table = table
        self._index = index
        self._at = 0  # number of the key under way, for a view of single keys
        self._after: Any = None  # position of the last row that was read

    def read(self, snapshot: Snapshot, limit: int) -> Documents:
        """The next rows; sets `done` when there are no more."""
        if self.view.index is not None and self._index is None:
            self.done = True  # no such index, nothing in it
        if self.done:
            return Documents([])
        if self.view.index is None and self.view.keys is not None:
            return self._read_keys(snapshot, limit)
        page = self._page(snapshot, limit)
        self._after = page.after
        if page.after is None:
            self._at += 1
            keys = self.view.keys
            self.done = keys is None or self._at >= len(keys)
        return of_page(page.docs) if page.count else Documents([])

    def _read_keys(self, snapshot: Snapshot, limit: int) -> Documents:
        assert self.view.keys is not None
        part = self.view.keys[self._at : self._at + limit]
        self._at += len(part)
        self.done = self._at >= len(self.view.keys)
        found = snapshot.get_many(self._table, list(dict.fromkeys(part)))
        return Documents([found[key] for key in part if key in found])

    def _page(self, snapshot: Snapshot, limit: int) -> Any:
        view = self.view
        lower, upper = view.lower, view.upper
        lower_open, upper_open = view.lower_open, view.upper_open
        if view.keys is not None:
            lower = upper = view.keys[self._at]
            lower_open = upper_open = False
        if self._index is None:
            return snapshot.scan(
                self._table,
                lower,
                upper,
                lower_open=lower_open,
                upper_open=upper_open,
                after=self._after,
                limit=limit,
            )
        return snapshot.index_scan(
            self._table,
            self._index,
            lower,
            upper,
            lower_open=lower_open,
            upper_open=upper_open,
            after=self._after,
            limit=limit,
        )

    def passed(self, key: bytes, entries: list[bytes]) -> tuple[int, int]:
        """How often a row is in the part that was read, and in the rest. `entries` are its keys in the index."""
        read = unread = 0
        for is_read in self._places(key, entries):
            if is_read:
                read += 1
            else:
                unread += 1
        return read, unread

    def _places(self, key: bytes, entries: list[bytes]) -> Iterator[bool]:
        view, after = self.view, self._after
        if view.index is None:
            if view.keys is not None:
                for number, wanted in enumerate(view.keys):
                    if wanted == key:
                        yield number < self._at
            elif view.holds(key):
                yield self.done or (after is not None and key <= after)
            return
        for place in places(key, entries):
            entry = place[0]
            if view.keys is not None:
                for number, wanted in enumerate(view.keys):
                    if wanted == entry:
                        yield (
                            self.done
                            or number < self._at
                            or (number == self._at and after is not None and place <= tuple(after))
                        )
            elif view.holds(entry):
                yield self.done or (after is not None and place <= tuple(after))


def places(key: bytes, entries: list[bytes]) -> list[Position]:
    """Where a row stands in an index: equal entries of one row are numbered, as the store does."""
    if len(entries) == 1:
        return [(entries[0], key, 0)]
    seen: Counter[bytes] = Counter()
    found = []
    for entry in entries:
        found.append((entry, key, seen[entry]))
        seen[entry] += 1
    return found
