"""The tables and indexes of a group as they stand in memory: their numbers, statements, counters and rules.

What always holds: outside an open write batch this agrees with the file; after a rollback it is read again from the
file. The records under `store/` in `meta` are the truth at rest. Used inside the room only.
"""

from collections.abc import Set
from typing import Any, Final

import apsw
import msgspec

from rethought.errors import InternalError, OpFailedError
from rethought.store.layout import COUNTERS, META_ITEMS, IndexSql, TableSql
from rethought.store.model import IndexId, IndexRule, Size, TableId

PREFIX: Final = "store/"
NEXT: Final = "store/next"
TABLE: Final = "store/table/"  # + number -> TableRecord
INDEX: Final = "store/index/"  # + number -> IndexRecord
EPOCHS: Final = "store/epochs"  # of the journal
RETENTION: Final = "store/retention"  # of the journal
DROPPED: Final = "store/dropped/"  # + name of a table of SQLite that is being removed -> b""


class TableRecord(msgspec.Struct, frozen=True, array_like=True):
    number: int


class IndexRecord(msgspec.Struct, frozen=True, array_like=True):
    """`position` is the last row the build has dealt with, `end` the last one it must; ready when there is no build."""

    table: int
    ready: bool = False
    position: int = 0
    end: int = 0


encode = msgspec.msgpack.Encoder().encode


class Index:
    """A secondary index. Writes maintain it from its creation on, built or not."""

    __slots__ = ("dirty", "done", "end", "id", "position", "ready", "rule", "sql", "table")

    def __init__(self, id_: IndexId, record: IndexRecord, rule: IndexRule | None) -> None:
        self.id = id_
        self.table = TableId(record.table)
        self.ready = record.ready
        self.position = record.position
        self.end = record.end
        self.rule = rule
        self.done = record.position  # for whoever asks: so many rows' worth of the build
        self.dirty: set[int] = set()  # rows written while the index is being built
        self.sql = IndexSql(self.table, id_)

    def record(self) -> IndexRecord:
        return IndexRecord(self.table, self.ready, self.position, self.end)

    def keys(self, document: Any) -> list[bytes]:
        if self.rule is None:
            raise InternalError("An index was written to before the store was told its rule.")
        return self.rule.keys(document)

    def reads(self, fields: Set[str]) -> bool:
        """Whether something may be to be done when these fields of a document change."""
        return not self.ready or self.rule is None or self.rule.reads(fields)

    def stays(self, old: Any, new: Any) -> bool:
        """Whether nothing is to be done when one document takes the place of another."""
        return self.ready and self.rule is not None and self.rule.same(old, new)


class Indexes(dict[IndexId, Index]):
    def __missing__(self, index: IndexId) -> Index:
        raise OpFailedError("The index was dropped while the query was running.")


class Table:
    """A table: counters as the open batch leaves them."""

    __slots__ = ("bytes", "docs", "id", "indexes", "largest", "sql", "unsaved")

    def __init__(self, id_: TableId) -> None:
        self.id = id_
        self.sql = TableSql(id_)
        self.indexes = Indexes()
        self.docs = 0
        self.bytes = 0
        self.largest = 0  # no document has ever been larger
        self.unsaved = False  # the file's counters are those of an earlier commit

    @property
    def counters(self) -> tuple[int, int, int]:
        return self.docs, self.bytes, self.largest

    @counters.setter
    def counters(self, values: tuple[int, int, int]) -> None:
        self.docs, self.bytes, self.largest = values

    def count(self, old: bytes | None, new: bytes | None) -> None:
        """Counts one change."""
        if old is not None:
            self.docs -= 1
            self.bytes -= len(old)
        if new is not None:
            self.docs += 1
            self.bytes += len(new)
            self.largest = max(self.largest, len(new))


class Tables(dict[TableId, Table]):
    """All tables of a group, by number."""

    def __init__(self) -> None:
        super().__init__()
        self.next = 1
        self.dropped: list[str] = []

    def __missing__(self, table: TableId) -> Table:
        raise OpFailedError("The table was dropped while the query was running.")

    def sizes(self) -> dict[TableId, Size]:
        return {table: Size(state.docs, state.bytes) for table, state in self.items()}

    def index(self, index: IndexId) -> Index:
        for table in self.values():
            if index in table.indexes:
                return table.indexes[index]
        raise OpFailedError("The index was dropped while the query was running.")

    def load(self, connection: apsw.Connection) -> None:
        """Reads everything again from the file; rules already known stay.

        The counters are those of the commit they were last saved with: the caller adds what the journal has since.
        """
        rules = {
            index.id: index.rule for table in self.values() for index in table.indexes.values()
        }
        self.clear()
        self.dropped = []
        self.next = 1
        rows: list[Any] = connection.execute(META_ITEMS, (PREFIX, "store0")).fetchall()
        indexes: list[Index] = []
        for name, value in rows:
            if name == NEXT:
                self.next = int(value)
            elif name.startswith(TABLE):
                table = TableId(int(name[len(TABLE) :]))
                self[table] = Table(table)
            elif name.startswith(INDEX):
                index = IndexId(int(name[len(INDEX) :]))
                record = msgspec.msgpack.decode(value, type=IndexRecord)
                indexes.append(Index(index, record, rules.get(index)))
            elif name.startswith(DROPPED):
                self.dropped.append(name[len(DROPPED) :])
        for found in indexes:
            self[found.table].indexes[found.id] = found
        counted: list[Any] = connection.execute(COUNTERS).fetchall()
        for number, docs, bytes_, largest in counted:
            if number in self:
                state = self[TableId(number)]
                state.counters = docs, bytes_, largest
