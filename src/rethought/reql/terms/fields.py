"""Terms that look into documents, one or a whole sequence of them.

`get_field`, `bracket`, `has_fields`, `pluck`, `without`, `with_fields` and `merge` on a sequence are the same term on
each of its rows; their other arguments are evaluated anew for each row. On a row that is a sequence itself they fail.
"""

import ast
from collections.abc import Callable
from typing import Any, Final

import msgspec

from rethought.datum.merging import merge_objects
from rethought.datum.paths import has_fields, pluck, without
from rethought.datum.text import pretty, truncated
from rethought.datum.values import type_name
from rethought.errors import NonExistenceError, QueryLogicError
from rethought.exec.chunk import Chunk
from rethought.exec.env import Env
from rethought.exec.functions import Function, RowFunction
from rethought.exec.ops import Filter, Map, MapSkip, Operator, transform
from rethought.exec.values import (
    DATUM_CLASSES,
    SingleSelection,
    Stream,
    need_datum,
    need_sequence,
    wrong_datum,
)
from rethought.reql.compiler import PLAIN, PSEUDOTYPE_KEYS, Compiler, Kind, Node
from rethought.reql.runtime import MISSING
from rethought.reql.spec import Arg, Grouped, TermSpec, at_least, exactly
from rethought.reql.tree import FUNC, IMPLICIT_VAR, VAR, Term, datum

ROW: Final = -7_000_000  # the variable of a row function made here; clients' numbers are far from it


def object_of(value: Any, name: str) -> dict[str, Any]:
    """The value as an object to look into; refuses everything else in the protocol's words."""
    if value.__class__ is dict:
        if "$reql_type$" not in value:
            result: dict[str, Any] = value
            return result
        kind = type_name(value)
        if kind == "PTYPE<BINARY>":
            raise QueryLogicError(
                f"Cannot perform {name} on a non-object non-sequence `{truncated(value)}`."
            )
        raise QueryLogicError(f"Cannot call `{name}` on objects of type `{kind}`.")
    error = NonExistenceError if value is None else QueryLogicError
    raise error(f"Cannot perform {name} on a non-object non-sequence `{truncated(value)}`.")


def row_of(value: Any, name: str) -> dict[str, Any]:
    """As `object_of`, for a row of a sequence."""
    if value.__class__ is list:
        raise QueryLogicError(f"Cannot perform {name} on a sequence of sequences.")
    return object_of(value, name)


# ---- one field


def get_field_row(env: Env, value: Any, field: str, name: str = "get_field") -> Any:
    """OBJECT, STRING -> datum. Raises NonExistenceError when there is no such field."""
    document = row_of(value, name)
    found = document.get(field, MISSING)
    if found is MISSING:
        raise NonExistenceError(f"No attribute `{field}` in object:\n{pretty(document)}")
    return found


def get_field(env: Env, value: Any, field: Any, name: str = "get_field") -> Any:
    """As `get_field_row`, also over an array."""
    if field.__class__ is not str:
        raise wrong_datum("STRING", field, 1)
    if value.__class__ is not list:
        object_of(value, name)
        return get_field_row(env, value, field, name)
    out = []
    for row in value:
        try:
            out.append(get_field_row(env, row, field, name))
        except NonExistenceError:
            continue
    return out


def bracket(env: Env, value: Any, key: Any) -> Any:
    """ARRAY, NUMBER -> datum | OBJECT or ARRAY, STRING -> datum"""
    if key.__class__ is str:
        return get_field(env, value, key, "bracket")
    if key.__class__ is int or key.__class__ is float:
        from rethought.reql.terms.sequences import nth

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
    node = c.compile(row)
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
    return over_rows(c, term, node, "skip")


def _projected(c: Compiler, term: Term, row: Term, field: Term) -> Node | None:
    """The attribute of a projected row, None where the row is a whole one."""
    number = None
    if row.type == VAR and len(row.args) == 1:
        number = row.args[0].value
    elif row.type == IMPLICIT_VAR and len(c.implicit) == 1:
        number = c.implicit[0]
    variable = c.scope.get(number) if isinstance(number, int) else None
    if variable is None or variable.fields is None:
        return None
    line = c.line(term)
    attribute = ast.Attribute(
        c.name(variable.name, line),
        variable.fields[c.pin(field)],
        ast.Load(),
        lineno=line,
        col_offset=0,
        end_lineno=line,
        end_col_offset=0,
    )
    code = c.inline("a if a is not UNSET else projection_miss()", {"a": attribute}, line)
    return Node(code, Kind.DATUM)


