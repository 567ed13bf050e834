"""Hears the commits of one group and hands them to the feeds of its tables.

What always holds:
  1. Commits are worked through in order, all of a turn of the loop at once, after their writers' turn; nothing is
     evaluated while the store is committing.
  2. Whoever reads through `reading` has had every commit up to that state worked through: that is the seam between what
     was read and what will come.
  3. A change of a table that nobody listens to costs one look into a dictionary.
  4. Telling gives way to others after a slice of time and goes on behind them; whoever reads meanwhile, or joins, has
     all of it told first, so nobody sees it half done.
  5. When many were told, what is committed in the next moment is told together: the time that telling takes (sockets
     are written to, clients ask for more) is left free first, so that it never takes all there is.
One per group with feeds, made by `reql.feeds`.
"""

import logging
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from rethought.errors import InternalError, ReqlError
from rethought.feed.source import Heart
from rethought.feed.tables import TableFeeds
from rethought.feed.tick import Tick
from rethought.feed.view import FindIndex
from rethought.store import Change, Commit, Group, Loop, Snapshot, TableId

log = logging.getLogger("rethought.feed")

TELLING_S: Final = 65e-6
"""For a message to one subscriber. To make it, to write it and to read the question for the next takes some 20 µs; with
three times as much, 50 subscribers and 2,000 writes a second leave a third of two cores free, and the slowest hundredth
of changes comes sooner than without a pause, because nothing queues (decision 0016)."""
PAUSE_S_MIN: Final = 1e-3
"""Clocks of event loops go by milliseconds."""
PAUSE_S_MAX: Final = 25e-3
SLICE_S: Final = 5e-3
"""What telling takes at once while others wait."""


NEVER: Final = 1 << 64


