"""r.args: a term whose arguments are known only when the query runs.

What always holds: such a term is compiled at run time, within the scope it stands in, once its arrays are there; a
value from an array is as deterministic as the array it came from.
Callers: generated code, by the name that the row of `args` gives it (`reql.terms.core`).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from rethought.errors import CompileError, QueryLogicError
from rethought.exec.env import Env
from rethought.reql.compiler import Compiler, finished
from rethought.reql.nodes import Node, Variable
from rethought.reql.spec import Determinism, TermSpec
from rethought.reql.tree import ARGS, Term, datum, worst_of

SPLICED: Final = -4
"""The number of the term that a value from r.args is wrapped in; no client can send it."""


def splice(
    env: Env,
    place: tuple[dict[int, TermSpec], Term, dict[int, Variable], list[int]],
    arrays: list[Any],
    captured: Any,
) -> Any:
    """Compiles and runs a term whose arguments are known only now; `place` is what the compiler kept of it."""
    specs, term, scope, implicit = place
    args: list[Term] = []
    for arg, array in zip(term.args, arrays, strict=True):
        if arg.type == ARGS:
            args.extend(_spliced(value, arg) for value in array)
        else:
            args.append(arg)
    known = Term(term.type, args, term.optargs, term.path, term.spec)
    try:
        function = _compiled(specs, known, scope, implicit)
    except CompileError as error:
        raise QueryLogicError(error.message, frames=error.frames) from None
    return function(env, (), *captured)


def not_spliced() -> Any:
    raise QueryLogicError("r.args is not supported in an order_by or union command yet.")


def _spliced(value: Any, place: Term) -> Term:
    """A value as the argument it became."""
    literal = datum(value, place.path)
    worst = worst_of(place)
    return literal if not worst else Term(SPLICED, [literal], {}, place.path, _row(worst))


@cache
def _row(determinism: Determinism) -> TermSpec:
    """What a value that came from r.args is compiled by."""

    def compile_(c: Compiler, term: Term) -> Node:
        node = c.compile(term.args[0])
        return Node(node.code, node.kind, determinism)

    return TermSpec(SPLICED, "args", (1, 1), compile=compile_)


def _compiled(
    specs: dict[int, TermSpec], term: Term, scope: dict[int, Variable], implicit: list[int]
) -> Callable[..., Any]:
    """A term as `(env, p, *scope values)`, compiled within the scope it stands in."""
    compiler = Compiler(specs, parametrize=False)
    compiler.scope = dict(scope)
    compiler.implicit = list(implicit)
    node = compiler.compile(term)
    return finished(compiler, compiler.code(node.code, [var.name for var in scope.values()]))
