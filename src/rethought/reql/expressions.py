"""Expressions of generated code, each part with the line number of the term it belongs to.

What always holds: every node that leaves here has a line number, and an argument put into a template is evaluated once,
in order (`lazy` ones only where they stand). The compiler builds on it.
"""

import ast
import copy
import itertools
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from types import CodeType
from typing import Any, Final, TypeVar

from rethought.errors import Frame
from rethought.reql.tree import Term


class Template:
    """An expression with holes. `leading` are the names that it evaluates first, whatever their values are, in order;
    `make(name, line)` builds it anew, with `name(id, ctx)` for each name that stands in it."""

    __slots__ = ("leading", "make")

    def __init__(self, source: str) -> None:
        tree = ast.parse(source, mode="eval").body
        names: list[str] = []
        _leading(tree, names)
        self.leading = tuple(dict.fromkeys(names))
        kept: dict[str, Any] = {}
        code = _constructor(tree, kept)
        self.make: Callable[[Callable[[str, ast.expr_context], ast.expr], int], ast.expr]
        self.make = eval(f"lambda name, line: {code}", kept)


template: Final = cache(Template)


def _constructor(node: Any, kept: dict[str, Any]) -> str:
    """Python code that makes a node; a query has hundreds of them, so this has no time to look at a tree each time."""
    kind = node.__class__
    if kind is list:
        return f"[{', '.join([_constructor(part, kept) for part in node])}]"
    if kind is ast.Name:
        return f"name({node.id!r}, {_constructor(node.ctx, kept)})"
    if not isinstance(node, ast.AST) or not node._fields:  # what is never changed is shared
        return _kept(node, kept)
    # The test of a choice runs first.
    fields = ("test", "body", "orelse") if kind is ast.IfExp else kind._fields
    parts = [f"{field}={_constructor(getattr(node, field), kept)}" for field in fields]
    if isinstance(node, ast.expr):
        parts.append("lineno=line, col_offset=0")
    return f"{_kept(kind, kept)}({', '.join(parts)})"


def _kept(value: object, kept: dict[str, Any]) -> str:
    name = f"k{len(kept)}"
    kept[name] = value
    return name


def _leading(node: ast.expr, names: list[str]) -> bool:
    """Adds what `node` evaluates to `names`, up to the first choice; False when there is one."""
    parts: list[ast.expr]
    whole = True
    match node:
        case ast.Name():
            names.append(node.id)
            return True
        case ast.IfExp():
            parts, whole = [node.test], False
        case ast.BoolOp():
            parts, whole = [node.values[0]], False
        case ast.Compare():
            parts, whole = [node.left, node.comparators[0]], len(node.comparators) == 1
        case ast.BinOp():
            parts = [node.left, node.right]
        case ast.Subscript():
            parts = [node.value, node.slice]
        case ast.Attribute():
            parts = [node.value]
        case ast.UnaryOp():
            parts = [node.operand]
        case _:
            return False
    return all(_leading(part, names) for part in parts) and whole


def fill(
    made_of: Template,
    values: dict[str, ast.expr],
    first: dict[str, ast.expr],
    line: int,
    temps: dict[str, str],
) -> ast.expr:
    """An expression of a template; the first occurrence of a name in `first` becomes the binding one. What is put in is
    not looked into: compiling a query costs what its terms cost, however they nest."""

    def name(id_: str, context: ast.expr_context) -> ast.expr:
        if id_.startswith("t_"):
            return ast.Name(temps[id_], context, lineno=line, col_offset=0)
        binding = first.pop(id_, None)
        if binding is not None:
            return binding
        value = values.get(id_)
        if value is None:
            return ast.Name(id_, context, lineno=line, col_offset=0)
        kind = value.__class__
        if kind is ast.Name:
            return ast.Name(value.id, value.ctx, lineno=value.lineno, col_offset=0)  # type: ignore[attr-defined]
        return copy.copy(value) if kind is ast.Constant else value

    return made_of.make(name, line)


Expression = TypeVar("Expression", bound=ast.expr)


def code_of(tree: ast.Expression, filename: str) -> CodeType:
    """Compiles an expression. That a client's literal is compared with `is` is nothing to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        code: CodeType = compile(tree, filename, "eval")
        return code


def at_line(node: Expression, line: int) -> Expression:
    node.lineno = line
    node.col_offset = 0
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

    def each(
        self, names: Sequence[str], element: ast.expr, line: int, *, closes: bool
    ) -> ast.Lambda:
        """`lambda rows: [element for name in rows]`, or `for name, name in rows`."""
        if closes:  # a closure must not see the next row
            inner = self.lambda_(names, element, line)
            given: list[ast.expr] = [self.name(name, line) for name in names]
            element = at_line(ast.Call(inner, given, []), line)
        targets: list[ast.expr] = [at_line(ast.Name(name, ast.Store()), line) for name in names]
        target = targets[0] if len(targets) == 1 else at_line(ast.Tuple(targets, ast.Store()), line)
        loop = ast.comprehension(target, self.name("rows", line), [], 0)
        return self.lambda_(["rows"], at_line(ast.ListComp(element, [loop]), line), line)

    def inline(
        self,
        source: str,
        args: dict[str, ast.expr],
        line: int,
        lazy: tuple[str, ...] = ("slow",),
        unset: Sequence[str] = (),
    ) -> ast.expr:
        """Fills a template; every argument is evaluated once, in order, but `lazy` ones only where they stand. Those
        in `unset` may be fields that a row lacks: `slow` is not called with such a one."""
        made_of = template(source)
        values: dict[str, ast.expr] = {}
        bindings: dict[str, ast.expr] = {}
        for name, code in args.items():
            if name in lazy or is_simple(code):
                values[name] = code
            else:
                temp = self.temp()
                values[name] = self.name(temp, line)
                bound = ast.NamedExpr(at_line(ast.Name(temp, ast.Store()), line), code)
                bindings[name] = at_line(bound, line)
        if "slow" in args:
            slow = args["slow"]
            assert isinstance(slow, ast.Call)
            slow.args = [slow.args[0]]
            for name in args:
                if name != "slow":
                    value = values[name]
                    slow.args.append(
                        self.call("present", [value], line) if name in unset else value
                    )
        temps: dict[str, str] = defaultdict(self.temp)
        names = list(bindings)
        if names == [name for name in made_of.leading if name in bindings]:
            return fill(made_of, values, bindings, line, temps)
        result = fill(made_of, values, {}, line, temps)
        prelude = at_line(ast.Tuple(list(bindings.values()), ast.Load()), line)
        return at_line(ast.BoolOp(ast.And(), [prelude, result]), line)


def is_simple(code: ast.expr) -> bool:
    """Whether evaluating this can neither fail nor do anything: a literal or a variable."""
    if isinstance(code, ast.Subscript):
        return isinstance(code.value, ast.Name) and code.value.id == "p"
    return isinstance(code, ast.Name | ast.Constant)
