"""The beginning of a feed: what was there before, joined to what comes.

Purpose: put initial values, or the changes since a resume token, into a subscription before it goes live.
Invariants:
  1. The subscription sees every change of its view exactly once: in what was read, or live; the seam is a state of the
     table up to which everything was told (`Source.settle`, `Source.reading`), and it is crossed without giving way.
  2. While rows are still being read, a change is told if its row was read already, and left to the reading otherwise.
  3. Between two steps nothing is held but a position.
`reql.feeds` makes one for each feed and calls `step` until `done`.
"""

from typing import Final, Protocol

from rethought.feed import messages
from rethought.feed.catchup import LimitCatchUp, RangeCatchUp
from rethought.feed.channel import PLAIN, Family, Form, RangeChannel, ReadChannel, Transform
from rethought.feed.documents import Documents
from rethought.feed.heartbeat import Place, keep_young
from rethought.feed.limit import LimitChannel, LimitFamily
from rethought.feed.resume import Mark, Marks, text_of
from rethought.feed.source import Source
from rethought.feed.subscription import Subscription
from rethought.feed.tables import TableFeeds
from rethought.feed.view import EMPTY, FindIndex, Reader, View
from rethought.store import TableId

PAGE: Final = 500
"""Rows that are read before others get a turn."""


class Part(Protocol):
    """One table's share in a feed. `begin` is called once; `step` until it says that nothing is left to read."""

    @property
    def place(self) -> Place:
        """With resume tokens only."""
        ...

    def begin(self, subscription: Subscription, *, initial: bool) -> None: ...

    def step(self, subscription: Subscription) -> bool: ...

    def mark(self) -> Mark | None:
        """Where a subscriber stands who has everything that was told so far; None without resume tokens, and while
        there is nothing to go on from."""
        ...


class _Waiting:
    """Keeps the place of a part that is not live yet, and hears of the table's end."""

    def __init__(
        self, feeds: TableFeeds, subscription: Subscription, channel: RangeChannel
    ) -> None:
        self.channel = channel
        feeds.wait(channel)
        channel.join(subscription)
        self._subscription = subscription

    def leave(self) -> None:
        self._subscription.part_from(self.channel)


def _wait(feeds: TableFeeds, subscription: Subscription) -> _Waiting:
    """Keeps the place without hearing of changes."""
    return _Waiting(feeds, subscription, RangeChannel(Family(None, PLAIN, feeds), EMPTY))


