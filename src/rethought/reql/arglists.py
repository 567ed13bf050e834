"""r.args while a query is compiled: such a term is compiled when its arrays are known (`reql.splicing`).

What always holds: what the term needs of the query is handed on, and its literals may not vary. Called by the compiler.
"""

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from rethought.reql.expressions import at_line
from rethought.reql.nodes import Kind, Node
from rethought.reql.spec import Arg, Determinism
from rethought.reql.tree import ARGS, DATUM, Term, subtree, worst_of

if TYPE_CHECKING:
    from rethought.reql.compiler import Compiler

_NOT_SPLICED: Final = (41,)
"""ORDER_BY looks at what its arguments are before it evaluates them."""


_GET_ALL: Final = 78


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
    if term.type == _GET_ALL:
        quick = _keys_at_once(c, term, parts)
        if quick is not None:
            return replace(quick, determinism=determinism)
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


def _keys_at_once(c: "Compiler", term: Term, arrays: list[ast.expr]) -> Node | None:
    """`get_all` with arrays of keys: there may be thousands, and nothing depends on how many there are. None where the
    index is asked for first."""
    index = term.optargs.get("index")
    if term.args[0].type == ARGS or not (index is None or c.is_literal(index, str)):
        return None
    line = c.line(term)
    names: list[str] = []
    lists: list[ast.expr] = []
    keys: list[ast.expr] = []
    table = c.compile(term.args[0])
    for at, (arg, array) in enumerate(zip(term.args[1:], arrays[1:], strict=True), 1):
        if arg.type == ARGS:
            names.append(c.temp())
            lists.append(array)
            keys.append(at_line(ast.Starred(c.name(names[-1], line), ast.Load()), line))
        else:
            keys.append(c.check(c.compile(arg), Arg.DATUM, line, at))

    def build(first: Node) -> Node:
        code = c.run(term, [c.check(first, Arg.WHOLE, line, 0), *keys])
        return c.finish(term, code, [table])

    found = c.grouped(term, table, build)
    # The arrays are evaluated before anything else of the term is.
    code = at_line(ast.Call(c.lambda_(names, found.code, line), lists, []), line)
    return replace(found, code=code)
