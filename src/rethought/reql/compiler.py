"""Compiles a tree of terms to one Python function.

A query becomes `query(env, p)`: `p` holds the literals that may differ between queries of the same shape. Every term
becomes an expression; a function of ReQL becomes a lambda over a whole chunk of rows (`lambda rows: [body for v in
rows]`), so that a row costs no Python call. What always holds: each instruction's line number is the number of the
term it belongs to, so a traceback names the backtrace frame and the success path pays nothing for it; arguments are
checked left to right. `reql.plan` calls this; the families in `reql.terms` are called back through `TermSpec.compile`.
"""

import ast
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from types import CodeType
from typing import Any, Final

from rethought.errors import CompileError, Frame
from rethought.exec.freeing import free_in_steps
from rethought.exec.projection import attribute, projection
from rethought.reql import runtime
from rethought.reql.arglists import compile_spliced
from rethought.reql.expressions import Expressions, at_line, code_of, fill, template
from rethought.reql.fetching import Reads, compile_reads
from rethought.reql.holding import hold
from rethought.reql.merging import compile_recipe
from rethought.reql.nodes import (
    CHECKS,
    NUMERIC,
    PLAIN,
    PSEUDOTYPE_KEYS,
    SATISFIES,
    Kind,
    Known,
    Node,
    Variable,
    known_of,
)
from rethought.reql.parameters import parameters_of
from rethought.reql.projecting import field_function, first_field, projected_fields
from rethought.reql.spec import Arg, Determinism, Grouped, TermSpec, arity_message
from rethought.reql.tree import (
    DATUM,
    FUNC,
    IMPLICIT_VAR,
    INTERNAL_VARS,
    MAKE_OBJ,
    VAR,
    Term,
)

UNIT_TERMS: Final = 200
UNIT_HEIGHT: Final = 24
"""How many terms, and how deep, become one code object."""

PACE_TERMS: Final = 32
SPREAD_MAX: Final = 10_000
PROJECTED_TERMS_MAX: Final = 64
"""Functions of more terms are not compiled a second time for projected rows."""

_DETERMINISM: Final = attrgetter("determinism")
_CLOSES: Final = attrgetter("closes")

_plan_numbers = itertools.count(1)


