"""One view of a table and everybody who listens to it.

Purpose: work out once what a turn's changes mean to a view: which rows entered, left or changed, after the
transformation, as messages.
Invariants:
  1. Values are compared after the transformation; a side whose transformation fails is as if it were not there.
  2. A row that is in the view several times (repeated keys, entries of a multi index) counts that many times.
  3. While a reader still goes through the view, only what it has passed is told; the rest it will find itself.
`tables` calls `hit` and `run` for every turn; `opening` makes channels and lets subscriptions join.
"""

from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

from rethought.feed import messages
from rethought.feed.batch import Batch, Edit, EditsBatch, Pending, PendingEdits
from rethought.feed.conditions import Condition
from rethought.feed.documents import Documents
from rethought.feed.hashed import Hashed, hash_of
from rethought.feed.resume import Origin, form_of
from rethought.feed.subscription import Subscription
from rethought.feed.tick import Hit, Tick
from rethought.feed.view import Reader, Region, View, packed, unpacked


class Transform(Protocol):
    """What documents are in a feed: what stands before CHANGES, for whatever `constants` (encoded; None for those that
    it was made with). Nothing here raises."""

    def __call__(self, documents: Documents, constants: bytes | None) -> list[bytes | None]:
        """The documents' values in the feed, None for those that have none."""
        ...

    def admits(self, rows: list[Any], constants: bytes | None) -> bool:
        """False when it is certain that none of these documents has a value; costs less than the values."""
        ...

    def condition(self, constants: bytes | None) -> Condition | None:
        """What is known of every document that has a value."""
        ...


def condition_of(transform: Transform | None, constants: bytes | None) -> Condition | None:
    return None if transform is None else transform.condition(constants)


def form_of_rows(
    view: View,
    limit: int = 0,
    *,
    descending: bool = False,
    offsets: bool = False,
    merges: bool = True,
) -> int:
    """See `resume.form_of`; whatever the index is called."""
    return form_of(replace(view, index=None), limit, descending, offsets, merges)


class Form(NamedTuple):
    """How messages look. `origin` makes resume tokens, None without tokens; `merges` with `squash`."""

    types: bool = False
    origin: Origin | None = None
    merges: bool = False


PLAIN: Final = Form()


class Owner(Protocol):
    """Who keeps channels, and forgets one that nobody listens to any more."""

    def remove(self, channel: "Channel") -> None: ...


class Channel:
    """What all kinds have in common: subscribers. Mostly there is one: it stands there itself, without a list."""

    __slots__ = ("_listening",)

    def __init__(self) -> None:
        self._listening: Subscription | list[Subscription] | None = None

    @property
    def owner(self) -> Owner | None:
        raise NotImplementedError

    @property
    def merges(self) -> bool:
        raise NotImplementedError

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        listening = self._listening
        if listening is None:
            return ()
        return tuple(listening) if isinstance(listening, list) else (listening,)

    def join(self, subscription: Subscription) -> None:
        listening = self._listening
        if listening is None:
            self._listening = subscription
        elif isinstance(listening, list):
            listening.append(subscription)
        else:
            self._listening = [listening, subscription]
        subscription.belong_to(self)

    def leave(self, subscription: Subscription) -> None:
        listening = self._listening
        if isinstance(listening, list):
            if subscription in listening:
                listening.remove(subscription)
                self._listening = listening or None
        elif listening is subscription:
            self._listening = None
        else:  # it has left before
            return
        if self._listening is None and self.owner is not None:
            self.owner.remove(self)

    def publish(self, batch: Batch) -> int:
        """Hands a turn's messages to everybody; to how many."""
        subscriptions = self.subscriptions
        for subscription in subscriptions:
            subscription.push(self, batch)
        return len(subscriptions)

    def pending(self) -> Pending:
        raise NotImplementedError


class Family:
    """What channels have in common that make messages alike: of one table and one index (or none), with one
    transformation (for whatever constants) and form. `channels` has them by view, or by constants where there is a
    transformation."""

    __slots__ = ("channels", "form", "index", "owner", "transform")

    def __init__(
        self,
        transform: Transform | None,
        form: Form,
        owner: Owner | None = None,
        index: str | None = None,
    ) -> None:
        self.transform = transform
        self.form = form
        self.owner = owner
        self.index = index
        self.channels: Hashed[RangeChannel] = Hashed()

    def find(self, view: View, constants: bytes | None) -> "RangeChannel | None":
        if constants is not None:
            for channel in self.channels.of(hash_of(constants)):
                if channel.constants == constants:
                    return channel
            return None
        selected = _selected(view)
        for channel in self.channels.of(hash_of(selected)):
            if channel.selected == selected:
                return channel
        return None

    def add(self, channel: "RangeChannel") -> None:
        self.channels.add(channel.key, channel)

    def remove(self, channel: "RangeChannel") -> None:
        self.channels.remove(channel.key, channel)


def _selected(view: View) -> View | bytes:
    return packed(view) if view.region is None else view


