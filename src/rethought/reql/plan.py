"""Plans: compiled queries, found again by the shape of their bytes.

Drivers send the same query with other constants over and over. A query's *shape* is its bytes with every letter and
digit made one byte; queries of one shape have their literals at the same places. A plan compares the bytes between
its parameters and decodes the parameters; a difference means another plan.

Invariants:
  1. A plan answers a query only if all its bytes outside the parameters are the same, and every parameter is a literal.
  2. Anything unusual (escapes, odd numbers, broken JSON) goes the long way, which gives the exact answer or error.
  3. The cache is bounded in entries and bytes, whatever clients send.
Called by the engine.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any, Final

from rethought.datum.jsonbytes import RepeatedKeys, decode_query, query_parts
from rethought.errors import ClientError, CompileError, NestingError
from rethought.exec.env import DEFAULT_DATABASE
from rethought.exec.freeing import free_in_steps
from rethought.limits import Limits
from rethought.reql.compiled import Match, Plan, tree_literal
from rethought.reql.compiler import Compiler
from rethought.reql.decoding import decode_in_steps
from rethought.reql.inserts import INSERT_PREFIX, InsertPlans
from rethought.reql.recognition import matcher
from rethought.reql.spec import Effect
from rethought.reql.terms import GLOBAL_OPTARGS, SPECS
from rethought.reql.terms.misc import mark_stray_literals
from rethought.reql.tree import DATUM, FUNC, Span, Term, TreeBuilder, check_nesting, datum, scan

SHAPE: Final = bytes(0x30 if chr(byte).isalnum() and byte < 128 else byte for byte in range(256))
CACHED_BYTES_MAX: Final = 8_192
PLANS_MAX: Final = 4_096
AT_ONCE_BYTES_MAX: Final = 1 << 16
"""Longer inserts are decoded some documents at a time."""
PLANS_PER_SHAPE: Final = 8

START: Final = 1
PACE_TERMS: Final = 1_000

_IN_PLACE: Final = frozenset(
    {1, 2, 3, 10, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 65, 66, 67}
    | {92, 94, 170, 186, 32, 33, 34, 35, 52, 103, 180, 181}
)
"""Terms whose evaluation is short and never waits, as long as no rows come into it."""


Pace = Callable[[], None] | None


class PlanCache:
    """Finds or makes the plan of a query."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.inserts = InsertPlans()
        self._shapes: dict[bytes, list[Plan]] = {}
        self.size = 0  # plans kept

    def find(self, body: bytes) -> tuple[Plan, tuple[Any, ...]]:
        """The plan and the parameters of a START query. Raises ClientError or CompileError."""
        return self.known(body) or self.make(body)

    def known(self, body: bytes) -> tuple[Plan, tuple[Any, ...]] | None:
        """The plan and the parameters, when there is a plan that is found in no time."""
        if body.startswith(INSERT_PREFIX) and len(body) <= AT_ONCE_BYTES_MAX:
            found = self.inserts.find(body)
            if found is not None:
                return found
        if len(body) <= CACHED_BYTES_MAX:
            for plan in self._shapes.get(body.translate(SHAPE), ()):
                assert plan.match is not None
                params = plan.match(body)
                if params is not None:
                    return plan, params
        return None

    def make(self, body: bytes, pace: Pace = None) -> tuple[Plan, tuple[Any, ...]]:
        """A new plan, or that of a long insert. `pace` is called now and then: it may let others have their turn, or
        end this with an error."""
        if len(body) > AT_ONCE_BYTES_MAX and body.startswith(INSERT_PREFIX):
            found = self.inserts.find_in_steps(body, pace or _nobody)
            if found is not None:
                return found
        parametrize = len(body) <= CACHED_BYTES_MAX
        plan, params, match = self._make(body, pace, parametrize=parametrize)
        if match is not None:
            plan.match = match
            self._keep(body.translate(SHAPE), plan)
        return plan, params

    def _keep(self, shape: bytes, plan: Plan) -> None:
        if self.size >= PLANS_MAX:
            oldest = next(iter(self._shapes))
            self.size -= len(self._shapes.pop(oldest))
        plans = self._shapes.setdefault(shape, [])
        if len(plans) >= PLANS_PER_SHAPE:
            plans.pop()
            self.size -= 1
        plans.insert(0, plan)
        self.size += 1

    def _make(
        self, body: bytes, pace: Pace, *, parametrize: bool
    ) -> tuple[Plan, tuple[Any, ...], Match | None]:
        json = decode_query(body) if pace is None else decode_in_steps(body, pace)
        _rest(pace)
        kind, rest = query_parts(json)
        if kind != START:
            raise ClientError("Server could not parse query: Expected a START query.")
        if not rest:
            raise CompileError("Expected a term in a START query.", frames=())
        check_depth(rest, self.limits.nesting_max, pace)
        self.inserts.learn(body, rest[0], self.limits)
        span = scan(body) if parametrize else None
        made = compile_query(
            rest[0],
            rest[1] if len(rest) > 1 else {},
            body if parametrize else None,
            span,
            self.limits,
            pace,
        )
        if pace is not None:
            del rest
            free_in_steps([json], pace)
        return made


