"""Terms of secondary indexes and write hooks.

What always holds: a function that is kept proves deterministic and compiles; what is kept is its source. Status objects
carry it as text for people and as binary that INDEX_CREATE and SET_WRITE_HOOK take back.
"""

import ast
from collections.abc import Callable
from typing import Any, Final

from rethought.catalog.catalog import check_index_name
from rethought.catalog.model import Index, IndexDefinition, TableHandle
from rethought.catalog.records import FunctionRecord
from rethought.datum.binary import binary, binary_bytes
from rethought.datum.values import is_truthy
from rethought.errors import InternalError, OpFailedError, QueryLogicError, ReqlError
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function
from rethought.exec.values import SingleSelection, wrong_value
from rethought.reql.checks import string_of
from rethought.reql.compiler import Compiler, Node
from rethought.reql.function_binary import (
    UNRECOGNIZED,
    decode_hook,
    decode_index,
    encode_hook,
    encode_index,
)
from rethought.reql.function_source import Captured, field_source, free_variables, source_of
from rethought.reql.printing import print_hook, print_index
from rethought.reql.spec import Arg, Determinism, Effect, TermSpec, at_least, between, exactly
from rethought.reql.terms.admin import begin, changed, special
from rethought.reql.tree import DATUM, FUNC, Term

HOOK_PARAMS: Final = 3


# ---- functions that are kept


def keeping(position: int) -> Callable[[Compiler, Term], Node]:
    """Compiles a term that keeps the function at `position`: its `run` gets one more argument, the values of the
    variables that the function uses from outside."""

    def compile_(c: Compiler, term: Term) -> Node:
        line = c.line(term)
        nodes = [c.compile(arg) for arg in term.args]
        spec = term.spec
        assert spec is not None
        if position < len(term.args):
            pin_literals(c, term.args[position])
        outside = sorted(_outside(term, position) & c.scope.keys())
        captured = ast.Dict(
            [c.constant(number, line) for number in outside],
            [c.name(c.scope[number].name, line) for number in outside],
            lineno=line,
            col_offset=0,
            end_lineno=line,
            end_col_offset=0,
        )
        kinds = (*spec.args, *(spec.rest for _ in nodes))
        args = [
            c.check(node, kind, line, at)
            for at, (node, kind) in enumerate(zip(nodes, kinds, strict=False))
        ]
        return c.finish(term, c.run(term, [captured, *args]), nodes)

    return compile_


def pin_literals(c: Compiler, term: Term) -> None:
    """What is kept is the text of a function, so its plan serves only queries with the same literals in it."""
    if term.type == DATUM:
        c.pin(term)
    for part in (*term.args, *term.optargs.values()):
        pin_literals(c, part)


def _outside(term: Term, position: int) -> set[int]:
    if position < len(term.args) and term.args[position].type == FUNC:
        return free_variables(term.args[position])
    return set()


# ---- indexes


def index_create(
    env: Env, captured: Captured, table: Any, name: Any, *rest: Any, opts: Options
) -> Any:
    name = string_of(name)
    check_index_name(table, name)
    definition = _definition(env, captured, name, rest, opts)
    if table.system:
        raise special("you can't create secondary indexes on the tables in it.")
    env.require("config", table)
    begin(env, table.group)
    env.catalog.create_index(table, name, definition)
    changed(env, table.group)
    return {"created": 1}


def _definition(
    env: Env, captured: Captured, name: str, rest: tuple[Any, ...], opts: Options
) -> IndexDefinition:
    multi = geo = False
    if not rest:
        function = field_source(name)
    elif isinstance(rest[0], Function):
        if rest[0].determinism != Determinism.ALWAYS:
            raise QueryLogicError(
                "Could not prove function deterministic.  Index functions must be deterministic.",
                2,
                1,
            )
        function = source_of(rest[0], captured)
    else:
        function, multi, geo = _from_binary(env, rest[0])
    multi = _flag(opts, "multi", multi)
    geo = _flag(opts, "geo", geo)
    definition = IndexDefinition(function, multi=multi, geo=geo)
    if rest and not isinstance(rest[0], Function):
        _check_compiles(env, definition)
    return definition


