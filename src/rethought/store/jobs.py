"""Work in the background of a group, in small steps between the loop's turns: building indexes, removing tables.

What always holds: a step takes about `step_seconds` and writes through the open batch like any writer, its own progress
included, so that after a crash a job goes on from its last committed step; a step that is undone is done again. A job
never outlives its group. Used by `group` only.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

import apsw
import msgspec

from rethought.errors import ReqlError
from rethought.store.batch import numbered
from rethought.store.layout import META_DELETE, META_PUT, index_name
from rethought.store.model import IndexId, Loop
from rethought.store.tables import DROPPED, INDEX, Index, encode

if TYPE_CHECKING:
    from rethought.store.commit import Writer

log = logging.getLogger(__name__)

RUN_ENTRIES: Final = 4_000  # sorted together: some milliseconds in which nobody else has a turn
PIECE_ENTRIES: Final = 100  # of a run, unpacked together
RUN_BYTES: Final = 16 << 20
PASS_BYTES: Final = 64 << 20
"""Sorted runs that are kept, packed, before they are merged into the index in one pass. A pass writes every page that
one of its entries goes to: entries in no order, put in 16,000 at a time, rewrote most of a large index each time."""
CHUNK_ROWS: Final = 500
CHUNK_BYTES: Final = 1 << 20
MERGE_ROWS: Final = 500
DIRTY_ROWS: Final = 1_000
RETRY_S: Final = 1.0

Entry = tuple[bytes, bytes, int, int]

pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Entry]).decode


class Run:
    """Sorted entries, packed in pieces; going over them lets go of each piece."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = len(entries)
        self._pieces = deque(
            pack(entries[at : at + PIECE_ENTRIES]) for at in range(0, len(entries), PIECE_ENTRIES)
        )
        self.bytes = sum(map(len, self._pieces))

    def __iter__(self) -> Iterator[Entry]:
        while self._pieces:
            yield from _unpack(self._pieces.popleft())


class Job(Protocol):
    """`name` tells jobs apart: there is one for each thing that has to be done."""

    name: str

    def step(self, writer: "Writer", end: float) -> bool:
        """Works until about `end`; True when all is done. Raises `ReqlError` when a write failed."""
        ...


