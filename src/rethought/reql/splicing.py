"""r.args: a term whose arguments are known only when the query runs.

What always holds: such a term is compiled at run time, within the scope it stands in, once its arrays are there; a
value from an array is as deterministic as the array it came from.
Callers: generated code, by the name that the row of `args` gives it (`reql.terms.core`).
"""

from functools import cache
from typing import Any, Final

from rethought.errors import CompileError, Frame, QueryLogicError
from rethought.exec.env import Env
from rethought.exec.sorting import SLOW_LOT, lots
from rethought.reql.compiler import UNIT_TERMS, Compiler
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
        if arg.type != ARGS:
            args.append(arg)
            continue
        worst = worst_of(arg)
        for lot in lots(env, array, SLOW_LOT):
            args += [_spliced(value, arg.path, worst) for value in lot]
    known = Term(term.type, args, term.optargs, term.path, term.spec)
    compiler = Compiler(specs, parametrize=False)
    compiler.scope = dict(scope)
    compiler.implicit = list(implicit)
    compiler.pace = env.tick
    try:
        node = compiler.compile(known)
    except CompileError as error:
        raise QueryLogicError(error.message, frames=error.frames) from None
    function = compiler.code(node.code, [var.name for var in scope.values()])
    if len(args) > UNIT_TERMS:
        env.hold([compiler.paths, *compiler.constants.values()])
        compiler.scrap.append(args)
        del known, node, args
        compiler.forget(env.tick)
    return function(env, (), *captured)


def not_spliced() -> Any:
    raise QueryLogicError("r.args is not supported in an order_by or union command yet.")


def _spliced(value: Any, path: tuple[Frame, ...], worst: Determinism) -> Term:
    """A value as the argument it became."""
    literal = datum(value, path)
    return literal if not worst else Term(SPLICED, [literal], {}, path, _row(worst))


@cache
def _row(determinism: Determinism) -> TermSpec:
    """What a value that came from r.args is compiled by."""

    def compile_(c: Compiler, term: Term) -> Node:
        node = c.compile(term.args[0])
        return Node(node.code, node.kind, determinism)

    return TermSpec(SPLICED, "args", (1, 1), compile=compile_)
