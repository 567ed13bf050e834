"""INSERT, UPDATE, REPLACE, DELETE and FOR_EACH."""

from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import uuid4

from rethought.datum.merging import merge_objects
from rethought.datum.text import pretty
from rethought.datum.values import check_storable, type_name
from rethought.errors import Frame, QueryLogicError, ReqlError, RowDeniedError
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function
from rethought.exec.table import Table, TableSource
from rethought.exec.values import (
    SingleSelection,
    Stream,
    as_stream,
    need_datum,
    need_selection,
    need_sequence,
    wrong_datum,
    wrong_value,
)
from rethought.exec.writes import Statistics, WriteOptions, check_document, write_row
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.spec import Arg, Determinism, Effect, TermSpec, exactly
from rethought.reql.terms.sequences import call_term, sequence_node
from rethought.reql.tree import FUNC, Term

_OPTIONS: Final = ("durability", "return_changes", "ignore_write_hook", "return_vals")
_WRITE: Final = Effect.WRITE | Effect.FORBIDS_WRITES


def write_options(env: Env, table: Table, opts: Options) -> WriteOptions:
    """The options every write takes."""
    if opts.has("return_vals"):
        raise QueryLogicError(
            "Error: encountered obsolete optarg `return_vals`.  Use `return_changes` instead."
        )
    changes = opts.value("return_changes")
    if changes is None:
        changes = False
    if changes is not True and changes is not False and changes != "always":
        shown = changes if changes.__class__ is str else pretty(changes)
        raise QueryLogicError(
            f"Invalid return_changes value `{shown}` (options are `true`, `false`, and `'always'`.)"
        )
    durability = opts.value("durability")
    if durability is None:
        durability = table.durability
    elif durability not in ("hard", "soft"):
        at = () if opts is env.defaults or "durability" not in opts else ("durability",)
        if durability.__class__ is not str:
            raise wrong_datum("STRING", durability, *at)
        raise QueryLogicError(
            f'Durability option `{durability}` unrecognized (options are "hard" and "soft").',
            *at,
        )
    hook = None
    if table.handle.write_hook is not None:
        ignore = opts.value("ignore_write_hook")
        if ignore is None or ignore is False:
            hook = env.engine.write_hook(table.handle)
        else:
            env.require("config", table.handle)
    env.require("write", table.handle)
    return WriteOptions(changes=changes, hard=durability == "hard", hook=hook)


# ---- insert


def insert(c: Compiler, term: Term) -> Node:
    """TABLE, (OBJECT | SEQUENCE) -> OBJECT"""
    table = c.compile(term.args[0])
    rows = c.compile(term.args[1])
    line = c.line(term)
    conflict = c.constant(None, line)
    if "conflict" in term.optargs:
        optarg = term.optargs["conflict"]
        if optarg.type == FUNC:
            function = c.function(optarg)
            if function.determinism > Determinism.NOW:
                conflict = c.call("conflict_not_deterministic", [], line)  # type: ignore[assignment]
            else:
                conflict = function.code  # type: ignore[assignment]
        else:
            value = c.compile(optarg)
            conflict = c.datum(value, line, "conflict")  # type: ignore[assignment]
    code = c.call(
        "insert_",
        [
            c.name("env", line),
            c.check(table, Arg.WHOLE, line, 0),
            rows.code,
            conflict,
            c.options(term),
        ],
        line,
    )
    return c.node(term, code, [table, rows], Kind.DATUM)


def conflict_not_deterministic() -> Any:
    raise QueryLogicError("The conflict function passed to `insert` must be deterministic.")


def insert_(env: Env, target: Any, value: Any, conflict: Any, opts: Options) -> dict[str, Any]:
    if getattr(target, "value_name", None) != "TABLE":
        raise wrong_value("TABLE", target, 0)
    table: Table = target.table
    _check_conflict(env, conflict, opts)
    if conflict is None and "conflict" in env.defaults:
        conflict = env.defaults["conflict"]()
    options = write_options(env, table, opts)
    statistics = Statistics(env, options)
    if isinstance(value, SingleSelection):
        value = value.datum()
    if value.__class__ is dict and "$reql_type$" not in value:
        insert_row(env, table, value, conflict, statistics)
        return statistics.result()
    stream = as_stream(need_sequence(env, value, None))
    stream.refuse_endless()
    count = 0
    for row in stream.rows(env):
        if count % INSERT_BATCH == 0:
            statistics.begin_batch()
            env.tick()
        count += 1
        if row.__class__ is not dict or "$reql_type$" in row:
            statistics.rejected(wrong_datum("OBJECT", row))
            continue
        insert_row(env, table, row, conflict, statistics)
    return statistics.result(changes=count > 0)


INSERT_BATCH: Final = 128


def _check_conflict(env: Env, conflict: Any, opts: Options) -> None:
    if conflict is None or conflict in ("error", "replace", "update"):
        return
    if isinstance(conflict, Function):
        if conflict.arity not in (0, 3):
            raise QueryLogicError(
                "The conflict function passed to `insert` should expect 3 arguments."
            )
        return
    if conflict.__class__ is not str:
        raise wrong_datum("STRING", conflict, "conflict")
    raise QueryLogicError(
        f'Conflict option `{conflict}` unrecognized (options are "error", "replace" and "update").',
        "conflict",
    )