class RangePart:
    """A table, part of it, or (`point`) one row."""

    def __init__(
        self,
        source: Source,
        table: TableId,
        view: View,
        find_index: FindIndex,
        transform: Transform | None = None,
        constants: bytes | None = None,
        form: Form = PLAIN,
        *,
        point: bool = False,
        resume: Mark | None = None,
    ) -> None:
        self.source = source
        self._table = table
        self._view = view
        self._find_index = find_index
        self._transform = transform
        self._constants = constants
        self._form = form
        self._point = point
        self._resume = resume
        self._waiting: _Waiting | None = None
        self._catch_up: RangeCatchUp | None = None

    @property
    def place(self) -> Place:
        assert self._form.origin is not None
        return self.source, self._form.origin

    def mark(self) -> Mark | None:
        origin = self._form.origin
        if origin is None or self._waiting is not None:
            return None
        self.source.settle()
        return origin.mark(self.source.seq)

    def begin(self, subscription: Subscription, *, initial: bool) -> None:
        if self._resume is not None:
            self._waiting = _wait(self._feeds(), subscription)
            family = Family(self._transform, self._form, index=self._view.index)
            channel = RangeChannel(family, self._view, self._constants)
            self._catch_up = RangeCatchUp(
                self.source, self._table, self._resume, channel, self._find_index
            )
        elif not initial:
            self.source.settle()
            self._join(subscription)
        elif self._point:
            self._begin_point(subscription)
        else:
            self._begin_reading(subscription)

    def _begin_point(self, subscription: Subscription) -> None:
        assert self._view.keys is not None
        with self.source.reading() as snapshot:
            document = snapshot.get(self._table, self._view.keys[0])
        if document is not None and self._transform is not None:
            document = self._transform(Documents([document]), self._constants)[0]
        subscription.put([messages.message(document, messages.ABSENT, types=self._form.types)])
        self._join(subscription)

    def _begin_reading(self, subscription: Subscription) -> None:
        name = self._view.index
        geo = self._view.region is not None
        found = None if name is None else self._find_index(name, geo=geo)
        reader = Reader(self._view, self._table, None if found is None else found[0])
        # A token before the end of the reading would lose the rest.
        form = self._form._replace(origin=None, merges=False)
        self.source.settle()
        feeds = self._feeds()
        family = Family(self._transform, form, feeds, self._view.index)
        channel = ReadChannel(family, self._view, self._constants, reader)
        self._waiting = _Waiting(feeds, subscription, channel)

    def _feeds(self) -> TableFeeds:
        return self.source.table(self._table, self._find_index)

    def _join(self, subscription: Subscription) -> None:
        channel = self._feeds().range(self._view, self._transform, self._constants, self._form)
        channel.join(subscription)

    def step(self, subscription: Subscription) -> bool:
        waiting = self._waiting
        if waiting is None:
            return True
        if self._catch_up is not None:
            done = self._catch_up.step(subscription)
        else:
            done = self._read(subscription, waiting.channel)
        if done:
            self._waiting = None
            self._join(subscription)
            waiting.leave()
        return done

    def _read(self, subscription: Subscription, channel: RangeChannel) -> bool:
        reader = channel.reader
        assert reader is not None
        with self.source.reading() as snapshot:
            documents = reader.read(
                snapshot, min(PAGE, max(1, subscription.delivery.queue_max // 2))
            )
        if len(documents):
            subscription.put(channel.initial_texts(documents))
        return reader.done


class LimitPart:
    """The first rows of an ordered view."""

    def __init__(
        self,
        source: Source,
        family: LimitFamily,
        view: View,
        limit: int,
        constants: bytes | None,
        find_index: FindIndex,
        *,
        resume: Mark | None = None,
    ) -> None:
        self.source = source
        self._family = family
        self._view = view
        self._limit = limit
        self._constants = constants
        self._find_index = find_index
        self._resume = resume
        self._waiting: _Waiting | None = None
        self._catch_up: LimitCatchUp | None = None

    @property
    def place(self) -> Place:
        origin = self._family.form.origin
        assert origin is not None
        return self.source, origin

    def mark(self) -> Mark | None:
        origin = self._family.form.origin
        if origin is None or self._waiting is not None:
            return None
        self.source.settle()
        return origin.mark(self.source.seq)

    def begin(self, subscription: Subscription, *, initial: bool) -> None:
        if self._resume is None:
            self._join(subscription, initial=initial)
            return
        self._waiting = _wait(self._feeds(), subscription)
        channel = LimitChannel(self._family, self._view, self._limit, self._constants)
        self._catch_up = LimitCatchUp(self.source, self._resume, channel, self._find_index)

    def _feeds(self) -> TableFeeds:
        return self.source.table(self._family.table, self._find_index)

    def _join(self, subscription: Subscription, *, initial: bool = False) -> None:
        self.source.settle()
        limited = self._feeds().limited
        channel = limited.channel(self._family, self._view, self._limit, self._constants)
        channel.join(subscription)
        texts = limited.open(channel, initial=initial)
        subscription.put(texts)

    def step(self, subscription: Subscription) -> bool:
        waiting = self._waiting
        if waiting is None:
            return True
        assert self._catch_up is not None
        done = self._catch_up.step(subscription)
        if done:
            self._waiting = None
            self._join(subscription)
            waiting.leave()
        return done


class Opening:
    """See the module. With `tokens` messages have resume tokens; `resume` are the marks to go on from, of each part."""

    def __init__(
        self,
        subscription: Subscription,
        parts: list[Part],
        *,
        initial: bool,
        states: bool,
        types: bool,
        tokens: bool = False,
        resume: list[Mark] | None = None,
    ) -> None:
        self.done = False
        self._subscription = subscription
        self._parts = parts
        self._at = 0  # the part that is not live yet
        self._initial = initial
        self._states = states
        self._types = types
        self._tokens = tokens
        self._resume = resume

    def begin(self) -> None:
        subscription = self._subscription
        if self._states and self._initial:
            token = text_of(self._resume) if self._resume and self._tokens else None
            subscription.put([messages.state(b"initializing", types=self._types, token=token)])
        for part in self._parts:
            part.begin(subscription, initial=self._initial)
        if self._tokens:
            if len(self._parts) > 1:
                subscription.marks = Marks()
            self._start(self._resume or self._marks())
        self.step()

    def _marks(self) -> list[Mark] | None:
        marks = [mark for part in self._parts if (mark := part.mark()) is not None]
        return marks if len(marks) == len(self._parts) else None

    def _start(self, marks: list[Mark] | None) -> None:
        """Tells the subscription where it begins, if that can be said."""
        if marks is None:
            return
        subscription = self._subscription
        subscription.token = messages.shared(text_of(marks))
        if subscription.marks is not None:
            subscription.marks.start(marks)
        if not self._resume:
            subscription.read_first()

    def step(self) -> None:
        """A little more; sets `done` when the subscription is live."""
        subscription = self._subscription
        while self._at < len(self._parts):
            if not self._parts[self._at].step(subscription):
                return
            self._at += 1
        self.done = True
        marks = self._marks() if self._tokens else None
        if subscription.token is None:
            self._start(marks)
        if self._states:
            token = None if marks is None else text_of(marks)
            subscription.put([messages.state(b"ready", types=self._types, token=token)])
            if self._tokens:
                places = tuple([part.place for part in self._parts])
                keep_young(subscription, places, types=self._types)
