"""Counts what is read and written, and makes rates of totals.

What always holds: counting writes costs one look at each commit, in C for large ones; totals never shrink, whatever is
dropped; a rate is the growth over the last one to two seconds. Used by `stats` and the metrics, which share one
`Traffic`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from rethought.store import META, Commit

if TYPE_CHECKING:
    from rethought.catalog import Catalog, TableHandle
    from rethought.store import Group, TableId

RATE_SECONDS: Final = 1.0

_table_of: Final = itemgetter(0)


class Traffic:
    """Documents read and written since the start, in all and by table. Listens to every group of the catalog."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog
        self._groups: dict[Group, Counter[TableId]] = {}
        self._tables: set[TableHandle] = set()
        self._read_of_gone = 0
        self._written_of_gone = 0
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
        for group in self._groups.keys() - groups:
            self._written_of_gone += _documents(self._groups.pop(group))

    def written(self, table: "TableHandle") -> int:
        counter = self._groups.get(table.group)
        return 0 if counter is None else counter[table.number]

    def written_in_all(self) -> int:
        return self._written_of_gone + sum(map(_documents, self._groups.values()))

    def read_in_all(self) -> int:
        now = {table for tables in self._tables_now() for table in tables}
        self._read_of_gone += sum([table.reads for table in self._tables - now])
        self._tables = now
        return self._read_of_gone + sum([table.reads for table in now])

    def by_table(self) -> "dict[TableHandle, tuple[int, int]]":
        """Documents read from and written to each table; called each second, so in as few steps as possible."""
        found: dict[TableHandle, tuple[int, int]] = {}
        for tables in self._tables_now():
            counter: Mapping[TableId, int] = {}
            for table in tables:
                counter = self._groups.get(table.group, counter)
                break
            found |= {table: (table.reads, counter.get(table.number, 0)) for table in tables}
        return found

    def _tables_now(self) -> "list[Collection[TableHandle]]":
        databases = self._catalog.databases.values()
        return [database.tables.values() for database in databases if database.group is not None]


def _documents(counter: "Counter[TableId]") -> int:
    return counter.total() - counter[META]


def _counting(counter: "Counter[TableId]") -> Callable[[Commit], None]:
    def count(commit: Commit) -> None:
        changes = commit.changes
        if len(changes) == 1:
            counter[changes[0][0]] += 1
        else:
            counter.update(map(_table_of, changes))

    return count


Sample = TypeVar("Sample")


class Samples(Generic[Sample]):
    """What was seen about once a second: enough to say how much has grown in the last one to two seconds."""

    def __init__(self, now: float, seen: Sample) -> None:
        self._older = self._newer = (now, seen)

    def take(self, now: float, seen: Sample) -> None:
        """More often than once a second does no harm."""
        if now - self._newer[0] >= RATE_SECONDS:
            self._older, self._newer = self._newer, (now, seen)

    def before(self, now: float) -> tuple[float, Sample]:
        """How many seconds ago, at least one, and what was seen then."""
        at, seen = self._newer if now - self._newer[0] >= RATE_SECONDS else self._older
        return max(RATE_SECONDS, now - at), seen