def _from_binary(env: Env, value: Any) -> tuple[FunctionRecord, bool, bool]:
    data = _binary_of(value, 2)
    try:
        params, body, multi, geo = decode_index(binary_bytes(data))
    except ReqlError as error:
        error.at = (2,) if isinstance(error, QueryLogicError) else ()
        raise
    return FunctionRecord(params, body), multi, geo


def _binary_of(value: Any, at: int) -> Any:
    """What stands for a function."""
    data = value.datum() if isinstance(value, SingleSelection) else value
    if data.__class__ is not dict or data.get("$reql_type$") != "BINARY":
        raise wrong_value("FUNCTION", value, at)
    return data


def _check_compiles(env: Env, definition: IndexDefinition) -> None:
    """A function from outside may be any tree of terms."""
    try:
        env.catalog.sources.make_rule(definition)
    except ReqlError as error:
        raise InternalError(UNRECOGNIZED) from error


def _flag(opts: Options, name: str, default: bool) -> bool:
    return is_truthy(opts.value(name)) if opts.has(name) else default


def index_drop(env: Env, table: Any, name: Any) -> Any:
    name = string_of(name)
    _no_system_index(table, name)
    env.require("config", table)
    begin(env, table.group)
    env.catalog.drop_index(table, name)
    changed(env, table.group)
    return {"dropped": 1}


def _no_system_index(table: Any, name: str) -> None:
    if table.system:
        raise OpFailedError(
            f"Index `{name}` does not exist on table `{table.db.name}.{table.name}`."
        )


def index_rename(env: Env, table: Any, old: str, new: str, *, opts: Options) -> Any:
    check_index_name(table, old)
    check_index_name(table, new)
    overwrite = _flag(opts, "overwrite", False)
    _no_system_index(table, old)
    env.require("config", table)
    begin(env, table.group)
    renamed = env.catalog.rename_index(table, old, new, overwrite=overwrite)
    changed(env, table.group)
    return {"renamed": 1 if renamed else 0}


def index_list(env: Env, table: Any) -> Any:
    env.client.require_sight(table)
    return sorted(table.indexes)


def index_status(env: Env, table: Any, *names: str) -> Any:
    env.client.require_sight(table)
    return [_status(table, index) for index in _chosen(table, names)]


def index_wait(env: Env, table: Any, *names: str) -> Any:
    env.client.require_sight(table)
    while True:
        if table.dropped:
            raise OpFailedError(f"Table `{table.db.name}.{table.name}` does not exist.")
        chosen = _chosen(table, names)
        building = [index for index in chosen if not table.group.index_ready(index.number)]
        if not building:
            return [_status(table, index) for index in chosen]
        for index in building:
            if table.group.index_given_up(index.number):
                raise OpFailedError(
                    f"Index `{index.name}` on table `{table.db.name}.{table.name}` cannot be built, "
                    "because documents of the table are damaged."
                )
        env.wait(table.group.when_index_ready(building[0].number))


def _chosen(table: Any, names: tuple[str, ...]) -> list[Index]:
    """The indexes of these names (none: all), by name."""
    for name in sorted(names):
        if name not in table.indexes:
            raise not_found(table, name)
    return [table.indexes[name] for name in sorted(set(names) or table.indexes)]


def not_found(table: Any, name: str) -> OpFailedError:
    return OpFailedError(f"Index `{name}` was not found on table `{table.db.name}.{table.name}`.")


def _status(table: TableHandle, index: Index) -> dict[str, Any]:
    function = index.definition.function
    params, body = function.params, function.body
    ready = table.group.index_ready(index.number)
    result = {
        "index": index.name,
        "ready": ready,
        "multi": index.multi,
        "geo": index.geo,
        "outdated": False,
        "function": binary(encode_index(params, body, multi=index.multi, geo=index.geo)),
        "query": print_index(index.name, params, body, multi=index.multi, geo=index.geo),
    }
    if not ready:
        result["progress"] = table.group.index_progress(index.number)
    return result


