"""Rows of an ordered view, read page by page: as they are, or as they were some commits ago.

What always holds: pages follow each other in the order of the view without gap or repeat, each row with its place; what
`Past` reads is the table as it was after the commit it stands at, whatever was written since. `limit` reads the first
rows of a feed from here, `catchup` those of a feed that resumes.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from rethought.feed.documents import Documents, of_page
from rethought.feed.view import FoundIndex, View, part_of, parts_of, places
from rethought.store import Change, Commit, IndexRule, Snapshot, TableId

ROWS_MAX: Final = 1500

Place = tuple[Any, ...]
"""Where a row stands: (index key, primary key, number), or (primary key,)."""

Read = Callable[[Place | None, int], tuple[list[Place], Documents, bool]]
"""Reads rows behind a place: their places, the documents, and whether these were the last."""

_decode: Final = msgspec.json.Decoder().decode


class Order:
    """Which rows, in which order, how many."""

    __slots__ = ("_key_of", "descending", "index", "limit", "table", "view")

    def __init__(
        self,
        view: View,
        table: TableId,
        index: FoundIndex | None,
        key_of: Callable[[Any], bytes],
        *,
        descending: bool,
        limit: int,
    ) -> None:
        self.view = view
        self.table = table
        self.index = index
        self.descending = descending
        self.limit = limit
        self._key_of = key_of  # the primary key of a decoded document

    def before(self, place: Place, boundary: Place) -> bool:
        """Whether a place is up to the boundary."""
        return place >= boundary if self.descending else place <= boundary

    def places_of(self, key: bytes, entries: list[bytes] | None) -> list[Place]:
        """A row's places in the view; `entries` are its keys in the index, None for the primary order."""
        view = self.view
        if view.empty:
            return []
        if entries is None:
            return [(key,)] if view.holds(key) else []
        return [place for place in places(key, entries) if view.holds(place[0])]

    def read(
        self, snapshot: Snapshot, after: Place | None, limit: int
    ) -> tuple[list[Place], Documents, bool]:
        """See `Read`."""
        if self.view.empty:
            return [], Documents([]), True
        page = self._page(snapshot, after, min(limit, ROWS_MAX))
        documents = of_page(page.docs) if page.count else Documents([])
        return self._placed(documents, after), documents, page.after is None

    def _page(self, snapshot: Snapshot, after: Place | None, limit: int) -> Any:
        view = self.view
        if self.index is None:
            return snapshot.scan(
                self.table,
                view.lower,
                view.upper,
                lower_open=view.lower_open,
                upper_open=view.upper_open,
                descending=self.descending,
                after=None if after is None else after[0],
                limit=limit,
            )
        return snapshot.index_scan(
            self.table,
            self.index[0],
            view.lower,
            view.upper,
            lower_open=view.lower_open,
            upper_open=view.upper_open,
            descending=self.descending,
            after=after,
            limit=limit,
        )

    def _placed(self, documents: Documents, after: Place | None) -> list[Place]:
        """The places of a page's rows, which follow `after`."""
        if self.index is None:
            return [(self._key_of(row),) for row in documents.data()]
        rule = self.index[1]
        found: list[Place] = []
        candidates: list[Place] = []
        last: bytes | None = None
        for row in documents.data():
            key = self._key_of(row)
            if key != last or not candidates:
                # The row's places behind the one before, nearest first.
                last = key
                candidates = self._following(key, rule, row, found[-1] if found else after)
            found.append(candidates.pop(0))
        return found

    def _following(self, key: bytes, rule: IndexRule, row: Any, after: Place | None) -> list[Place]:
        mine = sorted(self.places_of(key, rule.keys(row)), reverse=self.descending)
        if after is None:
            return mine
        if self.descending:
            return [place for place in mine if place < after]
        return [place for place in mine if place > after]


def key_in(place: Place) -> bytes:
    """The primary key in a place."""
    key: bytes = place[1] if len(place) == 3 else place[0]
    return key


def packed_place(place: Place) -> bytes:
    """A place in one piece, as it is kept for very many feeds."""
    if len(place) == 1:
        return part_of(place[0])
    entry, key, number = place
    return part_of(entry) + part_of(key) + part_of(number.to_bytes(4))


def place_in(data: bytes) -> Place:
    parts = parts_of(data)
    return (parts[0],) if len(parts) == 1 else (parts[0], parts[1], int.from_bytes(parts[2]))


class Past:
    """The rows as an earlier commit left them: of the rows that changed since, those of then; of the others, those that
    are there. `learn` is told every commit since, in order, before anything is read; `advance` goes on by one."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._then: dict[bytes, list[Place]] = {}  # every row that changed, with its places then
        self._places: list[Place] = []  # ascending
        self._docs: dict[Place, bytes] = {}

    def learn(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            self.learn_changes(commit.changes)

    def learn_changes(self, changes: Iterable[Change]) -> None:
        for table, key, old, _ in changes:
            if table == self._order.table and key not in self._then:
                self._put(key, old)

    def advance(self, changes: Iterable[Change]) -> None:
        """Changes of the table, which were learnt of before, are no longer to come."""
        for _, key, _, new in changes:
            for place in self._then.pop(key):
                del self._places[bisect_left(self._places, place)]
                del self._docs[place]
            self._put(key, new)

    def _put(self, key: bytes, doc: bytes | None) -> None:
        order = self._order
        found: list[Place] = []
        if doc is not None:
            entries = None if order.index is None else order.index[1].keys(_decode(doc))
            found = order.places_of(key, entries)
        self._then[key] = found
        for place in found:
            insort(self._places, place)
            self._docs[place] = doc or b""

    def read(
        self, snapshot: Snapshot, after: Place | None, limit: int
    ) -> tuple[list[Place], Documents, bool]:
        """See `Read`."""
        while True:
            there, documents, done = self._order.read(snapshot, after, limit)
            rows = {
                place: bytes(doc)
                for place, doc in zip(there, documents.docs, strict=True)
                if key_in(place) not in self._then
            }
            rows.update(self._between(after, None if done else there[-1]))
            if rows or done:
                found = sorted(rows, reverse=self._order.descending)
                return found, Documents([rows[place] for place in found]), done
            after = there[-1]

    def _between(self, after: Place | None, last: Place | None) -> dict[Place, bytes]:
        """The rows of then behind one place and up to another."""
        low, high = (last, after) if self._order.descending else (after, last)
        first, end = 0, len(self._places)
        if self._order.descending:
            first = 0 if low is None else bisect_left(self._places, low)
            end = end if high is None else bisect_left(self._places, high)
        else:
            first = 0 if low is None else bisect_right(self._places, low)
            end = end if high is None else bisect_right(self._places, high)
        return {place: self._docs[place] for place in self._places[first:end]}


class Readable(Protocol):
    """What of a `Source` is read here."""

    @property
    def untold(self) -> Sequence[Commit]: ...

    def reading(self) -> AbstractContextManager[Snapshot]: ...


@contextmanager
def as_told(source: Readable, order: Order, before: Iterable[Change] = ()) -> Iterator[Read]:
    """Reads an ordered view as it is after the changes that were told; `before` these changes, the last of them."""
    with source.reading() as snapshot:
        untold = source.untold
        if not untold and not before:
            yield partial(order.read, snapshot)
            return
        past = Past(order)
        past.learn_changes(before)
        past.learn(untold)
        yield partial(past.read, snapshot)
