"""The beginning of a feed: what was there before, joined to what comes.

Purpose: put initial values, or the changes since a resume token, into a subscription before it goes live.
Invariants:
  1. The subscription sees every change of its view exactly once: in what was read, or live; the seam is a state of the
     table up to which everything was told (`Source.settle`, `Source.reading`), and it is crossed without giving way.
  2. While rows are still being read, a change is told if its row was read already, and left to the reading otherwise.
  3. Between two steps nothing is held but a position.
`reql.feeds` makes one for each feed and calls `step` until `done`.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from rethought.feed import messages
from rethought.feed.channel import PLAIN, Form, RangeChannel, Transform, Wanted
from rethought.feed.documents import Documents
from rethought.feed.hub import tick_of
from rethought.feed.limit import LimitChannel
from rethought.feed.resume import WHOLE, Token, check
from rethought.feed.subscription import Subscription
from rethought.feed.tables import TableFeeds
from rethought.feed.view import EMPTY, FindIndex, Reader, View
from rethought.store import Commit, Snapshot, TableId

PAGE: Final = 500
COMMITS: Final = 64
"""Rows, or commits, that are looked at before others get a turn."""


class Source(Protocol):
    """Where a part's table is: a hub, or what stands for one."""

    @property
    def seq(self) -> int: ...

    @property
    def first_seq(self) -> int: ...

    def table(self, table: TableId, find_index: FindIndex) -> TableFeeds: ...

    def settle(self) -> None: ...

    def reading(self) -> AbstractContextManager[Snapshot]: ...

    def journal(self, after: int, limit: int) -> Iterator[Commit]: ...


class Part(Protocol):
    """One table's share in a feed. `begin` is called once; `step` until it says that nothing is left to read."""

    def begin(self, subscription: Subscription, *, initial: bool) -> None: ...

    def step(self, subscription: Subscription) -> bool: ...

    def token(self) -> bytes | None: ...


