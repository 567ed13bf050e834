"""One view of a table and everybody who listens to it.

Purpose: work out once what a turn's changes mean to a view: which rows entered, left or changed, after the
transformation, as messages.
Invariants:
  1. Values are compared after the transformation; a side whose transformation fails is as if it were not there.
  2. A row that is in the view several times (repeated keys, entries of a multi index) counts that many times.
  3. While a reader still goes through the view, only what it has passed is told; the rest it will find itself.
`tables` calls `select` and `run` for every turn; `opening` makes channels and lets subscriptions join.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple, Protocol

from rethought.feed import messages
from rethought.feed.batch import Batch, Edit, EditsBatch, Pending, PendingEdits
from rethought.feed.documents import Documents
from rethought.feed.resume import Origin
from rethought.feed.subscription import Subscription
from rethought.feed.tick import Tick
from rethought.feed.view import Reader, Region, View

Transform = Callable[[Documents], list[bytes | None]]
"""The documents' values in the feed, None for those that have none. Never raises."""

Wanted = tuple[str, Hashable]
"""A field that every row of a view of a whole table has, and its value as `hash_key` gives it: other changes need not
be looked at."""


FEW: Final = 8
"""Keys of a view."""


class Hit(NamedTuple):
    """A change that touches a view: how often the old and the new row are in what was read, and in the rest."""

    at: int
    old: int
    new: int
    old_unread: int = 0
    new_unread: int = 0


class Form(NamedTuple):
    """How messages look. `origin` makes resume tokens, None without tokens."""

    types: bool = False
    origin: Origin | None = None


class Owner(Protocol):
    """Who keeps channels, and forgets one that nobody listens to any more."""

    def remove(self, channel: "Channel") -> None: ...


class Channel:
    """What all kinds have in common: subscribers."""

    __slots__ = ("key", "merges", "owner", "subscriptions")

    def __init__(self, *, merges: bool) -> None:
        self.merges = merges
        self.subscriptions: list[Subscription] = []
        self.owner: Owner | None = None
        self.key: Hashable | None = None  # others of equal form find it by this

    def join(self, subscription: Subscription) -> None:
        if self.subscriptions:
            self.subscriptions.append(subscription)
        else:
            self.subscriptions = [subscription]  # without room for more: mostly there is one
        subscription.members += (self,)

    def leave(self, subscription: Subscription) -> None:
        try:
            self.subscriptions.remove(subscription)
        except ValueError:  # it has left before
            return
        if not self.subscriptions and self.owner is not None:
            self.owner.remove(self)

    def publish(self, batch: Batch) -> int:
        """Hands a turn's messages to everybody; to how many."""
        subscriptions = tuple(self.subscriptions)
        for subscription in subscriptions:
            subscription.push(self, batch)
        return len(subscriptions)

    def pending(self) -> Pending:
        raise NotImplementedError


