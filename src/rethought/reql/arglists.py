"""r.args while a query is compiled: such a term is compiled when its arrays are known (`reql.splicing`).

What always holds: what the term needs of the query is handed on, and its literals may not vary. Called by the compiler.
"""

import ast
from typing import TYPE_CHECKING, Final

from rethought.reql.expressions import at_line
from rethought.reql.nodes import Kind, Node
from rethought.reql.spec import Arg, Determinism
from rethought.reql.tree import ARGS, DATUM, Term, subtree, worst_of

if TYPE_CHECKING:
    from rethought.reql.compiler import Compiler

_NOT_SPLICED: Final = (41,)
"""ORDER_BY looks at what its arguments are before it evaluates them."""


def compile_spliced(c: "Compiler", term: Term) -> Node:
    """A term with r.args: it is compiled when the arrays are known."""
    line = c.line(term)
    if term.type in _NOT_SPLICED:
        code = c.call("not_spliced", [], line)
        return Node(code, Kind.ANY, Determinism.ALWAYS, True)
    parts: list[ast.expr] = []
    for arg in term.args:
        if arg.type != ARGS:
            parts.append(c.constant(None, line))
            continue
        assert arg.spec is not None
        c.check_arity(arg, arg.spec)
        array = c.check(c.compile(arg.args[0]), Arg.ARRAY_DATUM, c.line(arg), 0)
        parts.append(array)
    determinism = worst_of(term)
    names = dict(c.scope)
    captured: list[ast.expr] = [c.name(var.name, line) for var in names.values()]
    for arg in subtree(term):
        if arg.type == DATUM:
            c.pinned.add(id(arg))
    code = c.call(
        "splice",
        [
            c.name("env", line),
            c.keep((c.specs, term, dict(names), list(c.implicit)), line),
            at_line(ast.List(parts, ast.Load()), line),
            at_line(ast.Tuple(captured, ast.Load()), line),
        ],
        line,
    )
    return Node(code, Kind.ANY, determinism, True)
