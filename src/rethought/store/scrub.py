"""Reads everything a group's file holds, piece by piece, while the group is in use: the slow search for damage.

What always holds: every page in use is authenticated as it is read (what is free or about to be holds nothing, `doctor`
looks at that too); a piece is one short read of its own, so that the log can be carried over meanwhile; the cache of
those who serve queries is left alone, and so is the group: `scrub` has a connection of its own and may run in another
thread. `sample_index` compares some documents with their index entries; it belongs on the loop. Called by `group` and
`system.scrubbing`.
"""

import logging
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from rethought.errors import ReqlError
from rethought.store.batch import numbered
from rethought.store.connection import connect, damaged
from rethought.store.damage import CATALOG, JOURNAL
from rethought.store.options import GroupOptions
from rethought.store.tables import DROPPED, Index, Table

log = logging.getLogger("rethought.store")

STEP_BYTES: Final = 128 << 10
STEP_ROWS: Final = 500
FIRST_ROWS: Final = 8
CACHE_BYTES: Final = 64 << 10
NEVER_IN_TEXT: Final = (
    "x'00'"  # looking for it makes SQLite read all of a value, its overflow pages too
)


class Step(NamedTuple):
    """A piece was read, or could not be: then `finding` says why."""

    read_bytes: int
    place: str
    finding: str | None = None


class Walk(NamedTuple):
    """How one tree of the file is read: a query from a position on, for (rows, next position, bytes)."""

    place: str
    sql: str
    start: Any


def scrub(path: Path, options: GroupOptions) -> Generator[Step]:
    """One pass over the whole file."""
    connection = None
    try:
        connection = connect(path, options.key, vfs=options.vfs, cache_bytes=CACHE_BYTES)
        rows: list[Any] = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type='table' AND ? || name NOT IN "
            "(SELECT name FROM meta) ORDER BY rootpage",
            (DROPPED,),
        ).fetchall()
        for (name,) in rows:
            for walk in walks(name):
                yield from _walk(connection, path, walk)
            if name.startswith("i_"):
                yield from _walk_entries(connection, path, name)
    except apsw.Error as error:  # not even the list of tables can be read
        yield Step(0, CATALOG, _finding(path, error))
    finally:
        if connection is not None:
            connection.close()


def walks(name: str) -> list[Walk]:
    """The trees of one SQL table that are read by a single key."""
    whole = f"total(instr({{0}}, {NEVER_IN_TEXT}))"
    match name.partition("_"):
        case ["t", "_", number]:
            place = f"table {number}"
            return [
                Walk(
                    place, _piece(name, "r", "length(k) + length(d)", whole.format("d")), -(1 << 62)
                ),
                Walk(place, _piece(name, "k", "length(k)", "0"), b""),
            ]
        case ["journal", _, _]:
            return [
                Walk(JOURNAL, _piece(name, "seq", "length(entries)", whole.format("entries")), -1)
            ]
        case ["meta", _, _]:
            return [Walk(CATALOG, _piece(name, "name", "length(value)", whole.format("value")), "")]
        case ["counters", _, _]:
            return [Walk(CATALOG, _piece(name, "t", "32", "0"), -1)]
    return []


def _piece(name: str, key: str, size: str, whole: str) -> str:
    columns = {"r": "r, k, d", "seq": "seq, entries", "name": "name, value"}.get(key, key)
    return (
        f"SELECT count(*), max({key}), total({size}), {whole} "
        f"FROM (SELECT {columns} FROM {name} WHERE {key} > ?1 ORDER BY {key} LIMIT ?2)"
    )


def _walk(connection: apsw.Connection, path: Path, walk: Walk) -> Iterator[Step]:
    position, limit = walk.start, FIRST_ROWS
    while True:
        try:
            row: Any = connection.execute(walk.sql, (position, limit)).fetchone()
        except apsw.SQLError:
            return  # dropped meanwhile
        except apsw.Error as error:
            yield Step(0, walk.place, _finding(path, error))
            return
        count, position, size, _ = row
        yield Step(int(size), walk.place)
        if count < limit:
            return
        limit = next_rows(count, int(size))


def _walk_entries(connection: apsw.Connection, path: Path, name: str) -> Iterator[Step]:
    """The tree of an index; its key has three parts."""
    place = f"index {name.removeprefix('i_')}"
    position: tuple[Any, ...] = (b"", b"", -1)
    limit = FIRST_ROWS
    sql = (
        f"SELECT ik, k, tag FROM {name} WHERE (ik, k, tag) > (?, ?, ?) ORDER BY ik, k, tag LIMIT ?"
    )
    while True:
        try:
            rows: list[Any] = connection.execute(sql, (*position, limit)).fetchall()
        except apsw.SQLError:
            return
        except apsw.Error as error:
            yield Step(0, place, _finding(path, error))
            return
        size = sum([len(ik) + len(k) + 8 for ik, k, _ in rows])
        yield Step(size, place)
        if len(rows) < limit:
            return
        position = rows[-1]
        limit = next_rows(len(rows), size)


def next_rows(count: int, size: int) -> int:
    """How many rows to read next, so that they make about one step."""
    return max(1, min(STEP_ROWS, STEP_BYTES * count // max(1, size)))


def _finding(path: Path, error: apsw.Error) -> str:
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return damaged(path)
    return f"`{path.name}` cannot be read: {error}."


def sample_index(execute: Any, table: Table, index: Index, first: int, rows: int) -> str | None:
    """Whether some documents, from row `first` on, have their entries, and entries lead to their documents.

    Reads the state that writes have left, so nothing may be written in between: one call is one turn of the loop.
    """
    if index.rule is None or not index.ready:
        return None
    name = index.sql.name
    found: list[Any] = execute(
        f"SELECT r, k, d FROM {table.sql.name} WHERE r >= ? ORDER BY r LIMIT ?", (first, rows)
    ).fetchall()
    try:
        chunk = index.rule.keys_of_chunk(b",".join([row[2] for row in found])) if found else []
    except (ReqlError, ValueError) as error:
        return f"keys cannot be computed: {error}"
    for (r, k, _), keys in zip(found, chunk, strict=True):
        for key, tag in numbered(keys):
            at = execute(f"SELECT r FROM {name} WHERE ik=? AND k=? AND tag=?", (key, k, tag)).get
            if at != r:
                return "it lacks an entry of a document; drop the index and create it again."
    start = next((keys[0] for keys in chunk if keys), b"")
    lost = execute(
        f"SELECT count(*) FROM (SELECT k, r FROM {name} WHERE ik >= ? ORDER BY ik, k, tag LIMIT ?) "
        f"AS i LEFT JOIN {table.sql.name} AS t ON t.r = i.r WHERE t.r IS NULL OR t.k <> i.k",
        (start, rows),
    ).get
    if lost:
        return "it has entries that lead to no document; drop the index and create it again."
    return None
