"""UPDATE, REPLACE and DELETE; INSERT and FOR_EACH are beside them."""

import ast
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from rethought.datum.keys import primary_key
from rethought.datum.merging import merge_objects
from rethought.datum.order import equal
from rethought.datum.values import check_storable, type_name
from rethought.errors import (
    QueryLogicError,
    ReqlError,
)
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function, RowFunction, Rows, constant_function
from rethought.exec.local import LocalTable
from rethought.exec.point import is_plain, patch_row, rewrite_row
from rethought.exec.table import Table, TableSource
from rethought.exec.values import (
    SingleSelection,
    Stream,
    is_datum,
    need_datum,
    need_selection,
    wrong_datum,
    wrong_value,
)
from rethought.exec.writes import (
    Decide,
    InsertStatistics,
    Statistics,
    WriteOptions,
    changed_key,
    is_object,
    missing_key,
    write_row,
)
from rethought.reql.compiler import PLAIN, Compiler, Kind, Node
from rethought.reql.spec import Arg, Determinism, TermSpec, exactly
from rethought.reql.terms.for_each import FOR_EACH
from rethought.reql.terms.inserting import INSERT, INSERT_BATCH, insert_row
from rethought.reql.terms.write_options import OPTIONS, WRITES, Wanted, truth_of
from rethought.reql.tree import FUNC, Term

GET: Final = 16


def _plain_durability(c: Compiler, term: Term) -> tuple[bool, str | None]:
    """Whether a term has no options but, at most, a durability; and that."""
    given = term.optargs.get("durability")
    if len(term.optargs) != (given is not None):
        return False, None
    if given is None:
        return True, None
    if not c.is_literal(given, str) or given.value not in ("hard", "soft"):
        return False, None
    return True, c.pin(given)


def _given(env: Env, durability: str | None) -> Options:
    """The options of a term that has no other one."""
    return env.defaults if durability is None else Options(env, {"durability": lambda: durability})


def _row_function(name: str) -> Callable[[Compiler, Term], Node]:
    def compile_(c: Compiler, term: Term) -> Node:
        plain, durability = _plain_durability(c, term)
        target = c.compile(term.args[0])
        body = term.args[1]
        line = c.line(term)
        fields: ast.expr | None = None  # a value that is known to be no function
        if body.type == FUNC:
            function = c.function(body)
        else:
            value = c.compile(body)
            args = [
                c.name("env", line),
                c.lambda_([], value.code, line),
                c.constant(int(value.determinism), line),
            ]
            known = value.kind in PLAIN and name == "update_"
            if known:
                fields = args[1]
            code = c.call("constant_function" if known else f"{name}constant", args[known:], line)
            function = Node(code, Kind.VALUE, value.determinism, True)
        proven = function.determinism <= Determinism.NOW
        one = plain and proven and term.args[0].type == GET

        def build(first: Node) -> Node:
            args: list[ast.expr] = [c.name("env", line), first.code]
            if one:
                later = c.lambda_([], function.code, line) if fields is None else fields
                ends = [c.constant(durability, line), c.constant(term is c.root, line)]
                form = "one" if fields is None else "fields"
                code = c.call(f"{name}{form}", [*args, later, *ends], line)
            else:
                later = c.lambda_([], function.code, line)
                code = c.call(name, [*args, later, c.constant(proven, line), c.options(term)], line)
            return c.node(term, code, [first, function], Kind.DATUM)

        return c.grouped(term, target, build)

    return compile_


def update_constant(env: Env, value: Callable[[], Any], determinism: int) -> Function:
    """What stands for a function of UPDATE: the same for every row, evaluated for each."""

    def call() -> Any:
        found = value()
        if isinstance(found, Function):
            return found
        if not (is_datum(found) or isinstance(found, SingleSelection)):
            raise wrong_value("FUNCTION", found, 1)
        return found

    return constant_function(call, determinism)


def replace_constant(env: Env, value: Callable[[], Any], _: int) -> Function:
    """What stands for a function of REPLACE: evaluated once, before any row."""
    found = value()
    if isinstance(found, Function):
        return found
    if not (is_datum(found) or isinstance(found, SingleSelection)):
        raise wrong_value("FUNCTION", found, 1)
    document = need_datum(env, found, 1)
    return constant_function(lambda: document, 0)


def update_(
    env: Env, target: Any, function: Callable[[], Function], proven: bool, opts: Options
) -> dict[str, Any]:
    return _rewrite(env, target, function, _updater, proven, opts)


def _updater(env: Env, function: Function) -> Decide:
    return lambda old: _updated(env, function, old)


