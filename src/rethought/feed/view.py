"""The part of a table that a feed looks at, and reading it page by page.

What always holds: a `View` is plain data, equal when it selects the same; a `Reader` goes through a view in key order,
so that for every row it is known whether it was read already (`passed`), however the table changes meanwhile. The parts
of `opening` drive readers; channels ask views and readers what a change means.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, Protocol

from rethought.feed.documents import Documents, Encoded, of_page
from rethought.store import IndexId, IndexRule, Position, Snapshot, TableId

FoundIndex = tuple[IndexId, IndexRule]


class FindIndex(Protocol):
    """The index of a name, as it is now: None when it is gone, or is of the other kind."""

    def __call__(self, name: str, *, geo: bool = False) -> FoundIndex | None: ...


@dataclass(frozen=True, slots=True)
class Region:
    """Rows of a geo index with geometries that meet another. Ranges of index keys, both ends included, in order and
    without overlap, only propose; `count` says how many geometries of a row do meet it."""

    geometry: bytes
    ranges: tuple[tuple[bytes, bytes], ...]
    count: Callable[[Any], int] = field(compare=False, repr=False)
    key_of: Callable[[Any], bytes] = field(compare=False, repr=False)  # the primary key of a row

    def place(self, key: bytes) -> int | None:
        """The number of the range that holds an index key."""
        at = bisect_right(self.ranges, key, key=itemgetter(0)) - 1
        return at if at >= 0 and key <= self.ranges[at][1] else None


@dataclass(frozen=True, slots=True)
class View:
    """Rows by primary key (`index` None) or by an index: those between two bounds, those with one of `keys` (which may
    repeat), or those in a region. Keys and bounds are encoded."""

    index: str | None = None
    lower: bytes | None = None
    upper: bytes | None = None
    lower_open: bool = False
    upper_open: bool = False
    keys: tuple[bytes, ...] | None = None
    region: Region | None = None
    counts: "Counter[bytes] | None" = field(default=None, compare=False, repr=False)  # of many keys

    @property
    def whole(self) -> bool:
        return (
            self.index is None and self.keys is None and self.lower is None and self.upper is None
        )

    @property
    def empty(self) -> bool:
        return self.keys == ()

    @property
    def intervals(self) -> list[tuple[bytes, bytes | None]]:
        """The keys inside, each as the first of them and the first that is not any more, None being the end."""
        if self.region is not None:
            return [(low, high + b"\0") for low, high in self.region.ranges]
        low = b"" if self.lower is None else self.lower
        high = self.upper
        if self.lower_open:
            low += b"\0"
        if high is not None and not self.upper_open:
            high += b"\0"
        return [(low, high)]

    def holds(self, key: bytes) -> bool:
        """Whether a key (of the index, or the primary one) lies between the bounds."""
        lower, upper = self.lower, self.upper
        if lower is not None and (key < lower or (self.lower_open and key == lower)):
            return False
        return upper is None or key < upper or (key == upper and not self.upper_open)

    def count(self, keys: list[bytes]) -> int:
        """How many times a row with these keys is in the view."""
        if self.keys is not None:
            counts = self.counts
            if counts is not None:
                return sum([counts[key] for key in keys if key in counts])
            return sum([self.keys.count(key) for key in keys])
        if len(keys) == 1:
            return 1 if self.holds(keys[0]) else 0
        return sum([self.holds(key) for key in keys])


FEW: Final = 8
"""Keys that need not be counted beforehand."""

EMPTY: Final = View(keys=())


def view_of_keys(index: str | None, keys: tuple[bytes, ...]) -> View:
    return View(index, keys=keys, counts=None if len(keys) <= FEW else Counter(keys))


# ---- packed: what very many feeds look at

_LOWER, _UPPER, _LOWER_OPEN, _UPPER_OPEN, _KEYS = 1, 2, 4, 8, 16
_LONG: Final = 255
"""In place of the length of a longer part; that follows in four bytes."""


def packed(view: View) -> bytes:
    """The bounds or keys of a view without a region, in one piece. Equal ones are equal bytes."""
    if view.keys is not None:
        return b"%c" % _KEYS + b"".join([part_of(key) for key in view.keys])
    kinds = _LOWER_OPEN * view.lower_open + _UPPER_OPEN * view.upper_open
    lower, upper = view.lower, view.upper
    if lower is not None:
        kinds |= _LOWER
    if upper is not None:
        kinds |= _UPPER
    return b"%c%b%b" % (kinds, b"" if lower is None else part_of(lower), upper or b"")


def part_of(part: bytes) -> bytes:
    """With its length, so that several can stand one after the other."""
    if len(part) < _LONG:
        return b"%c%b" % (len(part), part)
    return b"%c%b%b" % (_LONG, len(part).to_bytes(4), part)


def parts_of(data: bytes, at: int = 0) -> list[bytes]:
    """What `part_of` put one after the other."""
    found = []
    while at < len(data):
        part, at = _next(data, at)
        found.append(part)
    return found


def _next(data: bytes, at: int) -> tuple[bytes, int]:
    size = data[at]
    at += 1
    if size == _LONG:
        size = int.from_bytes(data[at : at + 4])
        at += 4
    return data[at : at + size], at + size


@lru_cache(maxsize=128)
def unpacked(index: str | None, data: bytes) -> View:
    """The view of an index that was packed to these bytes."""
    kinds = data[0]
    if kinds & _KEYS:
        return view_of_keys(index, tuple(parts_of(data, 1)))
    lower, at = _next(data, 1) if kinds & _LOWER else (None, 1)
    upper = data[at:] if kinds & _UPPER else None
    return View(index, lower, upper, bool(kinds & _LOWER_OPEN), bool(kinds & _UPPER_OPEN))


class Reader:
    """Reads a view's rows in the order of the keys it is defined by."""

    def __init__(self, view: View, table: TableId, index: IndexId | None) -> None:
        self.view = view
        self.done = view.empty
        self._table = table
        self._index = index
        self._at = 0  # number of the key under way, for a view of single keys
        self._after: Any = None  # position of the last row that was read
        self._seen: set[bytes] = set()  # rows of a region, which may have many entries

    def read(self, snapshot: Snapshot, limit: int) -> Documents:
        """The next rows; sets `done` when there are no more."""
        if self.view.index is not None and self._index is None:
            self.done = True  # no such index, nothing in it
        if self.done:
            return Documents([])
        if self.view.index is None and self.view.keys is not None:
            return self._read_keys(snapshot, limit)
        if self.view.region is not None:
            return self._read_region(self.view.region, snapshot, limit)
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

    def _read_region(self, region: Region, snapshot: Snapshot, limit: int) -> Documents:
        assert self._index is not None
        low, high = region.ranges[self._at]
        page = snapshot.index_scan(
            self._table, self._index, low, high, after=self._after, limit=limit
        )
        self._after = page.after
        if page.after is None:
            self._at += 1
            self.done = self._at >= len(region.ranges)
        documents = of_page(page.docs) if page.count else Documents([])
        found: list[Encoded] = []
        for doc, row in zip(documents.docs, documents.data(), strict=True):
            key = region.key_of(row)
            if key not in self._seen:
                self._seen.add(key)
                found += [doc] * region.count(row)
        return Documents(found)

    def has_read(self, key: bytes, entries: list[bytes]) -> bool:
        """Whether a row with these entries in a region is read already, or will not be met any more."""
        region, after = self.view.region, self._after
        assert region is not None
        if key in self._seen or self.done:
            return True
        for place in places(key, entries):
            at = region.place(place[0])
            if at is None or at < self._at:
                continue
            if at > self._at or after is None or place > tuple(after):
                return False
        return True

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
