"""has_fields, pluck, without, with_fields and merge: documents made smaller or larger, alone or row by row.

What always holds: see `terms.fields` for sequences; a document that comes in is never changed.
"""

import ast
from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from rethought.datum.kinds import BINARY, LITERAL, TYPE_KEY
from rethought.datum.merging import merge_objects
from rethought.datum.paths import Paths, has_fields, has_paths, pluck, pluck_paths, without
from rethought.datum.values import type_name
from rethought.errors import Frame, QueryLogicError
from rethought.exec.env import Env
from rethought.exec.fields import object_of
from rethought.exec.functions import FLAT, Function
from rethought.reql.compiler import PLAIN, Compiler, Kind, Node
from rethought.reql.expressions import at_line, is_simple
from rethought.reql.projecting import literal_paths
from rethought.reql.spec import Arg, Grouped, TermSpec, at_least
from rethought.reql.terms.fields import (
    over_array,
    over_rows,
    projected_attribute,
)
from rethought.reql.terms.sequences import function_or_constant
from rethought.reql.tree import DATUM, FUNC, MAKE_OBJ, Term, datum, subtree


def _row_term(mode: str) -> Callable[[Compiler, Term], Node]:
    """The compile function of a term that works on a document or on each row of a sequence."""

    def compile_(c: Compiler, term: Term) -> Node:
        names = term.args[1:]
        plain = 0 < len(names) <= NAMES_INLINE_MAX and all(c.is_literal(arg, str) for arg in names)
        if term.type in (_HAS_FIELDS, _PLUCK):
            projected = _projected(c, term)
            if projected is not None:
                return projected
        node = c.compile(term.args[0])
        if node.kind not in PLAIN:
            assert term.spec is not None
            return over_rows(c, term, node, mode, term.spec.name)
        if plain:
            return _named(c, term, node)
        rest = [c.compile(arg) for arg in term.args[1:]]
        line = c.line(term)
        env = c.name("env", line)
        args = [c.datum(part, line, at) for at, part in enumerate(rest, 1)]
        spec = term.spec
        assert spec is not None
        if all(is_simple(arg) for arg in args):
            code = c.run(term, [node.code, *args])
        else:
            later = ast.Tuple(
                args, ast.Load(), lineno=line, col_offset=0, end_lineno=line, end_col_offset=0
            )
            code = c.call(
                "over_plain",
                [
                    env,
                    node.code,
                    c.lambda_([], later, line),
                    c.name(f"{spec.name}_one", line),
                    c.constant(mode, line),
                    c.constant(spec.name, line),
                ],
                line,
            )
        return c.node(term, code, [node, *rest], Kind.DATUM)

    return compile_


NAMES_INLINE_MAX: Final = 12
_HAS_FIELDS: Final = 32
_PLUCK: Final = 33
_WITHOUT: Final = 34
_MERGE: Final = 35


def _named(c: Compiler, term: Term, node: Node) -> Node:
    """A term of an object whose fields are given by name; anything else is left to `run`."""
    line = c.line(term)
    keys = {f"k{at}": c.constant(c.pin(arg), line) for at, arg in enumerate(term.args[1:])}
    if term.type == _HAS_FIELDS:
        quick = " and ".join(f"a.get({key}) is not None" for key in keys)
    else:
        name = "plucked_from" if term.type == _PLUCK else "without_names"
        quick = f"{name}(a, ({', '.join(keys)},))"
    code = c.inline(
        f'{quick} if a.__class__ is dict and "$reql_type$" not in a else slow',
        {"a": node.code, **keys, "slow": c.call(f"run_{term.type}", [c.name("env", line)], line)},
        line,
    )
    return c.node(term, code, [node], Kind.DATUM)


def plucked_from(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names if name in row}


