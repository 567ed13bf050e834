"""`table_config`, `db_config` and `table_status`: what the catalog holds, as rows.

What always holds: a row written back unchanged changes nothing; every check is made before anything changes. On a
single node each shard has one replica, here, and a table is ready as soon as it is there.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rethought.catalog.model import SYSTEM_DATABASE, Database, TableHandle
from rethought.catalog.moving import move_table
from rethought.datum.binary import binary
from rethought.errors import OpFailedError
from rethought.reql.function_binary import encode_hook
from rethought.reql.printing import print_hook
from rethought.system.formats import (
    need_field,
    read_array,
    read_choice,
    read_name,
    refuse_others,
    within,
    wrong_format,
)
from rethought.system.table import Asking, Row, Write

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.exec.env import Env

SHARDS_MAX: Final = 64
_FIELDS: Final = (
    "id",
    "name",
    "db",
    "primary_key",
    "shards",
    "indexes",
    "write_acks",
    "durability",
    "write_hook",
)


def _found_table(catalog: "Catalog", key: Any) -> TableHandle | None:
    return catalog.table_by_id(key) if key.__class__ is str else None


def _server(catalog: "Catalog", asking: Asking) -> str:
    identity = catalog.identity
    return identity.name if asking.by_name else identity.id


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row of `table_config` that was written, checked."""

    name: str
    database: Database
    primary_key: str
    shards: int
    write_acks: str
    durability: str


