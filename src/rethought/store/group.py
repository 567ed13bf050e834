"""A group: one SQLite file with its writer, readers, journal, indexes and background work.

Purpose: the unit of everything durable, and the only way into it. Reads go through `snapshot()`, writes through
`write()`; both are synchronous and belong on the loop's thread. What always holds: what `commit` promises of writes and
`snapshot` of reads; a file that is open here is open nowhere else (its VFS locks it, and `datadir` the directory).
Callers: `catalog` opens and closes groups and owns their tables; `exec` and `feed` read, write and listen.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from weakref import ref

import apsw

from rethought.errors import InternalError, OpFailedError
from rethought.store import layout
from rethought.store.batch import WriteBatch
from rethought.store.cache import pages_of
from rethought.store.checkpoint import (
    PAGE,
    Checkpointer,
    LogState,
    Round,
    decide_round,
    decide_wait,
)
from rethought.store.commit import Writer
from rethought.store.connection import (
    connect,
    damaged,
    log_bytes,
    log_path,
    read_error,
    wrong_key,
)
from rethought.store.damage import CATALOG, JOURNAL, place_of_index
from rethought.store.jobs import BuildIndex, Job, Jobs, RemoveTable, TrimJournal
from rethought.store.model import (
    META,
    Change,
    Commit,
    IndexId,
    IndexRule,
    JournalUsage,
    Listener,
    Loop,
    Retention,
    TableId,
    Traffic,
    Usage,
)
from rethought.store.options import DEFAULT_OPTIONS, GroupOptions
from rethought.store.scrub import sample_index
from rethought.store.snapshot import Readers
from rethought.store.sync import Syncer
from rethought.store.tables import (
    DROPPED,
    INDEX,
    NEXT,
    PREFIX,
    RETENTION,
    TABLE,
    Index,
    IndexRecord,
    Table,
    TableRecord,
    encode,
)

LAST_NAME: Final = "\U0010ffff"
NOT_BUILT: Final = (
    "it is not built, because documents of its table cannot be read; "
    "that is tried again after every search for damage."
)
JOURNAL_LOOK_S: Final = 600.0


def _look_at_journal(group: "ref[Group]") -> None:
    """Of a group that may have been closed and forgotten meanwhile."""
    there = group()
    if there is not None:
        there.look_at_journal()


class Group:
    """See the module. Made by `open_group`."""

    def __init__(self, path: Path, writer: Writer, loop: Loop, readers: Readers) -> None:
        self.path = path
        self.options = writer.options
        self.writable = True
        self._writer = writer
        self._loop = loop
        self._readers = readers
        self._jobs = Jobs(writer, loop, self._gave_up)
        self._waiting: list[Any] = []
        self._ready_waiting: dict[IndexId, list[Any]] = {}
        self._log = LogState()
        self._missed = 0  # pages fetched for the writer's connection
        self._written = 0  # pages written to the log and from there to the file
        self._round_pages = self.options.checkpoint_bytes // PAGE
        self._log_pages_max = self.options.log_bytes // PAGE
        self._checkpointer = Checkpointer(path, writer.options, loop, self._checkpointed)
        self._closed = False
        self._log_watched = False
        self.snapshot = writer.snapshot  # the newest committed state, shared by all who read it
        self.write = writer.write  # the open group commit of this turn of the loop
        self.damage = writer.damage
        writer.connection.set_wal_hook(self._log_grew)
        self._cache = self.options.cache.join(writer.connection, self.options.cache_bytes, loop)
        writer.undone = self._undone
        self._watch_log()
        self._watch_journal()
        self._resume_jobs()

    @property
    def seq(self) -> int:
        """The newest committed sequence number."""
        return self._writer.seq

    @property
    def journal_first_seq(self) -> int:
        """The oldest commit the journal still has; 0 when it has none."""
        return self._writer.journal.first

    def epoch_of(self, seq: int) -> int:
        """With the sequence number it names a commit for good (decision 0015)."""
        return self._writer.journal.epochs.of(seq)

    def flush(self) -> None:
        """Commits the open batch now, so that a read sees every write evaluated before it."""
        if self._writer.batch is not None:
            self._writer.commit()

    @property
    def trouble(self) -> str | None:
        """Why the last write failed; None when it did not."""
        refusal = self._writer.refusal
        return self._writer.trouble if refusal is None else refusal.message

    def usage(self) -> Usage:
        """What the group takes on disk and in memory, from counters: nothing is read for it."""
        connection = self._writer.connection
        try:
            free = int(connection.pragma("freelist_count") or 0)
        except apsw.Error:
            free = 0
        return Usage(
            file_bytes=pages_of(connection) * PAGE,
            free_bytes=free * PAGE,
            log_bytes=log_bytes(self.path),
            cache_bytes=connection.status(apsw.SQLITE_DBSTATUS_CACHE_USED)[0],
            documents_bytes=sum(table.bytes for table in self._writer.tables.values()),
        )

    def traffic(self) -> Traffic:
        """What was read and written so far, from counters too."""
        seen = self._writer.connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
        self._missed += (seen - self._missed) & 0xFFFF_FFFF  # SQLite's counter has 32 bits
        return Traffic((self._missed + self._readers.missed) * PAGE, self._written * PAGE)

    def subscribe(self, listener: Listener) -> None:
        """Calls back right after each commit, in order."""
        self._writer.listeners.append(listener)

    def unsubscribe(self, listener: Listener) -> None:
        self._writer.listeners.remove(listener)

    def journal(self, after: int, limit: int = 1 << 62) -> Iterator[Commit]:
        """Commits after a sequence number, oldest first, as far as they are committed when reached."""
        try:
            yield from self._writer.journal.read(after, limit)
        except apsw.Error as error:
            self.damage.failed(error, JOURNAL)
            raise read_error(self.path, error) from error

    @property
    def retention(self) -> Retention:
        """How much of the journal is kept, as it was set."""
        return self._writer.journal.retention

    def set_retention(self, retention: Retention) -> None:
        """Part of the open batch; what is no longer kept is forgotten when that is committed."""
        batch = self.write()
        self._put_record(batch, RETENTION, encode(retention))
        self._writer.journal.keep(retention)
        batch.ticket(False).add(lambda error: None if error else self._jobs.add(TrimJournal()))

    def _watch_journal(self) -> None:
        self._loop.call_later(JOURNAL_LOOK_S, _look_at_journal, ref(self))

    def look_at_journal(self) -> None:
        """Commits forget what is too old; when there are none, time has to."""
        if self._closed:
            return
        writer = self._writer
        if writer.batch is None and writer.journal.too_old(writer.options.clock()):
            self._jobs.add(TrimJournal())
        self._watch_journal()

    def journal_usage(self) -> JournalUsage:
        journal = self._writer.journal
        try:
            oldest = journal.oldest
        except apsw.Error as error:
            raise read_error(self.path, error) from error
        return JournalUsage(
            journal.first,
            self.seq,
            journal.rows,
            journal.bytes,
            oldest,
            journal.kept_seconds,
            journal.kept_bytes,
        )

    # ---- tables

    def create_table(self) -> TableId:
        """A new, empty table, part of the open batch."""
        batch = self.write()
        tables = self._writer.tables
        table = TableId(self._next_number())
        self._do(layout.create_table(table))
        self._do(layout.COUNTER_PUT, (table, 0, 0, 0))
        tables[table] = Table(table)
        self._put_record(batch, f"{TABLE}{table}", encode(TableRecord(table)))
        return table

    def drop_table(self, table: TableId) -> None:
        """The table is gone at once; its pages are freed in the background."""
        batch = self.write()
        tables = self._writer.tables
        state = tables[table]
        for index in list(state.indexes):
            self.drop_index(index)
        del tables[table]
        self._do(layout.COUNTER_DELETE, (table,))
        self._put_record(batch, f"{TABLE}{table}", None)
        self._remove(state.sql.name)

    @property
    def tables(self) -> list[TableId]:
        return list(self._writer.tables)

    # ---- indexes

    def create_index(self, table: TableId, rule: IndexRule) -> IndexId:
        """A new index, built in the background; see `index_ready`, `index_progress`, `when_index_ready`."""
        batch = self.write()
        state = self._writer.tables[table]
        id_ = IndexId(self._next_number())
        self._do(layout.create_index(id_))
        last = self._do(f"SELECT max(r) FROM {state.sql.name}").get or 0
        index = Index(id_, IndexRecord(table, ready=last == 0, end=last), rule)
        state.indexes[id_] = index
        self._put_record(batch, f"{INDEX}{id_}", encode(index.record()))
        if not index.ready:
            self._jobs.add(BuildIndex(id_, self._index_built))
        return id_

    def drop_index(self, index: IndexId) -> None:
        batch = self.write()
        found = self._writer.tables.index(index)
        del self._writer.tables[found.table].indexes[index]
        self._put_record(batch, f"{INDEX}{index}", None)
        self._remove(found.sql.name)
        self._index_built(index)

    def set_rules(self, table: TableId, rules: dict[IndexId, IndexRule]) -> None:
        """After opening: how each index of a table computes its keys. Builds that were under way go on."""
        state = self._writer.tables[table]
        for id_, rule in rules.items():
            state.indexes[id_].rule = rule
        self._resume_jobs()

    def indexes(self, table: TableId) -> list[IndexId]:
        return list(self._writer.tables[table].indexes)

    def index_ready(self, index: IndexId) -> bool:
        return self._writer.tables.index(index).ready

    def index_progress(self, index: IndexId) -> float:
        """How much of a build is done, 0 to 1."""
        found = self._writer.tables.index(index)
        return 1.0 if found.ready else found.done / found.end

    def sample_index(self, table: TableId, index: IndexId, part: float, rows: int) -> bool:
        """Compares some documents with their entries in an index; a difference becomes `damage`, then the answer is no.

        `part`, 0 to 1, says from where in the table on. Part of the slow search for damage.
        """
        self.flush()
        state = self._writer.tables[table]
        execute = self._writer.connection.execute
        try:
            last: int = execute(f"SELECT max(r) FROM {state.sql.name}").get or 0
            finding = sample_index(execute, state, state.indexes[index], int(part * last), rows)
        except apsw.Error as error:
            self.damage.failed(error, place_of_index(index))
            return False
        if finding is not None:
            self.damage.note(place_of_index(index), finding)
        return finding is None

    def index_seconds(self, index: IndexId) -> float | None:
        """How long this process has been building an index; None when it is not."""
        return self._jobs.seconds(layout.index_name(index))

    def index_given_up(self, index: IndexId) -> bool:
        """Whether the index is not being built, because documents of its table cannot be read."""
        return layout.index_name(index) in self._jobs.given_up

    def retry_jobs(self) -> None:
        """Takes up again what was given up because of damage, which may be no more; not while there is other work,
        since the step that fails undoes the others' last steps with its own."""
        if not self._jobs:
            self._jobs.given_up.clear()
            self._resume_jobs()

    def _gave_up(self, job: Job) -> None:
        if isinstance(job, BuildIndex):
            self.damage.note(place_of_index(job.id), NOT_BUILT)
            self._index_built(job.id)  # whoever waits looks again

    def when_index_ready(self, index: IndexId) -> Any:
        """A future that is done when the index can be read, was dropped, or is not being built any more."""
        future = self._loop.create_future()
        found = self._find_index(index)
        if found is None or found.ready or self.index_given_up(index):
            future.set_result(None)
        else:
            self._ready_waiting.setdefault(index, []).append(future)
        return future

    def _find_index(self, index: IndexId) -> Index | None:
        for state in self._writer.tables.values():
            if index in state.indexes:
                return state.indexes[index]
        return None

    def _index_built(self, index: IndexId) -> None:
        for future in self._ready_waiting.pop(index, ()):
            if not future.done():
                future.set_result(None)

    def _undone(self) -> None:
        """A batch was undone, and perhaps the end of a job with it."""
        self._jobs.rest()
        self._resume_jobs()

    def _resume_jobs(self) -> None:
        tables = self._writer.tables
        for name in tables.dropped:
            self._jobs.add(RemoveTable(name))
        for table in tables.values():
            for index in table.indexes.values():
                if index.rule is not None and not index.ready:
                    self._jobs.add(BuildIndex(index.id, self._index_built))

    # ---- small records

    def meta_get(self, name: str) -> bytes | None:
        """A record as the open batch leaves it."""
        value: bytes | None = self._read(layout.META_GET, (name,)).get
        return value

    def meta_items(self, prefix: str) -> list[tuple[str, bytes]]:
        """All records whose name begins so, by name."""
        rows: list[Any] = self._read(layout.META_ITEMS, (prefix, prefix + LAST_NAME)).fetchall()
        return [row for row in rows if not row[0].startswith(PREFIX)]

    def meta_put(self, name: str, value: bytes) -> None:
        """Part of the open batch; in the journal as a change of table `META`."""
        assert not name.startswith(PREFIX)
        self._put_record(self.write(), name, value)

    def meta_delete(self, name: str) -> None:
        assert not name.startswith(PREFIX)
        self._put_record(self.write(), name, None)

    def _put_record(self, batch: WriteBatch, name: str, value: bytes | None) -> None:
        old = self._do(layout.META_GET, (name,)).get
        if value is not None:
            self._do(layout.META_PUT, (name, value))
        elif old is not None:
            self._do(layout.META_DELETE, (name,))
        else:
            return
        batch.changes.append(Change(META, name.encode(), old, value))

    # ---- the log

    def when_writable(self) -> Any:
        """A future that is done when `writable` is True."""
        future = self._loop.create_future()
        if self.writable:
            future.set_result(None)
        else:
            self._waiting.append(future)
        return future

    def _log_grew(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        """SQLite's hook, after each commit: how many pages the log has."""
        log = self._log
        self._written += pages - log.size if pages > log.size else pages
        log.grew(pages)
        if pages - log.carried >= self._round_pages or pages >= self._log_pages_max:
            self._loop.call_soon(self._consider_checkpoint)
        return apsw.SQLITE_OK

    def _consider_checkpoint(self) -> None:
        if self._closed or not self.writable:
            return
        log = self._log
        if self._checkpointer.busy:
            if decide_wait(log, self.options):
                self._hold_writers()
            return
        match decide_round(log, self.options):
            case Round.NONE:
                return
            case Round.LAST:
                self._hold_writers()
            case Round.BESIDE:
                pass
        log.last = log.size
        self._checkpointer.start()

    def _hold_writers(self) -> None:
        self.flush()
        self._log.last_waited = self._log.size
        self.writable = False
        self._jobs.held = True

    def _checkpointed(self, result: tuple[int, int] | None) -> None:
        if self._closed:
            return
        log = self._log
        moved = False
        if result is not None:
            moved = result[1] > log.carried
            self._written += max(0, result[1] - log.carried)
            log.carried = result[1]
            if not log.size:  # it was there when the file was opened
                log.size = result[0]
            if log.carried == log.size:
                self._writer.end_reading()  # so that the next write may start the log again
                self._writer.accept()
        if not self.writable:
            if moved and log.carried < log.size:  # what was written before they began to wait
                self._checkpointer.start()
                return
            self._release_writers()
        self._jobs.wake()
        self._watch_log()
        self._consider_checkpoint()

    def _watch_log(self) -> None:
        if not self._log_watched:
            self._log_watched = True
            self._loop.call_later(self.options.log_idle_seconds, self._look_at_log, self._written)

    def _look_at_log(self, written: int) -> None:
        """Carries over what is left and gives the log's space back, once nothing has been written for a while."""
        self._log_watched = False
        if self._closed or log_bytes(self.path) <= self.options.log_idle_bytes:
            return
        log = self._log
        if self._written == written and self.writable and not self._checkpointer.busy:
            if not log.size or log.carried < log.size:
                self._checkpointer.start()
            elif self._writer.shrink_log():
                log.grew(0)
                return
        self._watch_log()

    def _release_writers(self) -> None:
        self.writable = True
        self._jobs.held = False
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _sync_failed(self) -> None:
        self._writer.refuse()
        if not self._checkpointer.busy:
            self._checkpointer.start()

    # ---- the end

    def close(self) -> None:
        """Commits, carries the log into the file, closes. What a snapshot still held reads nothing more."""
        if self._closed:
            return
        self.flush()
        self._closed = True
        self._jobs.close()
        writer = self._writer
        if writer.syncer is not None:
            writer.syncer.close()
        self._checkpointer.close()
        writer.end_reading()
        self._readers.close()
        self.options.cache.leave(self._cache)
        try:
            writer.save()
            if not writer.connection.in_transaction:
                writer.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error:
            pass  # the log stays and is carried over at the next opening
        writer.close()

    # ---- steps

    def _next_number(self) -> int:
        tables = self._writer.tables
        number = tables.next
        tables.next += 1
        self._do(layout.META_PUT, (NEXT, b"%d" % tables.next))
        return number

    def _remove(self, name: str) -> None:
        self._do(layout.META_PUT, (f"{DROPPED}{name}", b""))
        self._writer.tables.dropped.append(name)
        self._jobs.add(RemoveTable(name))

    def _do(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        try:
            return self._writer.connection.execute(sql, parameters)
        except apsw.Error as error:
            raise self._writer.fail_write(error) from error

    def _read(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        try:
            return self._writer.connection.execute(sql, parameters)
        except apsw.Error as error:
            self.damage.failed(error, CATALOG)
            raise read_error(self.path, error) from error


def open_group(path: Path, *, loop: Loop, options: GroupOptions = DEFAULT_OPTIONS) -> Group:
    """Opens a group's file, making it if it is not there.

    Raises OpFailedError when it cannot be opened, is of another version or has another key; InternalError when it is
    damaged.
    """
    new = not path.exists() or path.stat().st_size == 0
    connection = None
    try:
        connection = connect(
            path, options.key, vfs=options.vfs, cache_bytes=options.cache_bytes, create=new
        )
        options.disk.reached("create.file")
        _prepare(path, connection, new)
        readers = Readers(path, options)
        writer = Writer(path, connection, options, loop, readers)
        writer.load()
        group = Group(path, writer, loop, readers)
        log = log_path(path)
        options.disk.sync_directory(path.parent)
        descriptor = options.disk.open_log(log)
        writer.syncer = Syncer(loop, options.disk, descriptor, path.stem, group._sync_failed)
    except apsw.NotADBError as error:
        if connection is not None:
            connection.close()
        raise OpFailedError(wrong_key(path)) from error
    except apsw.CorruptError as error:
        if connection is not None:
            connection.close()
        raise InternalError(damaged(path)) from error
    except (apsw.Error, OSError) as error:
        if connection is not None:
            connection.close()
        raise OpFailedError(f"The file `{path.name}` could not be opened: {error}.") from error
    return group


def _prepare(path: Path, connection: apsw.Connection, new: bool) -> None:
    """Makes the layout of a new file, checks that of an old one. A file whose making was cut short counts as new."""
    version = connection.pragma("user_version")
    if new or (version == 0 and not connection.execute("SELECT 1 FROM sqlite_schema").fetchall()):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(layout.SCHEMA)
        connection.execute("COMMIT")
    elif connection.pragma("application_id") != layout.APPLICATION_ID:
        raise OpFailedError(f"The file `{path.name}` is not a database of ours.")
    elif version != layout.FORMAT_VERSION:
        raise OpFailedError(
            f"The file `{path.name}` has format version {version}; "
            f"this program reads version {layout.FORMAT_VERSION}."
        )