def without_names(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    left = row.copy()
    for name in names:
        left.pop(name, None)
    return left


def _projected(c: Compiler, term: Term) -> Node | None:
    """`row.pluck("a", "b")` or `row.has_fields("a", {"b": "c"})` of a projected row, None of a whole one."""
    paths = literal_paths(term)
    row = term.args[0]
    if not paths:
        return None
    fields = [datum(name, term.path) for name in paths]
    attributes = [projected_attribute(c, term, row, field) for field in fields]
    if any(attribute is None for attribute in attributes):
        return None
    for arg in term.args[1:]:
        c.pin(arg)
    line = c.line(term)
    values = {f"f{at}": code for at, code in enumerate(attributes) if code is not None}
    keys = {f"k{at}": c.constant(name, line) for at, name in enumerate(paths)}
    both = f"({', '.join(keys)},), ({', '.join(values)},)"
    if any(below is not None for below in paths.values()):
        name = "had" if term.type == _HAS_FIELDS else "plucked_paths"
        code = c.inline(
            f"{name}(paths, {both})", {"paths": c.keep(paths, line), **keys, **values}, line
        )
        return Node(code, Kind.BOOL if term.type == _HAS_FIELDS else Kind.DATUM)
    if term.type == _HAS_FIELDS:
        tests = [
            c.inline("a is not UNSET and a is not None", {"a": attribute}, line)
            for attribute in values.values()
        ]
        code = tests[0] if len(tests) == 1 else at_line(ast.BoolOp(ast.And(), tests), line)
        return Node(code, Kind.BOOL)
    there = " and ".join(f"{value} is not UNSET" for value in values)
    pairs = ", ".join(map("{}: {}".format, keys, values))
    # All values are looked at before the first choice, so that each is bound.
    code = c.inline(f"{{{pairs}}} if {there} else plucked({both})", {**keys, **values}, line)
    return Node(code, Kind.DATUM)


def plucked_paths(paths: Paths, names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """What is at these paths of a projected row."""
    return pluck_paths(plucked(names, values), paths)


def had(paths: Paths, names: tuple[str, ...], values: tuple[Any, ...]) -> bool:
    """Whether there is something at all these paths of a projected row."""
    return has_paths(plucked(names, values), paths)


def plucked(names: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    """The fields that a projected row has."""
    return {name: value for name, value in zip(names, values, strict=True) if value is not UNSET}


def has_fields_one(env: Env, row: Any, *specs: Any) -> bool:
    return has_fields(object_of(row, "has_fields", 0), specs)


def pluck_one(env: Env, row: Any, *specs: Any) -> Any:
    return pluck(object_of(row, "pluck", 0), specs)


def without_one(env: Env, row: Any, *specs: Any) -> Any:
    return without(object_of(row, "without", 0), specs)


def has_fields_run(env: Env, value: Any, *specs: Any) -> Any:
    """OBJECT, path... -> BOOL | ARRAY, path... -> ARRAY"""
    if value.__class__ is list:
        return over_array(env, value, lambda: specs, has_fields_one, "filter", "has_fields")
    return has_fields_one(env, value, *specs)


def pluck_run(env: Env, value: Any, *specs: Any) -> Any:
    """OBJECT, path... -> OBJECT | ARRAY, path... -> ARRAY"""
    if value.__class__ is list:
        return over_array(env, value, lambda: specs, pluck_one, "map", "pluck")
    return pluck_one(env, value, *specs)


def without_run(env: Env, value: Any, *specs: Any) -> Any:
    """OBJECT, path... -> OBJECT | ARRAY, path... -> ARRAY"""
    if value.__class__ is list:
        return over_array(env, value, lambda: specs, without_one, "map", "without")
    return without_one(env, value, *specs)


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
        return over_rows(c, term, node, "map", "merge")
    line = c.line(term)
    env = c.name("env", line)
    parts: list[ast.expr] = []
    nodes = [node]
    for index, arg in enumerate(term.args[1:], 1):
        part = c.function(arg) if arg.type == FUNC else c.compile(arg)
        nodes.append(part)
        code = part.code
        if arg.type != FUNC and part.kind not in PLAIN:
            code = c.call("merge_argument", [env, code, c.constant(index, line)], line)
        parts.append(code)
    if len(parts) == 1 and _is_flat(term.args[1]):
        quick = c.inline(
            'a | b if a.__class__ is dict and "$reql_type$" not in a'
            ' and "$reql_type$" not in b else slow',
            {"a": node.code, "b": parts[0], "slow": c.call("merge_", [env], line)},
            line,
        )
        return c.node(term, quick, nodes, Kind.DATUM)
    if c.shortcuts and len(parts) == 1 and _is_new_object(term.args[1]):
        return _merge_object(c, term, nodes, parts[0])
    name = "merge_"
    if not all(is_simple(part) for part in parts):
        name = "merge_later"
        parts = [c.lambda_([], part, line) for part in parts]
    return c.node(term, c.call(name, [env, node.code, *parts], line), nodes, Kind.DATUM)


MERGE_INLINE_TERMS_MAX: Final = 40


def _is_new_object(part: Term) -> bool:
    """Whether a part is an object made of terms, small enough to stand in the code twice."""
    if part.type != MAKE_OBJ or TYPE_KEY in part.optargs:
        return False
    terms = subtree(part)
    return len(terms) <= MERGE_INLINE_TERMS_MAX and all(term.type != _MERGE for term in terms)


def _merge_object(c: Compiler, term: Term, nodes: list[Node], part: ast.expr) -> Node:
    """A document with some of its fields replaced; what merges more deeply is left to `merge_`."""
    line = c.line(term)
    env = c.name("env", line)
    code = c.inline(
        "(a | t_b if is_flat(t_b := later) else merge_(env, a, t_b))"
        ' if a.__class__ is dict and "$reql_type$" not in a else whole(env, a, late)',
        {
            "a": nodes[0].code,
            "env": env,
            "later": part,
            "whole": c.name("merge_later", line),
            "late": c.lambda_([], part, line),
        },
        line,
        lazy=("later", "late"),
    )
    return c.node(term, code, nodes, Kind.DATUM)


def is_flat(changes: dict[str, Any]) -> bool:
    """Whether merging these fields is nothing but replacing."""
    for value in changes.values():
        if value.__class__ is dict:
            return False
        if value.__class__ is list and not FLAT.issuperset(map(type, value)):
            return False
    return True


def _is_flat(part: Term) -> bool:
    """Whether a part is a literal object whose values replace what is there (and stay so in queries of this shape)."""
    return (
        part.type == DATUM
        and part.value.__class__ is dict
        and not any(value.__class__ is dict for value in part.value.values())
    )


def merge_argument(env: Env, value: Any, at: int) -> Any:
    return function_or_constant(env, value, at)


def merge_(env: Env, value: Any, *parts: Any) -> Any:
    """The parts merged onto a document, one after the other, or onto each of an array."""
    if value.__class__ is list:
        return [_merge_row(object_of(row, "merge"), parts) for row in value]
    return _merge_row(object_of(value, "merge", 0), parts)


def _merge_row(result: Any, parts: tuple[Any, ...]) -> Any:
    for at, part in enumerate(parts, 1):
        result = merge_part(result, part, at)
    return result


def merge_part(result: Any, part: Any, *at: Frame) -> Any:
    """One argument merged onto a document; an object that is a value of its own kind has no fields to merge."""
    if part.__class__ is dict and part.get(TYPE_KEY, BINARY) not in (BINARY, LITERAL):
        raise QueryLogicError(f"Cannot merge objects of type `{type_name(part)}`.", *at)
    return merge_objects(result, part)


def merge_later(env: Env, value: Any, *parts: Callable[[], Any]) -> Any:
    """As `merge_`, with parts that are evaluated when it is their turn."""
    if value.__class__ is list:
        return [_merge_row_later(object_of(row, "merge"), parts) for row in value]
    return _merge_row_later(object_of(value, "merge", 0), parts)


def _merge_row_later(result: Any, parts: tuple[Callable[[], Any], ...]) -> Any:
    for at, evaluate in enumerate(parts, 1):
        part = evaluate()
        if isinstance(part, Function):
            part = part.invoke(result)
        result = merge_part(result, part, at)
    return result


TERMS: Final = (
    TermSpec(
        32,
        "has_fields",
        at_least(1),
        run=has_fields_run,
        compile=_row_term("filter"),
        args=(Arg.DATUM,),
        grouped=Grouped.STREAM,
        names={"has_fields_one": has_fields_one, "had": had},
    ),
    TermSpec(
        33,
        "pluck",
        at_least(1),
        run=pluck_run,
        compile=_row_term("map"),
        args=(Arg.DATUM,),
        grouped=Grouped.STREAM,
        names={
            "plucked_paths": plucked_paths,
            "pluck_one": pluck_one,
            "plucked": plucked,
            "plucked_from": plucked_from,
        },
    ),
    TermSpec(
        34,
        "without",
        at_least(1),
        run=without_run,
        compile=_row_term("map"),
        args=(Arg.DATUM,),
        grouped=Grouped.STREAM,
        names={"without_one": without_one, "without_names": without_names},
    ),
    TermSpec(
        35,
        "merge",
        at_least(1),
        compile=merge,
        grouped=Grouped.STREAM,
        names={
            "merge_": merge_,
            "merge_argument": merge_argument,
            "merge_later": merge_later,
            "is_flat": is_flat,
        },
    ),
    TermSpec(
        96,
        "with_fields",
        at_least(1),
        compile=with_fields,
        grouped=Grouped.STREAM,
        datum=False,
    ),
)