class Hub:
    """See the module."""

    def __init__(self, group: Group, loop: Loop, on_empty: Callable[[], None]) -> None:
        self.group = group
        self._loop = loop
        self._on_empty = on_empty
        self._tables: dict[TableId, TableFeeds] = {}
        self._pending: list[Commit] = []
        self._scheduled = False
        self._draining = False
        self._work: Iterator[int] | None = None  # what is not told completely
        self._told = 0  # messages of this turn
        self.hearts: dict[Hashable, Heart] = {}
        self._beat_at = NEVER  # the commit after which they are asked
        group.subscribe(self._committed)

    def table(self, table: TableId, find_index: FindIndex) -> TableFeeds:
        """The feeds of a table; whoever asks adds a channel."""
        feeds = self._tables.get(table)
        if feeds is None:
            feeds = self._tables[table] = TableFeeds(find_index, lambda: self._emptied(table))
        return feeds

    @property
    def tables(self) -> list[TableFeeds]:
        return list(self._tables.values())

    def _emptied(self, table: TableId) -> None:
        self._tables.pop(table, None)
        if not self._tables:
            self.group.unsubscribe(self._committed)
            self._on_empty()

    def fail(self, table: TableId, error: ReqlError) -> None:
        """Ends every feed of a table."""
        feeds = self._tables.get(table)
        if feeds is not None:
            feeds.fail(error, limits_only=True)  # they would read from the table, which may be gone
            self.drain()
            feeds.fail(error)

    # ---- reading

    def settle(self) -> None:
        """Everything that was written so far is told."""
        self.group.flush()
        self.drain()

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """The newest committed state, everything up to it told. Whoever reads does not give way."""
        self.settle()
        snapshot = self.group.snapshot().acquire()
        try:
            yield snapshot
        finally:
            snapshot.release()

    @property
    def seq(self) -> int:
        return self.group.seq

    @property
    def first_seq(self) -> int:
        return self.group.journal_first_seq

    @property
    def untold(self) -> list[Commit]:
        """Heard of, but not worked through yet: while feeds are told, a reading is ahead of them by these."""
        return self._pending

    def journal(self, after: int, limit: int) -> Iterator[Commit]:
        return self.group.journal(after, limit)

    # ---- heartbeats

    def expect_beat(self) -> None:
        """Four times while the journal goes round."""
        self._beat_at = NEVER
        if self.hearts:
            self._beat_at = self.seq + max(1, (self.seq - self.first_seq) // 4)

    def _beat(self) -> None:
        if self._journal_fills():
            self.settle()
            for heart in tuple(self.hearts.values()):
                heart.beat(self)
        self.expect_beat()

    def _journal_fills(self) -> bool:
        """Whether the oldest commits will be forgotten before as much again is written or as long again has passed."""
        usage = self.group.journal_usage()
        age = 0.0 if usage.oldest is None else self.group.options.clock() - usage.oldest
        return 2 * usage.bytes > usage.kept_bytes or 2 * age > usage.kept_seconds

    # ---- commits

    def _committed(self, commit: Commit) -> None:
        if commit.seq >= self._beat_at:
            self._beat_at = NEVER
            self._loop.call_soon(self._beat)
        tables = self._tables
        for change in commit.changes:
            if change.table in tables:
                break
        else:
            return
        self._pending.append(commit)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Tells what was committed; what comes in the pause that follows waits for its end."""
        self._told += self._drain(perf_counter() + SLICE_S)
        if self._work is not None:
            self._loop.call_soon(self._turn)
            return
        pause_s = min(self._told * TELLING_S, PAUSE_S_MAX)
        self._told = 0
        if pause_s < PAUSE_S_MIN:
            self._scheduled = False
        else:
            self._loop.call_later(pause_s, self._rested)

    def _rested(self) -> None:
        if self._pending:
            self._turn()
        else:
            self._scheduled = False

    def drain(self) -> None:
        """Works through the commits that were heard of."""
        self._drain(math.inf)

    def _drain(self, end: float) -> int:
        """The same up to a point in time, at least a step of it; how many messages that were."""
        if self._draining:  # called back by what it tells
            return 0
        self._draining = True
        told = 0
        work = self._work or self._working()
        self._work = None
        try:
            for count in work:
                told += count
                if perf_counter() > end:
                    self._work = work
                    break
        finally:
            self._draining = False
        return told

    def _working(self) -> Iterator[int]:
        while self._pending:
            commits, self._pending = self._pending, []
            for table, tick in ticks(commits).items():
                feeds = self._tables.get(table)
                if feeds is not None:
                    yield from run(feeds, tick)


def run(feeds: TableFeeds, tick: Tick) -> Iterator[int]:
    """Tells the feeds of a table, step by step, each giving how many messages it was. Never raises."""
    try:
        yield from feeds.run(tick)
    except (
        Exception
    ):  # a bug of ours must not end the feeds of other tables, nor go on with a gap in these
        log.exception("the feeds of a table failed")
        feeds.fail(InternalError("The feed failed inside the server.", frames=()))


def ticks(commits: list[Commit]) -> dict[TableId, Tick]:
    """The commits' changes by table."""
    found: dict[TableId, Tick] = {}
    for seq, _, changes in commits:
        if len({change.table for change in changes}) == 1:
            numbers: Sequence[int] = range(len(changes))
            parts = [(changes[0].table, changes, numbers)]
        else:
            parts = _by_table(changes)
        for table, of_table, numbers in parts:
            tick = found.get(table)
            if tick is None:
                tick = found[table] = Tick([], [], [])
            tick.changes += of_table
            tick.seqs += [seq] * len(of_table)
            tick.numbers += numbers
    return found


def _by_table(changes: list[Change]) -> list[tuple[TableId, list[Change], Sequence[int]]]:
    parts: dict[TableId, tuple[list[Change], list[int]]] = {}
    for number, change in enumerate(changes):
        of_table, numbers = parts.setdefault(change.table, ([], []))
        of_table.append(change)
        numbers.append(number)
    return [(table, *part) for table, part in parts.items()]


def tick_of(commit: Commit, table: TableId, after: int = -1) -> Tick:
    """One commit's changes of one table, from the change after number `after` on."""
    tick = Tick([], [], [])
    for number, change in enumerate(commit.changes):
        if change.table == table and number > after:
            tick.changes.append(change)
            tick.seqs.append(commit.seq)
            tick.numbers.append(number)
    return tick