def _updated(env: Env, function: Function, old: Any) -> Any:
    """The new document of a row."""
    if old is None:
        return None
    new = _invoke(env, function, old)
    if new.__class__ is not dict:
        new = need_datum(env, new, 1)
        if new is None:
            return old
        if not is_object(new):
            return new
    if "$reql_type$" in new:
        if not is_object(new):
            return new
        if new["$reql_type$"] != "LITERAL":
            raise QueryLogicError(f"Cannot merge objects of type `{type_name(new)}`.")
        check_storable(new)
    return merge_objects(old, new)


def update_one(
    env: Env, target: Any, function: Callable[[], Function], durability: str | None, whole: bool
) -> dict[str, Any] | bytes:
    """UPDATE of a GET, its function known to be deterministic."""
    table = target.table
    if is_plain(env, table):
        chosen = function()
        if chosen.__class__ is RowFunction:
            answer = patch_row(env, table, target.key, None, chosen.rows, durability, whole)
            if answer is not None:
                return answer
        return _rewrite_one(env, target, lambda: chosen, _updater, durability, whole)
    return _rewrite_one(env, target, function, _updater, durability, whole)


def update_fields(
    env: Env, target: Any, value: Callable[[], Any], durability: str | None, whole: bool
) -> dict[str, Any] | bytes:
    """UPDATE of a GET by a value that is no function."""
    table = target.table
    if is_plain(env, table):
        answer = patch_row(env, table, target.key, value, None, durability, whole)
        if answer is not None:
            return answer
    return _rewrite_one(
        env, target, lambda: constant_function(value, 0), _updater, durability, whole
    )


def replace_(
    env: Env, target: Any, function: Callable[[], Function], proven: bool, opts: Options
) -> dict[str, Any]:
    return _rewrite(env, target, function, _replacer, proven, opts)


def _replacer(env: Env, function: Function) -> Decide:
    return lambda old: need_datum(env, _invoke(env, function, old), 1)


def replace_one(
    env: Env, target: Any, function: Callable[[], Function], durability: str | None, whole: bool
) -> dict[str, Any] | bytes:
    """REPLACE of a GET, its function known to be deterministic."""
    return _rewrite_one(env, target, function, _replacer, durability, whole)


def _rewrite_one(
    env: Env,
    target: Any,
    function: Callable[[], Function],
    decider: Callable[[Env, Function], Decide],
    durability: str | None,
    whole: bool,
) -> dict[str, Any] | bytes:
    table = target.table
    if not is_plain(env, table):
        return _rewrite(env, target, function, decider, True, _given(env, durability))
    chosen = function()
    if chosen.determinism > Determinism.NOW:  # a value turned out to be a function
        return _rewrite(env, target, lambda: chosen, decider, True, _given(env, durability))
    return rewrite_row(env, table, target.key, decider(env, chosen), durability, whole)


def _invoke(env: Env, function: Function, old: Any) -> Any:
    value = function.invoke(old) if function.arity else function.invoke()
    return value.invoke(old) if isinstance(value, Function) else value


def compile_delete(c: Compiler, term: Term) -> Node:
    plain, durability = _plain_durability(c, term)
    if not plain or term.args[0].type != GET:
        return c.plain(term)
    line = c.line(term)

    def build(first: Node) -> Node:
        ends = [c.constant(durability, line), c.constant(term is c.root, line)]
        code = c.call("delete_one", [c.name("env", line), first.code, *ends], line)
        return c.node(term, code, [first], Kind.DATUM)

    return c.grouped(term, c.compile(term.args[0]), build)


def delete(env: Env, target: Any, opts: Options) -> dict[str, Any]:
    return _rewrite(env, target, None, None, True, opts)


def delete_one(
    env: Env, target: Any, durability: str | None, whole: bool
) -> dict[str, Any] | bytes:
    """DELETE of a GET."""
    table = target.table
    if not is_plain(env, table):
        return delete(env, target, _given(env, durability))
    return rewrite_row(env, table, target.key, _nothing, durability, whole)


def _nothing(_: Any) -> None:
    return None


def _rewrite(
    env: Env,
    target: Any,
    function: Callable[[], Function] | None,
    decider: Callable[[Env, Function], Decide] | None,
    proven: bool,
    opts: Options,
) -> dict[str, Any]:
    allowed = (opts or opts.fallback) and truth_of(opts, "non_atomic")
    wanted = Wanted(opts)
    if not proven and not allowed:
        raise QueryLogicError(
            "Could not prove argument deterministic.  Maybe you want to use the non_atomic flag?"
        )
    chosen = None if function is None else function()
    decide = _nothing if chosen is None or decider is None else decider(env, chosen)
    selection = need_selection(env, target, 0)
    table: Table = selection.table
    options = wanted.on(env, table)
    env.require("write", table.handle)
    if isinstance(selection, Stream):
        selection.refuse_endless()
    if chosen is not None and chosen.determinism > Determinism.NOW:
        return _rewrite_beforehand(env, selection, decide, options)
    statistics = Statistics(env, options)
    patch = None
    if decider is _updater and options.changes is False and options.hook is None:
        patch = _patch_by(table, chosen)
    empty = True
    for key in _keys_of(env, selection):
        empty = False
        if patch is None or not _patched(env, table, key, patch, statistics):
            write_row(env, table, key, decide, statistics)
    return statistics.result(changes=not empty)


