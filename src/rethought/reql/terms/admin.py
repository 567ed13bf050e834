"""Terms that administer databases and tables.

What always holds: a term that changed the catalog calls `env.await_ticket`, so that it is answered when the
change is on disk; rows of configuration and status come from the system database's tables, never from here. Indexes and
write hooks are in `terms.indexes`, the arguments of sharding in `terms.placement`.
"""

from typing import Any, Final

from greenlet import getcurrent

from rethought.catalog.catalog import check_name, refuse_taken
from rethought.catalog.model import SYSTEM_DATABASE, Database
from rethought.datum.jsonbytes import decode
from rethought.datum.values import is_truthy, to_uint64
from rethought.errors import OpFailedError, QueryLogicError
from rethought.exec.env import Env, Options
from rethought.exec.values import (
    SingleSelection,
    need_database,
    need_string,
    wrong_datum,
    wrong_value,
)
from rethought.reql.checks import blamed, number_of
from rethought.reql.spec import Arg, Determinism, Effect, Grouped, TermSpec, between, exactly
from rethought.reql.terms.placement import OPTARGS as PLACEMENT_OPTARGS
from rethought.reql.terms.placement import check_placement, read_placement

READINESS: Final = (
    "ready_for_outdated_reads",
    "ready_for_reads",
    "ready_for_writes",
    "all_replicas_ready",
)


def special(reason: str) -> OpFailedError:
    """What the system database refuses."""
    return OpFailedError(f"Database `{SYSTEM_DATABASE}` is special; {reason}")


def system_row(env: Env, table: str, key: str) -> Any:
    """One row of a system table, as data."""
    document = env.catalog.system_table(table).view().read(env, key)
    return None if document is None else decode(document)


def refuse_transaction(env: Env) -> None:
    """What the catalog commits cannot be taken back with a query."""
    if env.transaction is not None:
        raise QueryLogicError(
            "Databases, tables, indexes and system tables cannot be changed in a transaction."
        )


def begin(env: Env, group: Any) -> None:
    """Called before the catalog changes something in `group`."""
    refuse_transaction(env)
    env.writing(group)
    env.catalog.actors[getcurrent()] = env.client


def changed(env: Env, group: Any) -> None:
    """The query is answered when what was just changed in `group` is on disk."""
    env.catalog.actors.pop(getcurrent(), None)
    env.await_ticket(env.catalog.durable(group))


def database_or_table(env: Env, value: Any) -> Any:
    """The catalog's object of a database or a whole table."""
    if isinstance(value, Database):
        return value
    if getattr(value, "value_name", None) == "TABLE":
        return value.table.handle
    raise wrong_value("TABLE", value, 0)


def _database_and_name(env: Env, args: tuple[Any, ...]) -> tuple[Database, str]:
    """`[database,] name`."""
    at = len(args) - 1
    database = need_database(env, args[0], 0) if at else env.database()
    name = need_string(env, args[at], at)
    _check_name("Table", name, at)
    return database, name


# ---- databases


def db_create(env: Env, name: str) -> Any:
    _check_name("Database", name, 0)
    env.require("config", None)
    begin(env, env.catalog.group)
    database = env.catalog.create_database(name)
    changed(env, env.catalog.group)
    row = {"id": database.id, "name": database.name}
    return {"dbs_created": 1, "config_changes": [{"old_val": None, "new_val": row}]}


def db_drop(env: Env, name: str) -> Any:
    _check_name("Database", name, 0)
    if name == SYSTEM_DATABASE:
        raise special("you can't delete it.")
    database = env.catalog.database(name)
    env.require("config", database)
    for table in database.tables.values():
        env.require("config", table)
    begin(env, env.catalog.group)
    row = {"id": database.id, "name": database.name}
    dropped = env.catalog.drop_database(database)
    changed(env, env.catalog.group)
    return {
        "dbs_dropped": 1,
        "tables_dropped": dropped,
        "config_changes": [{"old_val": row, "new_val": None}],
    }


def db_list(env: Env) -> Any:
    return sorted(env.catalog.databases)


# ---- tables


def table_create(env: Env, *args: Any, opts: Options) -> Any:
    placement = read_placement(env, opts)
    primary_key = _string_option(opts, "primary_key", "id")
    durability = _durability(opts)
    database, name = _database_and_name(env, args)
    env.require("config", database)
    if database.system:
        raise special("you can't create new tables in it.")
    refuse_taken(database, name)
    check_placement(placement, env.catalog.identity.server.tags, env.catalog.identity.name)
    begin(env, database.group)
    table = env.catalog.create_table(
        database,
        name,
        primary_key=primary_key,
        durability=durability,
        shards=placement.shards,
    )
    changed(env, database.group)
    row = system_row(env, "table_config", table.id)
    return {"tables_created": 1, "config_changes": [{"old_val": None, "new_val": row}]}


