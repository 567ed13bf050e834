"""Counts what is written, and makes rates of totals.

What always holds: counting costs one look at each commit, in C for large ones; a rate is the growth since the last look
that was at least a second ago. Used by `stats`.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from rethought.store import META, Commit

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.store import Group, TableId

RATE_SECONDS: Final = 1.0

_table_of: Final = itemgetter(0)


class Writes:
    """How many documents were written since the start, by table. Listens to every group of the catalog."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog
        self._groups: dict[Group, Counter[TableId]] = {}
        catalog.watch(self._changed)
        self._listen()

    def _changed(self, topic: str, _: object) -> None:
        if topic == "database":
            self._listen()

    def _listen(self) -> None:
        groups = {database.group for database in self._catalog.user_databases()}
        for group in groups - self._groups.keys():
            if group is not None:
                counter: Counter[TableId] = Counter()
                self._groups[group] = counter
                group.subscribe(_counting(counter))
        self._groups = {
            group: counter for group, counter in self._groups.items() if group in groups
        }

    def of(self, group: "Group", table: "TableId") -> int:
        counter = self._groups.get(group)
        return 0 if counter is None else counter[table]

    def total(self) -> int:
        """All documents of all tables."""
        return sum(counter.total() - counter[META] for counter in self._groups.values())


def _counting(counter: "Counter[TableId]") -> Callable[[Commit], None]:
    def count(commit: Commit) -> None:
        changes = commit.changes
        if len(changes) == 1:
            counter[changes[0][0]] += 1
        else:
            counter.update(map(_table_of, changes))

    return count


class Rates:
    """Growth per second of named totals."""

    def __init__(self, now: float) -> None:
        self._at = now
        self._before: Mapping[Hashable, int] = {}
        self._rates: dict[Hashable, float] = {}

    def look(self, now: float, totals: Mapping[Hashable, int]) -> None:
        spent = now - self._at
        if spent >= RATE_SECONDS:
            before = self._before
            self._rates = {
                name: (total - before.get(name, 0)) / spent for name, total in totals.items()
            }
            self._at, self._before = now, dict(totals)

    def __getitem__(self, name: Any) -> float:
        return self._rates.get(name, 0.0)
