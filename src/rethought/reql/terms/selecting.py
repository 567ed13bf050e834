"""Databases, tables and the parts of a table: get, get_all, between."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from rethought.datum.values import MAXVAL, MINVAL
from rethought.errors import NonExistenceError, QueryLogicError
from rethought.exec.env import Env, Options
from rethought.exec.table import Range, Selection
from rethought.exec.values import (
    SingleSelection,
    need_database,
    need_string,
    wrong_datum,
)
from rethought.reql.checks import CLOSED, OPEN, is_open_bound
from rethought.reql.compiler import Compiler, Node
from rethought.reql.rules import narrowed
from rethought.reql.spec import (
    Arg,
    Determinism,
    Effect,
    TermSpec,
    at_least,
    between,
    exactly,
)
from rethought.reql.tree import Term

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+\Z")


def check_name(kind: str, name: str, at: int) -> None:
    if not _NAME.match(name):
        raise QueryLogicError(
            f"{kind} name `{name}` invalid (Use A-Z, a-z, 0-9, _ and - only).", at
        )


def db(env: Env, name: str) -> Any:
    """STRING -> DB"""
    check_name("Database", name, 0)
    return env.catalog.database(name)


def table(env: Env, *args: Any, opts: Options) -> Selection:
    """[DB,] STRING -> TABLE"""
    form = "name"
    if opts or opts.fallback:
        form = _table_options(opts)
    at = len(args) - 1
    database = need_database(env, args[0], 0) if at else env.database()
    name = need_string(env, args[at], at)
    check_name("Table", name, at)
    found = env.engine.table(env.catalog.table(database, name), form)
    if env.client.narrowed:
        found = narrowed(env.client, found)
    return Selection(found, _WHOLE)


_WHOLE: Final = Range()


def compile_table(c: Compiler, term: Term) -> Node:
    """A table named by literals is looked up by its names at once; anything unusual goes the long way."""
    node = c.plain(term)
    name = term.args[-1]
    database = c.home
    if len(term.args) == 2:
        given = term.args[0]
        database = given.args[0] if given.type == _DB and len(given.args) == 1 else None
    if database is None or not c.is_literal(database, str) or not c.is_literal(name, str):
        return node
    if term.optargs:
        return node
    line = c.line(term)
    names = c.keep((c.pin(database), c.pin(name)), line)
    quick = c.call("known_table", [c.name("env", line), names], line)
    return Node(
        c.inline("a or later", {"a": quick, "later": node.code}, line, lazy=("later",)),
        node.kind,
        node.determinism,
        node.closes,
    )


def known_table(env: Env, names: tuple[str, str]) -> Selection | None:
    """A table that was looked up before and still has this name."""
    if env.defaults.fallback or env.client.narrowed:
        return None
    engine = env.engine
    known: Selection | None = engine.known_tables.get(names)
    if known is None:
        known = _look_up(engine, names)
        if known is None:
            return None
    handle = known.table.handle  # type: ignore[union-attr]
    if handle.dropped or handle.name != names[1] or handle.db.name != names[0]:
        del engine.known_tables[names]
        return None
    return known


def _look_up(engine: Any, names: tuple[str, str]) -> Selection | None:
    database = engine.catalog.databases.get(names[0])
    if database is None or database.system:
        return None
    handle = database.tables.get(names[1])
    if handle is None:
        return None
    if len(engine.known_tables) > 10_000:
        engine.known_tables.clear()
    known: Selection = Selection(engine.table(handle, "name"), _WHOLE)
    engine.known_tables[names] = known
    return known


_DB: Final = 14


def _table_options(opts: Options) -> str:
    if opts.has("use_outdated"):
        raise QueryLogicError(
            "The `use_outdated` optarg is no longer supported.  Use the `read_mode` optarg instead."
        )
    mode = opts.value("read_mode") if opts.has("read_mode") else "single"
    if mode not in ("single", "majority", "outdated", "_debug_direct"):
        if mode.__class__ is not str:
            raise wrong_datum("STRING", mode, *opts.blame("read_mode"))
        raise QueryLogicError(
            f'Read mode `{mode}` unrecognized (options are "majority", "single", and "outdated").'
        )
    form = opts.value("identifier_format") if opts.has("identifier_format") else "name"
    if form not in ("name", "uuid"):
        if form.__class__ is not str:
            raise wrong_datum("STRING", form, *opts.blame("identifier_format"))
        raise QueryLogicError(
            f'Identifier format `{form}` unrecognized (options are "name" and "uuid").'
        )
    return str(form)


def get(env: Env, target: Selection, key: Any) -> SingleSelection:
    """TABLE, key -> SELECTION<OBJECT>. Whether it can be a key shows when somebody looks at the row."""
    found = target.table
    assert found is not None
    return SingleSelection(found, key, None, env)


def get_all(env: Env, target: Selection, *keys: Any, opts: Options) -> Selection:
    """TABLE, key... [, index] -> SELECTION<STREAM>"""
    return _with_keys(target, index_name(opts), keys)


def _with_keys(target: Selection, index: str | None, keys: Iterable[Any]) -> Selection:
    found = target.table
    assert found is not None
    wanted = []
    for at, key in enumerate(keys, 1):
        if key is None:
            raise NonExistenceError("Keys cannot be NULL.", at)
        if key.__class__ is dict and key.get("$reql_type$") == "GEOMETRY":
            raise QueryLogicError(_NO_GEO_KEYS, at)
        if key is not MINVAL and key is not MAXVAL:
            wanted.append(key)
    if index == found.primary_key:
        index = None
    return Selection(found, Range(index=index, keys=tuple(wanted)))


def compile_get_all(c: Compiler, term: Term) -> Node:
    """The index is asked for before the keys, which shows only where it is computed."""
    index = term.optargs.get("index")
    if index is None or c.is_literal(index, str):
        return c.plain(term)
    later = Term(GET_ALL_LATER.type, term.args, term.optargs, term.path, GET_ALL_LATER)
    return c.plain(later)


def get_all_later(
    env: Env, target: Selection, *keys: Callable[[], Any], opts: Options
) -> Selection:
    index = index_name(opts)
    return _with_keys(target, index, (key() for key in keys))


GET_ALL_LATER: Final = TermSpec(
    -2,
    "get_all",
    at_least(1),
    run=get_all_later,
    args=(Arg.WHOLE,),
    optargs=("index",),
    determinism=Determinism.NEVER,
    eager=1,
    datum=False,
)


_NO_GEO_KEYS: Final = (
    "Cannot use a geospatial index with `get_all`. Use `get_intersecting` instead."
)


def index_name(opts: Options) -> str | None:
    """The index asked for, None for the primary key."""
    if not opts.has("index"):
        return None
    index = opts.value("index")
    if index.__class__ is not str:
        raise wrong_datum("STRING", index, "index")
    return str(index)


def between_(env: Env, target: Selection, lower: Any, upper: Any, opts: Options) -> Selection:
    """TABLE | TABLE_SLICE, lower, upper [, index, bounds] -> TABLE_SLICE"""
    lower_open = is_open_bound(opts, "left_bound", CLOSED)
    _refuse_null(lower, 1)
    upper_open = is_open_bound(opts, "right_bound", OPEN)
    _refuse_null(upper, 2)
    return _between(target, lower, upper, lower_open, upper_open, opts)


def _refuse_null(bound: Any, at: int) -> None:
    if bound is None:
        raise QueryLogicError(
            "Cannot use `null` in BETWEEN, use `r.minval` or `r.maxval` to denote unboundedness.",
            at,
        )


def between_deprecated(
    env: Env, target: Selection, lower: Any, upper: Any, opts: Options
) -> Selection:
    lower_open = is_open_bound(opts, "left_bound", CLOSED)
    upper_open = is_open_bound(opts, "right_bound", OPEN)
    lower = MINVAL if lower is None else lower
    upper = MAXVAL if upper is None else upper
    return _between(target, lower, upper, lower_open, upper_open, opts)


def table_frames(selected: Range) -> tuple[int, ...]:
    """Where the table stands whose slice a term has got as its first argument."""
    return (0,) * (1 + selected.bounded + (selected.descending is not None))


def _between(
    target: Selection, lower: Any, upper: Any, lower_open: bool, upper_open: bool, opts: Options
) -> Selection:
    found = target.table
    assert found is not None
    index = index_name(opts)
    current = target.range
    ordered_on = None
    if current.descending is not None:
        ordered_on = current.index or found.primary_key
    if index is None:
        index = ordered_on or found.primary_key
    if current.bounded:
        raise QueryLogicError(
            "Cannot perform multiple BETWEENs on the same table.", *table_frames(current)
        )
    if ordered_on is not None and ordered_on != index:
        raise QueryLogicError(
            f"Cannot call BETWEEN on index `{index}` after ordering on index `{ordered_on}`.",
            *table_frames(current),
        )
    name = None if index == found.primary_key else index
    return target.narrowed(
        index=name,
        lower=lower,
        upper=upper,
        lower_open=lower_open,
        upper_open=upper_open,
        bounded=True,
    )


TERMS: Final = (
    TermSpec(
        14, "db", exactly(1), run=db, args=(Arg.STRING,), determinism=Determinism.NEVER, datum=False
    ),
    TermSpec(
        15,
        "table",
        between(1, 2),
        run=table,
        compile=compile_table,
        names={"known_table": known_table},
        args=(Arg.ANY, Arg.ANY),
        optargs=("read_mode", "identifier_format", "use_outdated"),
        effect=Effect.READ,
        determinism=Determinism.NEVER,
        datum=False,
    ),
    TermSpec(
        16,
        "get",
        exactly(2),
        run=get,
        args=(Arg.WHOLE, Arg.DATUM),
        effect=Effect.READ,
        determinism=Determinism.NEVER,
        datum=False,
    ),
    TermSpec(
        78,
        "get_all",
        at_least(1),
        run=get_all,
        compile=compile_get_all,
        names={f"run_{GET_ALL_LATER.type}": get_all_later},
        args=(Arg.WHOLE,),
        optargs=("index",),
        effect=Effect.READ,
        determinism=Determinism.NEVER,
        datum=False,
    ),
    TermSpec(
        182,
        "between",
        exactly(3),
        run=between_,
        args=(Arg.SLICE, Arg.DATUM, Arg.DATUM),
        optargs=("index", "left_bound", "right_bound"),
        effect=Effect.READ,
        determinism=Determinism.NEVER,
        datum=False,
    ),
    TermSpec(
        36,
        "between_deprecated",
        exactly(3),
        run=between_deprecated,
        args=(Arg.SLICE, Arg.DATUM, Arg.DATUM),
        optargs=("index", "left_bound", "right_bound"),
        effect=Effect.READ,
        determinism=Determinism.NEVER,
        datum=False,
    ),
)