def table_drop(env: Env, *args: Any) -> Any:
    database, name = _database_and_name(env, args)
    if database.system:
        raise special("you can't drop tables in it.")
    table = env.catalog.table(database, name)
    env.require("config", table)
    begin(env, database.group)
    row = system_row(env, "table_config", table.id)
    env.catalog.drop_table(table)
    changed(env, database.group)
    return {"tables_dropped": 1, "config_changes": [{"old_val": row, "new_val": None}]}


def table_list(env: Env, *args: Any) -> Any:
    database = need_database(env, args[0], 0) if args else env.database()
    env.client.require_sight(database)
    if database.system:
        return sorted(name for name, table in database.tables.items() if table.listed)
    return sorted(database.tables)


def _check_name(kind: str, name: str, at: int) -> None:
    try:
        check_name(kind, name)
    except QueryLogicError as error:
        error.at = (at,)
        raise


def _durability(opts: Options) -> str:
    value = opts.value("durability")
    if value is None and not opts.has("durability"):
        return "hard"
    if value.__class__ is not str:
        raise wrong_datum("STRING", value, *opts.blame("durability"))
    if value not in ("hard", "soft"):
        raise QueryLogicError(
            f'Durability option `{value}` unrecognized (options are "hard" and "soft").',
            *opts.blame("durability"),
        )
    return str(value)


def _string_option(opts: Options, name: str, default: str) -> str:
    if not opts.has(name):
        return default
    value = opts.value(name)
    if value.__class__ is not str:
        raise wrong_datum("STRING", value, name)
    return str(value)


# ---- configuration and status


def config(env: Env, value: Any) -> Any:
    target = database_or_table(env, value)
    if isinstance(target, Database):
        if target.system:
            raise special("you can't configure it.")
        env.require("config", target)
        return _selected(env, "db_config", target.id)
    if target.system:
        raise special("you can't configure the tables in it.")
    env.require("config", target)
    return _selected(env, "table_config", target.id)


def _selected(env: Env, name: str, key: str) -> SingleSelection:
    table = env.catalog.system_table(name).view()
    return SingleSelection(table, key, table.read(env, key))


def status(env: Env, table: Any) -> Any:
    if table.system:
        raise special("the system tables in it don't have meaningful status information.")
    env.client.require_sight(table)
    return _selected(env, "table_status", table.id)


def wait(env: Env, *args: Any, opts: Options) -> Any:
    if not args:
        raise QueryLogicError("`wait` can only be called on a table or database.")
    target = database_or_table(env, args[0])
    if opts.has("wait_for"):
        wanted = opts.value("wait_for")
        if wanted.__class__ is not str:
            raise wrong_datum("STRING", wanted, "wait_for")
        if wanted not in READINESS:
            *others, last = READINESS
            options = "', '".join(others)
            raise QueryLogicError(
                f"Unknown table readiness state: '{wanted}', must be one of '{options}', or "
                f"'{last}'",
                "wait_for",
            )
    if opts.has("timeout"):
        blamed(lambda: to_uint64(number_of(opts.value("timeout"))), *opts.blame("timeout"))
    env.client.require_sight(target)
    if isinstance(target, Database):
        if not target.system:
            return {"ready": len(target.tables)}
    elif not target.system:
        return {"ready": 1}  # a table of this node is ready as soon as it is there
    raise special("the system tables in it are always available and don't need to be waited on.")


def sync(env: Env, table: Any) -> Any:
    if table.system:
        raise OpFailedError("Artificial tables don't support `sync()`.")
    env.require("write", table)
    env.await_ticket(env.writing(table.group).ticket(True))
    return {"synced": 1}


# ---- sharding


def reconfigure(env: Env, *args: Any, opts: Options) -> Any:
    if not args:
        raise QueryLogicError("`reconfigure` can only be called on a table or database.")
    target = database_or_table(env, args[0])
    dry_run = opts.has("dry_run") and is_truthy(opts.value("dry_run"))
    if opts.has("emergency_repair") and opts.value("emergency_repair") is not None:
        return _emergency_repair(env, target, opts)
    placement = read_placement(env, opts, required=True)
    tables = _configurable(env, target, "you can't configure the tables in it.")
    identity = env.catalog.identity
    changes: list[dict[str, Any]] = []
    statuses: list[dict[str, Any]] = []
    for table in tables:
        check_placement(placement, identity.server.tags, identity.name)
        old, old_status = _rows(env, table)
        if dry_run:
            new = {**old, "shards": old["shards"][:1] * placement.shards}
            changes.append({"old_val": old, "new_val": new})
            continue
        moved = table.shards != placement.shards
        begin(env, table.group)
        env.catalog.configure_table(table, shards=placement.shards)
        changed(env, table.group)
        new, new_status = _rows(env, table)
        changes.append({"old_val": old, "new_val": new})
        statuses.append({"old_val": old_status, "new_val": _settling(new_status, moved)})
    if isinstance(target, Database) and not tables:
        return {}
    if dry_run:
        return {"reconfigured": 0, "config_changes": changes}
    return {
        "reconfigured": len(changes),
        "config_changes": changes,
        "status_changes": statuses,
    }


