"""The first rows of an ordered view, kept up to date.

Purpose: a feed of `order_by(index).limit(n)`: which rows are among the first n now, and what a turn changed of that.
Invariants:
  1. `places` are the first n rows of the view that have a value, in index order, as of the last turn that was run.
  2. While `complete` is false there may be more rows behind the last one; a gap is filled from the table.
  3. A gap is filled with what the table had after the changes that were run, though more may be written already.
Shared by all subscriptions of one form; `tables` runs it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any, Final

from rethought.errors import OpFailedError
from rethought.feed import messages
from rethought.feed.batch import Batch, Pending
from rethought.feed.channel import Channel, Owner, Transform
from rethought.feed.documents import Documents
from rethought.feed.ordered import Order, Place, Read, key_in
from rethought.feed.resume import Origin
from rethought.feed.tick import Tick
from rethought.feed.view import FoundIndex

PAGE: Final = 200

Rows = dict[Place, bytes]
Pair = tuple[Place | None, bytes | None, Place | None, bytes | None]
"""A row that left and one that came: place and value of each."""

Reading = Callable[[], AbstractContextManager[Read]]
"""Begins to read the table as it is after the changes that were run."""


class Top:
    """The rows themselves; plain state, no subscribers."""

    __slots__ = (
        "_by_key",
        "_constants",
        "_places",
        "_reading",
        "_transform",
        "complete",
        "order",
        "values",
    )

    def __init__(
        self,
        order: Order,
        transform: Transform | None,
        constants: bytes | None,
        reading: Reading,
    ) -> None:
        self.order = order
        self.values: Rows = {}
        self.complete = order.limit == 0
        self._transform = transform
        self._constants = constants
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
        with self._reading() as read:
            self._fill(read, None)

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
            with self._reading() as read:
                self._fill(read, boundary)
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
            for place in self.order.places_of(key, None if entries is None else entries[at][1]):
                if boundary is None or self.order.before(place, boundary):
                    wanted.append((at, place))
        if not wanted:
            return []
        numbers = sorted({at for at, _ in wanted})
        values = dict(zip(numbers, self._values(tick.documents(1, numbers)), strict=True))
        return [(place, value) for at, place in wanted if (value := values[at]) is not None]

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
        return self._transform(documents, self._constants)

    def _add(self, place: Place, value: bytes) -> None:
        insort(self._places, place)
        self.values[place] = value
        self._by_key.setdefault(key_in(place), []).append(place)

    def _drop(self, place: Place) -> None:
        del self._places[bisect_left(self._places, place)]
        del self.values[place]
        key = key_in(place)
        self._by_key[key].remove(place)
        if not self._by_key[key]:
            del self._by_key[key]

    # ---- from the table

    def _fill(self, read: Read, after: Place | None) -> None:
        order = self.order
        while len(self._places) < order.limit:
            missing = order.limit - len(self._places)
            found, documents, done = read(
                after, missing if self._transform is None else max(missing, PAGE)
            )
            for place, value in zip(found, self._values(documents), strict=True):
                if value is not None and place not in self.values:
                    self._add(place, value)
                    if len(self._places) == order.limit:
                        self.complete = done and place == found[-1]
                        return
            if done:
                self.complete = True
                return
            after = found[-1]


class LimitBatch(Batch):
    """A turn's messages, the rows as they were before it, and which commits it was."""

    __slots__ = ("before", "first", "last")

    def __init__(
        self, texts: list[bytes], before: list[tuple[Place, bytes]], first: int, last: int
    ) -> None:
        super().__init__(texts)
        self.before = before
        self.first = first
        self.last = last