def _plain_field(c: Compiler, term: Term, node: Node, field: Term, name: str) -> Node:
    line = c.line(term)
    env = c.name("env", line)
    if c.is_literal(field, str):
        guard = ' and "$reql_type$" not in a' if field.value in PSEUDOTYPE_KEYS else ""
        code = c.inline(
            f"t_x if a.__class__ is dict{guard} and (t_x := a.get(key, MISSING)) is not MISSING"
            " else slow",
            {
                "a": node.code,
                "key": c.constant(c.pin(field), line),
                "slow": c.call(f"{name}_slow", [env], line),
            },
            line,
        )
        return c.node(term, code, [node], Kind.DATUM)
    other = c.compile(field)
    slow_code = c.call(f"{name}_slow", [env, node.code, c.datum(other, line, 1)], line)
    return c.node(term, slow_code, [node, other], Kind.DATUM)


def bracket_any(env: Env, value: Any, key: Any) -> Any:
    """`bracket` with a key that is known only now, on anything but a plain datum."""
    from rethought.exec.grouping import GroupedStream
    from rethought.exec.values import Grouped as GroupedData

    if isinstance(value, GroupedStream | GroupedData):
        from rethought.reql.runtime import per_group

        return per_group(env, value, lambda reduction: bracket_any(env, reduction, key))
    if isinstance(value, Stream):
        if key.__class__ is str:
            return over(
                env,
                value,
                RowFunction(
                    lambda rows: [get_field_row(env, row, key, "bracket") for row in rows],
                    None,
                    0,
                    None,
                ),
                "skip",
                "bracket",
            )
        if key.__class__ is int or key.__class__ is float:
            from rethought.reql.terms.sequences import nth

            return nth(env, value, key)
    return bracket(env, need_datum(env, value, 0), key)


# ---- a term over rows


def over_rows(c: Compiler, term: Term, first: Node, mode: str) -> Node:
    """The same term on each row when the first argument is a sequence (`skip`: without the rows that lack
    something, `filter`: keeping the rows for which it is true, `map`), on the value itself otherwise."""
    line = c.line(term)
    row = Term(VAR, [datum(ROW, term.path)], {}, term.path, c.specs[VAR])
    body = Term(term.type, [row, *term.args[1:]], term.optargs, term.path, term.spec)
    function_term = Term(FUNC, [datum([ROW], term.path), body], {}, term.path, c.specs[FUNC])
    function = c.function(function_term, project=mode == "skip")
    assert term.spec is not None
    code = c.call(
        "over",
        [
            c.name("env", line),
            first.code,
            function.code,
            c.constant(mode, line),
            c.constant(term.spec.name, line),
        ],
        line,
    )
    kind = Kind.ANY if first.kind is Kind.ANY else Kind.VALUE
    return c.node(term, code, [first, function], kind)


_OPERATORS: Final[dict[str, Callable[[Function], Operator]]] = {
    "skip": MapSkip,
    "map": Map,
    "filter": Filter,
}


def over(env: Env, value: Any, function: Function, mode: str, name: str) -> Any:
    from rethought.exec.grouping import GroupedStream
    from rethought.exec.values import Grouped as GroupedData

    if value.__class__ is SingleSelection:
        value = value.datum()
    if value.__class__ is list:
        if any(row.__class__ is list for row in value):
            raise QueryLogicError(f"Cannot perform {name} on a sequence of sequences.")
        return transform(env, value, _OPERATORS[mode](function))
    if isinstance(value, Stream):
        return value.through(_Rows(_OPERATORS[mode](function), name))
    if isinstance(value, GroupedStream):
        return value.through(_Rows(_OPERATORS[mode](function), name))
    if isinstance(value, GroupedData):
        from rethought.reql.runtime import per_group

        return per_group(env, value, lambda group: over(env, group, function, mode, name))
    if value.__class__ in DATUM_CLASSES:
        return function.over([value])[0]
    return function.over([need_datum(env, value, 0)])[0]


class _Rows(Operator):
    """An operator whose rows must not be sequences."""

    def __init__(self, op: Operator, name: str) -> None:
        self.op = op
        self.name = name
        self.keeps_rows = op.keeps_rows

    def apply(self, env: Env, chunk: Chunk) -> Chunk:
        try:
            return self.op.apply(env, chunk)
        except QueryLogicError as error:
            if any(row.__class__ is list for row in chunk.datums()):
                message = f"Cannot perform {self.name} on a sequence of sequences."
                raise QueryLogicError(message).with_traceback(error.__traceback__) from None
            raise


