"""The database files of a data directory: where they are, how they are opened and removed.

What always holds: a file is named by its database's id, so renaming a database touches no file; a file that was
removed is gone from the directory (its entry synced) when `remove` returns. Only the catalog uses this.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rethought.store import Group

SYSTEM_FILE: Final = "system.db"
SUFFIX: Final = ".db"
_COMPANIONS: Final = ("", "-wal", "-shm", "-journal")


class Files:
    """The files of one data directory. `open_group` opens a store on a path, creating it when it is not there."""

    def __init__(self, directory: Path, open_group: Callable[[Path], "Group"]) -> None:
        self.directory = directory
        self._open_group = open_group

    def path(self, id_: str) -> Path:
        return self.directory / f"{id_}{SUFFIX}"

    def open(self, id_: str) -> "Group":
        return self._open_group(self.path(id_))

    def open_system(self) -> "Group":
        return self._open_group(self.directory / SYSTEM_FILE)

    def remove(self, id_: str) -> None:
        """Removes a database's file and what SQLite keeps beside it; does nothing for what is not there."""
        path = self.path(id_)
        for companion in _COMPANIONS:
            Path(f"{path}{companion}").unlink(missing_ok=True)
        self.sync()

    def unknown(self, known: set[str]) -> list[str]:
        """Files that look like a database's, but belong to none that is known. They are never removed."""
        found = {path.name.removesuffix(SUFFIX) for path in self.directory.glob(f"*{SUFFIX}")}
        return sorted(found - known - {SYSTEM_FILE.removesuffix(SUFFIX)})

    def sync(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
