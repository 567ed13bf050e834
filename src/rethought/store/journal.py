"""The journal: what every commit changed, one row for each commit (decision 0005).

What always holds: sequence numbers of the rows have no gap from the oldest that is kept to the newest; a row holds all
changes of its commit in the order they were made; `epochs` tell commits of one number apart that were written in
different histories of the file (decision 0015). Packing is pure; trimming happens in small steps inside commits that
happen anyway. Used by `commit` (append, trim) and `group` (read).
"""

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from rethought.store.epochs import Epochs, new_epoch
from rethought.store.layout import (
    COUNTER,
    COUNTER_PUT,
    JOURNAL_FIRST,
    JOURNAL_OLDEST,
    JOURNAL_PUT,
    JOURNAL_READ,
    JOURNAL_TRIM,
    META_GET,
    META_PUT,
)
from rethought.store.model import Change, Commit, Retention
from rethought.store.options import GroupOptions
from rethought.store.tables import EPOCHS, RETENTION

pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Change]).decode
_retention = msgspec.msgpack.Decoder(Retention).decode

READ_ROWS = 64
TRIM_EVERY_S = 30.0


def unpack(entries: bytes) -> list[Change]:
    return _unpack(entries)


class Journal:
    """The journal of one group. `rows` and `bytes` are as the open batch leaves them."""

    __slots__ = (
        "_connection",
        "_next_look",
        "_options",
        "_trimming",
        "bytes",
        "epoch",
        "epochs",
        "first",
        "kept_bytes",
        "kept_seconds",
        "retention",
        "rows",
        "saved_bytes",
        "saved_rows",
        "saved_seq",
    )

    def __init__(self, connection: apsw.Connection, options: GroupOptions) -> None:
        self._connection = connection
        self._options = options
        self.rows = 0
        self.bytes = 0
        self.first = 0  # oldest sequence number that is kept, 0 when there is none
        self.saved_seq = 0  # the commit that `counters` in the file are of
        self.saved_rows = 0
        self.saved_bytes = 0
        self.epoch = new_epoch(options.random_bytes)  # of what is written from now on
        self.epochs = Epochs()
        self.retention = Retention()
        self.kept_seconds = options.journal_seconds
        self.kept_bytes = options.journal_bytes
        self._trimming = False
        self._next_look = 0.0

    def load(self) -> None:
        """Reads the journal's numbers as they were saved; `catch_up` adds what came since."""
        counted: Any = self._connection.execute(COUNTER, (0,)).fetchone()
        self.rows, self.bytes, self.saved_seq = counted
        self.saved_rows, self.saved_bytes = self.rows, self.bytes
        first: Any = self._connection.execute(JOURNAL_FIRST).get
        self.first = first or 0
        self.epochs = Epochs(self._connection.execute(META_GET, (EPOCHS,)).get)
        kept: Any = self._connection.execute(META_GET, (RETENTION,)).get
        self.keep(Retention() if kept is None else _retention(kept))

    def keep(self, retention: Retention) -> None:
        """How much is kept from now on."""
        seconds, bytes_ = retention
        self.retention = retention
        self.kept_seconds = self._options.journal_seconds if seconds is None else seconds
        self.kept_bytes = self._options.journal_bytes if bytes_ is None else bytes_
        self._next_look = 0.0

    def catch_up(self) -> Iterator[Commit]:
        """The commits since the numbers were saved, each counted when it is given."""
        after = self.saved_seq
        while True:
            rows: list[Any] = self._connection.execute(JOURNAL_READ, (after, READ_ROWS)).fetchall()
            for seq, time, entries in rows:
                self.rows += 1
                self.bytes += len(entries)
                yield Commit(seq, time, unpack(entries))
            if not rows:
                return
            after = rows[-1][0]

    def append(self, seq: int, time: float, changes: list[Change]) -> None:
        entries = pack(changes)
        self._connection.execute(JOURNAL_PUT, (seq, time, entries))
        self.rows += 1
        self.bytes += len(entries)
        self.first = self.first or seq
        if self.epochs.newest != self.epoch:
            self._begin_epoch(seq)

    def _begin_epoch(self, seq: int) -> None:
        self.epochs.begin(self.epoch, seq)
        self.epochs.forget(self.first)
        self._connection.execute(META_PUT, (EPOCHS, self.epochs.record()))

    def trim(self, now: float) -> bool:
        """Forgets some of the oldest commits if the journal is too large or they are too old; never the newest.
        Whether it could have forgotten more in one step."""
        if self.bytes > self.kept_bytes + self.kept_bytes // 16:
            self._trimming = True
        elif self.bytes <= self.kept_bytes:
            self._trimming = False
        if not self._trimming and now < self._next_look:
            return False
        oldest: list[Any] = self._connection.execute(
            JOURNAL_OLDEST, (self._options.journal_trim_rows,)
        ).fetchall()
        before = now - self.kept_seconds
        last = rows = freed = 0
        for seq, time, size in oldest:
            if seq >= self.saved_seq or (time >= before and self.bytes - freed <= self.kept_bytes):
                break
            last, rows, freed = seq, rows + 1, freed + size
        if rows:
            self._connection.execute(JOURNAL_TRIM, (last,))
            self.rows -= rows
            self.bytes -= freed
            self.first = last + 1
            self.saved_rows -= rows
            self.saved_bytes -= freed
            self._put_saved()
        if rows < len(oldest):
            self._next_look = now + TRIM_EVERY_S
            return False
        return True

    @property
    def oldest(self) -> float | None:
        """When the oldest commit was written."""
        row: list[Any] = self._connection.execute(JOURNAL_OLDEST, (1,)).fetchall()
        return row[0][1] if row else None

    def too_old(self, now: float) -> bool:
        """Whether there is something to forget because of its age."""
        try:
            oldest = self.oldest if self.rows > 1 else None
        except apsw.Error:
            return False  # whoever needs it will be told of the damage
        return oldest is not None and oldest < now - self.kept_seconds

    def save_due(self, seq: int, now: float) -> bool:
        options = self._options
        return (
            seq - self.saved_seq >= options.save_commits
            or self.bytes - self.saved_bytes >= options.save_bytes
            or now >= self._next_look  # so that what is old may be forgotten
        )

    def save(self, seq: int) -> None:
        """Writes the numbers, with those of all tables; the newest sequence number outlives the rows."""
        self.saved_seq, self.saved_rows, self.saved_bytes = seq, self.rows, self.bytes
        self._put_saved()

    def _put_saved(self) -> None:
        self._connection.execute(
            COUNTER_PUT, (0, self.saved_rows, self.saved_bytes, self.saved_seq)
        )

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