def insert_row(
    env: Env, table: Table, doc: dict[str, Any], conflict: Any, statistics: Statistics
) -> None:
    pkey = table.primary_key
    if pkey not in doc:
        key = str(uuid4())
        doc = {**doc, pkey: key}
        statistics.generated_keys.append(key)
    options = statistics.options
    if options.hook is not None or (conflict is not None and conflict != "error"):
        try:
            check_storable(doc)
            _check_key(doc[pkey])
        except QueryLogicError as error:
            statistics.rejected(error)
            return
        write_row(env, table, doc[pkey], _on_conflict(pkey, doc, conflict), statistics)
        return
    try:
        existing = table.insert_new(env, doc, hard=options.hard)
    except (QueryLogicError, RowDeniedError) as error:
        statistics.rejected(error)
        return
    if existing is None:
        statistics.counts["inserted"] += 1
        if options.changes is not False:
            statistics.counts["inserted"] -= 1
            statistics.changed("inserted", None, doc)
    else:
        statistics.failed(_duplicate(pkey, existing, doc), existing)


def _check_key(key: Any) -> None:
    from rethought.datum.keys import primary_key

    primary_key(key)


def _duplicate(pkey: str, old: Any, new: Any) -> QueryLogicError:
    return QueryLogicError(f"Duplicate primary key `{pkey}`:\n{pretty(old)}\n{pretty(new)}")


def _on_conflict(pkey: str, doc: dict[str, Any], conflict: Any) -> Callable[[Any], Any]:
    def decide(old: Any) -> Any:
        if old is None or conflict == "replace":
            return doc
        if conflict == "update":
            return merge_objects(old, doc)
        if conflict is None or conflict == "error":
            raise _duplicate(pkey, old, doc)
        return conflict.invoke(pkey, old, doc)

    return decide


# ---- update, replace, delete


def _row_function(name: str) -> Callable[[Compiler, Term], Node]:
    def compile_(c: Compiler, term: Term) -> Node:
        target = c.compile(term.args[0])
        body = term.args[1]
        line = c.line(term)
        if body.type == FUNC:
            function = c.function(body)
        else:
            value = c.compile(body)
            code = c.lambda_([], value.code, line)
            function = Node(
                c.call("constant_function", [code, c.constant(0, line)], line),
                Kind.VALUE,
                value.determinism,
                True,
            )
        atomic = function.determinism <= Determinism.NOW

        def build(first: Node) -> Node:
            code = c.call(
                name,
                [
                    c.name("env", line),
                    first.code,
                    function.code,
                    c.constant(atomic, line),
                    c.options(term),
                ],
                line,
            )
            return c.node(term, code, [first, function], Kind.DATUM)

        return c.grouped(term, target, build)

    return compile_


def update_(
    env: Env, target: Any, function: Function, atomic: bool, opts: Options
) -> dict[str, Any]:
    def decide(old: Any) -> Any:
        if old is None:
            return None
        new = need_datum(env, _invoke(env, function, old), 1)
        if new is None:
            return old
        if new.__class__ is not dict or "$reql_type$" in new:
            check_document("", old, new, None)
        return merge_objects(old, new)

    return _rewrite(env, target, decide, atomic, opts)


def replace_(
    env: Env, target: Any, function: Function, atomic: bool, opts: Options
) -> dict[str, Any]:
    return _rewrite(
        env, target, lambda old: need_datum(env, _invoke(env, function, old), 1), atomic, opts
    )


def _invoke(env: Env, function: Function, old: Any) -> Any:
    value = function.invoke(old) if function.arity else function.invoke()
    return value.invoke(old) if isinstance(value, Function) else value


def delete(env: Env, target: Any, opts: Options) -> dict[str, Any]:
    return _rewrite(env, target, lambda _: None, True, opts)


def _rewrite(
    env: Env, target: Any, decide: Callable[[Any], Any], atomic: bool, opts: Options
) -> dict[str, Any]:
    selection = need_selection(env, target, 0)
    table: Table = selection.table
    if not atomic:
        flag = opts.value("non_atomic")
        if flag is None or flag is False:
            raise QueryLogicError(
                "Could not prove argument deterministic.  Maybe you want to use the non_atomic "
                "flag?"
            )
    options = write_options(env, table, opts)
    statistics = Statistics(env, options)
    if isinstance(selection, Stream):
        selection.refuse_endless()
    empty = True
    for key, row in _rows_of(env, selection, atomic=atomic):
        empty = False
        chosen = decide if atomic else _beforehand(decide, row, statistics)
        if chosen is not None:
            write_row(env, table, key, chosen, statistics)
    return statistics.result(changes=not empty)


