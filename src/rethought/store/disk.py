"""What the store asks of the disk beyond SQLite, and the places where tests may make it die.

What always holds: every sync outside SQLite goes through a `Disk`, and so does every name in `CRASH_POINTS`, so that a
test can count, delay, fail or kill there. One `Disk` may serve all groups; it keeps no state.
"""

import os
from pathlib import Path
from typing import Final

CRASH_POINTS: Final = (
    "write.first",  # the transaction of a batch is open, nothing is written yet
    "commit.before",  # documents and indexes are written, the journal is not
    "commit.journalled",  # everything is written, the transaction is not committed
    "commit.after",  # committed; listeners and writers do not know yet
    "sync.before",  # writers wait for a sync that has not begun
    "sync.after",  # synced; the writers do not know yet
    "checkpoint.before",  # a round is about to copy pages into the file
    "checkpoint.after",  # ... has copied them
    "index.step",  # a piece of an index is written, not committed
    "drop.step",  # a piece of a dropped table is removed, not committed
    "create.file",  # a new file is there, without its layout
)


class Disk:
    """The real disk."""

    def open_log(self, path: Path) -> int:
        """A descriptor of the write-ahead log, for syncing it.

        SQLite's locks are on the database file (POSIX drops a process' locks on a file when any of its descriptors is
        closed), so opening and closing the log beside SQLite is safe; doing so with the database file is not.
        """
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def sync_data(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Makes the names in a directory last."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def reached(self, point: str) -> None:
        """Called at each crash point; does nothing outside tests."""
