"""The first rows of an ordered view, kept up to date.

Purpose: a feed of `order_by(index).limit(n)`: which rows are among the first n now, and what a turn changed of that.
Invariants:
  1. `places` are the first n rows of the view that have a value, in index order, as of the last turn that was run.
  2. While `complete` is false there may be more rows behind the last one; a gap is filled from the table.
  3. Running a change twice does nothing the second time, so the table may be read when it is ahead of the changes.
Shared by all subscriptions of one form; `tables` runs it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

from rethought.errors import OpFailedError
from rethought.feed import messages
from rethought.feed.batch import Batch, Pending
from rethought.feed.channel import Channel, Transform
from rethought.feed.documents import Documents, of_page
from rethought.feed.tick import Tick
from rethought.feed.view import FoundIndex, View, places
from rethought.store import IndexRule, Snapshot, TableId

PAGE: Final = 200

Place = tuple[Any, ...]
"""Where a row stands: (index key, primary key, number), or (primary key,)."""

Rows = dict[Place, bytes]
Pair = tuple[Place | None, bytes | None, Place | None, bytes | None]
"""A row that left and one that came: place and value of each."""


class Order:
    """Which rows, in which order, how many."""

    __slots__ = ("descending", "index", "limit", "table", "view")

    def __init__(
        self, view: View, table: TableId, index: FoundIndex | None, *, descending: bool, limit: int
    ) -> None:
        self.view = view
        self.table = table
        self.index = index
        self.descending = descending
        self.limit = limit


class Top:
    """The rows themselves; plain state, no subscribers."""

    def __init__(
        self,
        order: Order,
        transform: Transform | None,
        key_of: Callable[[Any], bytes],
        reading: Callable[[], AbstractContextManager[Snapshot]],
    ) -> None:
        self.order = order
        self.values: Rows = {}
        self.complete = order.limit == 0
        self._transform = transform
        self._key_of = key_of  # the primary key of a decoded document
        self._reading = reading
        self._places: list[Place] = []  # ascending
        self._by_key: dict[bytes, list[Place]] = {}

    def in_order(self) -> list[Place]:
        return self._places[::-1] if self.order.descending else list(self._places)

    def offset(self, place: Place) -> int:
        at = bisect_left(self._places, place)
        return len(self._places) - 1 - at if self.order.descending else at

    def fill(self) -> None:
        """Reads the rows."""
        with self._reading() as snapshot:
            self._fill(snapshot, None)

    def run(self, tick: Tick) -> tuple[Rows, Rows]:
        """What left and what came in a turn (a row that changed did both), in output order."""
        gone: Rows = {}
        come: Rows = {}
        boundary = self._boundary()
        for place, value in self._moved(tick, boundary, gone):
            self._add(place, value)
            come[place] = value
        for place in self._beyond():
            gone_value = self.values[place]
            self._drop(place)
            if place in come:
                del come[place]
            else:
                gone[place] = gone_value
            self.complete = False
        if not self.complete and len(self._places) < self.order.limit:
            before = set(self._places)
            with self._reading() as snapshot:
                self._fill(snapshot, boundary)
            come.update(
                (place, self.values[place]) for place in self._places if place not in before
            )
        for place in [place for place in gone if come.get(place) == gone[place]]:
            del gone[place], come[place]
        return self._sorted(gone), self._sorted(come)

    def _sorted(self, rows: Rows) -> Rows:
        return {place: rows[place] for place in sorted(rows, reverse=self.order.descending)}

    # ---- one turn

    def _moved(self, tick: Tick, boundary: Place | None, gone: Rows) -> list[tuple[Place, bytes]]:
        """Takes out the rows that changed; their new places up to the boundary, with values."""
        last = {change.key: at for at, change in enumerate(tick.changes)}
        entries = None
        if self.order.index is not None:
            entries = tick.entries(*self.order.index)
        wanted: list[tuple[int, Place]] = []
        for key, at in last.items():
            for place in list(self._by_key.get(key, ())):
                gone[place] = self.values[place]
                self._drop(place)
            if tick.changes[at].new is None:
                continue
            for place in self._places_of(key, None if entries is None else entries[at][1]):
                if boundary is None or self._before(place, boundary):
                    wanted.append((at, place))
        if not wanted:
            return []
        numbers = list(dict.fromkeys(at for at, _ in wanted))
        values = dict(zip(numbers, self._values(tick.documents(1, numbers)), strict=True))
        return [(place, value) for at, place in wanted if (value := values[at]) is not None]

    def _places_of(self, key: bytes, entries: list[bytes] | None) -> list[Place]:
        view = self.order.view
        if entries is None:
            return [(key,)] if view.holds(key) else []
        return [place for place in places(key, entries) if view.holds(place[0])]

    def _before(self, place: Place, boundary: Place) -> bool:
        return place >= boundary if self.order.descending else place <= boundary

    def _boundary(self) -> Place | None:
        """The last row's place; None when everything there is belongs in."""
        if self.complete or not self._places:
            return None
        return self._places[0] if self.order.descending else self._places[-1]

    def _beyond(self) -> list[Place]:
        extra = len(self._places) - self.order.limit
        if extra <= 0:
            return []
        return self._places[:extra] if self.order.descending else self._places[-extra:]

    def _values(self, documents: Documents) -> list[bytes | None]:
        if self._transform is None:
            return [bytes(doc) for doc in documents.docs]
        return self._transform(documents)

    def _add(self, place: Place, value: bytes) -> None:
        insort(self._places, place)
        self.values[place] = value
        self._by_key.setdefault(place[-2] if len(place) == 3 else place[0], []).append(place)

    def _drop(self, place: Place) -> None:
        del self._places[bisect_left(self._places, place)]
        del self.values[place]
        key = place[-2] if len(place) == 3 else place[0]
        self._by_key[key].remove(place)
        if not self._by_key[key]:
            del self._by_key[key]

    # ---- from the table

    def _fill(self, snapshot: Snapshot, after: Place | None) -> None:
        order = self.order
        while len(self._places) < order.limit:
            missing = order.limit - len(self._places)
            limit = missing if self._transform is None else max(missing, PAGE)
            page = self._page(snapshot, after, min(limit, 1500))
            documents = of_page(page.docs) if page.count else Documents([])
            found = self._placed(documents, after)
            for place, value in zip(found, self._values(documents), strict=True):
                if value is not None and place not in self.values:
                    self._add(place, value)
                    if len(self._places) == order.limit:
                        self.complete = page.after is None and place == found[-1]
                        return
            if page.after is None:
                self.complete = True
                return
            after = found[-1]

    def _page(self, snapshot: Snapshot, after: Place | None, limit: int) -> Any:
        order, view = self.order, self.order.view
        if order.index is None:
            return snapshot.scan(
                order.table,
                view.lower,
                view.upper,
                lower_open=view.lower_open,
                upper_open=view.upper_open,
                descending=order.descending,
                after=None if after is None else after[0],
                limit=limit,
            )
        return snapshot.index_scan(
            order.table,
            order.index[0],
            view.lower,
            view.upper,
            lower_open=view.lower_open,
            upper_open=view.upper_open,
            descending=order.descending,
            after=after,
            limit=limit,
        )

    def _placed(self, documents: Documents, after: Place | None) -> list[Place]:
        """The places of a page's rows, which follow `after`."""
        if self.order.index is None:
            return [(self._key_of(row),) for row in documents.data()]
        rule = self.order.index[1]
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
        descending = self.order.descending
        mine = sorted(self._places_of(key, rule.keys(row)), reverse=descending)
        if after is None:
            return mine
        if descending:
            return [place for place in mine if place < after]
        return [place for place in mine if place > after]


