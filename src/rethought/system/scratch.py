"""`_debug_scratch`, a table in memory.

What always holds: the scratch table holds whatever is written to it until the process ends; test suites of drivers use
it. It is not listed, like the other tables whose name begins with `_debug`.
"""

from typing import TYPE_CHECKING, Any

from rethought.datum.order import hash_key
from rethought.errors import OpFailedError
from rethought.system.table import Asking, Row, Write

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

    def write(self, env: "Env", asked: Write) -> None:
        if asked.new is None:
            self._rows.pop(hash_key(asked.key), None)
        elif len(self._rows) >= SCRATCH_ROWS_MAX and asked.old is None:
            raise OpFailedError(f"The scratch table holds at most {SCRATCH_ROWS_MAX} rows.")
        else:
            self._rows[hash_key(asked.key)] = asked.new
        self._catalog.changed("scratch", asked.key)
