"""Databases, tables and indexes as the rest of the server sees them.

What always holds: there is one object per database, table and index for as long as it exists; names may change,
identity does not. `dropped` is true for good once it is gone, for whoever still holds it. Only the catalog changes
these objects; terms, plans and feeds read them.
"""

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any, Final, Protocol

from rethought.catalog.records import FunctionRecord, IndexRecord, TableRecord

if TYPE_CHECKING:
    from rethought.store import Group, IndexId, TableId

SYSTEM_DATABASE: Final = "rethinkdb"
SYSTEM_DATABASE_ID: Final = "b99b9572-8e53-5fef-9a2b-5e6aba3edf1c"


class Database:
    """A database; `group` is its file, None for the system database."""

    __slots__ = ("dropped", "group", "id", "name", "tables")

    def __init__(self, name: str, id_: str, group: "Group | None") -> None:
        self.name = name
        self.id = id_
        self.group = group
        self.tables: dict[str, Any] = {}
        self.dropped = False

    @property
    def system(self) -> bool:
        return self.group is None

    def __repr__(self) -> str:
        return f"<database {self.name}>"


class IndexDefinition:
    """What an index is made of, apart from its name."""

    __slots__ = ("function", "geo", "multi")

    def __init__(self, function: FunctionRecord, *, multi: bool, geo: bool) -> None:
        self.function = function
        self.multi = multi
        self.geo = geo


class Index:
    """A secondary index. `rule` computes its keys; it is made from the definition when it is first needed."""

    __slots__ = ("definition", "dropped", "name", "number", "rule")

    def __init__(
        self, name: str, number: "IndexId", definition: IndexDefinition, rule: "LazyRule"
    ) -> None:
        self.name = name
        self.number = number
        self.definition = definition
        self.rule = rule
        self.dropped = False

    @property
    def multi(self) -> bool:
        return self.definition.multi

    @property
    def geo(self) -> bool:
        return self.definition.geo

    def record(self) -> IndexRecord:
        definition = self.definition
        return IndexRecord(
            name=self.name,
            number=self.number,
            function=definition.function,
            multi=definition.multi,
            geo=definition.geo,
        )


class Rule(Protocol):
    """Computes index keys (the store's `IndexRule`)."""

    def keys(self, doc: dict[str, Any]) -> list[bytes]: ...

    def same(self, old: dict[str, Any], new: dict[str, Any]) -> bool: ...

    def reads(self, fields: Set[str]) -> bool: ...

    def keys_of_chunk(self, chunk: bytes) -> list[list[bytes]]: ...


MakeRule = Callable[[IndexDefinition], Rule]


class LazyRule:
    """A rule that is compiled when the first document needs it, so that opening costs nothing per index."""

    __slots__ = ("_definition", "_make", "_rule", "keys", "keys_of_chunk", "reads", "same")

    keys: Callable[[dict[str, Any]], list[bytes]]
    same: Callable[[dict[str, Any], dict[str, Any]], bool]
    reads: Callable[[Set[str]], bool]
    keys_of_chunk: Callable[[bytes], list[list[bytes]]]

    def __init__(self, definition: IndexDefinition, make: MakeRule) -> None:
        self._definition = definition
        self._make = make
        self._rule: Rule | None = None
        self.keys = self._first_keys
        self.same = self._first_same
        self.reads = self._first_reads
        self.keys_of_chunk = self._first_keys_of_chunk

    def _ready(self) -> Rule:
        rule = self._rule
        if rule is None:
            rule = self._rule = self._make(self._definition)
        self.keys = rule.keys
        self.same = rule.same
        self.reads = rule.reads
        self.keys_of_chunk = rule.keys_of_chunk
        return rule

    def _first_keys(self, doc: dict[str, Any]) -> list[bytes]:
        return self._ready().keys(doc)

    def _first_same(self, old: dict[str, Any], new: dict[str, Any]) -> bool:
        return self._ready().same(old, new)

    def _first_reads(self, fields: Set[str]) -> bool:
        return self._ready().reads(fields)

    def _first_keys_of_chunk(self, chunk: bytes) -> list[list[bytes]]:
        return self._ready().keys_of_chunk(chunk)


class WriteHook:
    """A table's write hook. `compiled` is a place for whoever runs it to keep the compiled function."""

    __slots__ = ("compiled", "function")

    def __init__(self, function: FunctionRecord) -> None:
        self.function = function
        self.compiled: Any = None


class TableHandle:
    """A user's table. `number` is its table in the database's group."""

    __slots__ = (
        "db",
        "dropped",
        "durability",
        "id",
        "indexes",
        "name",
        "number",
        "primary_key",
        "reads",
        "shards",
        "write_acks",
        "write_hook",
    )

    def __init__(self, db: Database, id_: str, number: "TableId", record: TableRecord) -> None:
        self.db = db
        self.id = id_
        self.number = number
        self.name = record.name
        self.primary_key = record.primary_key
        self.durability = record.durability
        self.write_acks = record.write_acks
        self.shards = record.shards
        self.indexes: dict[str, Index] = {}
        hook = record.write_hook
        self.write_hook = None if hook is None else WriteHook(hook)
        self.dropped = False
        self.reads = 0  # documents read since the start, for `stats`

    system: Final = False

    @property
    def group(self) -> "Group":
        assert self.db.group is not None
        return self.db.group

    def record(self) -> TableRecord:
        hook = self.write_hook
        return TableRecord(
            name=self.name,
            number=self.number,
            primary_key=self.primary_key,
            durability=self.durability,
            write_acks=self.write_acks,
            shards=self.shards,
            indexes=[index.record() for index in self.indexes.values()],
            write_hook=None if hook is None else hook.function,
        )

    def __repr__(self) -> str:
        return f"<table {self.db.name}.{self.name}>"
