"""Functions that give their row with some fields of their own: `row -> row.merge({...})`.

What always holds: what is compiled here gives only those fields, all of them values that replace what is there, or
raises NotFlatError; the function as a whole stands beside it for everything else. Called by the compiler.
"""

import ast
from typing import TYPE_CHECKING, Final

from rethought.datum.kinds import TYPE_KEY
from rethought.exec.functions import FLAT
from rethought.reql.expressions import at_line
from rethought.reql.nodes import Kind, Node
from rethought.reql.projecting import are_plain, fields_read, is_row
from rethought.reql.spec import TermSpec, at_least
from rethought.reql.tree import DATUM, FUNC, IMPLICIT_VAR, MAKE_OBJ, Term

if TYPE_CHECKING:
    from rethought.reql.compiler import Compiler

ROW_GUARD: Final = -2
"""The term that refuses rows which are sequences (`terms.fields`)."""
_MERGE: Final = 35


def changes_of(number: int, body: Term) -> tuple[Term, set[str]] | None:
    """What a body merges into its row, as a term, and the fields it reads for that; None for any other body."""
    if body.type == ROW_GUARD:
        body = body.args[0]
    if body.type != _MERGE or body.optargs or len(body.args) < 2:
        return None
    row, *parts = body.args
    if not is_row(row, {number}):
        return None
    fields: set[str] = set()
    for at, part in enumerate(parts):
        numbers = {number}
        if part.type == FUNC:
            parameter = _parameter(part)
            if at or parameter is None:  # a later part sees what was merged before
                return None
            numbers.add(parameter)
            part = part.args[1]
        found = fields_read(numbers, part) if _is_object(part) else None
        if found is None:
            return None
        fields |= found
    if not are_plain(fields):
        return None
    return Term(CHANGES.type, body.args, {}, body.path, CHANGES), fields


def _parameter(function: Term) -> int | None:
    """The number of the only parameter of a function that was compiled before."""
    first = function.args[0]
    numbers = first.value if first.type == DATUM else [part.value for part in first.args]
    return numbers[0] if len(numbers) == 1 else None


def _is_object(part: Term) -> bool:
    """Whether a part is an object whose values may be known to be no objects."""
    if part.type == DATUM:
        return part.value.__class__ is dict and all(
            value.__class__ in FLAT for value in part.value.values()
        )
    return part.type == MAKE_OBJ and TYPE_KEY not in part.optargs


def _changes(c: "Compiler", term: Term) -> Node:
    line = c.line(term)
    row, *parts = term.args
    variable = c.scope[c.implicit[-1] if row.type == IMPLICIT_VAR else row.args[0].value]
    code: ast.expr | None = None
    for part in parts:
        scope, implicit = c.scope, c.implicit
        if part.type == FUNC:
            (number,) = c.parameters(part)
            c.scope = {**scope, number: variable}
            c.implicit = [*implicit, number]
            part = part.args[1]
        found = _flat_object(c, part)
        c.scope, c.implicit = scope, implicit
        code = found if code is None else at_line(ast.BinOp(code, ast.BitOr(), found), line)
    assert code is not None
    return Node(code, Kind.DATUM)


def _flat_object(c: "Compiler", part: Term) -> ast.expr:
    line = c.line(part)
    if part.type == DATUM:
        code = c.compile(part).code
        return c.inline(f'a if "{TYPE_KEY}" not in a else flat(a)', {"a": code}, line)
    keys: list[ast.expr | None] = []
    values = []
    for name in sorted(part.optargs):
        node = c.compile(part.optargs[name])
        code = c.datum(node, line, name)
        if node.kind is not Kind.BOOL and node.known is None:
            code = c.inline("a if a.__class__ in FLAT else flat(a)", {"a": code}, line)
        keys.append(c.constant(name, line))
        values.append(code)
    return at_line(ast.Dict(keys, values), line)


CHANGES: Final = TermSpec(-3, "merge", at_least(2), compile=_changes)
