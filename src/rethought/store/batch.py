"""The open write batch of a group: all writes of one turn of the loop, which commit together; of some turns when all of
it is one long insert (`WriteBatch.linger`).

What always holds: a write has its document, its index entries, its journal entry and its counters in the same
transaction, or none of them; reading through the batch sees what was written through it. When SQLite refuses a write
(full disk, I/O error) the whole batch is undone and every writer in it is told. One batch is open at a time; get it
with `Group.write()` for each write (a batch that has committed takes none). Callers: `exec`, `catalog`; on the loop.
"""

import logging
from collections.abc import Callable, Set
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import apsw

from rethought.errors import ReqlError, ResourceLimitError
from rethought.store.model import Change, TableId
from rethought.store.snapshot import Snapshot
from rethought.store.tables import Index, Table

if TYPE_CHECKING:
    from rethought.store.commit import Writer

log = logging.getLogger(__name__)

Told = Callable[[ReqlError | None], None]


class Ticket:
    """The wait for a commit: done when it is through (hard: on the disk), or when it failed. A batch has one for all
    its soft writers, and one for the hard ones."""

    __slots__ = ("_waiting", "done", "error", "hard")

    def __init__(self, hard: bool) -> None:
        self.hard = hard
        self.done = False
        self.error: ReqlError | None = None
        self._waiting: list[Told] = []

    def add(self, callback: Told) -> None:
        """Calls back with None or the error; at once when that is known already."""
        if self.done:
            callback(self.error)
        else:
            self._waiting.append(callback)

    def finish(self, error: ReqlError | None) -> None:
        """Called by the room when the outcome is known."""
        self.done = True
        self.error = error
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            try:
                callback(error)
            except Exception:  # a bug of the writer's; the others must hear of their commit
                log.exception("a writer failed when it was told of its commit")


class Savepoint(NamedTuple):
    """A place to go back to."""

    batch: "WriteBatch"
    depth: int
    changes: int
    size: int
    counters: dict[TableId, tuple[int, int, int]]


