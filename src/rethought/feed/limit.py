"""The first rows of an ordered view, kept up to date.

Purpose: a feed of `order_by(index).limit(n)`: which rows are among the first n now, and what a turn changed of that.
Invariants:
  1. `places` are the first n rows of the view that have a value, in index order, as of the last turn that was run.
  2. While `complete` is false there may be more rows behind the last one; a gap is filled from the table.
  3. A gap is filled with what the table had after the changes that were run, though more may be written already.
  4. A channel that rests has no rows, but knows where they end; the first change up to there makes it read them again,
     as they were before that change.
Shared by all subscriptions of one form; `limited` keeps and runs it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

from rethought.feed import messages
from rethought.feed.batch import Batch, Pending
from rethought.feed.channel import Channel, Form, Owner, Transform, form_of_rows
from rethought.feed.documents import Documents
from rethought.feed.hashed import Hashed, hash_of
from rethought.feed.ordered import (
    Order,
    Place,
    Read,
    Readable,
    as_told,
    key_in,
    packed_place,
    place_in,
)
from rethought.feed.tick import Tick
from rethought.feed.view import FoundIndex, View, packed, unpacked
from rethought.store import TableId

PAGE: Final = 200
GROWTH: Final = 4
"""While a filter leaves some of the first places free, so many times more rows are read each time, up to a page."""

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
        "bound",
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
        self.bound: Place | None = None  # that its channel is kept with
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
            self.fill_from(read)

    def fill_from(self, read: Read) -> None:
        self._fill(read, None)

    def run(self, tick: Tick) -> tuple[Rows, Rows]:
        """What left and what came in a turn (a row that changed did both), in output order."""
        gone: Rows = {}
        come: Rows = {}
        boundary = self.boundary()
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

    def boundary(self) -> Place | None:
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
        page = 0
        while len(self._places) < order.limit:
            # A filter may let most rows through, or hardly any.
            page = max(order.limit - len(self._places), min(GROWTH * page, PAGE))
            found, documents, done = read(after, page)
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


class LimitFamily:
    """What channels of first rows have in common, whatever their bounds, limits and constants: the order, the
    transformation, and how messages look. `owner` keeps its channels."""

    __slots__ = (
        "_key_of",
        "channels",
        "descending",
        "form",
        "index",
        "name",
        "offsets",
        "owner",
        "source",
        "table",
        "transform",
    )

    def __init__(
        self,
        source: Readable,
        table: TableId,
        name: str | None,
        index: FoundIndex | None,
        key_of: Callable[[Any], bytes],
        transform: Transform | None,
        form: Form,
        *,
        descending: bool,
        offsets: bool,
    ) -> None:
        self.source = source
        self.table = table
        self.name = name  # of the index
        self.index = index
        self._key_of = key_of
        self.transform = transform
        self.form = form
        self.descending = descending
        self.offsets = offsets
        self.owner: Owner | None = None
        self.channels: Hashed[LimitChannel] = Hashed()

    @property
    def key(self) -> Hashable:
        """Equal for those whose channels can be of one family."""
        number = None if self.index is None else self.index[0]
        return self.transform, self.form, self.offsets, self.descending, self.name, number

    def order(self, view: View, limit: int) -> Order:
        return Order(
            view, self.table, self.index, self._key_of, descending=self.descending, limit=limit
        )


NOWHERE: Final = b""
"""The bound of a channel that is not kept yet."""

_LIMIT_BYTES: Final = 6


def _selected(view: View, limit: int) -> bytes:
    return limit.to_bytes(_LIMIT_BYTES) + packed(view)


class LimitChannel(Channel):
    """Everybody who follows the same first rows in the same form. There may be very many: see 4. `bound` is a place
    (packed) behind which nothing matters, None when all of the view does; exactly that of the last row while the
    channel rests."""

    __slots__ = ("_constants", "_selected", "bound", "family", "top")

    def __init__(
        self, family: LimitFamily, view: View, limit: int, constants: bytes | None
    ) -> None:
        super().__init__()
        self.family = family
        self._selected = _selected(view, limit)
        self._constants = constants
        self.bound: bytes | None = NOWHERE
        self.top: Top | None = None  # while it does not rest

    @property
    def key(self) -> int:
        """Others of the family find it by this."""
        return hash_of((self._selected, self._constants))

    def same(self, other: "LimitChannel") -> bool:
        return self._selected == other._selected and self._constants == other._constants

    @property
    def owner(self) -> Owner | None:
        return self.family.owner

    @property
    def merges(self) -> bool:
        return self.family.form.merges

    @property
    def constants(self) -> bytes | None:
        return self._constants

    @property
    def limit(self) -> int:
        return int.from_bytes(self._selected[:_LIMIT_BYTES])

    @property
    def view(self) -> View:
        return unpacked(self.family.name, self._selected[_LIMIT_BYTES:])

    @property
    def order(self) -> Order:
        return self.family.order(self.view, self.limit)

    @property
    def interval(self) -> tuple[bytes, bytes | None]:
        """The keys up to the bound, as `View.intervals`."""
        [(low, high)] = self.view.intervals
        if self.bound is None:
            return low, high
        last: bytes = place_in(self.bound)[0]
        return (last, high) if self.family.descending else (low, last + b"\0")

    # ---- awake and at rest

    def follow(self, reading: Reading) -> Top:
        """From now on it has rows, though they are still to be read."""
        top = self.top = Top(self.order, self.family.transform, self._constants, reading)
        return top

    def wake(self, tick: Tick | None) -> Top:
        """Reads the rows as they were told, or as they were before this turn."""
        order = self.order
        source = self.family.source
        top = self.follow(partial(as_told, source, order))
        top.bound = place_in(self.bound) if self.bound else None
        with as_told(source, order, () if tick is None else tick.changes) as read:
            top.fill_from(read)
        return top

    @property
    def exact_bound(self) -> bytes | None:
        last = self._awake().boundary()
        return None if last is None else packed_place(last)

    @property
    def outgrown(self) -> bool:
        """Whether there are rows behind the bound by now."""
        top = self._awake()
        last = top.boundary()
        if last is None or top.bound is None:
            return last is not top.bound
        return last != top.bound and not top.order.before(last, top.bound)

    @property
    def may_rest(self) -> bool:
        """Not while somebody has yet to be told what changed between then and now."""
        return not self.merges or all(each.backlog is None for each in self.subscriptions)

    def _concerned(self, tick: Tick) -> bool:
        """Whether a turn may mean something to a channel at rest."""
        order = self.order
        last = None if self.bound is None else place_in(self.bound)
        entries = None if order.index is None else tick.entries(*order.index)
        rows: list[Any] = []
        for at, change in enumerate(tick.changes):
            for side, doc in ((0, change.old), (1, change.new)):
                if doc is None:
                    continue
                keys = None if entries is None else entries[at][side]
                if any(
                    last is None or order.before(place, last)
                    for place in order.places_of(change.key, keys)
                ):
                    rows += tick.documents(side, [at]).data()
        transform = self.family.transform
        return bool(rows) and (transform is None or transform.admits(rows, self._constants))

    # ---- a turn

    def run(self, tick: Tick) -> int:
        """Tells the subscribers, and how many they were."""
        top = self.top
        if top is None:
            if not self._concerned(tick):
                return 0
            top = self.wake(tick)
        before = self.rows() if self.merges else []
        gone, come = top.run(tick)
        if not gone and not come:
            return 0
        first, last = tick.seqs[0], tick.seqs[-1]
        texts = self.told(gone, come, first - 1, last)
        if texts or self.merges:
            return self.publish(LimitBatch(texts, before, first, last))
        return 0

    def rows(self) -> list[tuple[Place, bytes]]:
        top = self._awake()
        return [(place, top.values[place]) for place in top.in_order()]

    def _awake(self) -> Top:
        assert self.top is not None
        return self.top

    def pending(self) -> Pending:
        return PendingRows(self)

    def initial_texts(self) -> list[bytes]:
        types = self.family.form.types
        texts = []
        for offset, (_, value) in enumerate(self.rows()):
            if self.family.offsets:
                texts.append(messages.placed(value, messages.ABSENT, offset, None, types=types))
            else:
                texts.append(messages.message(value, messages.ABSENT, types=types))
        return texts

    def told(self, gone: Rows, come: Rows, before: int, seq: int) -> list[bytes]:
        """The messages of what the commits after `before` up to `seq` changed, with resume tokens if there are any."""
        texts = self.texts(gone, come)
        types, origin, merges = self.family.form
        if origin is None:
            return texts
        form = 0
        if len(texts) > 1:
            family = self.family
            form = form_of_rows(
                self.view,
                self.limit,
                descending=family.descending,
                offsets=family.offsets,
                merges=merges,
            )
        return [
            messages.with_token(
                text, origin.merged(before, seq, at + 1, len(texts), form), types=types
            )
            for at, text in enumerate(texts)
        ]

    def since(self, rows: list[tuple[Place, bytes]]) -> tuple[Rows, Rows]:
        """What left and came since the rows were these."""
        before, top = dict(rows), self._awake()
        now = top.values
        gone = {place: value for place, value in before.items() if now.get(place) != value}
        come = {place: now[place] for place in top.in_order() if before.get(place) != now[place]}
        return gone, come

    def texts(self, gone: Rows, come: Rows) -> list[bytes]:
        """The messages of what left and came: a row with itself, then in order who takes whose place."""
        pairs = list(self._pairs(dict(gone), dict(come)))
        types = self.family.form.types
        if not self.family.offsets:
            return [
                messages.message(new, old, types=types) for _, old, _, new in pairs if new != old
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
                texts.append(messages.placed(new, old, new_offset, old_offset, types=types))
        return texts

    def _before(self, gone: Rows, come: Rows) -> list[Place]:
        """The places before the turn, ascending."""
        kept = [place for place in self._awake().values if place not in come]
        return sorted([*kept, *gone])

    def _offset(self, working: list[Place], place: Place) -> int:
        at = bisect_left(working, place)
        return len(working) - 1 - at if self.family.descending else at

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
