"""Functions that outlive a query: index functions, write hooks and rules, compiled from their source.

What always holds: they run outside any query, never give way and never wait, and may therefore take only so long for a
row; their errors are their caller's affair.
"""

from typing import Any

from rethought.errors import CompileError, QueryLogicError
from rethought.exec.env import Env
from rethought.exec.functions import Function, RowFunction, Rows
from rethought.exec.values import need_function
from rethought.limits import DEFAULT_LIMITS
from rethought.reql.compiled import tree_literal
from rethought.reql.compiler import Compiler
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


class StoredRowFunction(RowFunction):
    """A function of one row with a time of its own for every chunk; of that it decodes what it reads."""

    def _paced(self, function: Rows, rows: list[Any]) -> list[Any]:
        _env.hold_on()
        return super()._paced(function, rows)


def compile_function(term_json: Any, *, project: bool = False) -> Function:
    """The function of a FUNC term as drivers send it; `project` asks for a form that decodes only what it reads. Raises
    QueryLogicError."""
    try:
        tree = TreeBuilder(SPECS, tree_literal).build(term_json, None, ())
        compiler = Compiler(SPECS, parametrize=False)
        node = compiler.function(tree, project=True) if project else compiler.compile(tree)
        run = compiler.code(node.code)
    except CompileError as error:
        raise QueryLogicError(error.message) from None
    found = need_function(_env, run(_env, ()), None)
    if project and isinstance(found, RowFunction):
        return StoredRowFunction(found.rows, found.projection, found.flags, found.term, found.env)
    return StoredFunction(found)