class LimitBatch(Batch):
    """A turn's messages, and the rows as they were before it."""

    __slots__ = ("before",)

    def __init__(self, texts: list[bytes], before: list[tuple[Place, bytes]]) -> None:
        super().__init__(texts)
        self.before = before


class LimitChannel(Channel):
    """Everybody who follows the same first rows in the same form."""

    __slots__ = ("_find_index", "offsets", "top", "types")

    def __init__(
        self,
        top: Top,
        find_index: Callable[[str], FoundIndex | None],
        *,
        types: bool,
        offsets: bool,
        merges: bool,
    ) -> None:
        super().__init__(merges=merges)
        self.top = top
        self.types = types
        self.offsets = offsets
        self._find_index = find_index

    def run(self, tick: Tick) -> int:
        """Tells the subscribers, and how many they were."""
        name = self.top.order.view.index
        if name is not None and not self._index_is_ours(name):
            return 0
        before = self._rows() if self.merges else []
        gone, come = self.top.run(tick)
        if gone or come:
            return self.publish(LimitBatch(self.texts(gone, come), before))
        return 0

    def _index_is_ours(self, name: str) -> bool:
        found = self._find_index(name)
        ours = self.top.order.index
        if found is None or ours is None:
            return False
        if found[0] == ours[0]:
            return True
        error = OpFailedError(f"The secondary index `{name}` was replaced by a different one.")
        for subscription in tuple(self.subscriptions):
            subscription.fail(error)
        return False

    def _rows(self) -> list[tuple[Place, bytes]]:
        return [(place, self.top.values[place]) for place in self.top.in_order()]

    def pending(self) -> Pending:
        return PendingRows(self)

    def initial_texts(self) -> list[bytes]:
        texts = []
        for offset, (_, value) in enumerate(self._rows()):
            if self.offsets:
                texts.append(
                    messages.placed(value, messages.ABSENT, offset, None, types=self.types)
                )
            else:
                texts.append(messages.message(value, messages.ABSENT, types=self.types))
        return texts

    def texts(self, gone: Rows, come: Rows) -> list[bytes]:
        """The messages of what left and came: a row with itself, then in order who takes whose place."""
        pairs = list(self._pairs(dict(gone), dict(come)))
        if not self.offsets:
            return [
                messages.message(new, old, types=self.types)
                for _, old, _, new in pairs
                if new != old
            ]
        texts = []
        working = self._before(gone, come)
        for old_place, old, new_place, new in pairs:
            old_offset = new_offset = None
            if old_place is not None:
                old_offset = self._offset(working, old_place)
                working.remove(old_place)
            if new_place is not None:
                insort(working, new_place)
                new_offset = self._offset(working, new_place)
            if new != old or new_offset != old_offset:
                texts.append(messages.placed(new, old, new_offset, old_offset, types=self.types))
        return texts

    def _before(self, gone: Rows, come: Rows) -> list[Place]:
        """The places before the turn, ascending."""
        kept = [place for place in self.top.values if place not in come]
        return sorted([*kept, *gone])

    def _offset(self, working: list[Place], place: Place) -> int:
        at = bisect_left(working, place)
        return len(working) - 1 - at if self.top.order.descending else at

    def _pairs(self, gone: Rows, come: Rows) -> list[Pair]:
        """A row with itself, where it was if it still is there; the rest in order."""
        pairs: list[Pair] = [
            (place, gone.pop(place), place, come.pop(place))
            for place in list(gone)
            if place in come
        ]
        by_key: dict[Any, list[Place]] = {}
        for place in come:
            by_key.setdefault(_row(place), []).append(place)
        for place in list(gone):
            same = by_key.get(_row(place))
            if same:
                new_place = same.pop(0)
                pairs.append((place, gone.pop(place), new_place, come.pop(new_place)))
        left, entered = list(gone.items()), list(come.items())
        for at in range(max(len(left), len(entered))):
            old = left[at] if at < len(left) else (None, None)
            new = entered[at] if at < len(entered) else (None, None)
            pairs.append((*old, *new))
        return pairs


def _row(place: Place) -> Any:
    """The primary key in a place."""
    return place[1] if len(place) == 3 else place[0]


class PendingRows:
    """What changed between two readings of one subscriber: the rows then against the rows now."""

    def __init__(self, channel: LimitChannel) -> None:
        self._channel = channel
        self._before: list[tuple[Place, bytes]] | None = None

    def add(self, batch: LimitBatch) -> None:
        if self._before is None:
            self._before = batch.before

    def texts(self) -> list[bytes]:
        gone, come = self._difference()
        return self._channel.texts(gone, come)

    def _difference(self) -> tuple[Rows, Rows]:
        before = dict(self._before or ())
        now = self._channel.top.values
        gone = {place: value for place, value in before.items() if now.get(place) != value}
        come = {
            place: now[place]
            for place in self._channel.top.in_order()
            if before.get(place) != now[place]
        }
        return gone, come

    def __len__(self) -> int:
        gone, come = self._difference()
        return max(len(gone), len(come))