def _row_term(mode: str) -> Callable[[Compiler, Term], Node]:
    """The compile function of a term that works on a document or on each row of a sequence."""

    def compile_(c: Compiler, term: Term) -> Node:
        node = c.compile(term.args[0])
        if node.kind in PLAIN and term.args[0].type in (VAR, IMPLICIT_VAR):
            rest = [c.compile(arg) for arg in term.args[1:]]
            return c._plain(term, [node, *rest])
        if node.kind in PLAIN and not any(arg.type == FUNC for arg in term.args[1:]):
            rest = [c.compile(arg) for arg in term.args[1:]]
            return c._plain(term, [node, *rest])
        return over_rows(c, term, node, mode)

    return compile_


def _each(
    name: str, one: Callable[[Env, Any], Any], value: Any, env: Env, *, keep: bool = False
) -> Any:
    """A function of a document on a document or on each element of an array."""
    if value.__class__ is not list:
        return one(env, object_of(value, name))
    rows = []
    for row in value:
        result = one(env, row_of(row, name))
        if not keep:
            rows.append(result)
        elif result:
            rows.append(row)
    return rows


def has_fields_run(env: Env, value: Any, *specs: Any) -> Any:
    """OBJECT, path... -> BOOL | ARRAY, path... -> ARRAY"""
    return _each("has_fields", lambda _, row: has_fields(row, specs), value, env, keep=True)


def pluck_run(env: Env, value: Any, *specs: Any) -> Any:
    """OBJECT, path... -> OBJECT | ARRAY, path... -> ARRAY"""
    return _each("pluck", lambda _, row: pluck(row, specs), value, env)


def without_run(env: Env, value: Any, *specs: Any) -> Any:
    """OBJECT, path... -> OBJECT | ARRAY, path... -> ARRAY"""
    return _each("without", lambda _, row: without(row, specs), value, env)


def with_fields(c: Compiler, term: Term) -> Node:
    """SEQUENCE, path... -> SEQUENCE: pluck of the rows that have the fields"""
    chosen = Term(32, term.args, term.optargs, term.path, c.specs[32])
    plucked = Term(33, [chosen, *term.args[1:]], term.optargs, term.path, c.specs[33])
    return c.compile(plucked)


# ---- merge


def merge(c: Compiler, term: Term) -> Node:
    """OBJECT, (OBJECT | FUNCTION)... -> OBJECT"""
    node = c.compile(term.args[0])
    if node.kind not in PLAIN:
        return over_rows(c, term, node, "map")
    line = c.line(term)
    env = c.name("env", line)
    parts: list[ast.expr] = []
    nodes = [node]
    for index, arg in enumerate(term.args[1:], 1):
        if arg.type == FUNC:
            part = c.function(arg)
            parts.append(part.code)
        else:
            part = c.compile(arg)
            parts.append(part.code if part.kind in PLAIN else c.call(
                "merge_argument", [env, part.code, c.constant(index, line)], line
            ))
        nodes.append(part)
    return c.node(term, c.call("merge_", [env, node.code, *parts], line), nodes, Kind.DATUM)


def merge_argument(env: Env, value: Any, at: int) -> Any:
    return value if isinstance(value, Function) else need_datum(env, value, at)


def merge_(env: Env, value: Any, *parts: Any) -> Any:
    if value.__class__ is list:
        for row in value:
            row_of(row, "merge")
        return [merge_(env, row, *parts) for row in value]
    result = value
    for at, part in enumerate(parts, 1):
        if isinstance(part, Function):
            part = part.invoke(result)
        result = merge_one(result, part, at)
    return result


def merge_one(left: Any, right: Any, at: int) -> Any:
    """One step of a merge."""
    if left.__class__ is not dict or "$reql_type$" in left:
        object_of(left, "merge")
    return merge_objects(left, right)


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
            "over": over,
            "UNSET": msgspec.UNSET,
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
    TermSpec(
        32,
        "has_fields",
        at_least(1),
        run=has_fields_run,
        compile=_row_term("filter"),
        args=(Arg.DATUM,),
        grouped=Grouped.STREAM,
    ),
    TermSpec(
        33,
        "pluck",
        at_least(1),
        run=pluck_run,
        compile=_row_term("map"),
        args=(Arg.DATUM,),
        grouped=Grouped.STREAM,
    ),
    TermSpec(
        34,
        "without",
        at_least(1),
        run=without_run,
        compile=_row_term("map"),
        args=(Arg.DATUM,),
        grouped=Grouped.STREAM,
    ),
    TermSpec(35, "merge", at_least(1), compile=merge, grouped=Grouped.STREAM, names={
        "merge_": merge_, "merge_argument": merge_argument,
    }),
    TermSpec(96, "with_fields", at_least(1), compile=with_fields, grouped=Grouped.STREAM, datum=False),
)