class WriteBatch:
    """See the module."""

    __slots__ = (
        "_connection",
        "_execute",
        "_found",
        "_hard",
        "_known",
        "_lingered",
        "_soft",
        "_tables",
        "_whose",
        "_writer",
        "before",
        "changes",
        "depth",
        "failed",
        "size",
        "tickets",
        "views",
    )

    def __init__(self, writer: "Writer") -> None:
        self._writer = writer
        self._connection = writer.connection
        self._execute = writer.execute
        self._tables = writer.tables
        self.before: dict[TableId, tuple[int, int, int]] = {}  # counters of the tables it changed
        # The table, key and row number of the document that was read last: mostly it is the next one written.
        self._found: tuple[TableId, bytes, int] | None = None
        self.views: list[Snapshot] = []
        self.changes: list[Change] = []
        self.size = 0
        self.tickets: list[Ticket] = []
        self._soft: Ticket | None = None
        self._hard: Ticket | None = None
        self._whose: object = None  # of whom all changes are so far, if somebody asked for time
        self._known = -1  # the changes there were then
        self._lingered = 0
        self.depth = 0  # open savepoints; while there are any, the batch does not commit
        self.failed: ReqlError | None = None

    # ---- documents

    def get(self, table: TableId, key: bytes) -> bytes | None:
        """The newest document, the batch's own writes included."""
        assert self._writer.batch is self, ENDED
        state = self._tables[table]
        try:
            row: Any = self._execute(state.sql.locate, (key,)).get
        except apsw.Error as error:
            raise self._writer.fail_read(error) from error
        if row is None:
            return None
        number, document = row
        self._found = table, key, number
        return document  # type: ignore[no-any-return]

    def insert(self, table: TableId, key: bytes, new: bytes, new_doc: Any) -> bytes | None:
        """Inserts a document unless its key is taken: then gives the document that is there. One look-up, not two."""
        assert self._writer.batch is self, ENDED
        state = self._tables[table]
        entries = [(index, index.keys(new_doc)) for index in state.indexes.values()]
        try:
            self._execute(state.sql.insert_new, (key, new))
            if not self._connection.changes():
                return self.get(table, key)
            if table not in self.before:
                self.before[table] = state.counters
                state.unsaved = True
            size = len(new)
            state.docs += 1
            state.bytes += size
            self.size += size
            if size > state.largest:
                state.largest = size
            if entries:
                row = self._connection.last_insert_rowid()
                for index, after in entries:
                    self._index(index, key, row, [], after)
        except apsw.Error as error:
            raise self._writer.fail_write(error) from error
        self._note(table, key, None, new)
        return None

    def insert_many(
        self, table: TableId, keys: list[bytes], news: list[bytes], docs: list[Any]
    ) -> int:
        """Inserts documents in this order, up to the first whose key is taken. How many were inserted."""
        assert self._writer.batch is self, ENDED
        state = self._tables[table]
        indexes = [(index, list(map(index.keys, docs))) for index in state.indexes.values()]
        connection = self._connection
        count = len(keys)
        before = connection.total_changes()
        try:
            try:
                connection.executemany(state.sql.insert, zip(keys, news, strict=True))
            except apsw.ConstraintError:
                count = connection.total_changes() - before
                if not count:
                    return 0
                del keys[count:], news[count:]
            if table not in self.before:
                self.before[table] = state.counters
                state.unsaved = True
            sizes = list(map(len, news))
            size = sum(sizes)
            state.docs += count
            state.bytes += size
            self.size += size
            state.largest = max(state.largest, *sizes)
            if indexes:
                # SQLite numbers rows one by one, from the greatest number on.
                last = connection.last_insert_rowid()
                rows = range(last - count + 1, last + 1)
                for index, entries in indexes:
                    if not index.ready:
                        index.dirty.update(range(rows.start, min(last, index.end) + 1))
                    connection.executemany(index.sql.insert, _entries(entries, keys, rows))
        except apsw.Error as error:
            raise self._writer.fail_write(error) from error
        self.changes += map(_changed, zip(repeat(table), keys, repeat(None), news))
        if self.size > self._writer.options.transaction_bytes_max:
            raise self._writer.fail(ResourceLimitError(TOO_LARGE))
        return count

    def put(
        self,
        table: TableId,
        key: bytes,
        old: bytes | None,
        new: bytes | None,
        old_doc: Any,
        new_doc: Any,
    ) -> None:
        """Inserts, replaces or deletes, by which side is None. `old` is what `get` gave; docs are the decoded sides."""
        assert self._writer.batch is self, ENDED
        state = self._tables[table]
        entries = []  # before anything is written: a rule may raise
        for index in state.indexes.values():
            if old is None or new is None or not index.stays(old_doc, new_doc):
                before = index.keys(old_doc) if old is not None else []
                entries.append((index, before, index.keys(new_doc) if new is not None else []))
        if table not in self.before:
            self.before[table] = state.counters
            state.unsaved = True
        try:
            if old is None:
                if new is None:
                    return
                self._execute(state.sql.insert, (key, new))
                row = self._connection.last_insert_rowid()
                size = len(new)
                state.docs += 1
                state.bytes += size
                self.size += size
                if size > state.largest:
                    state.largest = size
            else:
                row = self._row(table, key)
                if new is None:
                    self._execute(state.sql.delete, (row,))
                    self._found = None
                    state.docs -= 1
                    state.bytes -= len(old)
                    self.size += len(old)
                else:
                    self._write(state, row, old, new)
            for index, before, after in entries:
                self._index(index, key, row, before, after)
        except apsw.Error as error:
            raise self._writer.fail_write(error) from error
        self._note(table, key, old, new)

    def reads(self, table: TableId, fields: Set[str]) -> bool:
        """Whether an index may have to follow a change of these fields."""
        for index in self._tables[table].indexes.values():  # noqa: SIM110 - called for every update
            if index.reads(fields):
                return True
        return False

    def replace(self, table: TableId, key: bytes, old: bytes, new: bytes) -> None:
        """Replaces a document by one with the same index keys."""
        assert self._writer.batch is self, ENDED
        state = self._tables[table]
        if table not in self.before:
            self.before[table] = state.counters
            state.unsaved = True
        try:
            self._write(state, self._row(table, key), old, new)
        except apsw.Error as error:
            raise self._writer.fail_write(error) from error
        self._note(table, key, old, new)

    def _write(self, state: Table, row: int, old: bytes, new: bytes) -> None:
        size = len(new)
        self._execute(state.sql.update, (new, row))
        state.bytes += size - len(old)
        self.size += size + len(old)
        if size > state.largest:
            state.largest = size

    def _note(self, table: TableId, key: bytes, old: bytes | None, new: bytes | None) -> None:
        self.changes.append(_changed((table, key, old, new)))
        if self.size > self._writer.options.transaction_bytes_max:
            raise self._writer.fail(ResourceLimitError(TOO_LARGE))

    def _row(self, table: TableId, key: bytes) -> int:
        """The number of a document that is there."""
        found = self._found
        if found is not None and found[1] == key and found[0] == table:
            return found[2]
        row: Any = self._execute(self._tables[table].sql.locate, (key,)).get
        assert row is not None, "a document is replaced that is not there"
        number: int = row[0]
        return number

    def _index(
        self, index: Index, key: bytes, row: int, before: list[bytes], after: list[bytes]
    ) -> None:
        if not index.ready:
            if row <= index.end:
                index.dirty.add(row)
        elif before == after:
            return
        if len(before) < 2 and len(after) < 2:  # the usual case: one entry, or none
            if before:
                self._execute(index.sql.delete, (before[0], key, 0))
            if after:
                self._execute(index.sql.insert, (after[0], key, 0, row))
            return
        gone = numbered(before)
        come = numbered(after)
        execute = self._execute
        for entry, tag in gone - come if index.ready else gone:
            execute(index.sql.delete, (entry, key, tag))
        for entry, tag in come - gone if index.ready else come:
            execute(index.sql.insert, (entry, key, tag, row))

    # ---- waiting

    def linger(self, whose: object) -> None:
        """Called by somebody who has written much and goes on at the next turn: one commit of all of it writes a page
        of an index once. Nobody else is kept waiting: it counts as long as there are no other changes."""
        self._whose = whose
        self._known = len(self.changes)

    def only_of(self, whose: object) -> bool:
        """Whether there is nothing in it yet, or only what somebody wrote who asked for time."""
        changes = len(self.changes)
        if not changes:
            return not self.tickets
        return self._whose is whose and self._known == changes

    def lingers(self) -> bool:
        """Whether the batch does not commit at this turn."""
        if self._known != len(self.changes) or self.size > LINGER_BYTES or self.failed is not None:
            return False
        self._lingered += 1
        return self._lingered <= LINGER_TURNS

    def ticket(self, hard: bool) -> Ticket:
        ticket = self._hard if hard else self._soft
        if ticket is not None:
            return ticket
        ticket = Ticket(hard)
        if hard:
            self._hard = ticket
        else:
            self._soft = ticket
        self.tickets.append(ticket)
        if self.failed is not None:
            ticket.finish(self.failed)
        return ticket

    # ---- undoing part of it

    def savepoint(self) -> Savepoint:
        """From here until `release` or `rollback_to` the batch does not commit. They nest."""
        self.depth += 1
        self._command(f"SAVEPOINT s{self.depth}")
        counters = {table: self._tables[table].counters for table in self.before}
        return Savepoint(self, self.depth, len(self.changes), self.size, counters)

    def rollback_to(self, savepoint: Savepoint) -> None:
        """Undoes what was written since; the savepoint is gone then. Does nothing when all was undone already."""
        if savepoint.batch.failed is not None:
            return
        assert savepoint.batch is self, ENDED
        name = f"s{savepoint.depth}"
        self._command(f"ROLLBACK TO {name}")
        self._command(f"RELEASE {name}")
        self._leave(savepoint)
        del self.changes[savepoint.changes :]
        self.size = savepoint.size
        for table, before in self.before.items():
            self._tables[table].counters = savepoint.counters.get(table, before)
        self._found = None

    def release(self, savepoint: Savepoint) -> None:
        """Keeps what was written since. Raises when it was undone already."""
        if savepoint.batch.failed is not None:
            raise savepoint.batch.failed
        assert savepoint.batch is self, ENDED
        self._command(f"RELEASE s{savepoint.depth}")
        self._leave(savepoint)

    def _leave(self, savepoint: Savepoint) -> None:
        self.depth = savepoint.depth - 1
        if not self.depth:
            self._writer.schedule()

    def _command(self, text: str) -> None:
        try:
            self._execute(text)
        except apsw.Error as error:
            raise self._writer.fail_write(error) from error

    # ---- reading ranges

    def snapshot(self) -> Snapshot:
        """A view that sees the batch's own writes; once the batch commits, a snapshot of that commit."""
        if not self.views:
            self.views.append(self._writer.view())
        return self.views[0]


