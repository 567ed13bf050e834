"""INSERT.

What always holds: documents that are stored together, as most are, end as they would one after the other: what has
anything special about it is inserted on its own.
"""

from collections.abc import Callable
from typing import Any, Final

from rethought.datum.keys import primary_key
from rethought.datum.merging import merge_objects
from rethought.datum.text import pretty
from rethought.errors import QueryLogicError, ResourceLimitError, RowDeniedError
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function
from rethought.exec.local import LocalTable
from rethought.exec.table import Table
from rethought.exec.values import (
    SingleSelection,
    as_stream,
    need_sequence,
    wrong_datum,
    wrong_value,
)
from rethought.exec.writes import InsertStatistics, is_object, missing_key, shown_of, write_row
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.runtime import read_as
from rethought.reql.spec import Arg, Determinism, TermSpec, exactly
from rethought.reql.terms.write_options import OPTIONS, WRITES, Wanted
from rethought.reql.tree import Term


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
    empty = True
    together = table.__class__ is LocalTable and conflict is None and options.hook is None
    expected = len(value) if value.__class__ is list else 0  # of a stream nobody knows
    room = INSERT_BATCH
    for chunk in read_as(stream.chunks(env), 1):
        env.tick()
        empty = False
        documents = chunk.datums()
        expected -= len(documents)
        at = 0
        while at < len(documents):
            if not room:
                statistics.end_batch()
                env.tick()
                room = INSERT_BATCH
            part = documents[at : at + room]
            at += len(part)
            room -= len(part)
            if together:
                more = at < len(documents) or expected > 0
                part = _insert_together(env, table, part, statistics, more)
            for row in part:
                if is_object(row):
                    insert_row(env, table, row, conflict, statistics)
                else:
                    statistics.rejected(wrong_datum("OBJECT", row))
    statistics.end_batch()
    return statistics.result(changes=not empty)


INSERT_BATCH: Final = 128


def _insert_together(
    env: Env, table: Any, rows: list[Any], statistics: InsertStatistics, more: bool
) -> list[Any]:
    """Inserts documents in one go, as many as have nothing special about them; gives those that are left. `more`:
    others follow these."""
    pkey = table.primary_key
    for row in rows:
        if row.__class__ is not dict or "$reql_type$" in row:
            return rows
    if not all([pkey in row for row in rows]):
        rows = [_with_key(env, pkey, row, statistics) for row in rows]
    stored = table.insert_many(env, rows, hard=statistics.options.hard, more=more)
    if statistics.options.changes is False:
        statistics.counts["inserted"] += stored
    else:
        for row in rows[:stored]:
            statistics.inserted(row[pkey], row)
    return rows[stored:]


def _with_key(
    env: Env, pkey: str, doc: dict[str, Any], statistics: InsertStatistics
) -> dict[str, Any]:
    """The document with a new key if it has none."""
    if pkey in doc:
        return doc
    key = env.generated = env.chance.uuid()
    statistics.generated_keys.append(key)
    return {**doc, pkey: key}


def _check_conflict_function(function: Function) -> None:
    if function.determinism > Determinism.NOW:
        raise QueryLogicError("The conflict function passed to `insert` must be deterministic.")
    if function.arity not in (0, 3):
        raise QueryLogicError("The conflict function passed to `insert` should expect 3 arguments.")


def insert_row(
    env: Env, table: Table, doc: dict[str, Any], conflict: Any, statistics: InsertStatistics
) -> None:
    pkey = table.primary_key
    if pkey not in doc and "$reql_type$" in doc:  # a key would make it no valid object of its type
        statistics.rejected(missing_key(pkey, doc))
        return
    doc = _with_key(env, pkey, doc, statistics)
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


INSERT: Final = TermSpec(
    56,
    "insert",
    exactly(2),
    compile=insert,
    optargs=("conflict", *OPTIONS),
    effect=WRITES,
    determinism=Determinism.NEVER,
    names={"insert_": insert_, "insert_later": insert_later},
)
