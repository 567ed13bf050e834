"""Looks into a group's file without opening the group: for commands that work on a directory no server uses.

What always holds: nothing is changed and no background work begins; what cannot be read is a `ReqlError` with the same
text as when a server opens the file. Used by `maintenance`.
"""

from pathlib import Path
from typing import Any, NamedTuple

import apsw

from rethought.errors import OpFailedError
from rethought.store import layout
from rethought.store.connection import connect, read_error, wrong_key
from rethought.store.options import GroupOptions


class Contents(NamedTuple):
    """The small records of a file by name, and the names of its SQL tables."""

    records: dict[str, bytes]
    tables: set[str]


def peek(path: Path, options: GroupOptions) -> Contents:
    """Raises OpFailedError for another key or version, InternalError for damage."""
    connection = None
    try:
        connection = connect(path, options.key, vfs=options.vfs, cache_bytes=1 << 20)
        version = connection.pragma("user_version")
        if connection.pragma("application_id") != layout.APPLICATION_ID:
            raise OpFailedError(f"The file `{path.name}` is not a database of ours.")
        if version != layout.FORMAT_VERSION:
            raise OpFailedError(
                f"The file `{path.name}` has format version {version}; "
                f"this program reads version {layout.FORMAT_VERSION}."
            )
        rows: list[Any] = connection.execute("SELECT name, value FROM meta").fetchall()
        names: list[Any] = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type='table'"
        ).fetchall()
    except apsw.NotADBError as error:
        raise OpFailedError(wrong_key(path)) from error
    except apsw.Error as error:
        raise read_error(path, error) from error
    finally:
        if connection is not None:
            connection.close()
    return Contents(dict(rows), {name for (name,) in names})
