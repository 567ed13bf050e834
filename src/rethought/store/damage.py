"""What is known to be damaged in one file.

What always holds: every read that failed because a page is not what was written is noted here, with the place it was
meant for, and said once in the log; what is noted stays until a whole pass of the scrub found nothing. Written by
`snapshot`, `commit` and `group` when reads fail, by the scrub when it finds something; read for `current_issues`.
"""

import logging
from pathlib import Path
from typing import Final

import apsw

from rethought.store.connection import damaged
from rethought.store.model import IndexId, TableId

log = logging.getLogger("rethought.store")

SOMEWHERE: Final = "file"
CATALOG: Final = "catalog"
JOURNAL: Final = "journal"


def place_of_table(table: TableId) -> str:
    return f"table {table}"


def place_of_index(index: IndexId) -> str:
    return f"index {index}"


class Damage:
    """`places` by name (`table 3`, `index 5`, `journal`, `catalog`, `file`), each with what was found there."""

    __slots__ = ("_path", "places")

    def __init__(self, path: Path) -> None:
        self._path = path
        self.places: dict[str, str] = {}

    def note(self, place: str, finding: str) -> None:
        if place not in self.places:
            self.places[place] = finding
            self.places.pop(SOMEWHERE, None)  # now it is known where
            log.error("Damage in %s (%s): %s", self._path.name, place, finding)

    def failed(self, error: apsw.Error, place: str) -> None:
        """A read or a write failed; notes it when the reason is damage."""
        if place == SOMEWHERE and self.places:
            return
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            self.note(place, damaged(self._path))

    def clear(self) -> None:
        self.places = {}
