"""The parameters of a function as drivers send it: `FUNC([1, 2], body)`. Called by the compiler."""

from typing import TYPE_CHECKING

from rethought.errors import CompileError
from rethought.reql.tree import DATUM, MAKE_ARRAY, Term, datum

if TYPE_CHECKING:
    from rethought.reql.compiler import Compiler


def parameters_of(c: "Compiler", term: Term) -> list[int]:
    """The variable numbers of a FUNC."""
    if term.optargs:
        raise CompileError("FUNC takes no optional arguments.", frames=term.path)
    if len(term.args) != 2:
        raise CompileError(
            f"FUNC takes exactly two arguments (got {len(term.args)})", frames=term.path
        )
    first = term.args[0]
    must_be = "*literal array of numbers*"
    if first.type == MAKE_ARRAY:
        if all(part.type == DATUM for part in first.args):
            first = datum([c.pin(part) for part in first.args], first.path)
        must_be = "*literal* array of numbers"
    elif first.type == DATUM:
        must_be = "literal *array* of numbers"
    if first.type != DATUM or first.value.__class__ is not list:
        raise CompileError(f"CLIENT ERROR: FUNC variables must be a {must_be}.", frames=term.path)
    numbers = c.number(first)
    if not all(number.__class__ is int for number in numbers):
        raise CompileError(
            "CLIENT ERROR: FUNC variables must be a literal array of *numbers*.",
            frames=term.path,
        )
    return list(numbers)
