"""Moves a table from one database to another, which is from one file to another.

What always holds: the table is in one of the two databases after a crash, whole. Its copy counts once its record is
committed in the new file, naming the old one (`moved_from`); the old one goes when that is on disk, or at the next
start (`finish_moves`). Nothing else runs during the copy, so nothing is missed; therefore large tables are refused.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Raw
from msgspec.json import Decoder
from msgspec.structs import replace

from rethought.catalog.model import Database, Index, TableHandle
from rethought.catalog.records import TABLE, TableRecord, decode, encode
from rethought.catalog.storing import commit
from rethought.errors import OpFailedError

if TYPE_CHECKING:
    from rethought.store import Group, TableId

MOVED_BYTES_MAX: Final = 256 << 20
COMMIT_BYTES: Final = 16 << 20
PAGE_ROWS: Final = 1_000

_documents: Final = Decoder(list[Raw]).decode


def move_table(
    table: TableHandle, database: Database, name: str, changed: Callable[[str, TableHandle], None]
) -> TableHandle:
    """Moves `table` into `database`, as `name`; returns the object that stands for it there. `changed` is the
    catalog's."""
    if name in database.tables:
        raise OpFailedError(
            f"Can't rename table `{table.db.name}.{table.name}` to `{database.name}.{name}` "
            f"because table `{database.name}.{name}` already exists."
        )
    source, target = table.group, database.group
    assert target is not None
    size = source.snapshot().size(table.number)
    if size.bytes > MOVED_BYTES_MAX:
        raise OpFailedError(
            f"Table `{table.db.name}.{table.name}` is too large to be moved to another database; "
            "dump and restore it instead."
        )
    number = target.create_table()
    _copy(source, table.number, target, number)
    record = replace(table.record(), name=name, number=number, indexes=[], moved_from=table.db.id)
    moved = TableHandle(database, table.id, number, record)
    for index in table.indexes.values():
        copy = Index(
            index.name, target.create_index(number, index.rule), index.definition, index.rule
        )
        moved.indexes[copy.name] = copy
    record = replace(record, indexes=[index.record() for index in moved.indexes.values()])
    target.meta_put(TABLE + table.id, encode(record))
    on_disk = target.write().ticket(True)
    commit(target)
    del table.db.tables[table.name]
    table.dropped = True
    database.tables[name] = moved
    changed("table", table)
    changed("table", moved)
    on_disk.add(lambda error: None if error else _forget(source, table.id, table.number, moved))
    return moved


def _copy(source: "Group", number: "TableId", target: "Group", copy: "TableId") -> None:
    snapshot = source.snapshot().acquire()
    after: bytes | None = None
    waiting = 0
    try:
        while True:
            page = snapshot.scan(number, None, None, after=after, limit=PAGE_ROWS, keys=True)
            batch = target.write()
            for key, document in zip(
                page.keys or (), _documents(b"[" + page.docs + b"]"), strict=True
            ):
                batch.put(copy, key, None, bytes(document), None, None)
            waiting += len(page.docs)
            if waiting > COMMIT_BYTES:
                commit(target)
                waiting = 0
            after = page.after
            if after is None:
                return
    finally:
        snapshot.release()


def _forget(source: "Group", id_: str, number: "TableId", moved: TableHandle) -> None:
    """The last step: the old table goes, then the new one's record no longer mentions it."""
    source.meta_delete(TABLE + id_)
    source.drop_table(number)
    commit(source)
    if not moved.dropped:
        moved.group.meta_put(TABLE + id_, encode(moved.record()))
        moved.group.flush()


def finish_moves(databases: Sequence[Database]) -> None:
    """At the start: drops what was left behind by moves between these databases that were interrupted."""
    by_id = {database.id: database for database in databases}
    for database in databases:
        group = database.group
        assert group is not None
        for table in list(database.tables.values()):
            stored = group.meta_get(TABLE + table.id)
            assert stored is not None
            origin = by_id.get(decode(stored, type=TableRecord).moved_from or "")
            if origin is not None and origin.group is not None:
                for name, other in list(origin.tables.items()):
                    if other.id == table.id:
                        del origin.tables[name]
                        _forget(origin.group, table.id, other.number, table)
                        break
