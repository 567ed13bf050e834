"""Functions that give their row in another shape: `row -> row.merge({...}).without("x")`, or one side of a pair so.

What always holds: what is compiled here are the steps of a recipe (`exec.reshaping`), which gives the same rows or
none; the function as a whole stands beside it for everything else. Called by the compiler.
"""

import ast
from typing import TYPE_CHECKING, Final

from rethought.datum.kinds import TYPE_KEY
from rethought.datum.paths import Paths
from rethought.exec.functions import FLAT
from rethought.exec.reshaping import Changes, Cut, Other, Recipe
from rethought.reql.expressions import at_line
from rethought.reql.nodes import Kind, Node
from rethought.reql.projecting import FIELD_TERMS, are_plain, fields_read, is_row, literal_paths
from rethought.reql.spec import TermSpec, exactly
from rethought.reql.tree import DATUM, FUNC, IMPLICIT_VAR, MAKE_OBJ, Term, subtree

if TYPE_CHECKING:
    from rethought.reql.compiler import Compiler

ROW_GUARD: Final = -2
"""The term that refuses rows which are sequences (`terms.fields`)."""
_PLUCK: Final = 33
_WITHOUT: Final = 34
_MERGE: Final = 35
_LITERAL: Final = 137
_LEFT, _RIGHT = "left", "right"

_Merge = tuple[Term, set[str]]
"""What is merged into a row, as a term, and the fields that it reads."""


def compile_recipe(
    c: "Compiler", number: int, body: Term, fields: set[str] | None, want: Kind, line: int
) -> ast.expr | None:
    """The recipe of a body, None for any other. A body that can do with some `fields` of its row has one for pairs:
    of any other rows it makes its values from those in less time."""
    if body.type == ROW_GUARD:
        body = body.args[0]
    steps: list[_Merge | Cut | Other] = []
    pinned: list[Term] = []
    while body.type in _STEPS and len(body.args) > 1 and not body.optargs:
        make = _merges if body.type == _MERGE else _cut
        found = make(number, body, pinned)
        if found is None:
            return None
        steps[:0] = found
        body = body.args[0]
    side = _side_of(number, body)
    if side is not None:
        pinned.append(body.args[1])
    elif not is_row(body, {number}) or (fields and not fields <= {_LEFT, _RIGHT}):
        return None
    if not steps or Other() in steps[1:] or (steps[0] == Other() and side != _LEFT):
        return None
    made: list[ast.expr] = []
    for step in steps:
        if isinstance(step, tuple):
            merge, fields = step
            parts = c.narrowed(number, merge, fields, want, line)
            made.append(c.call(Changes.__name__, parts.elts, line))
        else:
            made.append(c.keep(step, line))
    for term in pinned:
        c.pin(term)
    return c.call(Recipe.__name__, [c.constant(side, line), c.tuple_(made, line)], line)


_STEPS: Final = (_PLUCK, _WITHOUT, _MERGE)


def _side_of(number: int, term: Term) -> str | None:
    """Which side of a pair a term is."""
    if term.type not in FIELD_TERMS or len(term.args) != 2 or term.optargs:
        return None
    row, field = term.args
    if not is_row(row, {number}) or field.type != DATUM or field.value not in (_LEFT, _RIGHT):
        return None
    side: str = field.value
    return side


def _cut(number: int, body: Term, pinned: list[Term]) -> list[Cut] | None:
    names = body.args[1:]
    paths = literal_paths(body)
    if paths is None:
        return None
    keep = body.type == _PLUCK
    if keep and _names_kind(paths):
        return None
    pinned += names
    return [Cut(paths, keep)]


def _names_kind(paths: Paths) -> bool:
    """Whether a path leads to what makes a value one of its own kind: on its own, that is refused."""
    return TYPE_KEY in paths or any(below and _names_kind(below) for below in paths.values())


def _merges(number: int, body: Term, pinned: list[Term]) -> list[_Merge | Other] | None:
    row, *parts = body.args
    steps: list[_Merge | Other] = []
    if _side_of(number, parts[0]) == _RIGHT:
        pinned.append(parts.pop(0).args[1])
        steps.append(Other())
    for at, part in enumerate(parts):
        numbers, made = {number}, part
        if part.type == FUNC:
            parameter = _parameter(part)
            if at or steps or parameter is None or not is_row(row, {number}):
                return None  # it sees what was merged before
            numbers.add(parameter)
            made = part.args[1]
        fields = fields_read(numbers, made) if _is_object(made) else None
        if fields is None or not are_plain(fields):
            return None
        steps.append((Term(CHANGES.type, [row, part], {}, body.path, CHANGES), fields))
    return steps


def _parameter(function: Term) -> int | None:
    """The number of the only parameter of a function that was compiled before."""
    first = function.args[0]
    numbers = first.value if first.type == DATUM else [part.value for part in first.args]
    return numbers[0] if len(numbers) == 1 else None


def _is_object(part: Term) -> bool:
    """Whether a part is an object in which there is certainly nothing to be put in the place of another value."""
    if part.type == DATUM:
        return part.value.__class__ is dict and all(
            value.__class__ in FLAT for value in part.value.values()
        )
    if part.type != MAKE_OBJ or TYPE_KEY in part.optargs:
        return False
    return not any(
        below.type == _LITERAL or (below.type == DATUM and _has_object(below.value))
        for below in subtree(part)
    )


def _has_object(value: object) -> bool:
    """Whether there is an object with fields in a literal: in another query it may be a value of any kind."""
    if value.__class__ is list:
        return any(map(_has_object, value))
    return value.__class__ is dict and bool(value)


def _changes(c: "Compiler", term: Term) -> Node:
    row, part = term.args
    scope, implicit = c.scope, c.implicit
    if part.type == FUNC:
        (number,) = c.parameters(part)
        outer = implicit[-1] if row.type == IMPLICIT_VAR else row.args[0].value
        c.scope = {**scope, number: scope[outer]}
        c.implicit = [*implicit, number]
        part = part.args[1]
    code = _object(c, part)
    c.scope, c.implicit = scope, implicit
    return Node(code, Kind.DATUM)


def _object(c: "Compiler", part: Term) -> ast.expr:
    line = c.line(part)
    if part.type == DATUM:
        code = c.compile(part).code
        return c.inline(f'a if "{TYPE_KEY}" not in a else flat(a)', {"a": code}, line)
    keys: list[ast.expr | None] = []
    values = []
    for name in sorted(part.optargs):
        code = c.datum(c.compile(part.optargs[name]), line, name)
        keys.append(c.constant(name, line))
        values.append(code)
    return at_line(ast.Dict(keys, values), line)


CHANGES: Final = TermSpec(-3, "merge", exactly(2), compile=_changes)
