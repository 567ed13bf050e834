"""INSERT, UPDATE, REPLACE and DELETE; FOR_EACH is beside it."""

import ast
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from rethought.datum.keys import primary_key
from rethought.datum.merging import merge_objects
from rethought.datum.order import equal
from rethought.datum.text import pretty
from rethought.datum.values import check_storable, is_truthy, type_name
from rethought.errors import (
    QueryLogicError,
    ReqlError,
    ResourceLimitError,
    RowDeniedError,
)
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function, constant_function
from rethought.exec.point import is_plain, rewrite_row
from rethought.exec.table import Table, TableSource
from rethought.exec.values import (
    SingleSelection,
    Stream,
    as_stream,
    is_datum,
    need_datum,
    need_selection,
    need_sequence,
    need_string,
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
    shown_of,
    write_row,
)
from rethought.reql.compiler import PLAIN, Compiler, Kind, Node
from rethought.reql.spec import Arg, Determinism, Effect, TermSpec, exactly
from rethought.reql.terms.for_each import FOR_EACH
from rethought.reql.tree import FUNC, Term

GET: Final = 16

_OPTIONS: Final = ("durability", "return_changes", "ignore_write_hook", "return_vals")
_WRITE: Final = Effect.WRITE | Effect.FORBIDS_WRITES


class Wanted:
    """The options of a write as they were given, before its table is known. They are read in the order in which their
    errors count. `conflict` is only asked for by INSERT: a function, the name of a rule, None for the rule `error`."""

    __slots__ = ("changes", "conflict", "durability", "ignore_hook")

    def __init__(self, opts: Options, env: Env | None = None) -> None:
        self.changes: bool | str = False
        self.conflict: Function | str | None = None
        self.durability: str | None = None
        self.ignore_hook = False
        if opts or opts.fallback:
            self.changes = _return_changes(opts)
            if env is not None:
                self.conflict = _conflict(env, opts)
            self.durability = _durability(opts)
            self.ignore_hook = _truth_of(opts, "ignore_write_hook")

    def on(self, env: Env, table: Table) -> WriteOptions:
        """How the rows of this table are written."""
        handle = table.handle
        if self.ignore_hook:
            env.require("config", handle)
        hook = None
        if handle.write_hook is not None and not self.ignore_hook:
            hook = env.engine.write_hook(handle)
        durability = self.durability or table.durability
        return WriteOptions(changes=self.changes, hard=durability == "hard", hook=hook)


def _return_changes(opts: Options) -> bool | str:
    if opts.has("return_vals"):
        raise QueryLogicError(
            "Error: encountered obsolete optarg `return_vals`.  Use `return_changes` instead."
        )
    changes = opts.value("return_changes")
    if changes.__class__ is str:
        if changes != "always":
            raise QueryLogicError(
                f"Invalid return_changes value `{changes}` (options are `true`, `false`, and "
                "`'always'`.)"
            )
        return "always"
    return is_truthy(changes)


def _durability(opts: Options) -> str | None:
    if not opts.has("durability"):
        return None
    at = opts.blame("durability")
    durability = opts.value("durability")
    if durability not in ("hard", "soft"):
        if durability.__class__ is not str:
            raise wrong_datum("STRING", durability, *at)
        raise QueryLogicError(
            f'Durability option `{durability}` unrecognized (options are "hard" and "soft").',
            *at,
        )
    return str(durability)


def _truth_of(opts: Options, name: str) -> bool:
    return opts.has(name) and is_truthy(opts.value(name))


# ---- insert


def insert(c: Compiler, term: Term) -> Node:
    """TABLE, (OBJECT | SEQUENCE) -> OBJECT"""
    table = c.compile(term.args[0])
    rows = c.compile(term.args[1])
    line = c.line(term)
    code = rows.code
    name = "insert_"
    if term.optargs:  # which are looked at before the rows
        code = c.lambda_([], code, line)
        name = "insert_later"
    args = [c.name("env", line), c.check(table, Arg.WHOLE, line, 0), code, c.options(term)]
    return c.node(term, c.call(name, args, line), [table, rows], Kind.DATUM)


def insert_(env: Env, target: Any, value: Any, opts: Options) -> dict[str, Any]:
    return insert_later(env, target, lambda: value, opts)


def insert_later(env: Env, target: Any, rows: Callable[[], Any], opts: Options) -> dict[str, Any]:
    if getattr(target, "value_name", None) != "TABLE":
        raise wrong_value("TABLE", target, 0)
    table: Table = target.table
    wanted = Wanted(opts, env)
    conflict = wanted.conflict
    options = wanted.on(env, table)
    if isinstance(conflict, Function):
        _check_conflict_function(conflict)
    value = rows()
    env.require("write", table.handle)
    statistics = InsertStatistics(env, options, table.primary_key)
    document = value.datum() if isinstance(value, SingleSelection) else value
    if is_object(document):
        insert_row(env, table, document, conflict, statistics)
        statistics.end_batch()
        return statistics.result()
    stream = as_stream(need_sequence(env, value, 1), 1)
    stream.refuse_endless()
    count = 0
    for row in stream.rows(env):
        if count % INSERT_BATCH == 0:
            statistics.end_batch()
            env.tick()
        count += 1
        if is_object(row):
            insert_row(env, table, row, conflict, statistics)
        else:
            statistics.rejected(wrong_datum("OBJECT", row))
    statistics.end_batch()
    return statistics.result(changes=count > 0)