class RangeChannel(Channel):
    """Rows in no order: a table, part of it, or single rows."""

    __slots__ = ("counts", "form", "reader", "transform", "view", "wanted")

    def __init__(
        self,
        view: View,
        transform: Transform | None,
        form: Form,
        *,
        merges: bool = False,
        reader: Reader | None = None,
        wanted: Wanted | None = None,
    ) -> None:
        super().__init__(merges=merges)
        self.view = view
        self.transform = transform
        self.form = form
        self.reader = reader
        # How often each key is asked for; a few are counted when that matters.
        self.counts = None if view.keys is None or len(view.keys) <= FEW else Counter(view.keys)
        self.wanted = wanted

    def pending(self) -> PendingEdits:
        return PendingEdits(types=self.form.types, origin=self.form.origin)

    # ---- which changes touch the view

    def hit(self, tick: Tick, at: int, entries: tuple[list[bytes], list[bytes]]) -> Hit | None:
        """What change number `at` is to the view; `entries` are the index keys (or primary keys) before and after."""
        if self.view.region is not None:
            return self._hit_region(self.view.region, tick, at, entries)
        if self.reader is not None:
            key = tick.changes[at].key
            old, old_unread = self.reader.passed(key, entries[0])
            new, new_unread = self.reader.passed(key, entries[1])
            if self.view.index is None:
                if not entries[0]:
                    old = old_unread = 0
                if not entries[1]:
                    new = new_unread = 0
            return Hit(at, old, new, old_unread, new_unread) if old or new else None
        old = self.view.count(entries[0], self.counts)
        new = self.view.count(entries[1], self.counts)
        return Hit(at, old, new) if old or new else None

    def _hit_region(
        self, region: Region, tick: Tick, at: int, entries: tuple[list[bytes], list[bytes]]
    ) -> Hit | None:
        counts = [0, 0]
        for side in (0, 1):
            if any(region.place(entry) is not None for entry in entries[side]):
                counts[side] = region.count(tick.documents(side, [at]).data()[0])
        old, new = counts
        if not (old or new):
            return None
        old_unread = new_unread = 0
        if self.reader is not None:
            key = tick.changes[at].key
            if not self.reader.has_read(key, entries[0]):
                old, old_unread = 0, old
            if not self.reader.has_read(key, entries[1]):
                new, new_unread = 0, new
        return Hit(at, old, new, old_unread, new_unread) if old or new else None

    # ---- what they mean

    def run(self, tick: Tick, hits: list[Hit] | None) -> int:
        """Tells the subscribers, and how many they were; `hits` None is every change, once."""
        batch = self.batch(tick, hits)
        return 0 if batch is None else self.publish(batch)

    def batch(self, tick: Tick, hits: list[Hit] | None) -> Batch | None:
        if hits is None:
            if self.transform is None and not self.merges and self.form == PLAIN:
                return Batch(tick.plain_texts())
            hits = tick.all_hits()
        olds = self._values(tick, [hit.at if hit.old or hit.old_unread else -1 for hit in hits], 0)
        news = self._values(tick, [hit.at if hit.new or hit.new_unread else -1 for hit in hits], 1)
        if self.merges:
            edits = self._edits(tick, hits, olds, news)
            return EditsBatch(edits, self.pending()) if edits else None
        texts = self._texts(tick, hits, olds, news)
        return Batch(texts) if texts else None

    def _values(self, tick: Tick, at: list[int], side: int) -> list[bytes | None]:
        """The view's values of one side of these changes (-1: not in the view)."""
        docs = tick.side(side)
        if self.transform is None:
            return [None if each < 0 else docs[each] for each in at]
        places = [each for each in at if each >= 0 and docs[each] is not None]
        if not places:
            return [None] * len(at)
        values = dict(zip(places, self.transform(tick.documents(side, places)), strict=True))
        return [values.get(each) for each in at]

    def _texts(
        self,
        tick: Tick,
        hits: list[Hit],
        olds: list[bytes | None],
        news: list[bytes | None],
    ) -> list[bytes]:
        texts: list[bytes] = []
        types, origin = self.form
        message = messages.message
        for number, (hit, old, new) in enumerate(zip(hits, olds, news, strict=True)):
            before = len(texts)
            gone = hit.old if old is not None else 0
            come = hit.new if new is not None else 0
            both = min(gone, come)
            if both and old != new:
                texts.extend([message(new, old, types=types)] * both)
            come -= both
            gone -= both
            if come:
                found = min(come, hit.old_unread if old is not None else 0)
                texts.extend([message(new, messages.ABSENT, types=types)] * found)
                texts.extend([message(new, None, types=types)] * (come - found))
            elif gone:
                lost = min(gone, hit.new_unread if new is not None else 0)
                texts.extend([message(messages.ABSENT, old, types=types)] * lost)
                texts.extend([message(None, old, types=types)] * (gone - lost))
            if origin is not None and len(texts) > before:
                after = number + 1
                last = after == len(hits) or tick.seqs[hits[after].at] != tick.seqs[hit.at]
                _add_tokens(texts, before, origin, tick, hit.at, last, types)
        return texts

    def _edits(
        self,
        tick: Tick,
        hits: list[Hit],
        olds: list[bytes | None],
        news: list[bytes | None],
    ) -> list[Edit]:
        edits = []
        for hit, old, new in zip(hits, olds, news, strict=True):
            if old == new and hit.old == hit.new:
                continue
            key = tick.changes[hit.at].key
            seq = tick.seqs[hit.at]
            for copy in range(max(hit.old, hit.new)):
                before = old if copy < hit.old else None
                after = new if copy < hit.new else None
                if before != after:
                    edits.append(Edit((key, copy), before, after, seq))
        return edits

    def initial_texts(self, documents: Documents) -> list[bytes]:
        """The messages of initial values."""
        docs: Any = documents.docs
        if self.transform is not None:
            docs = [value for value in self.transform(documents) if value is not None]
        end = b',"type":"initial"}' if self.form.types else b"}"
        return [b'{"new_val":%b%b' % (doc, end) for doc in docs]


PLAIN = Form()


def _add_tokens(
    texts: list[bytes], start: int, origin: Origin, tick: Tick, at: int, last: bool, types: bool
) -> None:
    """Puts resume tokens into the messages of one change; the last of its commit stands for all of it."""
    seq, number = tick.seqs[at], tick.numbers[at]
    for place in range(start, len(texts)):
        final = last and place == len(texts) - 1
        token = origin.token(seq) if final else origin.token(seq, number, place - start)
        texts[place] = messages.with_token(texts[place], token, types=types)
