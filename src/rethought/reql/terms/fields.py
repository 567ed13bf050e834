"""get_field and bracket, and how a term on a document becomes the same term on every row of a sequence.

What always holds: on a sequence the term is done for each row, its other arguments evaluated anew for each; a row that
is a sequence itself is refused; a value is looked at before the other arguments are evaluated.
Callers: `reql.terms` joins `TERMS`; terms that work on rows too use `over_rows` and `over_plain`.
"""

import ast
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import UNSET

from rethought.datum.values import type_name
from rethought.errors import NonExistenceError, QueryLogicError
from rethought.exec.env import Env
from rethought.exec.fields import MISSING, get_field_row, object_of, refuse_row
from rethought.exec.functions import Function, RowFunction
from rethought.exec.grouping import GroupedStream
from rethought.exec.ops import Filter, Map, MapSkip, Operator, transform
from rethought.exec.values import (
    Grouped as GroupedData,
)
from rethought.exec.values import (
    SingleSelection,
    Stream,
    need_sequence,
)
from rethought.reql.compiler import PLAIN, PSEUDOTYPE_KEYS, Compiler, Kind, Node
from rethought.reql.expressions import is_simple
from rethought.reql.nodes import NUMERIC
from rethought.reql.runtime import Rewritten, per_group
from rethought.reql.spec import Determinism, Grouped, TermSpec, exactly
from rethought.reql.tree import FUNC, IMPLICIT_VAR, INTERNAL_VARS, VAR, Term, datum, subtree

ROW: Final = INTERNAL_VARS - 1


# ---- one field


def get_field(env: Env, value: Any, field: Any, name: str = "get_field") -> Any:
    """As `get_field_row`, also over an array."""
    if value.__class__ is not list:
        return get_field_row(env, value, field, name)
    return over_array(env, value, lambda: (field, name), get_field_row, "skip", name)


def get_field_later(env: Env, value: Any, field: Callable[[], Any]) -> Any:
    """As `get_field`, of a field that is evaluated once the value is known to have any."""
    return over_plain(env, value, lambda: (field(),), get_field_row, "skip", "get_field")


def bracket(env: Env, value: Any, key: Any) -> Any:
    """ARRAY, NUMBER -> datum | OBJECT or ARRAY, STRING -> datum"""
    if key.__class__ is str:
        return get_field(env, value, key, "bracket")
    if key.__class__ is int or key.__class__ is float:
        from rethought.reql.terms.parts import nth

        return nth(env, need_sequence(env, value, 0), key)
    error = NonExistenceError if key is None else QueryLogicError
    raise error(
        f"Expected NUMBER or STRING as second argument to `bracket` but found {type_name(key)}."
    )


def compile_get_field(c: Compiler, term: Term) -> Node:
    return _field_access(c, term, "get_field")


def compile_bracket(c: Compiler, term: Term) -> Node:
    return _field_access(c, term, "bracket")


def _field_access(c: Compiler, term: Term, name: str) -> Node:
    row, field = term.args
    if c.is_literal(field, str):
        projected = _projected(c, term, row, field)
        if projected is not None:
            return projected
    node = c.operand(row) if c.is_literal(field, str) else c.compile(row)
    if node.kind in PLAIN:
        return _plain_field(c, term, node, field, name)
    if name == "bracket" and not c.is_literal(field, str):
        key = c.compile(field)
        line = c.line(term)
        code = c.call(
            "bracket_any",
            [c.name("env", line), node.code, c.datum(key, line, 1)],
            line,
        )
        return c.node(term, code, [node, key], Kind.ANY)
    return over_rows(c, term, node, "skip", name)


def _projected(c: Compiler, term: Term, row: Term, field: Term) -> Node | None:
    """The attribute of a projected row, None where the row is a whole one."""
    attribute = projected_attribute(c, term, row, field)
    if attribute is None:
        return None
    if c.raw:
        return Node(attribute, Kind.DATUM, unset=True)
    code = c.inline("a if a is not UNSET else projection_miss()", {"a": attribute}, c.line(term))
    return Node(code, Kind.DATUM)


def projected_attribute(c: Compiler, term: Term, row: Term, field: Term) -> ast.expr | None:
    """The attribute that holds a field of a projected row, None where the row is a whole one."""
    number = None
    if row.type == VAR and len(row.args) == 1:
        number = row.args[0].value
    elif row.type == IMPLICIT_VAR and len(c.implicit) == 1:
        number = c.implicit[0]
    variable = c.scope.get(number) if isinstance(number, int) else None
    if variable is None or variable.fields is None:
        return None
    line = c.line(term)
    return ast.Attribute(
        c.name(variable.name, line),
        variable.fields[c.pin(field)],
        ast.Load(),
        lineno=line,
        col_offset=0,
        end_lineno=line,
        end_col_offset=0,
    )


