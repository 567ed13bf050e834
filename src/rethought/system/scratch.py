"""`_debug_scratch`, a table in memory, and tables that only refuse writes.

What always holds: the scratch table holds whatever is written to it until the process ends; test suites of drivers use
it. It is not listed, like the other tables whose name begins with `_debug`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rethought.datum.order import hash_key
from rethought.errors import OpFailedError
from rethought.system.table import Asking, Row

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.exec.env import Env

SCRATCH_ROWS_MAX = 10_000


class Scratch:
    """`_debug_scratch`."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog
        self._rows: dict[Any, Row] = {}

    def rows(self, asking: Asking) -> list[Row]:
        return list(self._rows.values())

    def row(self, key: Any, asking: Asking) -> Row | None:
        return self._rows.get(hash_key(key))

    def write(
        self,
        env: "Env",
        key: Any,
        old: Row | None,
        new: Row | None,
        asking: Asking,
        *,
        own_key: bool,
    ) -> None:
        if new is None:
            self._rows.pop(hash_key(key), None)
        elif len(self._rows) >= SCRATCH_ROWS_MAX and old is None:
            raise OpFailedError(f"The scratch table holds at most {SCRATCH_ROWS_MAX} rows.")
        else:
            self._rows[hash_key(key)] = new
        self._catalog.changed("scratch", key)


class ReadOnly:
    """Rows that are only looked at."""

    def __init__(
        self, name: str, rows: Callable[[Asking], list[Row]], *, noun: str = "table"
    ) -> None:
        self._name = name
        self._rows = rows
        self._noun = noun

    def rows(self, asking: Asking) -> list[Row]:
        return self._rows(asking)

    def row(self, key: Any, asking: Asking) -> Row | None:
        wanted = hash_key(key)
        return next((row for row in self._rows(asking) if hash_key(row["id"]) == wanted), None)

    def write(
        self,
        env: "Env",
        key: Any,
        old: Row | None,
        new: Row | None,
        asking: Asking,
        *,
        own_key: bool,
    ) -> None:
        raise OpFailedError(f"It's illegal to write to the `rethinkdb.{self._name}` {self._noun}.")
