"""Carries committed pages from the write-ahead log into the database file, on a thread and connection of its own.

What always holds: only PASSIVE checkpoints run beside the loop: they take no lock a writer or reader waits for. The log
starts again at its beginning when everything in it has been carried over and nobody reads from it; SQLite does that
by itself with the next write. Under writes without pause that moment never comes, so past `log_bytes` a *last round*
makes writers wait (`Group.writable` is False) for the few pages that are missing: some milliseconds. Decisions are made
on the loop, in `decide_round`; the thread only copies. When nothing has been written for a while, the group gives the
space of the log back (`Group._look_at_log`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import apsw

from rethought.store.connection import connect
from rethought.store.layout import PIN
from rethought.store.model import Loop
from rethought.store.options import GroupOptions

PAGE = 4096
CACHE_BYTES = 1 << 18


class Round(Enum):
    NONE = auto()
    BESIDE = auto()  # while writes go on
    LAST = auto()  # while writers wait


@dataclass(slots=True)
class LogState:
    """The log in pages: its size, and the size it had at some moments since it last started again."""

    size: int = 0
    carried: int = 0  # so many of its pages are in the file
    last: int = 0  # when the last round began
    last_waited: int = 0  # when writers were last made to wait

    def grew(self, size: int) -> None:
        if size < self.size:  # it has started again
            self.carried = self.last = self.last_waited = 0
        self.size = size


def decide_round(log: LogState, options: GroupOptions) -> Round:
    """What to do now that no round is under way and nobody waits.

    Somebody who reads an old state keeps a round from finishing: so the next one comes only after the log has grown by
    as much as a round is worth, and writers are made to wait again only after it has grown by much more.
    """
    step = options.checkpoint_bytes // PAGE
    most = options.log_bytes // PAGE
    missing = log.size - log.carried
    if (
        log.size >= most
        and (missing < 2 * step or log.size >= 2 * most)
        and waited_long_ago(log, options)
    ):
        return Round.LAST
    return Round.BESIDE if missing >= step and log.size - log.last >= step else Round.NONE


def decide_wait(log: LogState, options: GroupOptions) -> bool:
    """Whether writers must wait for the round that is under way: they are faster than it."""
    return log.size >= 2 * options.log_bytes // PAGE and waited_long_ago(log, options)


def waited_long_ago(log: LogState, options: GroupOptions) -> bool:
    least = max(options.checkpoint_bytes, options.log_bytes // 4) // PAGE
    return log.size - log.last_waited >= least


class Checkpointer:
    """One per group. `finished` gets (pages of the log, pages carried) or None after an error, on the loop."""

    def __init__(
        self,
        path: Path,
        options: GroupOptions,
        loop: Loop,
        finished: Callable[[tuple[int, int] | None], None],
    ) -> None:
        self._path = path
        self._options = options
        self._loop = loop
        self._finished = finished
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._thread: Thread | None = None
        self.busy = False

    def start(self) -> None:
        """Begins a round."""
        assert not self.busy
        self.busy = True
        if self._thread is None:
            self._thread = Thread(
                target=self._work, name=f"checkpoint {self._path.stem}", daemon=True
            )
            self._thread.start()
        self._orders.put(True)

    def close(self) -> None:
        if self._thread is not None:
            self._orders.put(False)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        connection: apsw.Connection | None = None
        while self._orders.get():
            result = None
            try:
                if connection is None:
                    connection = self._connect()
                self._options.disk.reached("checkpoint.before")
                result = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._options.disk.reached("checkpoint.after")
            except apsw.Error:
                pass  # a full disk, mostly; the group says so and tries again after more writes
            self._loop.call_soon_threadsafe(self._done, result)
        if connection is not None:
            connection.close()

    def _connect(self) -> apsw.Connection:
        options = self._options
        connection = connect(self._path, options.key, vfs=options.vfs, cache_bytes=CACHE_BYTES)
        connection.execute(PIN).fetchall()  # a connection that never read does not know the log
        return connection

    def _done(self, result: tuple[int, int] | None) -> None:
        self.busy = False
        self._finished(result)
