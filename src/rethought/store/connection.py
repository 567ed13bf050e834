"""Opens a group's file: cipher, key, and the settings every connection shares. Turns SQLite's errors into ours.

What always holds: a connection is used by one thread at a time; `synchronous` is NORMAL and automatic checkpoints are
off on every one of them (see `commit`). The VFS is SQLite's `unix-excl` below the cipher: it keeps the index of the
log in memory instead of in a mapped file and locks without system calls, which takes 1 to 2 µs off each transaction;
no other process may open a file meanwhile, which is what we want. Called by `group`, `snapshot` and `checkpoint`.
"""

import contextlib
import hashlib
from pathlib import Path
from typing import Final

import apsw

from rethought.errors import InternalError, OpFailedError, ReqlError, ResourceLimitError

VFS: Final = "unix-excl"
CIPHER_VFS: Final = "multipleciphers-"

INTEGRITY_KEY: Final = hashlib.sha256(b"rethought: integrity key, not a secret").digest()
"""The key of files that are not encrypted: it is published, so it hides nothing; it lets the cipher authenticate every
page, so that a damaged one is detected when it is read (decision 0003)."""

_FLAGS: Final = (
    apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOMUTEX | apsw.SQLITE_OPEN_PRIVATECACHE
)


def connect(
    path: Path, key: bytes | None, *, vfs: str, cache_bytes: int, create: bool = False
) -> apsw.Connection:
    """An open connection with its settings made. Raises `apsw.Error`; a wrong key shows at the first read."""
    flags = _FLAGS | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(str(path), flags=flags, vfs=CIPHER_VFS + vfs)
    try:
        connection.pragma("cipher", "aegis")
        connection.pragma("key", "raw:" + (key or INTEGRITY_KEY).hex())
        # Or each new value of a LIMIT or of a bound makes SQLite plan the statement again: 5 to 10 µs.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        if create:
            connection.pragma("page_size", 4096)
        mode = connection.pragma("journal_mode", "wal")
        assert mode == "wal", mode
        connection.pragma("synchronous", 1)
        connection.pragma("secure_delete", 0)
        connection.pragma("wal_autocheckpoint", 0)
        connection.pragma("cache_size", -max(64, cache_bytes >> 10))
    except BaseException:
        connection.close()
        raise
    return connection


def end_transaction(connection: apsw.Connection) -> None:
    """Ends a transaction that only read. SQLite remembers a damaged page until then and says so again."""
    if connection.in_transaction:
        with contextlib.suppress(apsw.Error):
            connection.execute("COMMIT")


def log_path(path: Path) -> Path:
    """The write-ahead log beside a database file."""
    return path.with_name(path.name + "-wal")


def log_bytes(path: Path) -> int:
    """What it takes on the disk; it keeps the size that it once had."""
    log = log_path(path)
    return log.stat().st_size if log.exists() else 0


def read_error(path: Path, error: apsw.Error) -> ReqlError:
    """What a query is told when reading failed."""
    match error:
        case apsw.CorruptError() | apsw.NotADBError():
            return InternalError(damaged(path))
        case apsw.TooBigError() | apsw.NoMemError():
            return ResourceLimitError(f"Reading from `{path.name}` needs too much memory.")
        case apsw.IOError() | apsw.CantOpenError():
            return OpFailedError(f"Reading from `{path.name}` failed: {error}.")
        case _:
            return InternalError(f"Reading from `{path.name}` failed: {error}.")


def write_error(path: Path, error: apsw.Error) -> ReqlError:
    """What a query is told when its write was rolled back."""
    match error:
        case apsw.FullError():
            return OpFailedError(f"Could not write to `{path.name}`: the disk is full.")
        case apsw.CorruptError() | apsw.NotADBError():
            return InternalError(damaged(path))
        case apsw.TooBigError() | apsw.NoMemError():
            return ResourceLimitError(f"Writing to `{path.name}` needs too much memory.")
        case _:
            return OpFailedError(f"Could not write to `{path.name}`: {error}.")


def wrong_key(path: Path) -> str:
    return f"The file `{path.name}` is encrypted with another key, or is not a database of ours."


def damaged(path: Path) -> str:
    return (
        f"The database file `{path.name}` is damaged; "
        "run `rethought doctor` on its directory and restore it from a backup."
    )