def check_depth(json: Any, most: int, pace: Pace = None) -> None:
    """Refuses trees that are nested too deep to handle."""
    level = [json]
    for _ in range(2 * most):
        below: list[Any] = []
        for number, part in enumerate(level):
            if pace is not None and number % 1000 == 999:
                pace()
            kind = part.__class__
            if kind is list:
                below.extend(item for item in part if item.__class__ in _CONTAINERS)
            elif kind is dict or kind is RepeatedKeys:
                below.extend(item for item in part.values() if item.__class__ in _CONTAINERS)
        if not below:
            return
        level = below
    raise NestingError(f"The query is nested too deep (more than {most} levels).", frames=())


_CONTAINERS: Final = frozenset({list, dict, RepeatedKeys})


def compile_query(
    root: Any,
    optargs: dict[str, Any],
    body: bytes | None,
    span: Span | None,
    limits: Limits,
    pace: Pace = None,
) -> tuple[Plan, tuple[Any, ...], Match | None]:
    """Compiles a query; with `body` and `span` also what recognises queries of the same shape."""
    parts = span[2] if span is not None else None
    builder = TreeBuilder(SPECS, tree_literal)
    builder.keep_arrays = "array_limit" in optargs
    builder.array_limit = limits.array_limit
    builder.pace = pace
    tree = builder.build(root, parts[1] if parts else None, ())
    if optargs.__class__ is RepeatedKeys:
        raise CompileError(f"Duplicate global optional argument: `{optargs.repeated}`.", frames=())
    settings = {}
    spans = parts[2][2] if parts and len(parts) > 2 else None
    for index, (name, value) in enumerate(optargs.items()):
        if name not in GLOBAL_OPTARGS:
            raise CompileError(f"Unrecognized global optional argument `{name}`.", frames=())
        settings[name] = builder.build(value, spans[index] if spans else None, ())
    _rest(pace)
    check_nesting(tree, pace)
    _rest(pace)
    mark_stray_literals(tree, pace)
    _rest(pace)
    types = _types_below(tree, pace)
    shown = _INFO in types or tree.type == _INFO  # shows the text of functions
    compiler = Compiler(SPECS, parametrize=body is not None and not shown)
    compiler.pace = pace
    compiler.profile = _static(compiler, settings, "profile")
    compiler.home = _home(settings)
    compiler.root = tree
    node = compiler.compile(tree)
    flags = {name: _static(compiler, settings, name) for name in _STATIC}
    functions: dict[str, Callable[..., Any]] = {}
    codes = {name: compiler.compile(term) for name, term in settings.items() if name not in _STATIC}
    run = compiler.code(node.code)
    for name, code in codes.items():
        functions[name] = compiler.code(code.code)
    plan = Plan(
        run,
        functions,
        noreply=flags["noreply"],
        profile=flags["profile"],
        transaction=flags["transaction"],
        in_place=not flags["transaction"]
        and _is_short(tree, types)
        and all(
            term.type in _IN_PLACE and _types_below(term, pace) <= _IN_PLACE
            for name, term in settings.items()
            if name not in _STATIC
        ),
        writes=any(Effect.WRITE in SPECS[type_].effect for type_ in {*types, tree.type} & _NAMED),
    )
    params = tuple(term.value for term in compiler.params)
    if pace is not None and body is None:
        del tree, builder, node, codes, settings
        plan.parts = [compiler.paths, *compiler.constants.values()]
        compiler.forget(pace)
    match = None if body is None else matcher(body, compiler)
    return plan, params, match


