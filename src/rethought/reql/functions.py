"""Functions that outlive a query: index functions and write hooks, compiled from their source.

What always holds: they run outside any query, never give way and never wait, and may therefore take only so long for a
row; their errors are their caller's affair.
"""

from typing import Any

from rethought.errors import CompileError, QueryLogicError
from rethought.exec.env import Env
from rethought.exec.functions import Function
from rethought.exec.values import need_function
from rethought.limits import DEFAULT_LIMITS
from rethought.reql.compiled import tree_literal
from rethought.reql.compiler import Compiler, finished
from rethought.reql.terms import SPECS
from rethought.reql.tree import TreeBuilder

_env = Env(None, None, None, DEFAULT_LIMITS, None)
_env.hold_on()


class StoredFunction(Function):
    """A function with a time of its own for every row."""

    __slots__ = ("_over",)

    def __init__(self, function: Function) -> None:
        super().__init__(function.arity, function.call, function.flags, function.term)
        self._over = function.over

    def invoke(self, *args: Any) -> Any:
        _env.hold_on()
        return super().invoke(*args)

    def over(self, rows: list[Any]) -> list[Any]:
        _env.hold_on()
        return self._over(rows)


def compile_function(term_json: Any) -> Function:
    """The function of a FUNC term as drivers send it. Raises QueryLogicError."""
    try:
        tree = TreeBuilder(SPECS, tree_literal).build(term_json, None, ())
        compiler = Compiler(SPECS, parametrize=False)
        run = finished(compiler, compiler.code(compiler.compile(tree).code))
    except CompileError as error:
        raise QueryLogicError(error.message) from None
    return StoredFunction(need_function(_env, run(_env, ()), None))