class RangeChannel(Channel):
    """Rows in no order: a table, part of it, or single rows. There may be very many, so most have their view packed.
    The view is of the family's index."""

    __slots__ = ("constants", "family", "selected")

    def __init__(self, family: Family, view: View, constants: bytes | None = None) -> None:
        super().__init__()
        self.family = family
        self.selected = _selected(view)
        self.constants = constants

    @property
    def view(self) -> View:
        selected = self.selected
        return unpacked(self.family.index, selected) if isinstance(selected, bytes) else selected

    @property
    def key(self) -> int:
        """Others of the family find it by this."""
        return hash_of(self.selected if self.constants is None else self.constants)

    @property
    def owner(self) -> Owner | None:
        return self.family.owner

    @property
    def merges(self) -> bool:
        return self.family.form.merges

    @property
    def reader(self) -> Reader | None:
        """Who still goes through the view."""
        return None

    def pending(self) -> PendingEdits:
        types, origin, _ = self.family.form
        form = 0 if origin is None else form_of_rows(self.view)
        return PendingEdits(types=types, origin=origin, form=form)

    # ---- which changes touch the view

    def hit(self, tick: Tick, at: int, entries: tuple[list[bytes], list[bytes]]) -> Hit | None:
        """What change number `at` is to the view; `entries` are the index keys (or primary keys) before and after."""
        view = self.view
        if view.region is not None:
            return self._hit_region(view.region, tick, at, entries)
        old = view.count(entries[0])
        new = view.count(entries[1])
        return Hit(at, old, new) if old or new else None

    def _hit_region(
        self, region: Region, tick: Tick, at: int, entries: tuple[list[bytes], list[bytes]]
    ) -> Hit | None:
        counts = [0, 0]
        for side in (0, 1):
            if any(region.place(entry) is not None for entry in entries[side]):
                counts[side] = region.count(tick.documents(side, [at]).data()[0])
        old, new = counts
        return Hit(at, old, new) if old or new else None

    # ---- what they mean

    def run(self, tick: Tick, hits: list[Hit] | None) -> int:
        """Tells the subscribers, and how many they were; `hits` None is every change, once."""
        batch = self.batch(tick, hits)
        return 0 if batch is None else self.publish(batch)

    def batch(self, tick: Tick, hits: list[Hit] | None) -> Batch | None:
        if hits is None:
            if self.family.transform is None and self.family.form == PLAIN:
                return Batch(tick.plain_texts())
            hits = tick.all_hits()
        olds = self._values(tick, [hit.at if hit.old or hit.old_unread else -1 for hit in hits], 0)
        news = self._values(tick, [hit.at if hit.new or hit.new_unread else -1 for hit in hits], 1)
        if self.family.form.merges:
            edits = self._edits(tick, hits, olds, news)
            return EditsBatch(edits, self.pending()) if edits else None
        texts = self._texts(tick, hits, olds, news)
        return Batch(texts) if texts else None

    def _values(self, tick: Tick, at: list[int], side: int) -> list[bytes | None]:
        """The view's values of one side of these changes (-1: not in the view)."""
        docs = tick.side(side)
        transform = self.family.transform
        if transform is None:
            return [None if each < 0 else docs[each] for each in at]
        places = [each for each in at if each >= 0 and docs[each] is not None]
        if not places:
            return [None] * len(at)
        values = dict(
            zip(places, transform(tick.documents(side, places), self.constants), strict=True)
        )
        return [values.get(each) for each in at]

    def _texts(
        self,
        tick: Tick,
        hits: list[Hit],
        olds: list[bytes | None],
        news: list[bytes | None],
    ) -> list[bytes]:
        texts: list[bytes] = []
        told: list[tuple[int, Hit]] = []  # where the messages of a change begin
        types, origin, _ = self.family.form
        message = messages.message
        for hit, old, new in zip(hits, olds, news, strict=True):
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
                told.append((before, hit))
        if origin is not None:
            _add_tokens(texts, told, origin, tick, types=types)
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
        transform, form = self.family.transform, self.family.form
        if transform is not None:
            values = transform(documents, self.constants)
            docs = [value for value in values if value is not None]
        end = b',"type":"initial"}' if form.types else b"}"
        return [b'{"new_val":%b%b' % (doc, end) for doc in docs]


class ReadChannel(RangeChannel):
    """A view that a reader still goes through, for its subscriber alone."""

    __slots__ = ("_reader",)

    def __init__(self, family: Family, view: View, constants: bytes | None, reader: Reader) -> None:
        super().__init__(family, view, constants)
        self._reader = reader

    @property
    def reader(self) -> Reader:
        return self._reader

    def hit(self, tick: Tick, at: int, entries: tuple[list[bytes], list[bytes]]) -> Hit | None:
        if self.view.region is not None:
            return self._part_read(tick, super().hit(tick, at, entries), entries)
        reader, key = self._reader, tick.changes[at].key
        old, old_unread = reader.passed(key, entries[0])
        new, new_unread = reader.passed(key, entries[1])
        if self.view.index is None:
            if not entries[0]:
                old = old_unread = 0
            if not entries[1]:
                new = new_unread = 0
        return Hit(at, old, new, old_unread, new_unread) if old or new else None

    def _part_read(
        self, tick: Tick, hit: Hit | None, entries: tuple[list[bytes], list[bytes]]
    ) -> Hit | None:
        """What was found in a region, told apart by whether the reader has met it."""
        if hit is None:
            return None
        at, old, new, old_unread, new_unread = hit
        key = tick.changes[at].key
        if not self._reader.has_read(key, entries[0]):
            old, old_unread = 0, old
        if not self._reader.has_read(key, entries[1]):
            new, new_unread = 0, new
        return Hit(at, old, new, old_unread, new_unread) if old or new else None


def _add_tokens(
    texts: list[bytes], told: list[tuple[int, Hit]], origin: Origin, tick: Tick, *, types: bool
) -> None:
    """Puts resume tokens into messages; the last one of a commit stands for all of it."""
    end, later = len(texts), None
    for start, hit in reversed(told):
        seq, number = tick.seqs[hit.at], tick.numbers[hit.at]
        for at in range(start, end):
            whole = at == end - 1 and seq != later
            token = origin.token(seq) if whole else origin.token(seq, number, at - start)
            texts[at] = messages.with_token(texts[at], token, types=types)
        end, later = start, seq