def _rows_of(env: Env, selection: Any, *, atomic: bool) -> Iterator[tuple[Any, Any]]:
    if isinstance(selection, SingleSelection):
        # an atomic write reads the newest row itself, so this one stays unread
        yield selection.key, None if atomic else selection.datum()
        return
    pkey = selection.table.primary_key
    source = selection.source
    if atomic and isinstance(source, TableSource) and source.range.index is not None:
        # writing may move rows within the index that is being read, so all of it is read before
        chunks = selection.chunks(env, settled=True)
        keys = [row[pkey] for chunk in chunks for row in chunk.datums()]
        for at, key in enumerate(keys):
            if at % 100 == 99:
                env.tick()
            yield key, None
        return
    for chunk in selection.chunks(env, settled=True):
        for at, row in enumerate(chunk.datums()):
            if at % 100 == 99:
                env.tick()
            yield row[pkey], row


def _beforehand(
    decide: Callable[[Any], Any], row: Any, statistics: Statistics
) -> Callable[[Any], Any] | None:
    """The result of a body that may read tables: it runs before the row is locked."""
    try:
        new = decide(row)
    except ReqlError as error:
        statistics.failed(error, row)
        return None
    return lambda _: new


# ---- for_each


def for_each(c: Compiler, term: Term) -> Node:
    """SEQUENCE, FUNCTION -> OBJECT. What is no function is evaluated once and counts for every row."""
    node = c.compile(term.args[0])
    body = term.args[1]
    function = c.function(body, want=Kind.ANY) if body.type == FUNC else c.compile(body)

    def build(first: Node) -> Node:
        nodes = [sequence_node(c, term, first), function]
        result = call_term(c, term, "for_each_", nodes)
        return Node(result.code, Kind.DATUM, result.determinism, result.closes)

    return c.grouped(term, node, build)


def for_each_(env: Env, sequence: Any, function: Any) -> dict[str, Any]:
    stream = as_stream(sequence)
    stream.refuse_endless()
    total: dict[str, Any] = {}
    for row in stream.rows(env, settled=True):
        env.tick()
        if isinstance(function, Function):
            parts = _statistics_of(env, function.invoke(row), (1, 1))
        else:
            parts = _statistics_of(env, function, (1,))
        for part in parts:
            total = merge_statistics(env, total, part)
    return total


_NO_WRITE: Final = "FOR_EACH expects one or more basic write queries."


def _statistics_of(env: Env, result: Any, at: tuple[Frame, ...]) -> list[dict[str, Any]]:
    """The statistics that a body gave: one object, or an array of them."""
    try:
        found = need_datum(env, result, None)
    except QueryLogicError as error:
        raise error.__class__(_NO_WRITE, *at) from None
    if found.__class__ is dict and found.get("$reql_type$") != "BINARY":
        return [found]
    if found.__class__ is not list:
        raise _no_write(wrong_datum("ARRAY", found), at)
    for part in found:
        if part.__class__ is not dict:
            raise _no_write(wrong_datum("OBJECT", part), at)
    parts: list[dict[str, Any]] = found
    return parts


def _no_write(detail: QueryLogicError, at: tuple[Frame, ...]) -> QueryLogicError:
    return detail.__class__(f"{_NO_WRITE}  {detail.message}", *at)


def merge_statistics(env: Env, total: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Write statistics added up."""
    merged = dict(total)
    for name, value in part.items():
        if name not in merged:
            merged[name] = value
            continue
        old = merged[name]
        kinds = (old.__class__, value.__class__)
        if all(kind in (int, float) for kind in kinds):
            merged[name] = old + value
        elif kinds == (list, list):
            joined = old + value
            if len(joined) > env.array_limit:
                joined = joined[: env.array_limit]
                warning = f"Too many changes, array truncated to {env.array_limit}."
                merged["warnings"] = [*merged.get("warnings", []), warning]
            merged[name] = joined
        elif kinds == (str, str):
            continue
        else:
            raise QueryLogicError(
                f"Cannot merge statistics `{pretty(old)}` (type {type_name(old)}) and "
                f"`{pretty(value)}` (type {type_name(value)})."
            )
    return merged


TERMS: Final = (
    TermSpec(
        56,
        "insert",
        exactly(2),
        compile=insert,
        optargs=("conflict", *_OPTIONS),
        effect=_WRITE,
        determinism=Determinism.NEVER,
        names={"insert_": insert_, "conflict_not_deterministic": conflict_not_deterministic},
    ),
    TermSpec(
        53,
        "update",
        exactly(2),
        compile=_row_function("update_"),
        optargs=("non_atomic", *_OPTIONS),
        effect=_WRITE,
        determinism=Determinism.NEVER,
        names={"update_": update_},
    ),
    TermSpec(
        55,
        "replace",
        exactly(2),
        compile=_row_function("replace_"),
        optargs=("non_atomic", *_OPTIONS),
        effect=_WRITE,
        determinism=Determinism.NEVER,
        names={"replace_": replace_},
    ),
    TermSpec(
        54,
        "delete",
        exactly(1),
        run=delete,
        args=(Arg.ANY,),
        optargs=_OPTIONS,
        effect=_WRITE,
        determinism=Determinism.NEVER,
    ),
    TermSpec(
        68,
        "foreach",
        exactly(2),
        compile=for_each,
        determinism=Determinism.NEVER,
        names={"for_each_": for_each_},
    ),
)
