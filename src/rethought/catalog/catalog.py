"""The catalog: every database, table and index, and how they come and go.

Invariants:
  1. After `kill -9` at any moment, a database, table or index is there completely or not at all. A database's file is
     announced in the system group (`creating/`) before it exists and counts only once its own record replaces the
     announcement; a drop replaces the record by `dropping/`, and the file goes when that is on disk. Opening finishes
     what was announced. A table or an index and its record are written in one commit of its group.
  2. A file that no record mentions is never removed, only reported.
  3. Names are unique: databases among each other, tables within a database, indexes within a table.
  4. Opening costs one decode per table and nothing per index: rules are compiled when first needed.
  5. Memory changes only after the store took the change; listeners hear of it right after.
Callers: admin terms, system tables, the server at start. All on the loop; nothing here waits. Whoever must not answer
before a change is on disk waits for `durable(group)`. Why it is so: decision 0008.
"""

import os
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from rethought.catalog.files import Files
from rethought.catalog.identity import Identity
from rethought.catalog.model import (
    SYSTEM_DATABASE,
    SYSTEM_DATABASE_ID,
    Database,
    Index,
    IndexDefinition,
    LazyRule,
    MakeRule,
    TableHandle,
    WriteHook,
)
from rethought.catalog.moving import finish_moves
from rethought.catalog.permissions import Permissions
from rethought.catalog.records import (
    CREATING,
    DATABASE,
    DROPPING,
    OWNER,
    TABLE,
    DatabaseRecord,
    FunctionRecord,
    OwnerRecord,
    ServerRecord,
    TableRecord,
    decode,
    encode,
)
from rethought.catalog.storing import commit
from rethought.catalog.users import RandomBytes, Users
from rethought.errors import OpFailedError, QueryLogicError
from rethought.store.model import IndexId, TableId

if TYPE_CHECKING:
    from rethought.store import Group, Ticket

NAME: Final = re.compile(r"[A-Za-z0-9_-]+\Z")

Listener = Callable[[str, object], None]
"""Hears (topic, what): topics are `database`, `table`, `index`, `user`, `permission`, `server`, `cluster`."""


class MissingFileError(Exception):
    """A database is on record, but its file is not there. The server does not start with less than it had."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What the catalog is given from outside, so that tests can replace it."""

    make_rule: MakeRule
    new_id: Callable[[], str]
    random_bytes: RandomBytes
    clock: Callable[[], float] = time