class TableConfig:
    """`table_config`."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog

    def rows(self, asking: Asking) -> list[Row]:
        return [self._row(table, asking) for table in self._catalog.user_tables()]

    def row(self, key: Any, asking: Asking) -> Row | None:
        table = _found_table(self._catalog, key)
        return None if table is None else self._row(table, asking)

    def _row(self, table: TableHandle, asking: Asking) -> Row:
        server = _server(self._catalog, asking)
        hook = table.write_hook
        return {
            "id": table.id,
            "name": table.name,
            "db": table.db.name if asking.by_name else table.db.id,
            "primary_key": table.primary_key,
            "shards": [
                {"primary_replica": server, "replicas": [server], "nonvoting_replicas": []}
                for _ in range(table.shards)
            ],
            "indexes": sorted(table.indexes),
            "write_acks": table.write_acks,
            "durability": table.durability,
            "write_hook": None
            if hook is None
            else {
                "function": binary(encode_hook(hook.function.params, hook.function.body)),
                "query": print_hook(hook.function.params, hook.function.body),
            },
        }

    def write(self, env: "Env", asked: Write) -> None:
        table = _found_table(self._catalog, asked.key)
        if asked.new is None:
            if table is not None:
                self._drop(env, table)
        elif table is None:
            self._create(env, asked.new, asked.asking, own_key=asked.own_key)
        else:
            self._update(env, table, asked.new, asked.old or {}, asked.asking)

    def _drop(self, env: "Env", table: TableHandle) -> None:
        env.require("config", table)
        env.writing(table.group)
        self._catalog.drop_table(table)
        env.await_ticket(self._catalog.durable(table.group))

    def _create(self, env: "Env", row: Row, asking: Asking, *, own_key: bool) -> None:
        if not own_key:
            raise OpFailedError(
                "There is no existing table with the given ID. To create a new table by inserting "
                "into `rethinkdb.table_config`, you must let the database generate the primary key "
                "automatically."
            )
        wanted = wrong_format("table_config", lambda: self._read(row, None, asking))
        env.require("config", wanted.database)
        group = wanted.database.group
        env.writing(group)
        self._catalog.create_table(
            wanted.database,
            wanted.name,
            primary_key=wanted.primary_key,
            durability=wanted.durability,
            write_acks=wanted.write_acks,
            shards=wanted.shards,
            id_=row["id"],
        )
        env.await_ticket(self._catalog.durable(group))

    def _update(self, env: "Env", table: TableHandle, row: Row, old: Row, asking: Asking) -> None:
        wanted = wrong_format("table_config", lambda: self._read(row, old, asking))
        env.require("config", table)
        if wanted.primary_key != table.primary_key:
            raise OpFailedError("It's illegal to change a table's primary key")
        if wanted.database is not table.db:
            env.require("config", wanted.database)
            env.writing(table.group)
            env.writing(wanted.database.group)
            table = move_table(table, wanted.database, wanted.name, self._catalog.changed)
        env.writing(table.group)
        self._catalog.rename_table(table, wanted.name)
        self._catalog.configure_table(
            table,
            durability=wanted.durability,
            write_acks=wanted.write_acks,
            shards=wanted.shards,
        )
        env.await_ticket(self._catalog.durable(table.group))

    def _read(self, row: Row, old: Row | None, asking: Asking) -> Wanted:
        """Checks a written row; a new one may leave out what has a default."""
        given = need_field(row, "name")
        name = within("name", lambda: read_name(given, "table"))
        database = self._read_database(need_field(row, "db"), asking)
        if old is None:
            if "indexes" in row:
                raise OpFailedError(
                    "The `indexes` field is read-only and can't be used to create indexes."
                )
            row = {
                "primary_key": "id",
                "write_acks": "majority",
                "durability": "hard",
                "write_hook": None,
                "indexes": [],
                "shards": None,
                **row,
            }
            old = {"indexes": [], "write_hook": None}
        elif need_field(row, "indexes") != old["indexes"]:
            raise OpFailedError(
                "The `indexes` field is read-only and can't be used to create or drop indexes."
            )
        primary_key = need_field(row, "primary_key")
        if primary_key.__class__ is not str:
            within("primary_key", lambda: read_name(primary_key, "field"))
        shards = need_field(row, "shards")
        count = 1 if shards is None else within("shards", lambda: self._read_shards(shards, asking))
        acks = need_field(row, "write_acks")
        acks = within("write_acks", lambda: read_choice(acks, "single", "majority"))
        durability = need_field(row, "durability")
        durability = within("durability", lambda: read_choice(durability, "soft", "hard"))
        if need_field(row, "write_hook") != old["write_hook"]:
            raise OpFailedError(
                "The `write_hook` field is read-only and can't be used to create or drop a write "
                "hook function."
            )
        refuse_others(row, _FIELDS)
        return Wanted(name, database, primary_key, count, acks, durability)

    def _read_database(self, value: Any, asking: Asking) -> Database:
        if value.__class__ is not str:
            within("db", lambda: read_name(value, "db", "database"))
        if asking.by_name:
            database = self._catalog.databases.get(value)
        else:
            database = self._catalog.database_by_id(value)
        if database is None or database.name == SYSTEM_DATABASE:
            raise OpFailedError(f"Database `{value}` does not exist.")
        return database

    def _read_shards(self, value: Any, asking: Asking) -> int:
        shards = read_array(value)
        if not shards:
            raise OpFailedError("You must specify at least one shard.")
        for shard in shards:
            self._read_shard(shard, asking)
        if len(shards) > SHARDS_MAX:
            raise OpFailedError(f"Maximum number of shards is {SHARDS_MAX}.")
        return len(shards)

    def _read_shard(self, shard: Any, asking: Asking) -> None:
        if shard.__class__ is not dict:
            raise OpFailedError("Expected an object.")
        replicas = read_array(need_field(shard, "replicas"))
        within("replicas", lambda: self._read_servers(replicas, asking))
        if not replicas:
            raise OpFailedError("You must specify at least one replica for each shard.")
        nonvoting = read_array(shard.get("nonvoting_replicas", []))
        within("nonvoting_replicas", lambda: self._read_servers(nonvoting, asking))
        if not set(nonvoting) <= set(replicas):
            raise OpFailedError(
                "Every server listed in the `nonvoting_replicas` field must also appear in "
                "`replicas`."
            )
        primary = need_field(shard, "primary_replica")
        within("primary_replica", lambda: self._read_servers([primary], asking))
        if primary not in replicas:
            raise OpFailedError(
                f"The server listed in the `primary_replica` field (`{primary}`) must also appear "
                "in `replicas`."
            )
        if primary in nonvoting:
            raise OpFailedError(
                f"The primary replica (`{primary}`) must not be a nonvoting replica."
            )
        refuse_others(shard, ("primary_replica", "replicas", "nonvoting_replicas"))

    def _read_servers(self, servers: list[Any], asking: Asking) -> None:
        ours = _server(self._catalog, asking)
        for at, server in enumerate(servers):
            if server.__class__ is not str:
                read_name(server, "server")
            if server != ours:
                raise OpFailedError(f"Server `{server}` does not exist or is not connected.")
            if server in servers[:at]:
                raise OpFailedError(f"Server `{server}` is listed more than once.")


class DatabaseConfig:
    """`db_config`."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog

    def rows(self, asking: Asking) -> list[Row]:
        return [_database_row(database) for database in self._catalog.user_databases()]

    def row(self, key: Any, asking: Asking) -> Row | None:
        database = self._found(key)
        return None if database is None else _database_row(database)

    def _found(self, key: Any) -> Database | None:
        found = self._catalog.database_by_id(key) if key.__class__ is str else None
        return None if found is None or found.name == SYSTEM_DATABASE else found

    def write(self, env: "Env", asked: Write) -> None:
        catalog = self._catalog
        database = self._found(asked.key)
        new = asked.new
        if new is None:
            if database is None:
                return
            env.require("config", database)
            for table in database.tables.values():
                env.require("config", table)
            env.writing(catalog.group)
            catalog.drop_database(database)
        elif database is None:
            if not asked.own_key:
                raise OpFailedError(
                    "If you want to create a new table by inserting into `rethinkdb.db_config`, "
                    "you must use an auto-generated primary key."
                )
            name = wrong_format("db_config", lambda: _read_database_row(new))
            env.require("config", None)
            env.writing(catalog.group)
            catalog.create_database(name, id_=new["id"])
        else:
            name = wrong_format("db_config", lambda: _read_database_row(new))
            env.require("config", database)
            env.writing(catalog.group)
            catalog.rename_database(database, name)
        env.await_ticket(catalog.durable())


def _database_row(database: Database) -> Row:
    return {"id": database.id, "name": database.name}


def _read_database_row(row: Row) -> str:
    value = need_field(row, "name")
    name = within("name", lambda: read_name(value, "db", "database"))
    refuse_others(row, ("id", "name"))
    return name


class TableStatus:
    """`table_status`."""

    def __init__(self, catalog: "Catalog") -> None:
        self._catalog = catalog

    def rows(self, asking: Asking) -> list[Row]:
        return [self._row(table, asking) for table in self._catalog.user_tables()]

    def row(self, key: Any, asking: Asking) -> Row | None:
        table = _found_table(self._catalog, key)
        return None if table is None else self._row(table, asking)

    def _row(self, table: TableHandle, asking: Asking) -> Row:
        server = _server(self._catalog, asking)
        return {
            "id": table.id,
            "name": table.name,
            "db": table.db.name if asking.by_name else table.db.id,
            "raft_leader": server,
            "shards": [
                {
                    "primary_replicas": [server],
                    "replicas": [{"server": server, "state": "ready"}],
                }
                for _ in range(table.shards)
            ],
            "status": {
                "all_replicas_ready": True,
                "ready_for_outdated_reads": True,
                "ready_for_reads": True,
                "ready_for_writes": True,
            },
        }
