"""Copies a group's file while it is in use: one committed state, complete, checked by its own page authentication.

What always holds: the copy is the state at the moment the copying began, however long it takes and whatever is written
meanwhile; a copy that was not finished is not at its place. Work is done in steps so that the caller may do something
else in between; the connection is the copy's own, so it may also run on a helper thread. For backups and for `doctor`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from rethought.store.connection import connect, end_transaction, read_error, write_error
from rethought.store.layout import PIN
from rethought.store.options import GroupOptions

STEP_PAGES: Final = 256
CACHE_BYTES: Final = 1 << 20


def copy_group(
    path: Path, target: Path, options: GroupOptions, *, key: bytes | None = None
) -> Iterator[float]:
    """Copies the file at `path` to `target`, which must not exist; gives how much is done, 0 to 1, after each step.

    `key` encrypts the copy; None keeps it as it is. The copy is synced and its name is certain when this ends. Until
    then it is at `<target>.partial`, and removed when the copying fails or is given up.
    """
    if target.exists():
        raise FileExistsError(target)
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        yield from _copy(path, partial, options, options.key if key is None else key)
        partial.rename(target)
        options.disk.sync_directory(target.parent)
    finally:
        for name in (partial, *(partial.with_name(partial.name + end) for end in ("-wal", "-shm"))):
            name.unlink(missing_ok=True)


def _copy(path: Path, partial: Path, options: GroupOptions, key: bytes | None) -> Iterator[float]:
    try:
        source = connect(path, options.key, vfs=options.vfs, cache_bytes=CACHE_BYTES)
    except apsw.Error as error:
        raise read_error(path, error) from error
    try:
        source.execute("BEGIN")
        source.execute(
            PIN
        ).fetchall()  # fixes the state; a backup would begin again after each commit otherwise
        made = connect(partial, key, vfs=options.vfs, cache_bytes=CACHE_BYTES, create=True)
        try:
            with made.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(STEP_PAGES)
                    yield 1.0 - backup.remaining / max(1, backup.page_count)
            made.pragma("synchronous", 2)
            made.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            made.close()
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise read_error(path, error) from error
    except apsw.Error as error:
        raise write_error(partial, error) from error
    finally:
        end_transaction(source)
        source.close()