def _emergency_repair(env: Env, target: Any, opts: Options) -> Any:
    mode = opts.value("emergency_repair")
    if mode.__class__ is not str:
        raise wrong_datum("STRING", mode, "emergency_repair")
    if mode not in ("unsafe_rollback", "unsafe_rollback_or_erase", "_debug_recommit"):
        raise QueryLogicError(
            '`emergency_repair` should be "unsafe_rollback" or "unsafe_rollback_or_erase"',
            "emergency_repair",
        )
    if any(opts.has(name) for name in PLACEMENT_OPTARGS):
        raise QueryLogicError("In emergency repair mode, you can't specify shards, replicas, etc.")
    if isinstance(target, Database):
        raise QueryLogicError(
            "Can't emergency repair an entire database at once; instead you should run "
            "`reconfigure()` on each table individually."
        )
    _configurable(env, target, "you can't configure the tables in it.")
    raise OpFailedError("This table doesn't need to be repaired.")


def rebalance(env: Env, *args: Any) -> Any:
    if not args:
        raise QueryLogicError("`rebalance` can only be called on a table or database.")
    target = database_or_table(env, args[0])
    tables = _configurable(env, target, "you can't rebalance the tables in it.")
    if isinstance(target, Database) and not tables:
        return {}
    rebalanced = 0
    statuses = []
    for table in tables:
        enough = table.shards == 1 or env.snapshot(table.group).count(table.number) >= table.shards
        _, old = _rows(env, table)
        statuses.append({"old_val": old, "new_val": _settling(old, enough and table.shards > 1)})
        rebalanced += enough
    return {"rebalanced": rebalanced, "status_changes": statuses}


def _configurable(env: Env, target: Any, refusal: str) -> list[Any]:
    """The tables a term works on, all of them the user may configure."""
    if target.system:
        raise special(refusal)
    env.require("config", target)
    if not isinstance(target, Database):
        return [target]
    tables = [table for _, table in sorted(target.tables.items())]
    for table in tables:
        env.require("config", table)
    return tables


def _rows(env: Env, table: Any) -> tuple[Any, Any]:
    """A table's rows of configuration and of status."""
    return system_row(env, "table_config", table.id), system_row(env, "table_status", table.id)


def _settling(status: Any, moved: bool) -> Any:
    """The status right after shards were moved: clients expect a moment in which not every replica is ready."""
    if not moved:
        return status
    return {**status, "status": {**status["status"], "all_replicas_ready": False}}


_WRITE: Final = Effect.READ | Effect.WRITE


def _spec(number: int, name: str, arity: tuple[int, int | None], run: Any, **more: Any) -> TermSpec:
    """A row with what all these terms have in common."""
    fields: dict[str, Any] = {
        "rest": Arg.ANY,
        "effect": _WRITE,
        "determinism": Determinism.NEVER,
        "grouped": Grouped.MAP,
        **more,
    }
    return TermSpec(number, name, arity, run, **fields)


_READ: Final[dict[str, Any]] = {"effect": Effect.READ}

TERMS: Final = (
    _spec(57, "db_create", exactly(1), db_create, args=(Arg.STRING,)),
    _spec(58, "db_drop", exactly(1), db_drop, args=(Arg.STRING,)),
    _spec(59, "db_list", exactly(0), db_list, **_READ),
    _spec(
        60,
        "table_create",
        between(1, 2),
        table_create,
        optargs=("primary_key", "durability", *PLACEMENT_OPTARGS),
    ),
    _spec(61, "table_drop", between(1, 2), table_drop),
    _spec(62, "table_list", between(0, 1), table_list, **_READ),
    _spec(138, "sync", exactly(1), sync, args=(Arg.TABLE,)),
    _spec(174, "config", exactly(1), config, datum=False, **_READ),
    _spec(175, "status", exactly(1), status, args=(Arg.TABLE,), datum=False, **_READ),
    _spec(
        176,
        "reconfigure",
        between(0, 1),
        reconfigure,
        optargs=(*PLACEMENT_OPTARGS, "dry_run", "emergency_repair"),
    ),
    _spec(177, "wait", between(0, 1), wait, optargs=("wait_for", "timeout")),
    _spec(179, "rebalance", between(0, 1), rebalance),
)
