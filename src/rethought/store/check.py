"""Finds damage in a group's file, for `doctor`, and for whoever has made a copy.

What always holds: nothing is changed; each finding is one sentence a person can act on; the whole file is read, so that
every page's authentication is checked. Works on a connection of its own, beside the group when it is open in this
process. `check_file` yields findings, and None now and then so that a caller may do something else meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from rethought.errors import ReqlError
from rethought.store.batch import numbered
from rethought.store.cache import pages_of
from rethought.store.connection import connect, damaged, wrong_key
from rethought.store.journal import Journal, unpack
from rethought.store.model import IndexId, IndexRule
from rethought.store.options import GroupOptions
from rethought.store.tables import Index, Table, Tables

CACHE_BYTES: Final = 64 << 20
"""Pages are read in their order, but for SQLite's own look from rows to their keys."""
CHUNK_ROWS: Final = 500
FINDINGS_MAX: Final = 100
STRUCTURE_PART: Final = 0.5  # of the work, about
PROGRESS_INSTRUCTIONS: Final = 20_000  # of SQLite's machine between two looks at how far it is

Finding = str | None
Entry = tuple[bytes, bytes, int, int]


def nobody(part: float) -> None:
    """Nobody wants to know how far it is."""


def check_file(
    path: Path,
    options: GroupOptions,
    rules: Mapping[IndexId, IndexRule] | None = None,
    tell: Callable[[float], None] = nobody,
) -> Iterator[Finding]:
    """All findings of one file. Without an index's rule only its links to documents are checked, not its keys.

    `tell` is called now and then with the part that is done, 0 to 1.
    """
    try:
        connection = connect(path, options.key, vfs=options.vfs, cache_bytes=CACHE_BYTES)
    except apsw.NotADBError:
        yield wrong_key(path)
        return
    except apsw.Error as error:
        yield f"`{path.name}` cannot be opened: {error}."
        return
    try:
        connection.execute("BEGIN")
        yield from _findings(connection, options, rules or {}, tell)
    except (apsw.CorruptError, apsw.NotADBError):
        yield damaged(path)
    except apsw.Error as error:
        yield f"`{path.name}` cannot be read: {error}."
    finally:
        connection.close()


def _findings(
    connection: apsw.Connection,
    options: GroupOptions,
    rules: Mapping[IndexId, IndexRule],
    tell: Callable[[float], None],
) -> Iterator[Finding]:
    yield from check_structure(connection, tell)
    tables = Tables()
    tables.load(connection)
    yield from check_journal(connection, options, tables)
    whole = sum(table.docs * (1 + len(table.indexes)) for table in tables.values())
    done = 0
    for table in tables.values():
        yield from check_table(connection, table)
        done += table.docs
        tell(STRUCTURE_PART + (1 - STRUCTURE_PART) * done / max(1, whole))
        for index in table.indexes.values():
            yield from check_index(connection, table, index, rules.get(index.id))
            done += table.docs
            tell(STRUCTURE_PART + (1 - STRUCTURE_PART) * done / max(1, whole))


def check_structure(
    connection: apsw.Connection, tell: Callable[[float], None]
) -> Iterator[Finding]:
    """SQLite's own examination; one long statement that reads every page."""
    pages = max(1, pages_of(connection))

    def working() -> bool:
        read = connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
        tell(STRUCTURE_PART * min(1.0, read / pages))
        return False

    connection.set_progress_handler(working, PROGRESS_INSTRUCTIONS)
    for (line,) in connection.execute(f"PRAGMA integrity_check({FINDINGS_MAX})"):
        if line != "ok":
            yield f"structure: {line}"
        yield None
    connection.set_progress_handler(None)


def check_journal(
    connection: apsw.Connection, options: GroupOptions, tables: Tables
) -> Iterator[Finding]:
    """Every row decodes, no sequence number is missing, the saved numbers agree; adds up the counters on the way."""
    journal = Journal(connection, options)
    try:
        journal.load()
        for commit in journal.catch_up():
            for table, _, old, new in commit.changes:
                if table in tables:
                    tables[table].count(old, new)
    except msgspec.MsgspecError as error:
        yield f"journal: an entry cannot be decoded: {error}"
        return
    expected = journal.first
    rows = bytes_ = 0
    for seq, entries in connection.execute("SELECT seq, entries FROM journal ORDER BY seq"):
        assert isinstance(entries, bytes)
        if seq != expected:
            yield f"journal: commit {expected} is missing"
        expected = int(str(seq)) + 1
        rows += 1
        bytes_ += len(entries)
        try:
            unpack(entries)
        except msgspec.MsgspecError as error:
            yield f"journal: commit {seq} cannot be decoded: {error}"
        yield None
    if (rows, bytes_) != (journal.rows, journal.bytes):
        yield (
            f"journal: it has {rows} commits of {bytes_} bytes, "
            f"its counters say {journal.rows} of {journal.bytes}"
        )