def field_or(c: Compiler, term: Term, later: Node) -> Node | None:
    """`row["field"]["more"].default(later)` without an exception where a field is missing; None for other defaults."""
    access, fallback = term.args
    if later.kind not in PLAIN or not _is_path(c, access):
        return None
    if any(part.type in _NO_FALLBACKS for part in subtree(fallback)):
        return None
    line = c.line(term)
    found = _found_or_none(c, access)
    absent = "a is not UNSET and a is not None" if found.unset else "a is not None"
    code = c.inline(
        f"a if {absent} else later", {"a": found.code, "later": later.code}, line, lazy=("later",)
    )
    return c.node(term, code, [found, later], Kind.DATUM)


_NO_FALLBACKS: Final = (FUNC, 12)
"""A function is told of the error; r.error() means the error itself."""


def _is_path(c: Compiler, access: Term) -> bool:
    """Whether a term reads a field of a row, or a field of such a field."""
    while access.type in _FIELD_TERMS and len(access.args) == 2 and not access.optargs:
        row, field = access.args
        if not c.is_literal(field, str):
            return False
        if row.type in (VAR, IMPLICIT_VAR):
            return True
        access = row
    return False


def _found_or_none(c: Compiler, access: Term) -> Node:
    """What a path leads to, None (or UNSET) where it leads to nothing."""
    row, field = access.args
    line = c.line(access)
    attribute = projected_attribute(c, access, row, field)
    if attribute is not None:
        return Node(attribute, Kind.DATUM, unset=True)
    node = _found_or_none(c, row) if row.type in _FIELD_TERMS else c.compile(row)
    assert access.spec is not None
    code = c.inline(
        'a.get(key) if a.__class__ is dict and "$reql_type$" not in a else absent(env, a, key, name)',
        {
            "a": node.code,
            "env": c.name("env", line),
            "key": c.constant(c.pin(field), line),
            "name": c.constant(access.spec.name, line),
        },
        line,
    )
    return c.node(access, code, [node], Kind.DATUM)


def absent(env: Env, value: Any, field: str, name: str) -> Any:
    """The field of a value that is no plain object: None where that has none, else the term's error."""
    if value is None or value is UNSET:
        return None
    try:
        return get_field(env, value, field, name)
    except NonExistenceError:
        return None


_FIELD_TERMS: Final = (31, 170)


def _plain_field(c: Compiler, term: Term, node: Node, field: Term, name: str) -> Node:
    line = c.line(term)
    env = c.name("env", line)
    if c.is_literal(field, str):
        guard = ' and "$reql_type$" not in a' if field.value in PSEUDOTYPE_KEYS else ""
        code = c.inline(
            f"a[key] if a.__class__ is dict and key in a{guard} else slow",
            {
                "a": node.code,
                "key": c.constant(c.pin(field), line),
                "slow": c.call(f"{name}_slow", [env], line),
            },
            line,
            unset=("a",) if node.unset else (),
        )
        return c.node(term, code, [node], Kind.DATUM)
    other = c.compile(field)
    key = c.datum(other, line, 1)
    if name == "bracket" and other.known in NUMERIC:
        slow = c.call("bracket_slow", [env], line)
        code = c.inline(_ELEMENT, {"a": node.code, "b": key, "slow": slow}, line)
    elif name == "get_field" and not is_simple(key):
        code = c.call("get_field_later", [env, node.code, c.lambda_([], key, line)], line)
    else:
        code = c.call(f"{name}_slow", [env, node.code, key], line)
    return c.node(term, code, [node, other], Kind.DATUM)


_ELEMENT: Final = (
    "a[b] if a.__class__ is list and b.__class__ is int and -len(a) <= b < len(a) else slow"
)


def bracket_any(env: Env, value: Any, key: Any) -> Any:
    """`bracket` with a key that is known only now, on anything but a plain datum."""
    if isinstance(value, GroupedStream | GroupedData):
        return per_group(env, value, lambda reduction: bracket_any(env, reduction, key))
    if key.__class__ is str:
        function = RowFunction(
            lambda rows: [get_field_row(env, row, key, "bracket") for row in rows],
            None,
            0,
            None,
        )
        return over(env, value, function, "skip", "bracket")
    if key.__class__ is int or key.__class__ is float:
        from rethought.reql.terms.parts import nth_

        return nth_(env, value, key)
    return bracket(env, value, key)