class Jobs:
    """The jobs of one group, one step a turn, in turns."""

    def __init__(self, writer: "Writer", loop: Loop, gave_up: Callable[[Job], None]) -> None:
        self._writer = writer
        self._loop = loop
        self._gave_up = gave_up
        self._queue: deque[Job] = deque()
        self._scheduled = False
        self._resting = False
        self._closed = False
        self._began: dict[str, float] = {}
        self.given_up: set[str] = set()  # work that comes upon damage would do so for ever
        self.held = False  # while writers wait for a checkpoint

    def add(self, job: Job) -> None:
        """Does nothing when that is being done already, or cannot be done."""
        if job.name in self.given_up:
            return
        self._began.setdefault(job.name, self._writer.options.monotonic())
        if all(other.name != job.name for other in self._queue):
            self._queue.append(job)
        self.wake()

    def seconds(self, name: str) -> float | None:
        """How long a job has been under way; None when it is not."""
        began = self._began.get(name)
        return None if began is None else self._writer.options.monotonic() - began

    def wake(self) -> None:
        if self._queue and not self._scheduled and not self._closed and not self._resting:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def rest(self) -> None:
        """A batch was undone, perhaps because the disk is full: let some time pass."""
        if not self._resting:
            self._resting = True
            self._loop.call_later(RETRY_S, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self.wake()

    def close(self) -> None:
        self._closed = True
        self._queue.clear()

    def __len__(self) -> int:
        return len(self._queue)

    def _turn(self) -> None:
        self._scheduled = False
        writer = self._writer
        if self._closed or self.held or self._resting or not self._queue:
            return  # `wake` is called when that ends
        if writer.batch is not None and writer.batch.depth:
            self.wake()
            return
        job = self._queue.popleft()
        try:
            done = job.step(writer, writer.options.monotonic() + writer.options.step_seconds)
        except ReqlError as error:
            self.rest()
            done = isinstance(error.__cause__, apsw.CorruptError | apsw.NotADBError)
            if done:
                self.given_up.add(job.name)
                self._gave_up(job)
                log.error(
                    "Work on %s of %s is given up until the file has been searched for damage: %s",
                    job.name,
                    writer.path.name,
                    error.message,
                )
        except (
            Exception
        ):  # a bug, of a rule's perhaps; the server goes on and the job is tried again
            log.exception("work on %s of %s failed", job.name, writer.path.name)
            self.rest()
            done = False
        if done:
            self._began.pop(job.name, None)
        else:
            self._queue.append(job)
        self.wake()


class BuildIndex:
    """Fills an index with the entries of the rows that were there when it was created.

    Writes maintain the index from its creation on, so rows may be visited in any state: an entry that is there already
    is left alone. Rows written while their entries wait in the buffer are computed again before it is merged.
    """

    def __init__(self, index: IndexId, ready: Callable[[IndexId], None]) -> None:
        self.name = index_name(index)
        self.id = index
        self._ready = ready
        self._index: Index | None = None
        self._gathered = 0
        self._entries: list[Entry] = []  # of the run that is being gathered
        self._bytes = 0
        self._runs: list[Run] = []
        self._merging: Iterator[Entry] | None = None
        self._merged = 0

    def step(self, writer: "Writer", end: float) -> bool:
        index = self._current(writer)
        if index is None:
            return True  # dropped
        if index.rule is None:
            return False
        try:
            while True:
                if self._merging is None:
                    self._gather(writer, index)
                elif not self._merge(writer, index):
                    self._save(writer, index)
                    if index.ready:
                        ticket = writer.write().ticket(False)
                        ticket.add(lambda error: None if error else self._ready(self.id))
                        return True
                if writer.options.monotonic() >= end:
                    return False
        except apsw.Error as error:
            raise writer.fail_write(error) from error

    def _current(self, writer: "Writer") -> Index | None:
        """The index as the tables know it now. It is another object after a rollback: then we start from the file."""
        for table in writer.tables.values():
            index = table.indexes.get(self.id)
            if index is not None:
                if index is not self._index:
                    self._index = index
                    self._start(index)
                return index
        return None

    def _start(self, index: Index) -> None:
        self._gathered = index.position
        self._entries = []
        self._bytes = 0
        self._runs = []
        self._merging = None
        index.done = index.position
        index.dirty.clear()

    def _gather(self, writer: "Writer", index: Index) -> None:
        state = writer.tables[index.table]
        average = state.bytes // state.docs + 1 if state.docs > 0 else state.largest + 1
        limit = max(1, min(CHUNK_ROWS, CHUNK_BYTES // average))
        rows: list[Any] = writer.connection.execute(
            f"SELECT r, k, d FROM {state.sql.name} WHERE r>? AND r<=? ORDER BY r LIMIT ?",
            (self._gathered, index.end, limit),
        ).fetchall()
        if rows:
            assert index.rule is not None
            chunk = b",".join([row[2] for row in rows])
            for (r, k, _), keys in zip(rows, index.rule.keys_of_chunk(chunk), strict=True):
                self._add(keys, k, r)
            self._gathered = rows[-1][0]
        ended = len(rows) < limit
        if ended:
            self._gathered = index.end
        if ended or len(self._entries) >= RUN_ENTRIES or self._bytes >= RUN_BYTES:
            self._entries.sort()
            self._runs.append(Run(self._entries))
            self._entries = []
            self._bytes = 0
            if ended or sum(run.bytes for run in self._runs) >= PASS_BYTES:
                self._merging = merge(*self._runs)
                self._merged = 0
        index.done = index.position + (self._gathered - index.position) // 2

    def _add(self, keys: list[bytes], k: bytes, r: int) -> None:
        if len(keys) == 1:
            self._entries.append((keys[0], k, 0, r))
            self._bytes += len(keys[0]) + len(k)
        else:
            for key, tag in numbered(keys):
                self._entries.append((key, k, tag, r))
                self._bytes += len(key) + len(k)

    def _merge(self, writer: "Writer", index: Index) -> bool:
        """Writes some entries; False when none is left."""
        writer.write()
        assert self._merging is not None
        some = list(islice(self._merging, MERGE_ROWS))
        if some:
            self._merged += len(some)
            rows, entries = self._gathered - index.position, sum(run.entries for run in self._runs)
            index.done = index.position + (rows + rows * self._merged // entries) // 2
            if index.dirty:
                some = [entry for entry in some if entry[3] not in index.dirty]
            writer.connection.executemany(index.sql.merge, some)
            writer.options.disk.reached("index.step")
            return True
        if index.dirty:
            self._merge_dirty(writer, index)
            return True
        return False

    def _merge_dirty(self, writer: "Writer", index: Index) -> None:
        """Rows written meanwhile: their writes may have been undone, so look again."""
        assert index.rule is not None
        execute = writer.connection.execute
        name = writer.tables[index.table].sql.name
        for _ in range(min(DIRTY_ROWS, len(index.dirty))):
            r = index.dirty.pop()
            if not index.position < r <= self._gathered:
                continue  # dealt with already, and kept by writes since; or still to be read
            row: Any = execute(f"SELECT k, d FROM {name} WHERE r=?", (r,)).fetchone()
            if row is not None:
                (keys,) = index.rule.keys_of_chunk(row[1])
                for key, tag in numbered(keys):
                    execute(index.sql.merge, (key, row[0], tag, r))

    def _save(self, writer: "Writer", index: Index) -> None:
        index.position = index.done = self._gathered
        index.ready = self._gathered >= index.end
        writer.connection.execute(META_PUT, (f"{INDEX}{index.id}", encode(index.record())))
        self._runs = []
        self._merging = None


def next_rows(rows: int, took: float, step: float) -> int:
    """How many rows to remove next, so that they take about half a step; at most twice as many as before."""
    fitting = int(rows * step / 2 / took) if took > 0 else rows * 2
    return max(1, min(fitting, rows * 2))


class RemoveTable:
    """Removes a table of SQLite piece by piece: dropping a large one at once would hold the loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rows = 64
        self._keys = "r" if name.startswith("t_") else "ik, k, tag"

    def step(self, writer: "Writer", end: float) -> bool:
        writer.write()
        monotonic = writer.options.monotonic
        execute = writer.connection.execute
        name, keys = self.name, self._keys
        try:
            while True:
                began = monotonic()
                last: Any = execute(
                    f"SELECT {keys} FROM {name} ORDER BY {keys} LIMIT 1 OFFSET ?", (self._rows,)
                ).fetchone()
                if last is None:
                    self._remove_rest(writer)
                    return True
                marks = ", ".join("?" * len(last))
                execute(f"DELETE FROM {name} WHERE ({keys}) <= ({marks})", last)
                writer.options.disk.reached("drop.step")
                now = monotonic()
                self._rows = next_rows(self._rows, now - began, writer.options.step_seconds)
                if now >= end:
                    return False
        except apsw.Error as error:
            raise writer.fail_write(error) from error

    def _remove_rest(self, writer: "Writer") -> None:
        writer.connection.execute(f"DROP TABLE IF EXISTS {self.name}")
        writer.connection.execute(META_DELETE, (f"{DROPPED}{self.name}",))
        if self.name in writer.tables.dropped:
            writer.tables.dropped.remove(self.name)


class TrimJournal:
    """Forgets what of the journal is no longer kept, when that became less, or grew old while nothing was committed."""

    name = "journal"

    def step(self, writer: "Writer", end: float) -> bool:
        batch = writer.write()
        monotonic = writer.options.monotonic
        try:
            if not batch.changes and writer.journal.saved_seq < writer.seq:
                writer.save_counters(writer.seq)  # only what is counted may go
            while writer.journal.trim(writer.options.clock()):
                if monotonic() >= end:
                    return False
        except apsw.Error as error:
            raise writer.fail_write(error) from error
        return True
