"""The journal: what every commit changed, one row for each commit (decision 0005).

What always holds: sequence numbers of the rows have no gap from the oldest that is kept to the newest; a row holds all
changes of its commit in the order they were made. Packing is pure; trimming happens in small steps inside commits that
happen anyway. Used by `commit` (append, trim) and `group` (read).
"""

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from rethought.store.layout import (
    COUNTER,
    COUNTER_PUT,
    JOURNAL_ENDS,
    JOURNAL_OLDEST,
    JOURNAL_PUT,
    JOURNAL_READ,
    JOURNAL_TRIM,
)
from rethought.store.model import Change, Commit
from rethought.store.options import GroupOptions

pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Change]).decode

READ_ROWS = 64
TRIM_EVERY_S = 30.0


def unpack(entries: bytes) -> list[Change]:
    return _unpack(entries)


class Journal:
    """The journal of one group. `rows` and `bytes` are as the open batch leaves them."""

    __slots__ = ("_connection", "_next_look", "_options", "bytes", "dirty", "first", "rows")

    def __init__(self, connection: apsw.Connection, options: GroupOptions) -> None:
        self._connection = connection
        self._options = options
        self.rows = 0
        self.bytes = 0
        self.first = 0  # oldest sequence number that is kept, 0 when there is none
        self.dirty = False
        self._next_look = 0.0

    def load(self) -> int:
        """Reads the journal's ends again; the newest sequence number."""
        ends: Any = self._connection.execute(JOURNAL_ENDS).fetchone()
        counted: Any = self._connection.execute(COUNTER, (0,)).fetchone()
        newest: int
        self.rows, self.bytes, newest = counted
        self.first = ends[0] or 0
        self.dirty = False
        return max(newest, ends[1] or 0)

    def append(self, seq: int, time: float, changes: list[Change]) -> None:
        entries = pack(changes)
        self._connection.execute(JOURNAL_PUT, (seq, time, entries))
        self.rows += 1
        self.bytes += len(entries)
        self.first = self.first or seq
        self.dirty = True

    def trim(self, now: float) -> None:
        """Forgets some of the oldest commits if the journal is too large or they are too old; never the newest."""
        options = self._options
        if self.bytes <= options.journal_bytes and now < self._next_look:
            return
        oldest: list[Any] = self._connection.execute(
            JOURNAL_OLDEST, (options.journal_trim_rows,)
        ).fetchall()
        before = now - options.journal_seconds
        last = rows = freed = 0
        for seq, time, size in oldest:
            if rows == self.rows - 1 or (
                time >= before and self.bytes - freed <= options.journal_bytes
            ):
                break
            last, rows, freed = seq, rows + 1, freed + size
        if rows:
            self._connection.execute(JOURNAL_TRIM, (last,))
            self.rows -= rows
            self.bytes -= freed
            self.first = last + 1
            self.dirty = True
        if rows < len(oldest):
            self._next_look = now + TRIM_EVERY_S

    def save(self, seq: int) -> None:
        """Writes the counters; the newest sequence number outlives the rows."""
        self._connection.execute(COUNTER_PUT, (0, self.rows, self.bytes, seq))
        self.dirty = False

    def read(self, after: int, limit: int) -> Iterator[Commit]:
        """Commits after a sequence number, oldest first; each step is a read of its own, so it sees later ones too."""
        while limit > 0:
            rows: list[Any] = self._connection.execute(
                JOURNAL_READ, (after, min(limit, READ_ROWS))
            ).fetchall()
            if not rows:
                return
            limit -= len(rows)
            after = rows[-1][0]
            for seq, time, entries in rows:
                yield Commit(seq, time, unpack(entries))