def _nobody() -> None:
    """Has no need of a turn."""


def _rest(pace: Pace) -> None:
    """Between two steps."""
    if pace is not None:
        pace()


def _home(settings: dict[str, Term]) -> Term | None:
    """The name of the database that tables without one belong to, None if it is no literal."""
    term = settings.get("db")
    if term is None:
        return datum(DEFAULT_DATABASE, ())
    if term.type != _DB or len(term.args) != 1 or term.optargs:
        return None
    name = term.args[0]
    return name if name.type == DATUM and name.value.__class__ is str else None


_NAMED: Final = frozenset(SPECS)
_DB: Final = 14
_INFO: Final = 79
_STATIC: Final = ("noreply", "profile", "transaction")


def _static(compiler: Compiler, settings: dict[str, Term], name: str) -> bool:
    term = settings.get(name)
    return term is not None and term.type == DATUM and compiler.pin(term) is True


def _is_short(tree: Term, below: set[int]) -> bool:
    """Whether a query may be evaluated in place: plain terms only, one write of one row, or a part of a table."""
    if tree.type in _PARTS:
        return _is_part(tree)
    if tree.type in _WRITES_OF_ROWS and tree.args and tree.args[0].type == _GET:
        return below - {FUNC} <= _IN_PLACE
    return tree.type in _IN_PLACE and below <= _IN_PLACE


def _is_part(tree: Term) -> bool:
    """Whether the rows are a range of a table's, of an index perhaps; at their end a LIMIT."""
    term = tree.args[0] if tree.type == _LIMIT and tree.args else tree
    beside = list(tree.args[1:]) if tree.type == _LIMIT else []
    while term.type in _RANGES and term.args:
        if term.type == _ORDER_BY and (len(term.args) > 1 or "index" not in term.optargs):
            return False
        if len(term.args) > KEYS_MAX:
            return False
        beside += [*term.args[1:], *term.optargs.values()]
        term = term.args[0]
    if term.type != _TABLE:
        return False
    beside += [*term.args, *term.optargs.values()]
    return all({part.type, *_types_below(part, None)} <= _OF_RANGES for part in beside)


KEYS_MAX: Final = 16
_LIMIT: Final = 71
_ORDER_BY: Final = 41
_TABLE: Final = 15
_RANGES: Final = frozenset({36, 41, 78, 182})
_PARTS: Final = _RANGES | {_LIMIT, _TABLE}
_OF_RANGES: Final = _IN_PLACE - {16, 31, 170} | {DATUM, 73, 74}
"""What the arguments of ranges may be: no rows."""
_WRITES_OF_ROWS: Final = (53, 54, 55)
_GET: Final = 16


def _types_below(tree: Term, pace: Pace) -> set[int]:
    """What there is in a tree besides literals, the term itself, and tables of which GET takes one row."""
    found: set[int] = set()
    pending = [tree]
    seen = 0
    while pending:
        term = pending.pop()
        for part in chain(term.args, term.optargs.values()):
            if part.type != DATUM:
                if part.type != _TABLE or term.type != _GET:
                    found.add(part.type)
                pending.append(part)
        seen += 1
        if seen % PACE_TERMS == 0:
            _rest(pace)
    return found