class RangePart:
    """A table, part of it, or (`point`) one row."""

    def __init__(
        self,
        source: Source,
        table: TableId,
        view: View,
        find_index: FindIndex,
        transform: Transform | None = None,
        form: Form = PLAIN,
        *,
        share: Hashable | None = None,
        merges: bool = False,
        point: bool = False,
        resume: Token | None = None,
        wanted: Wanted | None = None,
    ) -> None:
        self._wanted = wanted
        self._source = source
        self._table = table
        self._view = view
        self._find_index = find_index
        self._transform = transform
        self._form = form
        self._share = share
        self._merges = merges
        self._point = point
        self._resume = resume
        self._reading: RangeChannel | None = None

    def token(self) -> bytes | None:
        """Everything up to now."""
        origin = self._form.origin
        return None if origin is None else Token(origin, self._source.seq).text()

    def begin(self, subscription: Subscription, *, initial: bool) -> None:
        if self._resume is not None:
            subscription.token = self._resume.text()
            self._reading = RangeChannel(
                EMPTY, None, PLAIN
            )  # keeps the place, and hears of the table's end
            self._feeds().add(self._reading)
            self._reading.join(subscription)
        elif not initial:
            self._source.settle()
            self._join(subscription)
            subscription.token = self.token()
        elif self._point:
            self._begin_point(subscription)
        else:
            self._reading = self._begin_reading(subscription)

    def _begin_point(self, subscription: Subscription) -> None:
        assert self._view.keys is not None
        with self._source.reading() as snapshot:
            document = snapshot.get(self._table, self._view.keys[0])
        if document is not None and self._transform is not None:
            document = self._transform(Documents([document]))[0]
        subscription.queue.append(
            messages.message(document, messages.ABSENT, types=self._form.types)
        )
        self._join(subscription)
        subscription.token = self.token()

    def _begin_reading(self, subscription: Subscription) -> RangeChannel:
        name = self._view.index
        found = None if name is None else self._find_index(name)
        reader = Reader(self._view, self._table, None if found is None else found[0])
        form = self._form._replace(
            origin=None
        )  # a token before the end of the reading would lose the rest
        channel = RangeChannel(self._view, self._transform, form, reader=reader)
        self._source.settle()
        self._feeds().add(channel)
        channel.join(subscription)
        return channel

    def _feeds(self) -> TableFeeds:
        return self._source.table(self._table, self._find_index)

    def _join(self, subscription: Subscription) -> None:
        def make() -> RangeChannel:
            return RangeChannel(
                self._view,
                self._transform,
                self._form,
                merges=self._merges,
                wanted=self._wanted if self._view.whole else None,
            )

        key = None
        if self._share is not None:
            key = (self._share, self._view, self._form, self._merges)
        channel: RangeChannel = self._feeds().shared(key, make)
        channel.join(subscription)

    def step(self, subscription: Subscription) -> bool:
        if self._resume is not None:
            return self._follow(subscription)
        channel = self._reading
        if channel is None:
            return True
        reader = channel.reader
        assert reader is not None
        with self._source.reading() as snapshot:
            documents = reader.read(snapshot, min(PAGE, max(1, subscription.queue_max // 2)))
        if len(documents):
            subscription.queue.extend(channel.initial_texts(documents))
        if not reader.done:
            return False
        self._go_live(subscription)
        subscription.token = self.token()
        return True

    def _go_live(self, subscription: Subscription) -> None:
        channel, self._reading = self._reading, None
        assert channel is not None
        self._join(subscription)
        subscription.members.remove(channel)
        channel.leave(subscription)

    def _follow(self, subscription: Subscription) -> bool:
        """The next commits of the journal; live when there are no more."""
        resume = self._resume
        assert resume is not None
        self._source.settle()
        check(resume, resume.table, self._source.first_seq, self._source.seq)
        partly = resume.change != WHOLE
        channel = RangeChannel(self._view, self._transform, self._form)
        seq = resume.seq
        for commit in self._source.journal(seq - 1 if partly else seq, COMMITS):
            after = resume.change - 1 if commit.seq == resume.seq else -1
            texts = self._texts_of(channel, tick_of(commit, self._table, after))
            if commit.seq == resume.seq:
                del texts[: resume.copy + 1]
            subscription.queue.extend(texts)
            seq = commit.seq
        self._resume = Token(resume.table, seq)
        if seq < self._source.seq:
            return False
        self._resume = None
        self._go_live(subscription)
        return True

    def _texts_of(self, channel: RangeChannel, tick: Any) -> list[bytes]:
        if not tick.changes:
            return []
        name = self._view.index
        entries: Any = None
        if name is not None:
            found = self._find_index(name)
            if found is None:
                return []
            entries = tick.entries(*found)
        hits = []
        for at in range(len(tick.changes)):
            keys = tick.keys(at) if entries is None else entries[at]
            hit = channel.hit(tick, at, keys)
            if hit is not None:
                hits.append(hit)
        batch = channel.batch(tick, hits) if hits else None
        return [] if batch is None else list(batch.texts)


class LimitPart:
    """The first rows of an ordered view."""

    def __init__(
        self,
        source: Source,
        table: TableId,
        find_index: FindIndex,
        make: Callable[[], LimitChannel],
        share: Hashable | None,
    ) -> None:
        self._source = source
        self._table = table
        self._find_index = find_index
        self._make = make
        self._share = share

    def token(self) -> bytes | None:
        return None

    def begin(self, subscription: Subscription, *, initial: bool) -> None:
        self._source.settle()
        channel: LimitChannel = self._source.table(self._table, self._find_index).shared(
            self._share, self._make
        )
        empty = not channel.subscriptions
        channel.join(subscription)
        if empty:
            channel.top.fill()
        if initial:
            subscription.queue.extend(channel.initial_texts())

    def step(self, subscription: Subscription) -> bool:
        return True


class Opening:
    """See the module."""

    def __init__(
        self,
        subscription: Subscription,
        parts: list[Part],
        *,
        initial: bool,
        states: bool,
        types: bool,
    ) -> None:
        self.done = False
        self._subscription = subscription
        self._parts = parts
        self._initial = initial
        self._states = states
        self._types = types

    def begin(self) -> None:
        subscription = self._subscription
        if self._states and self._initial:
            subscription.queue.append(messages.state(b"initializing", types=self._types))
        for part in self._parts:
            part.begin(subscription, initial=self._initial)
        self._parts = [
            part for part in self._parts if not isinstance(part, LimitPart)
        ] or self._parts
        self.step()

    def step(self) -> None:
        """A little more; sets `done` when the subscription is live."""
        while not self.done and self._parts[0].step(self._subscription):
            if len(self._parts) > 1:
                del self._parts[0]
                continue
            self.done = True
            if self._states:
                token = self._parts[0].token()
                self._subscription.queue.append(
                    messages.state(b"ready", types=self._types, token=token)
                )