# ---- a term over rows


def over_rows(c: Compiler, term: Term, first: Node, mode: str, name: str | None = None) -> Node:
    """The same term on each row when the first argument is a sequence (`skip`: without the rows that lack
    something, `filter`: keeping the rows for which it is true, `map`), on the value itself otherwise. `name` is that of
    a term which looks into objects."""
    line = c.line(term)
    path = Rewritten(term.path)
    row = Term(VAR, [datum(ROW, path)], {}, path, c.specs[VAR])
    body = Term(term.type, [row, *term.args[1:]], term.optargs, path, term.spec)
    guarded = Term(_ROW_GUARD.type, [body], {}, path, _ROW_GUARD)
    function_term = Term(FUNC, [datum([ROW], path), guarded], {}, path, c.specs[FUNC])
    function = c.function(function_term, project=True)
    code = c.call(
        "over",
        [
            c.name("env", line),
            first.code,
            function.code,
            c.constant(mode, line),
            c.constant(name, line),
        ],
        line,
    )
    kind = Kind.ANY if first.kind is Kind.ANY else Kind.VALUE
    return c.node(term, code, [first, function], kind)


def _row_guard(c: Compiler, term: Term) -> Node:
    """A term of a row, which must not be a sequence."""
    body = c.compile(term.args[0])
    variable = c.scope[ROW]
    if variable.fields is not None:
        return body
    line = c.line(term)
    spec = term.args[0].spec
    assert spec is not None
    code = ast.IfExp(
        c.inline("a.__class__ is not list", {"a": c.name(variable.name, line)}, line),
        body.code,
        c.call("refuse_row", [c.constant(spec.name, line)], line),
        lineno=line,
        col_offset=0,
        end_lineno=line,
        end_col_offset=0,
    )
    return Node(code, body.kind, body.determinism, body.closes)


_ROW_GUARD: Final = TermSpec(-2, "row", exactly(1), compile=_row_guard)

_OPERATORS: Final[dict[str, Callable[[Function], Operator]]] = {
    "skip": MapSkip,
    "map": Map,
    "filter": Filter,
}


def over(env: Env, value: Any, function: Function, mode: str, name: str | None) -> Any:
    """A function of a row on each row of a sequence, of every group, or on the value itself."""
    if isinstance(value, SingleSelection):
        value = value.datum()
    if value.__class__ is list or isinstance(value, Stream):
        return transform(env, value, _OPERATORS[mode](function))
    if isinstance(value, GroupedStream):
        return value.through(_OPERATORS[mode](function))
    if isinstance(value, GroupedData):
        return per_group(env, value, lambda group: over(env, group, function, mode, name))
    if name is not None:
        object_of(value, name, 0)
    return function.over([value])[0]


def over_plain(
    env: Env,
    value: Any,
    rest: Callable[[], Sequence[Any]],
    one: Callable[..., Any],
    mode: str,
    name: str,
) -> Any:
    """`one` on a document, or on each of an array, with arguments that `rest` evaluates."""
    if value.__class__ is list:
        return over_array(env, value, rest, one, mode, name)
    object_of(value, name, 0)
    return one(env, value, *rest())


def over_array(
    env: Env,
    rows: list[Any],
    rest: Callable[[], Sequence[Any]],
    one: Callable[..., Any],
    mode: str,
    name: str,
) -> list[Any]:
    out = []
    for row in rows:
        try:
            object_of(row, name)
            result = one(env, row, *rest())
        except NonExistenceError:
            if mode == "map":
                raise
            continue
        if mode != "filter":
            out.append(result)
        elif result is not None and result is not False:
            out.append(row)
    return out


TERMS: Final = (
    TermSpec(
        31,
        "get_field",
        exactly(2),
        compile=compile_get_field,
        grouped=Grouped.STREAM,
        datum=False,
        names={
            "get_field_slow": get_field,
            "get_field_later": get_field_later,
            "absent": absent,
            "over": over,
            "over_plain": over_plain,
            "refuse_row": refuse_row,
            "UNSET": UNSET,
            "MISSING": MISSING,
        },
    ),
    TermSpec(
        170,
        "bracket",
        exactly(2),
        compile=compile_bracket,
        grouped=Grouped.STREAM,
        datum=False,
        names={"bracket_slow": bracket, "bracket_any": bracket_any},
    ),
)

__all__ = ["ROW", "TERMS", "Determinism", "over", "over_array", "over_plain", "over_rows"]