class Compiler(Expressions):
    """Compiles one query. `params` collects the literals that stay parameters, `pinned` those that may not vary."""

    shortcuts = True
    """Off, nothing is done inline and nothing is read in projected form: the same answers, slowly. For tests."""

    def __init__(self, specs: dict[int, TermSpec], *, parametrize: bool = True) -> None:
        super().__init__()
        self.specs = specs
        self.parametrize = parametrize
        self.filename = f"<reql {next(_plan_numbers)}>"
        self.params: list[Term] = []
        self.pinned: set[int] = set()
        self._places: dict[int, int] = {}  # of literals among the parameters, by identity
        self.names: list[Term] = []  # literals that are variables' numbers
        self.scope: dict[int, Variable] = {}
        self.implicit: list[int] = []
        self.depth = 0
        self.pace: Callable[[], None] | None = None
        self.profile = False  # whether terms are measured
        self.root: Term | None = None  # the whole query
        self.home: Term | None = None  # the name of the database of tables without one, if literal
        self.raw = False  # whether the term being compiled may be loose or unset; asked before its arguments are
        self._raw_wanted = False
        self.uses: dict[int, int] = {}  # of each variable
        self.copies = 1  # of one value that the functions so far may put into another
        self.terms = 0  # compiled so far
        self.scrap: list[Any] = []  # long lists of what is of no use when all is compiled
        self._steps = 0
        self._weight = 0  # terms of the expression being built
        self._height = 0

    # ---- terms

    def inline(
        self,
        source: str,
        args: dict[str, ast.expr],
        line: int,
        lazy: tuple[str, ...] = ("slow",),
        unset: Sequence[str] = (),
    ) -> ast.expr:
        slow = args.get("slow")
        # Outside functions a term runs once: what stands inline would cost more to compile than it saves.
        if slow is None or (self.shortcuts and self.depth):
            return super().inline(source, args, line, lazy, unset)
        assert isinstance(slow, ast.Call)
        slow.args = [slow.args[0], *(code for name, code in args.items() if name != "slow")]
        return slow

    def run(self, term: Term, args: Sequence[ast.expr], *, opts: bool = False) -> ast.Call:
        """A call of a term's `run`."""
        line = self.line(term)
        code = self.call(f"run_{term.type}", [self.name("env", line), *args], line)
        if opts or (term.spec and term.spec.optargs):
            code.keywords.append(ast.keyword("opts", self.options(term), lineno=line, col_offset=0))
        return code

    def compile(self, term: Term) -> Node:
        """A term's expression. What is deep or long becomes a function of its own, so that the interpreter's compiler
        never sees more than it can do at once."""
        self.raw, self._raw_wanted = self._raw_wanted, False
        self.step()
        if term.type == DATUM:
            return self.literal(term)
        self.terms += 1
        siblings, beside = self._weight, self._height
        self._weight = self._height = 0
        node = self._compile(term)
        if self.profile and term.type not in _NOT_PROFILED:
            node = self._profiled(term, node)
        weight, height = self._weight + 1, self._height + 1
        together = siblings + weight
        if height > UNIT_HEIGHT or weight > UNIT_TERMS or (together > UNIT_TERMS and weight > 3):
            node = replace(node, code=self.apart(self.line(term), node.code))
            weight = height = 1
        self._weight = siblings + weight
        self._height = max(beside, height)
        return node

    def step(self) -> None:
        """A bit of work is done."""
        self._steps += 1
        if self.pace is not None and self._steps % PACE_TERMS == 0:
            self.pace()

    def forget(self, pace: Callable[[], None]) -> None:
        """All is compiled: what that took is freed in steps."""
        self.root = None
        free_in_steps([self._lines, self.constants, self._terms, self.scrap], pace)

    def operand(self, term: Term) -> Node:
        """As `compile`, for a term that copes with loose numbers and unset fields (see `Node`)."""
        self._raw_wanted = self.shortcuts
        return self.compile(term)

    def _profiled(self, term: Term, node: Node) -> Node:
        """The same node, measured."""
        assert term.spec is not None
        line = self.line(term)
        name = self.constant(f"Evaluating {term.spec.name}.", line)
        how = "sampled" if self.depth else "traced"
        work = self.lambda_([], node.code, line)
        return replace(node, code=self.call(how, [self.name("env", line), name, work], line))

    def apart(self, line: int, code: ast.expr) -> ast.expr:
        """The same value from a function of its own. The code must be complete but for variables in scope."""
        names = list(dict.fromkeys(variable.name for variable in self.scope.values()))
        function = self.code(code, names)
        args: list[ast.expr] = [self.name(name, line) for name in ("env", "p", *names)]
        if self.pace is not None:
            self.pace()
        return at_line(ast.Call(self.keep(function, line), args, []), line)

    def call(self, function: str, args: Sequence[ast.expr], line: int) -> ast.Call:
        """A call. Arguments by the thousand: some at a time, each lot from a function of its own."""
        self.step()
        if len(args) <= UNIT_TERMS:
            return super().call(function, args, line)
        self.scrap.append(args)
        parts: list[ast.expr] = []
        for at in range(0, len(args), UNIT_TERMS):
            values = at_line(ast.Tuple(list(args[at : at + UNIT_TERMS]), ast.Load()), line)
            code = super().call("lot", [self.name("env", line), values], line)
            parts.append(at_line(ast.Starred(self.apart(line, code), ast.Load()), line))
        return self.call(function, parts, line)

    def _compile(self, term: Term) -> Node:
        spec = term.spec
        assert spec is not None
        self._check_optargs(term, spec)
        if term.has_splice():
            return compile_spliced(self, term)
        self.check_arity(term, spec)
        if spec.compile is not None:
            return spec.compile(self, term)
        return self.plain(term)

    def spread(self, numbers: Sequence[int], body: Node, line: int, most: int) -> Node:
        """A function's body, which is weighed when the query's functions together may copy a value more than `most`
        times."""
        for number in numbers:
            uses = self.uses.pop(number, 0)
            if uses > 1:
                self.copies *= uses
        if self.copies <= most or body.kind is Kind.BOOL or body.known in NUMERIC:
            return body
        return replace(body, code=self.call("weighed", [self.name("env", line), body.code], line))

    def literal(self, term: Term) -> Node:
        line = self.line(term)
        if self.parametrize and term.span is not None:
            index = self._places.setdefault(id(term), len(self.params))
            if index == len(self.params):
                self.params.append(term)
            code: ast.expr = at_line(
                ast.Subscript(self.name("p", line), self.constant(index, line), ast.Load()), line
            )
        elif term.value is None or term.value.__class__ in (bool, int, float, str):
            code = self.constant(term.value, line)
        else:
            code = self.keep(term.value, line)
        return Node(code, Kind.DATUM, known=known_of(term.value))

    def pin(self, term: Term) -> Any:
        """A literal's value, for good: the plan serves only queries with the same one here."""
        self.pinned.add(id(term))
        self._terms.append(term)
        return term.value

    def number(self, term: Term) -> Any:
        """The number of a variable (or those of a function's): it may vary, if it does so everywhere."""
        self.names.append(term)
        return term.value

    def is_literal(self, term: Term, kind: type) -> bool:
        return term.type == DATUM and term.value.__class__ is kind

    def check_arity(self, term: Term, spec: TermSpec) -> None:
        least, most = spec.arity
        count = len(term.args)
        if count < least or (most is not None and count > most):
            raise CompileError(arity_message(least, most, count), frames=term.path)

    def _check_optargs(self, term: Term, spec: TermSpec) -> None:
        for name in term.optargs:
            if name not in spec.optargs and term.type not in (MAKE_OBJ, FUNC):
                raise CompileError(
                    f"Unrecognized optional argument `{name}`.", frames=(*term.path, name)
                )

    def plain(self, term: Term) -> Node:
        """A term whose arguments are simply evaluated, checked and handed to `run`."""
        spec = term.spec
        assert spec is not None
        if not term.args:
            return self.finish(term, self.run(term, []), [])
        nodes = [self.compile(arg) for arg in term.args]
        return self.grouped(term, nodes[0], lambda first: self._plain(term, [first, *nodes[1:]]))

    def _plain(self, term: Term, nodes: list[Node]) -> Node:
        spec = term.spec
        assert spec is not None
        line = self.line(term)
        args = [
            self.check(node, spec.args[i] if i < len(spec.args) else spec.rest, line, i)
            for i, node in enumerate(nodes)
        ]
        if spec.eager is not None:
            args[spec.eager :] = [self.later(arg, line) for arg in args[spec.eager :]]
        if spec.inline is not None and len(args) == spec.arity[0] and not term.optargs:
            names = dict(zip("abcd", args, strict=False))
            code = self.inline(spec.inline, {**names, "slow": self.run(term, args)}, line)
        else:
            code = self.run(term, args)
        return self.finish(term, code, nodes)

    def later(self, code: ast.expr, line: int) -> ast.expr:
        """A function of no arguments, which evaluates this when it is called."""
        self.step()
        return self.lambda_([], code, line)

    def finish(self, term: Term, code: ast.expr, nodes: Sequence[Node]) -> Node:
        spec = term.spec
        assert spec is not None
        kind = Kind.BOOL if spec.boolean else Kind.DATUM if spec.datum else Kind.VALUE
        return self.node(term, code, nodes, kind, spec.known)

    def node(
        self,
        term: Term,
        code: ast.expr,
        nodes: Sequence[Node],
        kind: Kind,
        known: Known | None = None,
    ) -> Node:
        spec = term.spec
        if len(nodes) > UNIT_TERMS:
            self.scrap.append(nodes)
            starts = range(0, len(nodes), UNIT_TERMS)
            nodes = [self.node(term, code, nodes[at : at + UNIT_TERMS], kind) for at in starts]
            return self.node(term, code, nodes, kind, known)
        self.step()
        worst = max(map(_DETERMINISM, nodes), default=Determinism.ALWAYS)
        if spec is not None:
            worst = max(worst, spec.determinism)
        return Node(code, kind, worst, any(map(_CLOSES, nodes)), known)

    def grouped(self, term: Term, first: Node, build: Callable[[Node], Node]) -> Node:
        """Runs a term once per group when its first argument may be grouped data."""
        if first.kind is not Kind.ANY:
            return build(first)
        assert term.spec is not None
        if term.spec.grouped is not Grouped.MAP:
            return build(first)
        line = self.line(term)
        name = self.temp()
        inner = build(Node(self.name(name, line), Kind.VALUE, first.determinism, first.closes))
        code = self.call(
            "per_group",
            [self.name("env", line), first.code, self.lambda_([name], inner.code, line)],
            line,
        )
        return Node(code, Kind.ANY, inner.determinism, True)

    def check(self, node: Node, kind: Arg, line: int, at: Frame) -> ast.expr:
        """The argument's value, refused with the protocol's error when it is not of this kind."""
        self.step()
        if kind is Arg.ANY:
            return node.code
        if kind is Arg.DATUM or node.known in SATISFIES.get(kind, ()):
            return self.datum(node, line, at)
        test = CHECKS.get(kind)
        blame = self.constant(at, line)
        code = node.code
        if test is None:
            return self.call(
                f"need_{kind.name.lower()}", [self.name("env", line), code, blame], line
            )
        temp = self.temp()
        bound = at_line(ast.NamedExpr(at_line(ast.Name(temp, ast.Store()), line), code), line)
        slow = self.call(
            f"need_{kind.name.lower()}",
            [self.name("env", line), self.name(temp, line), blame],
            line,
        )
        filled = {"a": self.name(temp, line), "slow": slow}
        return fill(template(test), filled, {"a": bound}, line, {})

    def datum(self, node: Node, line: int, at: Frame | None = None) -> ast.expr:
        """The value as a datum."""
        if node.kind in PLAIN:
            return node.code
        blame = self.constant(at, line)
        return self.call("need_datum", [self.name("env", line), node.code, blame], line)

    def truth(self, node: Node, line: int, at: Frame | None = None) -> ast.expr:
        """The value as a condition: only null and false are false."""
        if node.kind is Kind.BOOL:
            return node.code
        code = self.datum(node, line, at)
        return self.inline("a is not None and a is not False", {"a": code}, line)

    def options(self, term: Term) -> ast.expr:
        """The optional arguments, each evaluated when the term asks for it."""
        line = self.line(term)
        env = self.name("env", line)
        if not term.optargs:
            return at_line(ast.Attribute(env, "defaults", ast.Load()), line)
        keys: list[ast.expr | None] = []
        values: list[ast.expr] = []
        for name, optarg in term.optargs.items():
            keys.append(self.constant(name, line))
            values.append(self.lambda_([], self.compile(optarg).code, self.line(optarg)))
        return self.call("Options", [env, at_line(ast.Dict(keys, values), line)], line)

    # ---- functions

    def variable_name(self, number: int) -> str:
        return f"v{number}" if number >= 0 else f"v_{-number}"

    def function(
        self,
        term: Term,
        *,
        shortcut: str | None = None,
        project: bool = False,
        want: Kind = Kind.DATUM,
    ) -> Node:
        """A function argument. `shortcut` says what a value that is no function becomes: `field` (get_field of that
        value), `equals`, `constant`, or an error. `project` asks for the projected form too. With `want` DATUM the
        body must give a datum."""
        if term.type == FUNC:
            return self._lambda(term, project=project, want=want)
        line = self.line(term)
        if shortcut == "field" and self.is_literal(term, str):
            return self._lambda(field_function(self.specs, term), project=project, want=want)
        if shortcut == "constant" and term.type == 3:
            node = self.compile(term)
            return self._constant_function(node, term)
        node = self.compile(term)
        if shortcut == "constant" and node.kind in PLAIN:
            return self._constant_function(node, term)
        how = self.constant(shortcut, line)
        code = self.call(
            "as_function",
            [self.name("env", line), node.code, how, self.keep(term.path, line)],
            line,
        )
        return Node(code, Kind.VALUE, node.determinism, node.closes)

    def _constant_function(self, node: Node, term: Term) -> Node:
        line = self.line(term)
        body = self.datum(node, line)
        code = self.call(
            "constant_function",
            [self.lambda_([], body, line), self.constant(int(node.determinism), line)],
            line,
        )
        return Node(code, Kind.VALUE, node.determinism, True)

    def _lambda(self, term: Term, *, project: bool, want: Kind) -> Node:
        numbers = self.parameters(term)
        body_term = term.args[1]
        line = self.line(term)
        if len(numbers) != 1:
            return self._call_function(term, numbers, body_term, want)
        number = numbers[0]
        before = self.terms
        scope = self.scope
        held: dict[int, Variable] = {}
        if self.shortcuts and self.depth == 0 and not self.profile:
            body_term = hold(self, body_term, held)
            self.scope = scope | held
        name = self.variable_name(number)
        body = self.body(number, body_term, want, line, {number: Variable(name)})
        rows = self.each([name], body.code, line, closes=body.closes)
        narrow: ast.expr = self.constant(None, line)
        recipe: ast.expr | None = None
        first: str | None = None
        small = self.terms - before <= PROJECTED_TERMS_MAX
        if project and small and self.shortcuts and self.depth == 0:
            fields = projected_fields(number, body_term)
            if fields:
                first = first_field(number, body_term)
                first = None if first is None else attribute(first)
                narrow = self.narrowed(number, body_term, fields, want, line)
            recipe = compile_recipe(self, number, body_term, fields, want, line)
        flags = int(body.determinism) | (8 if body.kind is Kind.BOOL else 0)
        code = self.call(
            "RowFunction",
            [
                rows,
                narrow,
                self.constant(flags, line),
                self.keep(term, line),
                self.name("env", line),
                self.constant(first, line),
                recipe or self.constant(None, line),
            ],
            line,
        )
        self.scope = scope
        if held:
            cells: list[ast.expr] = [at_line(ast.List([], ast.Load()), line) for _ in held]
            with_cells = self.lambda_([cell.name for cell in held.values()], code, line)
            code = at_line(ast.Call(with_cells, cells, []), line)
        return Node(code, Kind.VALUE, body.determinism, True)

    def narrowed(
        self, number: int, body: Term, fields: set[str], want: Kind, line: int
    ) -> ast.Tuple:
        """A body over projected rows: which fields, and the function."""
        names = tuple(sorted(fields))
        attributes = {name: attribute(name) for name in names}
        row = self.variable_name(number)
        scope = {number: Variable(row, attributes)}
        reads = Reads(self.specs, number)
        if not self.profile:
            body = reads.rest(body, taken=want is Kind.DATUM)
            for read in reads.found:
                scope[read.variable] = Variable(self.variable_name(read.variable))
        copies = self.copies
        node = self.body(number, body, want, line, scope)
        self.copies = copies
        each = [variable.name for variable in scope.values()]
        rows: ast.expr = self.each(each, node.code, line, closes=node.closes)
        if reads.found:
            rows = compile_reads(self, reads.found, attributes, rows, line)
        return self.tuple_([self.keep(projection(names), line), rows], line)

    def body(
        self, number: int, term: Term, want: Kind, line: int, variables: dict[int, Variable]
    ) -> Node:
        """What a function of one argument gives; `number` is its variable."""
        before = self.scope
        self.scope = before | variables
        bound = number > INTERNAL_VARS  # r.row is the variable of a client's function
        if bound:
            self.implicit.append(number)
        self.depth += 1
        try:
            node = self.spread(list(variables), self.compile(term), line, SPREAD_MAX)
        finally:
            self.scope = before
            if bound:
                self.implicit.pop()
            self.depth -= 1
        if node.kind in PLAIN:
            return node
        if want is Kind.DATUM:
            code = self.datum(node, self.line(term))
            return Node(code, Kind.DATUM, node.determinism, node.closes)
        return replace(node, closes=True)  # a stream is read when other rows have had their turn

    def _call_function(self, term: Term, numbers: list[int], body_term: Term, want: Kind) -> Node:
        line = self.line(term)
        before = self.scope
        self.scope = dict(before)
        names = []
        for number in numbers:
            name = self.variable_name(number)
            names.append(name if name not in names else self.temp())
            self.scope[number] = Variable(name)
        self.depth += 1
        copies, self.copies = self.copies, 1
        try:
            # What reduces and folds is called with its own results, over and over.
            node = self.spread(numbers, self.compile(body_term), line, 1)
        finally:
            self.copies *= copies
            self.scope = before
            self.depth -= 1
        body = self.datum(node, self.line(body_term)) if want is Kind.DATUM else node.code
        flags = int(node.determinism)
        code = self.call(
            "Function",
            [
                self.constant(len(numbers), line),
                self.lambda_(names, body, line),
                self.constant(flags, line),
                self.keep(term, line),
            ],
            line,
        )
        return Node(code, Kind.VALUE, node.determinism, True)

    def parameters(self, term: Term) -> list[int]:
        """The variable numbers of a FUNC."""
        return parameters_of(self, term)

    # ---- code objects

    def code(self, body: ast.expr, extra: Sequence[str] = ()) -> Callable[..., Any]:
        """The finished function `(env, p, *extra)`."""
        function = self.lambda_(["env", "p", *extra], body, 1)
        tree = ast.Expression(function)
        compiled = code_of(tree, self.filename)
        result: Callable[..., Any] = eval(compiled, self._namespace(compiled))
        return result

    def _namespace(self, code: CodeType) -> dict[str, Any]:
        """What the code names, and nothing else: a function that could name itself would be garbage that only the
        interpreter's collector finds, with all the literals of its query."""
        base, constants = runtime.base_namespace(self.specs), self.constants
        found: dict[str, Any] = {runtime.PATHS: self.paths}
        pending = [code]
        while pending:
            part = pending.pop()
            for name in part.co_names:
                if name in constants:
                    found[name] = constants[name]
                elif name in base:
                    found[name] = base[name]
            pending += [each for each in part.co_consts if each.__class__ is CodeType]
        return found


_NOT_PROFILED: Final = frozenset({VAR, IMPLICIT_VAR, FUNC})


__all__ = ["PLAIN", "PSEUDOTYPE_KEYS", "Compiler", "Kind", "Node", "Variable"]