# ---- write hooks


def set_write_hook(env: Env, captured: Captured, table: Any, hook: Any) -> Any:
    function = _hook_source(env, captured, hook)
    if table.system:
        raise special("you can't set a write hook on the tables in it.")
    try:
        env.require("config", table)
    except ReqlError as error:  # the original answers so
        raise InternalError(f"Unexpected exception: {error.message}") from error
    replaced = table.write_hook is not None
    begin(env, table.group)
    env.catalog.set_write_hook(table, function)
    changed(env, table.group)
    if function is None:
        return {"deleted": 1}
    return {"replaced": 1} if replaced else {"created": 1}


def _hook_source(env: Env, captured: Captured, hook: Any) -> FunctionRecord | None:
    if isinstance(hook, Function):
        if hook.determinism != Determinism.ALWAYS:
            raise QueryLogicError(
                "Could not prove function deterministic.  Write hook functions must be "
                "deterministic.",
                1,
                1,
            )
        function = source_of(hook, captured)
    else:
        if hook is None or (isinstance(hook, SingleSelection) and hook.datum() is None):
            return None
        params, body = decode_hook(binary_bytes(_binary_of(hook, 1)))
        function = FunctionRecord(params, body)
        _check_compiles(env, IndexDefinition(function, multi=False, geo=False))
    if len(function.params) != HOOK_PARAMS:
        raise QueryLogicError("Write hook functions must expect 3 arguments.")
    return function


def get_write_hook(env: Env, table: Any) -> Any:
    if table.system:
        return None
    env.require("config", table)
    if table.write_hook is None:
        return None
    return hook_row(table.write_hook.function)


def hook_row(function: FunctionRecord) -> dict[str, Any]:
    """How a write hook is shown."""
    return {
        "function": binary(encode_hook(function.params, function.body)),
        "query": print_hook(function.params, function.body),
    }


_WRITE: Final[dict[str, Any]] = {
    "effect": Effect.READ | Effect.WRITE,
    "determinism": Determinism.NEVER,
}
_READ: Final[dict[str, Any]] = {"effect": Effect.READ, "determinism": Determinism.NEVER}
_TABLE_NAME: Final = (Arg.TABLE, Arg.DATUM)
"""That a name is no string is blamed on the term, but for names to be renamed or waited for."""

TERMS: Final = (
    TermSpec(
        75,
        "sindex_create",
        between(2, 3),
        index_create,
        compile=keeping(2),
        args=(*_TABLE_NAME, Arg.ANY),
        optargs=("multi", "geo"),
        **_WRITE,
    ),
    TermSpec(76, "sindex_drop", exactly(2), index_drop, args=_TABLE_NAME, **_WRITE),
    TermSpec(77, "sindex_list", exactly(1), index_list, args=(Arg.TABLE,), **_READ),
    TermSpec(
        139,
        "sindex_status",
        at_least(1),
        index_status,
        args=(Arg.TABLE,),
        rest=Arg.STRING,
        **_READ,
    ),
    TermSpec(
        140,
        "sindex_wait",
        at_least(1),
        index_wait,
        args=(Arg.TABLE,),
        rest=Arg.STRING,
        **_WRITE,
    ),
    TermSpec(
        156,
        "sindex_rename",
        exactly(3),
        index_rename,
        args=(Arg.TABLE, Arg.STRING, Arg.STRING),
        optargs=("overwrite",),
        **_WRITE,
    ),
    TermSpec(
        189,
        "set_write_hook",
        exactly(2),
        set_write_hook,
        compile=keeping(1),
        args=(Arg.TABLE, Arg.ANY),
        **_WRITE,
    ),
    TermSpec(190, "get_write_hook", exactly(1), get_write_hook, args=(Arg.TABLE,), **_WRITE),
)