LINGER_TURNS: Final = 8
LINGER_BYTES: Final = 1 << 18
"""A batch that lingers is no larger than what commits in a moment."""

ENDED = "a write batch is used after its end"
TOO_LARGE = "The transaction is too large: a write may change a few hundred megabytes at once."


_changed: Callable[[Any], Change] = partial(tuple.__new__, Change)
"""Makes a change out of a tuple, in half the time."""


def _entries(
    found: list[list[bytes]], keys: list[bytes], rows: range
) -> list[tuple[bytes, bytes, int, int]]:
    """What stands in an index for new documents, in the order of the index: neighbours are on one page."""
    entries = []
    for index_keys, key, row in zip(found, keys, rows, strict=False):
        if len(index_keys) == 1:
            entries.append((index_keys[0], key, 0, row))
        elif index_keys:
            entries += [(entry, key, tag, row) for entry, tag in numbered(index_keys)]
    entries.sort()
    return entries


def numbered(keys: list[bytes]) -> set[tuple[bytes, int]]:
    """Index entries of one document: equal keys are told apart by a number."""
    if len(set(keys)) == len(keys):
        return {(key, 0) for key in keys}
    seen: dict[bytes, int] = {}
    entries = set()
    for key in keys:
        tag = seen.get(key, 0)
        seen[key] = tag + 1
        entries.add((key, tag))
    return entries