class Catalog:
    """See the module. Made by `open_catalog`."""

    def __init__(
        self, files: Files, group: "Group", server: ServerRecord, sources: Sources
    ) -> None:
        self.files = files
        self.group = group
        self.sources = sources
        self.listeners: list[Listener] = []
        # By greenlet, the client whose query changes the catalog there; for whoever keeps a record.
        self.actors: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self.version = 0  # grows with every change
        self.closed = False
        self.databases: dict[str, Database] = {}
        self.identity = Identity(group, self.changed, lambda: server)
        self.users = Users(group, self.changed, sources.random_bytes)
        self.users.create_admin()
        self.permissions = Permissions(group, self.changed)
        self.started = sources.clock()
        self.unknown_files: list[str] = []

    def changed(self, topic: str, what: object) -> None:
        self.version += 1
        for listener in self.listeners:
            listener(topic, what)

    def watch(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` after each change, until the returned function is called."""
        self.listeners.append(listener)

        def stop() -> None:
            if listener in self.listeners:
                self.listeners.remove(listener)

        return stop

    def durable(self, group: "Group | None" = None) -> "Ticket":
        """Becomes done when everything changed so far (in the system group, or in `group`) is on disk."""
        target = self.group if group is None else group
        ticket = target.write().ticket(True)
        target.flush()
        return ticket

    def close(self) -> None:
        self.closed = True
        for database in self.databases.values():
            if database.group is not None:
                database.group.close()
        self.group.close()

    # ---- finding

    def database(self, name: str) -> Database:
        database = self.databases.get(name)
        if database is None:
            raise OpFailedError(f"Database `{name}` does not exist.")
        return database

    def database_by_id(self, id_: str) -> Database | None:
        return next((each for each in self.databases.values() if each.id == id_), None)

    def table(self, database: Database, name: str) -> Any:
        """A table, the user's or the system's."""
        table = database.tables.get(name)
        if table is None:
            raise OpFailedError(f"Table `{database.name}.{name}` does not exist.")
        return table

    def system_table(self, name: str) -> Any:
        """A table of the system database."""
        return self.databases[SYSTEM_DATABASE].tables[name]

    def table_by_id(self, id_: str) -> TableHandle | None:
        for database in self.user_databases():
            for table in database.tables.values():
                if table.id == id_:
                    found: TableHandle = table
                    return found
        return None

    def user_databases(self) -> list[Database]:
        """All but the system database, by name."""
        return [
            database for _, database in sorted(self.databases.items()) if database.group is not None
        ]

    def user_tables(self) -> list[TableHandle]:
        """All users' tables, by database and name."""
        return [
            table
            for database in self.user_databases()
            for _, table in sorted(database.tables.items())
        ]

    # ---- databases

    def add_system_database(self, tables: dict[str, Any]) -> Database:
        """Puts the system database in its place; called once, by the server."""
        database = Database(SYSTEM_DATABASE, SYSTEM_DATABASE_ID, None)
        database.tables = tables
        self.databases[SYSTEM_DATABASE] = database
        return database

    def create_database(self, name: str, id_: str | None = None) -> Database:
        if name in self.databases or name == SYSTEM_DATABASE:
            raise OpFailedError(f"Database `{name}` already exists.")
        id_ = id_ or self.sources.new_id()
        self.group.meta_put(CREATING + id_, encode(DatabaseRecord(name)))
        commit(self.group)
        group = self.files.open(id_)
        try:
            group.meta_put(OWNER, encode(OwnerRecord(id_)))
            commit(group)
            self.group.meta_put(DATABASE + id_, encode(DatabaseRecord(name)))
            self.group.meta_delete(CREATING + id_)
            commit(self.group)
        except BaseException:
            group.close()
            raise
        database = Database(name, id_, group)
        self.databases[name] = database
        self.changed("database", database)
        return database

    def rename_database(self, database: Database, name: str) -> None:
        if name == database.name:
            return
        if name in self.databases:
            raise OpFailedError(
                f"Cannot rename database `{database.name}` to `{name}` because database `{name}` "
                "already exists."
            )
        self.group.meta_put(DATABASE + database.id, encode(DatabaseRecord(name)))
        commit(self.group)
        del self.databases[database.name]
        database.name = name
        self.databases[name] = database
        self.changed("database", database)

    def drop_database(self, database: Database) -> int:
        """Drops a database and its tables; returns how many there were."""
        group = database.group
        assert group is not None
        self.group.meta_delete(DATABASE + database.id)
        self.group.meta_put(DROPPING + database.id, b"")
        on_disk = self.group.write().ticket(True)
        commit(self.group)
        del self.databases[database.name]
        database.dropped = True
        tables = list(database.tables.values())
        database.tables.clear()
        for table in tables:
            _end_builds(table)
            self._gone(table)
        self.permissions.forget_database(database.id)
        self.changed("database", database)
        on_disk.add(lambda error: None if error else self._remove(database.id, group))
        return len(tables)

    def _remove(self, id_: str, group: "Group | None") -> None:
        """The last step of a drop; done again at the next start when it is interrupted."""
        if group is not None:
            group.close()
        self.files.remove(id_)
        self.group.meta_delete(DROPPING + id_)
        self.group.meta_delete(CREATING + id_)
        self.group.flush()

    # ---- tables

    def create_table(
        self,
        database: Database,
        name: str,
        *,
        primary_key: str = "id",
        durability: str = "hard",
        write_acks: str = "majority",
        shards: int = 1,
        id_: str | None = None,
    ) -> TableHandle:
        refuse_taken(database, name)
        group = database.group
        assert group is not None
        number = group.create_table()
        record = TableRecord(
            name=name,
            number=number,
            primary_key=primary_key,
            durability=durability,
            write_acks=write_acks,
            shards=shards,
        )
        table = TableHandle(database, id_ or self.sources.new_id(), number, record)
        self.save(table, record)
        database.tables[name] = table
        self.changed("table", table)
        return table

    def drop_table(self, table: TableHandle) -> None:
        group = table.group
        group.meta_delete(TABLE + table.id)
        group.drop_table(table.number)
        commit(group)
        del table.db.tables[table.name]
        self._gone(table)
        self.permissions.forget_table(table.id)

    def _gone(self, table: TableHandle) -> None:
        table.dropped = True
        for index in table.indexes.values():
            index.dropped = True
        self.changed("table", table)

    def rename_table(self, table: TableHandle, name: str) -> None:
        if name == table.name:
            return
        refuse_rename(table, table.db, name)
        self.save(table, replace(table.record(), name=name))
        del table.db.tables[table.name]
        table.name = name
        table.db.tables[name] = table
        self.changed("table", table)

    def configure_table(
        self,
        table: TableHandle,
        *,
        durability: str | None = None,
        write_acks: str | None = None,
        shards: int | None = None,
    ) -> None:
        old = table.record()
        new = replace(
            old,
            durability=durability or old.durability,
            write_acks=write_acks or old.write_acks,
            shards=shards or old.shards,
        )
        if new == old:
            return
        self.save(table, new)
        table.durability = new.durability
        table.write_acks = new.write_acks
        table.shards = new.shards
        self.changed("table", table)

    def set_write_hook(self, table: TableHandle, function: FunctionRecord | None) -> None:
        self.save(table, replace(table.record(), write_hook=function))
        table.write_hook = None if function is None else WriteHook(function)
        self.changed("table", table)

    def save(self, table: TableHandle, record: TableRecord) -> None:
        """Writes a table's record, in one commit with whatever else was written to its group."""
        table.group.meta_put(TABLE + table.id, encode(record))
        commit(table.group)

    # ---- indexes

    def create_index(self, table: TableHandle, name: str, definition: IndexDefinition) -> Index:
        """Creates an index; it is built in the background."""
        check_index_name(table, name)
        if name in table.indexes:
            raise OpFailedError(
                f"Index `{name}` already exists on table `{table.db.name}.{table.name}`."
            )
        rule = LazyRule(definition, self.sources.make_rule)
        number = table.group.create_index(table.number, rule)
        index = Index(name, number, definition, rule)
        self._save_indexes(table, {**table.indexes, name: index})
        return index

    def drop_index(self, table: TableHandle, name: str) -> None:
        index = table.indexes.get(name)
        if index is None:
            raise OpFailedError(
                f"Index `{name}` does not exist on table `{table.db.name}.{table.name}`."
            )
        table.group.drop_index(index.number)
        self._save_indexes(
            table, {each: index for each, index in table.indexes.items() if each != name}
        )
        index.dropped = True

    def rename_index(self, table: TableHandle, old: str, new: str, *, overwrite: bool) -> bool:
        """Renames an index, replacing one of the new name if told so; False when there was nothing to do."""
        check_index_name(table, old)
        check_index_name(table, new)
        index = table.indexes.get(old)
        replaced = table.indexes.get(new)
        if index is None or (replaced is not None and new != old and not overwrite):
            raise OpFailedError(
                f"Index `{old}` does not exist or index `{new}` already exists on table "
                f"`{table.db.name}.{table.name}`."
            )
        if new == old:
            return False
        if replaced is not None:
            table.group.drop_index(replaced.number)
        indexes = {each: kept for each, kept in table.indexes.items() if each not in (old, new)}
        index.name = new
        try:
            self._save_indexes(table, {**indexes, new: index})
        except BaseException:
            index.name = old
            raise
        if replaced is not None:
            replaced.dropped = True
        return True

    def _save_indexes(self, table: TableHandle, indexes: dict[str, Index]) -> None:
        records = [index.record() for index in indexes.values()]
        self.save(table, replace(table.record(), indexes=records))
        table.indexes = indexes
        self.changed("index", table)

    # ---- opening

    def load(self) -> None:
        """Reads what is on disk, and finishes what was interrupted."""
        for prefix in (CREATING, DROPPING):
            for name, _ in self.group.meta_items(prefix):
                self._remove(name.removeprefix(prefix), None)
        known = set()
        for name, value in self.group.meta_items(DATABASE):
            id_ = name.removeprefix(DATABASE)
            known.add(id_)
            record = decode(value, type=DatabaseRecord)
            if not self.files.path(id_).exists():
                raise MissingFileError(
                    f"The file of database `{record.name}` is missing: {self.files.path(id_)}"
                )
            database = Database(record.name, id_, self.files.open(id_))
            self._load_tables(database)
            self.databases[record.name] = database
        finish_moves(self.user_databases())
        self.unknown_files = self.files.unknown(known)

    def _load_tables(self, database: Database) -> None:
        group = database.group
        assert group is not None
        unused = set(group.tables)
        for name, value in group.meta_items(TABLE):
            record = decode(value, type=TableRecord)
            number = TableId(record.number)
            unused.discard(number)
            table = TableHandle(database, name.removeprefix(TABLE), number, record)
            for kept in record.indexes:
                definition = IndexDefinition(kept.function, multi=kept.multi, geo=kept.geo)
                rule = LazyRule(definition, self.sources.make_rule)
                table.indexes[kept.name] = Index(kept.name, IndexId(kept.number), definition, rule)
            group.set_rules(number, {each.number: each.rule for each in table.indexes.values()})
            database.tables[table.name] = table
        for number in unused:  # a table that was being moved here
            group.drop_table(number)
        group.flush()


def open_catalog(
    directory: Path,
    open_group: Callable[[Path], "Group"],
    make_rule: MakeRule,
    *,
    server_name: str = "rethought",
    server_tags: list[str] | None = None,
    new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    random_bytes: RandomBytes | None = None,
    clock: Callable[[], float] = time,
) -> Catalog:
    """Opens the catalog of a data directory. `server_name` and tags count when the directory is new."""
    files = Files(directory, open_group)
    sources = Sources(make_rule, new_id, random_bytes or os.urandom, clock)
    tags = sorted({"default", *(server_tags or ())})
    server = ServerRecord(id=new_id(), name=server_name, tags=tags)
    catalog = Catalog(files, files.open_system(), server, sources)
    catalog.load()
    catalog.group.flush()
    return catalog


def check_name(kind: str, name: str) -> None:
    """Raises for what is no name of a database or a table."""
    if not NAME.match(name):
        raise QueryLogicError(f"{kind} name `{name}` invalid (Use A-Z, a-z, 0-9, _ and - only).")


def refuse_taken(database: Database, name: str) -> None:
    if name in database.tables:
        raise OpFailedError(f"Table `{database.name}.{name}` already exists.")


def refuse_rename(table: TableHandle, database: Database, name: str) -> None:
    """Raises when a table cannot get this name in this database."""
    if name in database.tables:
        raise OpFailedError(
            f"Can't rename table `{table.db.name}.{table.name}` to `{database.name}.{name}` "
            f"because table `{database.name}.{name}` already exists."
        )


def _end_builds(table: TableHandle) -> None:
    """Whoever waits for an index of a table that is about to go stops waiting."""
    for index in table.indexes.values():
        if not table.group.index_ready(index.number):
            table.group.drop_index(index.number)


def check_index_name(table: TableHandle, name: str) -> None:
    """Raises for the name of the primary key."""
    if name == table.primary_key:
        raise QueryLogicError(f"Index name conflict: `{name}` is the name of the primary key.")
