"""Expressions of generated code, each part with the line number of the term it belongs to.

What always holds: every node that leaves here has a line number, and an argument put into a template is evaluated once,
in order (`lazy` ones only where they stand). The compiler builds on it.
"""

import ast
import copy
import itertools
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from rethought.errors import Frame
from rethought.reql.tree import Term


@cache
def parsed(source: str) -> tuple[ast.expr, str | None]:
    """An inline template and the name it evaluates first."""
    tree = ast.parse(source, mode="eval").body
    leading: ast.AST = tree
    while not isinstance(leading, ast.Name):
        if isinstance(leading, ast.IfExp):
            leading = leading.test
        elif isinstance(leading, ast.Compare | ast.BinOp):
            leading = leading.left
        elif isinstance(leading, ast.BoolOp):
            leading = leading.values[0]
        elif isinstance(leading, ast.Attribute | ast.Subscript):
            leading = leading.value
        elif isinstance(leading, ast.UnaryOp):
            leading = leading.operand
        else:
            return tree, None
    return tree, leading.id


class Fill:
    """Makes an expression of a template, which stays as it is; the first occurrence in `first` becomes the binding
    one. What is put in is not looked into: compiling a query costs what its terms cost, however they nest."""

    def __init__(
        self,
        values: dict[str, ast.expr],
        first: dict[str, ast.expr],
        line: int,
        temps: dict[str, str],
    ) -> None:
        self.values = values
        self.first = first
        self.line = line
        self.temps = temps

    def visit(self, node: Any) -> Any:
        kind = node.__class__
        if kind is ast.Name:
            return self._name(node)
        filled = kind()
        # The test of a choice runs first.
        for field in ("test", "body", "orelse") if kind is ast.IfExp else kind._fields:
            value = getattr(node, field)
            if value.__class__ is list:
                value = [self.visit(part) for part in value]
            elif isinstance(value, ast.expr):
                value = self.visit(value)
            setattr(filled, field, value)
        return at_line(filled, self.line) if isinstance(filled, ast.expr) else filled

    def _name(self, node: ast.Name) -> ast.expr:
        if node.id.startswith("t_"):
            return at_line(ast.Name(self.temps[node.id], node.ctx), self.line)
        binding = self.first.pop(node.id, None)
        if binding is not None:
            return binding
        value = self.values.get(node.id)
        if value is None:
            return at_line(ast.Name(node.id, node.ctx), self.line)
        return copy.copy(value) if isinstance(value, ast.Name | ast.Constant) else value


Expression = TypeVar("Expression", bound=ast.expr)


def at_line(node: Expression, line: int) -> Expression:
    node.lineno = node.end_lineno = line
    node.col_offset = node.end_col_offset = 0
    return node


class Expressions:
    """The expressions of one plan: `paths` are the backtraces by line number, `constants` the objects they name."""

    def __init__(self) -> None:
        self.paths: list[tuple[Frame, ...]] = [()]
        self.constants: dict[str, Any] = {}
        self._temps = itertools.count()
        self._lines: dict[int, int] = {}
        self._terms: list[Term] = []  # kept, so that no other term gets the identity of one of them

    def line(self, term: Term) -> int:
        """The line number that stands for this term in tracebacks."""
        number = self._lines.get(id(term))
        if number is None:
            number = self._lines[id(term)] = len(self.paths)
            self.paths.append(term.path)
            self._terms.append(term)
        return number

    def name(self, name: str, line: int) -> ast.Name:
        return at_line(ast.Name(name, ast.Load()), line)

    def constant(self, value: str | int | float | bool | None, line: int) -> ast.Constant:
        return at_line(ast.Constant(value), line)

    def keep(self, value: Any, line: int) -> ast.Name:
        """An object of this plan, by name."""
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return self.name(name, line)

    def call(self, function: str, args: Sequence[ast.expr], line: int) -> ast.Call:
        return at_line(ast.Call(self.name(function, line), list(args), []), line)

    def tuple_(self, elements: Sequence[ast.expr], line: int) -> ast.Tuple:
        return at_line(ast.Tuple(list(elements), ast.Load()), line)

    def temp(self) -> str:
        return f"t{next(self._temps)}"

    def lambda_(self, params: Sequence[str], body: ast.expr, line: int) -> ast.Lambda:
        arguments = ast.arguments(
            posonlyargs=[],
            args=[ast.arg(name, lineno=line, col_offset=0) for name in params],
            kwonlyargs=[],
            kw_defaults=[],
            defaults=[],
        )
        return at_line(ast.Lambda(arguments, body), line)

    def inline(
        self,
        template: str,
        args: dict[str, ast.expr],
        line: int,
        lazy: tuple[str, ...] = ("slow",),
    ) -> ast.expr:
        """Fills a template; every argument is evaluated once, in order, but `lazy` ones only where they stand."""
        tree, leading = parsed(template)
        values: dict[str, ast.expr] = {}
        complex_args: list[tuple[str, str, ast.expr]] = []
        for name, code in args.items():
            if name in lazy or isinstance(code, ast.Name | ast.Constant):
                values[name] = code
            else:
                temp = self.temp()
                values[name] = self.name(temp, line)
                complex_args.append((name, temp, code))
        if "slow" in args:
            slow = args["slow"]
            assert isinstance(slow, ast.Call)
            slow.args = [slow.args[0], *(values[name] for name in args if name != "slow")]
        bindings = {
            name: at_line(ast.NamedExpr(at_line(ast.Name(temp, ast.Store()), line), code), line)
            for name, temp, code in complex_args
        }
        temps: dict[str, str] = defaultdict(self.temp)
        if len(bindings) == 1 and leading in bindings:
            result: ast.expr = Fill(values, dict(bindings), line, temps).visit(tree)
            return result
        result = Fill(values, {}, line, temps).visit(tree)
        if not bindings:
            return result
        prelude = at_line(ast.Tuple(list(bindings.values()), ast.Load()), line)
        return at_line(ast.BoolOp(ast.And(), [prelude, result]), line)