def check_table(connection: apsw.Connection, table: Table) -> Iterator[Finding]:
    """Counters agree with the rows, rows are found by their keys, documents are JSON."""
    name = table.sql.name
    docs = bytes_ = largest = after = 0
    while True:
        rows: list[Any] = connection.execute(
            f"SELECT r, k, d FROM {name} WHERE r>? ORDER BY r LIMIT ?", (after, CHUNK_ROWS)
        ).fetchall()
        if not rows:
            break
        after = rows[-1][0]
        for r, _, document in rows:
            docs += 1
            bytes_ += len(document)
            largest = max(largest, len(document))
            if not is_json(document):
                yield f"table {table.id}: the document in row {r} is not JSON"
        yield None
    if (docs, bytes_) != (table.docs, table.bytes):
        yield (
            f"table {table.id}: it has {docs} documents of {bytes_} bytes, "
            f"its counters say {table.docs} of {table.bytes}"
        )
    if largest > table.largest:
        yield f"table {table.id}: a document is larger than its counters say"


def is_json(document: bytes) -> bool:
    try:
        msgspec.json.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def check_index(
    connection: apsw.Connection, table: Table, index: Index, rule: IndexRule | None
) -> Iterator[Finding]:
    """Every entry leads to a document with its key; every document's entries are there, and no others."""
    if rule is None or not index.ready:
        yield from _lost_entries(connection, table, index)
        return
    seen = _Sum()
    after: Any = (b"", b"", -1)
    while after:
        entries: Any = connection.execute(
            f"SELECT ik, k, tag, r FROM {index.sql.name} WHERE (ik, k, tag) > (?, ?, ?) "
            "ORDER BY ik, k, tag LIMIT ?",
            (*after, CHUNK_ROWS),
        ).fetchall()
        seen.add(entries)
        after = entries[-1][:3] if len(entries) == CHUNK_ROWS else None
        yield None
    due = _Sum()
    try:
        for entries in expected_entries(connection, table, rule):
            due.add(entries)
            yield None
        if due != seen:
            yield from _differences(connection, table, index, rule, seen.count)
    except (ReqlError, ValueError) as error:
        yield f"index {index.id} of table {table.id}: keys cannot be computed: {error}"


@dataclass
class _Sum:
    """Tells whether two heaps of entries are the same, in whatever order they come: looking each one up took longer."""

    count: int = 0
    hashes: int = 0

    def add(self, entries: list[Entry]) -> None:
        self.count += len(entries)
        self.hashes += sum(map(hash, entries))


def expected_entries(
    connection: apsw.Connection, table: Table, rule: IndexRule
) -> Iterator[list[Entry]]:
    """The entries that the documents of a table should have, some at a time."""
    after = 0
    while True:
        rows: list[Any] = connection.execute(
            f"SELECT r, k, d FROM {table.sql.name} WHERE r>? ORDER BY r LIMIT ?",
            (after, CHUNK_ROWS),
        ).fetchall()
        if not rows:
            return
        after = rows[-1][0]
        chunk = rule.keys_of_chunk(b",".join([row[2] for row in rows]))
        yield [
            (key, k, tag, r)
            for (r, k, _), keys in zip(rows, chunk, strict=True)
            for key, tag in numbered(keys)
        ]


def _differences(
    connection: apsw.Connection, table: Table, index: Index, rule: IndexRule, entries: int
) -> Iterator[Finding]:
    expected = missing = 0
    find = f"SELECT r FROM {index.sql.name} WHERE ik=? AND k=? AND tag=?"
    for some in expected_entries(connection, table, rule):
        expected += len(some)
        missing += sum(connection.execute(find, entry[:3]).get != entry[3] for entry in some)
        yield None
    if missing:
        yield f"index {index.id} of table {table.id}: {missing} entries are missing"
    if entries != expected - missing:
        surplus = entries - expected + missing
        yield f"index {index.id} of table {table.id}: {surplus} entries are too many"
    yield from _lost_entries(connection, table, index)


def _lost_entries(connection: apsw.Connection, table: Table, index: Index) -> Iterator[Finding]:
    lost = connection.execute(
        f"SELECT count(*) FROM {index.sql.name} AS i LEFT JOIN {table.sql.name} AS t ON t.r = i.r "
        "WHERE t.r IS NULL OR t.k <> i.k"
    ).get
    yield (
        f"index {index.id} of table {table.id}: {lost} entries lead to no document"
        if lost
        else None
    )