class LimitChannel(Channel):
    """Everybody who follows the same first rows in the same form."""

    __slots__ = ("_find_index", "_merges", "_owner", "key", "offsets", "origin", "top", "types")

    def __init__(
        self,
        top: Top,
        find_index: Callable[[str], FoundIndex | None],
        *,
        types: bool,
        offsets: bool,
        merges: bool,
        origin: Origin | None = None,
    ) -> None:
        super().__init__()
        self._owner: Owner | None = None
        self._merges = merges
        self.key: Hashable = None  # others of equal form find it by this
        self.top = top
        self.origin = origin
        self.types = types
        self.offsets = offsets
        self._find_index = find_index

    @property
    def owner(self) -> Owner | None:
        return self._owner

    @property
    def merges(self) -> bool:
        return self._merges

    def enter(self, owner: Owner, key: Hashable) -> None:
        self._owner = owner
        self.key = key

    def run(self, tick: Tick) -> int:
        """Tells the subscribers, and how many they were."""
        name = self.top.order.view.index
        if name is not None and not self._index_is_ours(name):
            return 0
        before = self.rows() if self.merges else []
        gone, come = self.top.run(tick)
        if not gone and not come:
            return 0
        first, last = tick.seqs[0], tick.seqs[-1]
        texts = self.told(gone, come, first - 1, last)
        if texts or self.merges:
            return self.publish(LimitBatch(texts, before, first, last))
        return 0

    def _index_is_ours(self, name: str) -> bool:
        found = self._find_index(name)
        ours = self.top.order.index
        if found is None or ours is None:
            return False
        if found[0] == ours[0]:
            return True
        error = OpFailedError(f"The secondary index `{name}` was replaced by a different one.")
        for subscription in self.subscriptions:
            subscription.fail(error)
        return False

    def rows(self) -> list[tuple[Place, bytes]]:
        return [(place, self.top.values[place]) for place in self.top.in_order()]

    def pending(self) -> Pending:
        return PendingRows(self)

    def initial_texts(self) -> list[bytes]:
        texts = []
        for offset, (_, value) in enumerate(self.rows()):
            if self.offsets:
                texts.append(
                    messages.placed(value, messages.ABSENT, offset, None, types=self.types)
                )
            else:
                texts.append(messages.message(value, messages.ABSENT, types=self.types))
        return texts

    def told(self, gone: Rows, come: Rows, before: int, seq: int) -> list[bytes]:
        """The messages of what the commits after `before` up to `seq` changed, with resume tokens if there are any."""
        texts = self.texts(gone, come)
        origin = self.origin
        if origin is None:
            return texts
        return [
            messages.with_token(
                text, origin.merged(before, seq, at + 1, len(texts)), types=self.types
            )
            for at, text in enumerate(texts)
        ]

    def since(self, rows: list[tuple[Place, bytes]]) -> tuple[Rows, Rows]:
        """What left and came since the rows were these."""
        before, now = dict(rows), self.top.values
        gone = {place: value for place, value in before.items() if now.get(place) != value}
        come = {
            place: now[place] for place in self.top.in_order() if before.get(place) != now[place]
        }
        return gone, come

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
            by_key.setdefault(key_in(place), []).append(place)
        for place in list(gone):
            same = by_key.get(key_in(place))
            if same:
                new_place = same.pop(0)
                pairs.append((place, gone.pop(place), new_place, come.pop(new_place)))
        left, entered = list(gone.items()), list(come.items())
        for at in range(max(len(left), len(entered))):
            old = left[at] if at < len(left) else (None, None)
            new = entered[at] if at < len(entered) else (None, None)
            pairs.append((*old, *new))
        return pairs


class PendingRows:
    """What changed between two readings of one subscriber: the rows then against the rows now."""

    def __init__(self, channel: LimitChannel) -> None:
        self._channel = channel
        self._before: list[tuple[Place, bytes]] | None = None
        self._first = 0
        self._last = 0

    def add(self, batch: LimitBatch) -> None:
        if self._before is None:
            self._before = batch.before
            self._first = batch.first
        self._last = batch.last

    def texts(self) -> list[bytes]:
        gone, come = self._channel.since(self._before or [])
        return self._channel.told(gone, come, self._first - 1, self._last)

    def __len__(self) -> int:
        gone, come = self._channel.since(self._before or [])
        return max(len(gone), len(come))
