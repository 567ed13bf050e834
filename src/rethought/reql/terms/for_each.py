"""FOR_EACH: writes for every row, their statistics added up.

What always holds: any object counts as statistics. Callers: `terms.writes` has its row.
"""

from typing import Any, Final

from rethought.datum.text import truncated
from rethought.datum.values import type_name
from rethought.errors import Frame, QueryLogicError
from rethought.exec.env import Env
from rethought.exec.functions import Function
from rethought.exec.values import (
    SingleSelection,
    as_stream,
    is_datum,
    need_datum,
    wrong_datum,
    wrong_value,
)
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.spec import Determinism, TermSpec, exactly
from rethought.reql.terms.sequences import call_term, sequence_node
from rethought.reql.tree import FUNC, Term


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
    if not isinstance(function, Function | SingleSelection) and not is_datum(function):
        raise wrong_value("FUNCTION", function, 1)
    stream = as_stream(sequence)
    stream.refuse_endless()
    total: dict[str, Any] = {}
    for row in stream.rows(env, settled=True):
        env.tick()
        value = function
        at: tuple[Frame, ...] = (1,)
        if isinstance(function, Function):
            value = function.invoke(row)
            at = (1, 1)
        try:
            for part in _statistics_of(env, value, at):
                total = merge_statistics(env, total, part)
        except QueryLogicError as error:
            if error.at:
                raise
            raise _no_write(error, at) from None
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
                warnings = merged.get("warnings", [])
                if warning not in warnings:
                    merged["warnings"] = [*warnings, warning]
            merged[name] = joined
        elif kinds == (str, str):
            continue
        else:
            raise QueryLogicError(
                f"Cannot merge statistics `{truncated(old)}` (type {type_name(old)}) and "
                f"`{truncated(value)}` (type {type_name(value)})."
            )
    return merged


FOR_EACH: Final = TermSpec(
    68,
    "foreach",
    exactly(2),
    compile=for_each,
    determinism=Determinism.NEVER,
    names={"for_each_": for_each_},
)