INSERT_BATCH: Final = 128


def _conflict(env: Env, opts: Options) -> Function | str | None:
    if not opts.has("conflict"):
        return None
    conflict = opts.whatever("conflict")
    if isinstance(conflict, Function):
        return conflict
    conflict = need_string(env, conflict, "conflict")
    if conflict not in ("error", "replace", "update"):
        raise QueryLogicError(
            f'Conflict option `{conflict}` unrecognized (options are "error", "replace" and '
            '"update").',
            "conflict",
        )
    return None if conflict == "error" else conflict


def _check_conflict_function(function: Function) -> None:
    if function.determinism > Determinism.NOW:
        raise QueryLogicError("The conflict function passed to `insert` must be deterministic.")
    if function.arity not in (0, 3):
        raise QueryLogicError("The conflict function passed to `insert` should expect 3 arguments.")


def insert_row(
    env: Env, table: Table, doc: dict[str, Any], conflict: Any, statistics: InsertStatistics
) -> None:
    pkey = table.primary_key
    if pkey not in doc:
        if "$reql_type$" in doc:  # a key would make it no valid object of its type
            statistics.rejected(missing_key(pkey, doc))
            return
        key = env.generated = env.chance.uuid()
        doc = {**doc, pkey: key}
        statistics.generated_keys.append(key)
    options = statistics.options
    if options.hook is not None or conflict is not None:
        if _has_key(pkey, doc, statistics):
            write_row(env, table, doc[pkey], _on_conflict(table, doc, conflict), statistics)
        return
    try:
        existing = table.insert_new(env, doc, hard=options.hard)
    except (QueryLogicError, ResourceLimitError, RowDeniedError) as error:
        if _has_key(pkey, doc, statistics):
            statistics.failed(error, doc[pkey], None, doc)
        return
    if existing is None:
        statistics.inserted(doc[pkey], shown_of(table, doc))
    else:
        statistics.failed(_duplicate(table, existing, doc), doc[pkey], existing)


def _has_key(pkey: str, doc: dict[str, Any], statistics: InsertStatistics) -> bool:
    """Whether a document can be stored under its key; else it is counted as rejected."""
    try:
        primary_key(doc[pkey])
    except QueryLogicError as error:
        statistics.rejected(error)
        return False
    return True


def _duplicate(table: Table, old: Any, new: Any) -> QueryLogicError:
    pkey, new = table.primary_key, shown_of(table, new)
    return QueryLogicError(f"Duplicate primary key `{pkey}`:\n{pretty(old)}\n{pretty(new)}")


def _on_conflict(table: Table, doc: dict[str, Any], conflict: Any) -> Callable[[Any], Any]:
    pkey = table.primary_key

    def decide(old: Any) -> Any:
        if old is None or conflict == "replace":
            return doc
        if conflict == "update":
            return merge_objects(old, doc)
        if conflict is None:
            raise _duplicate(table, old, doc)
        return conflict.invoke(pkey, old, doc)

    return decide


# ---- update, replace, delete


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
            code = c.call("constant_function" if known else f"{name}constant", args[known:], line)
            function = Node(code, Kind.VALUE, value.determinism, True)
        proven = function.determinism <= Determinism.NOW
        one = plain and proven and term.args[0].type == GET

        def build(first: Node) -> Node:
            later = c.lambda_([], function.code, line)
            args: list[ast.expr] = [c.name("env", line), first.code, later]
            if one:
                ends = [c.constant(durability, line), c.constant(term is c.root, line)]
                code = c.call(f"{name}one", [*args, *ends], line)
            else:
                code = c.call(name, [*args, c.constant(proven, line), c.options(term)], line)
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
    return _rewrite_one(env, target, function, _updater, durability, whole)


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
    allowed = (opts or opts.fallback) and _truth_of(opts, "non_atomic")
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
    empty = True
    for key in _keys_of(env, selection):
        empty = False
        write_row(env, table, key, decide, statistics)
    return statistics.result(changes=not empty)


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
    TermSpec(
        56,
        "insert",
        exactly(2),
        compile=insert,
        optargs=("conflict", *_OPTIONS),
        effect=_WRITE,
        determinism=Determinism.NEVER,
        names={"insert_": insert_, "insert_later": insert_later},
    ),
    TermSpec(
        53,
        "update",
        exactly(2),
        compile=_row_function("update_"),
        optargs=("non_atomic", *_OPTIONS),
        effect=_WRITE,
        determinism=Determinism.NEVER,
        names={
            "update_": update_,
            "update_constant": update_constant,
            "update_one": update_one,
        },
    ),
    TermSpec(
        55,
        "replace",
        exactly(2),
        compile=_row_function("replace_"),
        optargs=("non_atomic", *_OPTIONS),
        effect=_WRITE,
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
        optargs=("non_atomic", *_OPTIONS),
        effect=_WRITE,
        determinism=Determinism.NEVER,
    ),
    FOR_EACH,
)