Patch = tuple[Callable[[], Any] | None, Rows | None]
"""What fields of a row are replaced by: a value, or else what a function over rows gives."""


def _patch_by(table: Table, function: Function | None) -> Patch | None:
    if table.__class__ is not LocalTable or function is None:
        return None
    if isinstance(function, RowFunction):
        return None, function.rows
    return (function.call, None) if function.arity == 0 else None


def _patched(env: Env, table: Any, key: Any, patch: Patch, statistics: Statistics) -> bool:
    """Whether a row was updated the short way. An error comes again, and is counted, on the long one."""
    try:
        counter = table.patch(env, primary_key(key), *patch, statistics.options.hard)
    except ReqlError:
        return False
    if counter is None:
        return False
    statistics.counts[counter] += 1
    return True


def _keys_of(env: Env, selection: Any) -> Iterator[Any]:
    """The rows to write. An atomic write reads the newest row itself, so a single one stays unread."""
    if isinstance(selection, SingleSelection):
        primary_key(selection.key)  # what can be no key fails the query, not the row
        yield selection.key
        return
    pkey = selection.table.primary_key
    source = selection.source
    keys: Iterator[Any] = (
        row[pkey] for chunk in selection.chunks(env, settled=True) for row in chunk.datums()
    )
    if isinstance(source, TableSource) and source.range.index is not None:
        # writing may move rows within the index that is being read, so all of it is read before
        keys = iter(list(keys))
    for at, key in enumerate(keys):
        if at % 100 == 99:
            env.tick()
        yield key


def _rewrite_beforehand(
    env: Env, selection: Any, decide: Callable[[Any], Any], options: WriteOptions
) -> dict[str, Any]:
    """With a body that may read tables: it runs on the rows as they were read, and its results are inserted in their
    places. So a row cannot be deleted, and one that went away meanwhile is there again."""
    table: Table = selection.table
    statistics = InsertStatistics(env, options, table.primary_key)
    empty = True
    rows: Iterator[tuple[Any, Any]]
    if isinstance(selection, SingleSelection):
        rows = iter([(selection.key, selection.datum())])
    else:
        pkey = table.primary_key
        chunks = selection.chunks(env, settled=True)
        rows = ((row[pkey], row) for chunk in chunks for row in chunk.datums())
    while batch := list(islice(rows, INSERT_BATCH)):
        empty = False
        documents = []
        for key, old in batch:
            env.tick()
            try:
                documents.append(_replacement(table.primary_key, key, old, decide(old)))
            except ReqlError as error:
                statistics.unmade(error)
        for document in documents:
            insert_row(env, table, document, "replace", statistics)
        statistics.end_batch()
    return statistics.result(changes=not empty)


def _replacement(pkey: str, key: Any, old: Any, new: Any) -> dict[str, Any]:
    if not is_object(new):
        raise wrong_datum("OBJECT", new)
    if pkey not in new:
        raise missing_key(pkey, new)
    if not equal(new[pkey], key):
        raise changed_key(pkey, old, new)
    document: dict[str, Any] = new
    return document


TERMS: Final = (
    INSERT,
    TermSpec(
        53,
        "update",
        exactly(2),
        compile=_row_function("update_"),
        optargs=("non_atomic", *OPTIONS),
        effect=WRITES,
        determinism=Determinism.NEVER,
        names={
            "update_": update_,
            "update_constant": update_constant,
            "update_fields": update_fields,
            "update_one": update_one,
        },
    ),
    TermSpec(
        55,
        "replace",
        exactly(2),
        compile=_row_function("replace_"),
        optargs=("non_atomic", *OPTIONS),
        effect=WRITES,
        determinism=Determinism.NEVER,
        names={
            "replace_": replace_,
            "replace_constant": replace_constant,
            "replace_one": replace_one,
        },
    ),
    TermSpec(
        54,
        "delete",
        exactly(1),
        run=delete,
        compile=compile_delete,
        names={"delete_one": delete_one},
        args=(Arg.ANY,),
        optargs=("non_atomic", *OPTIONS),
        effect=WRITES,
        determinism=Determinism.NEVER,
    ),
    FOR_EACH,
)
