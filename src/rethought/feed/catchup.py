"""What a feed that resumes has missed, out of the journal.

What always holds:
  1. The messages are those that the feed would have sent: made by the same channels from the same changes, the first of
     them left out as far as the resume token counts them.
  2. A step looks at a bounded number of commits; what was looked at is told, and nothing else is held but the rows of
     an ordered view that changed since the token.
  3. When a step says that nothing is left, all that was committed is told, and the caller joins the live channel
     without giving way.
Made by `opening`, which calls `step`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from rethought.errors import OpFailedError
from rethought.feed.batch import Batch, EditsBatch, PendingEdits
from rethought.feed.channel import Family, RangeChannel
from rethought.feed.hub import tick_of, ticks
from rethought.feed.limit import LimitChannel, Rows
from rethought.feed.ordered import Past, Read
from rethought.feed.resume import WHOLE, Mark, check_reach
from rethought.feed.source import Source
from rethought.feed.subscription import Subscription
from rethought.feed.tick import Hit, Tick
from rethought.feed.view import FindIndex
from rethought.store import Commit, TableId

COMMITS: Final = 64
CHANGES: Final = 1_000
"""Commits, and about how many changes, that are looked at before others get a turn."""


class CatchUp:
    """See the module; `seq` is the commit up to which all is told."""

    def __init__(self, source: Source, table: TableId, mark: Mark) -> None:
        self._source = source
        self._table = table
        self._seq = mark.before
        self._partly: Mark | None = None if mark.change == WHOLE else mark

    def step(self, subscription: Subscription) -> bool:
        """Tells of the next commits; True when there are no more."""
        self._source.settle()
        check_reach(self._seq, self._source.first_seq, self._source.seq)
        limit = COMMITS
        if self._partly is not None:
            limit = min(COMMITS, self._partly.seq - self._seq)
        commits = self._commits(self._seq, limit)
        if commits:
            self._tell(subscription, commits)
            self._seq = commits[-1].seq
            if self._partly is not None and self._seq == self._partly.seq:
                self._partly = None
        return self._seq == self._source.seq

    def _commits(self, after: int, limit: int) -> list[Commit]:
        found: list[Commit] = []
        changes = 0
        for commit in self._source.journal(after, limit):
            found.append(commit)
            changes += len(commit.changes)
            if changes >= CHANGES:
                break
        return found

    def _tell(self, subscription: Subscription, commits: list[Commit]) -> None:
        raise NotImplementedError


class RangeCatchUp(CatchUp):
    """For rows in no order. `channel` only makes messages; nobody listens to it."""

    def __init__(
        self, source: Source, table: TableId, mark: Mark, channel: RangeChannel, find: FindIndex
    ) -> None:
        super().__init__(source, table, mark)
        self._channel = channel
        self._find_index = find
        self._merged: PendingEdits | None = None  # of the commits that the mark counts in

    def _tell(self, subscription: Subscription, commits: list[Commit]) -> None:
        mark = self._partly
        if mark is None:
            tick = ticks(commits).get(self._table)
            batch = None if tick is None else self._batch(self._channel, tick)
            subscription.put([] if batch is None else batch.texts)
        elif mark.span:
            self._tell_merged(subscription, commits, mark)
        else:
            channel = self._channel
            if channel.merges:  # what is left of one commit comes as it would have come
                family = channel.family
                form = family.form._replace(merges=False)
                family = Family(family.transform, form, index=family.index)
                channel = RangeChannel(family, channel.view, channel.constants)
            tick = tick_of(commits[0], self._table, mark.change - 1)
            batch = self._batch(channel, tick)
            subscription.put([] if batch is None else batch.texts[mark.copy + 1 :])

    def _tell_merged(self, subscription: Subscription, commits: list[Commit], mark: Mark) -> None:
        merged = self._merged
        if merged is None:
            merged = self._merged = self._channel.pending()
        tick = ticks(commits).get(self._table)
        batch = None if tick is None else self._batch(self._channel, tick)
        if isinstance(batch, EditsBatch):
            merged.add(batch)
        if commits[-1].seq == mark.seq:
            subscription.put(merged.texts()[mark.change :])
            self._merged = None

    def _batch(self, channel: RangeChannel, tick: Tick) -> Batch | None:
        places = range(len(tick.changes))
        name = channel.view.index
        if name is None:
            hits = [channel.hit(tick, at, tick.keys(at)) for at in places]
        else:
            found = self._find_index(name, geo=channel.view.region is not None)
            if found is None:
                return None
            entries = tick.entries(*found)
            hits = [channel.hit(tick, at, entries[at]) for at in places]
        touched: list[Hit] = [hit for hit in hits if hit is not None]
        return channel.batch(tick, touched) if touched else None


class LimitCatchUp(CatchUp):
    """For the first rows of an order: they are read as they were at the mark, then each commit is run. `channel` only
    makes messages; nobody listens to it."""

    def __init__(self, source: Source, mark: Mark, channel: LimitChannel, find: FindIndex) -> None:
        order = channel.order
        super().__init__(source, order.table, mark)
        if self._partly is not None and not mark.span:
            raise OpFailedError("Cannot resume: the token is of another query.")
        self._past = Past(order)
        self._order = order
        self._channel = channel
        self._top = channel.follow(self._reading)
        self._find_index = find
        self._known = self._seq  # the commit up to which `_past` has learnt
        self._filled = False
        self._rows = self._channel.rows()  # as they were told last, while messages are merged
        self._rows_seq = self._seq

    def step(self, subscription: Subscription) -> bool:
        self._check_index()
        if self._filled:
            return super().step(subscription)
        self._source.settle()
        check_reach(self._seq, self._source.first_seq, self._source.seq)
        self._learn(self._commits(self._known, COMMITS))
        if self._known == self._source.seq:
            self._top.fill()
            self._rows = self._channel.rows()
            self._filled = True
        return False

    def _check_index(self) -> None:
        name, ours = self._order.view.index, self._order.index
        if name is None or ours is None:
            return
        found = self._find_index(name)
        if found is None:
            raise OpFailedError(f"Cannot resume: the index `{name}` was dropped.")
        if found[0] != ours[0]:
            raise OpFailedError(f"The secondary index `{name}` was replaced by a different one.")

    def _learn(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            self._past.learn([commit])
            self._known = commit.seq

    @contextmanager
    def _reading(self) -> Iterator[Read]:
        with self._source.reading() as snapshot:
            self._learn(self._source.journal(self._known, self._source.seq - self._known))
            yield partial(self._past.read, snapshot)

    def _tell(self, subscription: Subscription, commits: list[Commit]) -> None:
        mark, channel = self._partly, self._channel
        self._learn([commit for commit in commits if commit.seq > self._known])
        for commit in commits:
            gone, come = self._run(commit)
            if mark is None and not channel.merges:
                seq = commit.seq
                subscription.put(channel.told(gone, come, seq - 1, seq))
        last = commits[-1].seq
        if mark is not None and mark.seq > last:
            return
        if mark is not None or channel.merges:
            gone, come = channel.since(self._rows)
            texts = channel.told(gone, come, self._rows_seq, last)
            subscription.put(texts if mark is None else texts[mark.change :])
        self._rows_seq = last
        if channel.merges:
            self._rows = channel.rows()

    def _run(self, commit: Commit) -> tuple[Rows, Rows]:
        tick = tick_of(commit, self._table)
        if not tick.changes:
            return {}, {}
        self._past.advance(tick.changes)
        return self._top.run(tick)
