"""The single writer of a group: opens write batches, commits them, tells everybody, undoes what fails.

Purpose: all writes of one turn of the loop become one SQLite transaction with one journal row (those of a long insert
that is alone in its batch: of some turns); then listeners hear of it, then soft writers, then, after one sync of the
log for all that wait, hard writers.
Invariants:
  1. Documents, index entries, counters and the journal row of a batch commit together or not at all.
  2. Sequence numbers of commits have no gap and no repeat; `seq` is the newest committed one.
  3. Listeners get every commit once, in order, after it can be read and before its writers are told.
  4. A soft ticket finishes without error only after COMMIT: the write survives the end of the process.
  5. A hard ticket finishes without error only after a sync of the log that began after COMMIT: it survives power loss.
  6. After a failure the file and the memory are as before the batch, and every ticket of the batch has the error.
  7. After a sync that failed nothing is written until a checkpoint has carried everything into the synced file, because
     the system may have dropped what it could not write and a later sync would not say so.

Why our own sync is as safe as `synchronous=FULL`. FULL does, at each commit, one sync of the log after its frames
are written: the same system call on the same file, only on the loop's thread and once per commit. The rest is the
same in NORMAL: SQLite syncs the header of a log that starts again before frames follow, syncs the log before a
checkpoint copies from it, and the database file before the log may start again. Frames of a commit that was not synced
may be lost or torn; their chained checksums make recovery stop before the first such frame, so what was synced is never
lost with them. The log's directory entry is synced once, after the file is opened (`group`). POSIX syncs a file, not a
descriptor, so ours, opened once and kept, also covers what SQLite wrote through its own. Measurement: decision 0004.

Callers: `group` and `batch`, on the loop's thread only.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import apsw

from rethought.errors import OpFailedError, ReqlError
from rethought.store.batch import WriteBatch
from rethought.store.connection import end_transaction, read_error, write_error
from rethought.store.damage import SOMEWHERE, Damage
from rethought.store.journal import Journal
from rethought.store.layout import COUNTER_PUT
from rethought.store.model import Commit, Listener, Loop, Size
from rethought.store.options import GroupOptions
from rethought.store.snapshot import Readers, Snapshot
from rethought.store.sync import Syncer
from rethought.store.tables import Tables

log = logging.getLogger(__name__)


class Writer:
    """See the module. `batch` is the open one; `reading` says that a read transaction is open between batches."""

    def __init__(
        self,
        path: Path,
        connection: apsw.Connection,
        options: GroupOptions,
        loop: Loop,
        readers: Readers,
    ) -> None:
        self.path = path
        self.connection = connection
        self.options = options
        self.tables = Tables()
        self.journal = Journal(connection, options)
        self.seq = 0
        self.batch: WriteBatch | None = None
        self.refusal: ReqlError | None = None  # why nothing may be written now
        self.trouble: str | None = None  # why the last batch was undone, until one commits
        self.damage = Damage(path)
        self.undone: Callable[[], None] = lambda: None
        self.listeners: list[Listener] = []
        self.syncer: Syncer | None = None
        self._execute = connection.execute
        self.execute = connection.cursor().execute  # for statements whose rows are fetched at once
        self._loop = loop
        self.readers = readers
        self._current: Snapshot | None = None
        self._reading = False
        self._scheduled = False
        self._stale = False  # memory could not be read again after a failure

    def load(self) -> None:
        """Reads from the file what is kept in memory."""
        tables = self.tables
        tables.load(self.connection)
        self.journal.load()
        self.seq = self.journal.saved_seq
        for commit in self.journal.catch_up():
            self.seq = commit.seq
            for table, _, old, new in commit.changes:
                if table in tables:
                    tables[table].count(old, new)
                    tables[table].unsaved = True
        self._stale = False

    def save_counters(self, seq: int) -> None:
        """Writes the counters into the file, as part of the open transaction."""
        for state in self.tables.values():
            if state.unsaved:
                self._execute(COUNTER_PUT, (state.id, *state.counters))
                state.unsaved = False
        self.journal.save(seq)

    def save(self) -> None:
        """Before closing: the next opening has nothing to add up."""
        if not self.connection.in_transaction and self.journal.saved_seq != self.seq:
            self._execute("BEGIN IMMEDIATE")
            self.save_counters(self.seq)
            self._execute("COMMIT")

    # ---- reading

    def snapshot(self) -> Snapshot:
        """The newest committed state; an open batch commits first, unless a savepoint holds it open."""
        current = self._current
        if current is not None:
            return current
        if self.batch is not None:
            if self.batch.depth:
                sizes = self.tables.sizes()
                for table, (docs, bytes_, _) in self.batch.before.items():
                    sizes[table] = Size(docs, bytes_)
                return self._view().moved(sizes)
            self.commit()
        if not self._reading:
            self._execute("BEGIN")
            self._reading = True
        current = self._current = self._view()
        return current

    def view(self) -> Snapshot:
        """What the open batch sees."""
        return self._view()

    def _view(self) -> Snapshot:
        return Snapshot(self)

    def end_reading(self) -> bool:
        """Ends the read transaction between batches, so that the log may start again; False while somebody reads."""
        if self._reading:
            if self._current is not None:
                if self._current.held:
                    return False
                self._current.leave_writer()
                self._current = None
            end_transaction(self.connection)
            self._reading = False
        return True

    def shrink_log(self) -> bool:
        """Gives the space of the log back when nobody needs it; all of it must be in the file already.

        On this connection, since another's would empty our page cache.
        """
        if self.batch is not None or not self.end_reading():
            return False
        try:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error:  # somebody reads; or the disk fails, and the next write will say so
            return False
        return True

    def close(self) -> None:
        if self._current is not None:
            self._current.end()
        self.connection.close()

    # ---- writing

    def write(self) -> WriteBatch:
        """The open batch; opens one, to be committed when the loop turns."""
        if self.batch is not None:
            return self.batch
        if self.refusal is not None:
            raise self.refusal
        try:
            if self._stale:
                self.load()
            if self._reading:  # becomes a write transaction with the first write
                if self._current is not None:
                    self._current.leave_writer()
                    self._current = None
                self._reading = False
            else:
                self._execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise write_error(self.path, error) from error
        self.options.disk.reached("write.first")
        batch = self.batch = WriteBatch(self)
        self.schedule()
        return batch

    def schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        batch = self.batch
        if batch is not None:
            if batch.lingers():
                self.schedule()
            else:
                self.commit()

    def commit(self) -> None:
        """Commits the open batch now. Never raises for a failed write: its tickets say so."""
        batch = self.batch
        assert batch is not None
        if batch.depth:
            return  # a savepoint holds it open; its end schedules the commit
        changes = batch.changes
        journal = self.journal
        reached = self.options.disk.reached
        execute = self._execute
        seq = self.seq
        now = 0.0
        try:
            reached("commit.before")
            if changes:
                seq += 1
                now = self.options.clock()
                journal.append(seq, now, changes)
                if journal.save_due(seq, now):
                    self.save_counters(seq)
                journal.trim(now)
            reached("commit.journalled")
            execute("COMMIT")
        except apsw.Error as error:
            self.fail_write(error)
            return
        reached("commit.after")
        self.batch = None
        self.seq = seq
        self.trouble = None
        for view in batch.views:
            view.seq = seq
            view.leave_writer()
        if changes:
            self._tell(Commit(seq, now, changes))
        if batch.tickets:
            self._finish(batch)

    def _tell(self, commit: Commit) -> None:
        for listener in self.listeners:
            try:
                listener(commit)
            except (
                Exception
            ):  # a bug of a listener's; the commit stands and its writers must hear of it
                log.exception("a listener failed on commit %d of %s", commit.seq, self.path.name)

    def _finish(self, batch: WriteBatch) -> None:
        hard = []
        for ticket in batch.tickets:
            if ticket.hard:
                hard.append(ticket)
            else:
                ticket.finish(None)
        if hard:
            assert self.syncer is not None
            self.syncer.wait(hard)

    # ---- failing

    def fail_write(self, error: apsw.Error) -> ReqlError:
        self.damage.failed(error, SOMEWHERE)
        return self.fail(write_error(self.path, error))

    def fail_read(self, error: apsw.Error) -> ReqlError:
        """A read through the writer's connection failed; gives what its query is told.

        SQLite remembers a damaged page until the transaction ends, and would not commit: an open batch is undone, a
        read transaction begins again (on the same state, since nobody else writes).
        """
        self.damage.failed(error, SOMEWHERE)
        if self.batch is not None:
            if isinstance(error, apsw.CorruptError) or not self.connection.in_transaction:
                return self.fail_write(error)
        elif self._reading:
            end_transaction(self.connection)
            self._execute("BEGIN")
        return read_error(self.path, error)

    def fail(self, error: ReqlError) -> ReqlError:
        """Undoes the open batch and tells its writers; gives the error back, to be raised."""
        batch = self.batch
        if batch is None:
            return error
        self.batch = None
        batch.failed = error
        try:
            if self.connection.in_transaction:
                self._execute("ROLLBACK")
            self.load()
        except apsw.Error:
            self._stale = True
        for view in batch.views:
            view.leave_writer()
        if self.trouble is None:
            log.warning("a write batch of %s was undone: %s", self.path.name, error.message)
        self.trouble = error.message
        self.undone()
        for ticket in batch.tickets:
            ticket.finish(error)
        return error

    def refuse(self) -> None:
        """Writes nothing more until `accept` (invariant 7)."""
        self.refusal = OpFailedError(
            f"`{self.path.name}` takes no writes until the disk confirms again."
        )

    def accept(self) -> None:
        self.refusal = None
