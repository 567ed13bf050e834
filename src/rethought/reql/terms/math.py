"""Comparisons, arithmetic, bits and random numbers.

What always holds: every result is a canonical number (an `int` exactly when integral and at most 2**53 in size) as the
same computation on doubles gives it, negative zero included. The fast cases (`inline`) compute the same as `run` where
they apply, and leave everything else, integral results of floats among it, to `run` (see `reql.operators`).
Comparisons and folds look at their arguments one after the other and stop at the first that decides or fails.
"""

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rethought.datum import time
from rethought.datum.order import compare, equal
from rethought.datum.text import number_text
from rethought.datum.values import INTEGER_MAX, Datum, Number, is_time, number, to_int
from rethought.errors import QueryLogicError
from rethought.exec.weight import check_weight
from rethought.reql.checks import array_of, number_of, within_array_limit, wrong_type
from rethought.reql.expressions import is_simple
from rethought.reql.nodes import NUMERIC, Kind, Known
from rethought.reql.operators import NAMES, NUMBERS, arithmetic, comparison
from rethought.reql.spec import Arg, Determinism, TermSpec, at_least, between, exactly

if TYPE_CHECKING:
    from rethought.exec.env import Env, Options
    from rethought.reql.compiler import Compiler, Node
    from rethought.reql.tree import Term

INLINE_ARGS_MAX: Final = 32
"""Longer chains and folds are one call: nested expressions have their limits."""

ARGS_LOT: Final = 1_000
"""So many arguments are added before others may have their turn."""
LARGE_CHARS: Final = 1 << 16

# ---- comparisons


def eq(env: "Env", left: Datum, right: Datum, *more: Datum) -> bool:
    """DATUM... -> BOOL: each equals its neighbour."""
    if not more:
        if left.__class__ is list and len(left) > ARGS_LOT:
            return compared(env, left, right) == 0
        return equal(left, right)
    return _holds(env, equal, left, right, *more)


def ne(env: "Env", left: Datum, right: Datum, *more: Datum) -> bool:
    """DATUM... -> BOOL: not all neighbours are equal."""
    return not eq(env, left, right, *more)


def lt(env: "Env", left: Datum, right: Datum, *more: Datum) -> bool:
    if not more:
        return compared(env, left, right) < 0
    return _holds(env, lambda one, other: compare(one, other) < 0, left, right, *more)


def le(env: "Env", left: Datum, right: Datum, *more: Datum) -> bool:
    if not more:
        return compared(env, left, right) <= 0
    return _holds(env, lambda one, other: compare(one, other) <= 0, left, right, *more)


def gt(env: "Env", left: Datum, right: Datum, *more: Datum) -> bool:
    if not more:
        return compared(env, left, right) > 0
    return _holds(env, lambda one, other: compare(one, other) > 0, left, right, *more)


def ge(env: "Env", left: Datum, right: Datum, *more: Datum) -> bool:
    if not more:
        return compared(env, left, right) >= 0
    return _holds(env, lambda one, other: compare(one, other) >= 0, left, right, *more)


def compared(env: "Env", left: Datum, right: Datum) -> int:
    """-1, 0 or 1; long arrays a lot at a time."""
    if not isinstance(left, list) or not isinstance(right, list) or len(left) <= ARGS_LOT:
        return compare(left, right)
    for at in range(0, len(left), ARGS_LOT):
        order = compare(left[at : at + ARGS_LOT], right[at : at + ARGS_LOT])
        if order:
            return order
        env.tick()
    return -(len(left) < len(right))


def _holds(env: "Env", test: "Callable[[Datum, Datum], bool]", *values: Datum) -> bool:
    """Whether all neighbours pass."""
    for at, pair in enumerate(pairwise(values), 1):
        if not test(*pair):
            return False
        if at % ARGS_LOT == 0:
            env.tick()
    return True


def compile_comparison(c: "Compiler", term: "Term") -> "Node":
    """Pairs of neighbours, each argument evaluated once and only when those before it did not decide."""
    if len(term.args) > INLINE_ARGS_MAX:
        return c.plain(term)
    nodes = [c.operand(arg) for arg in term.args]
    return c.grouped(term, nodes[0], lambda first: _chain(c, term, [first, *nodes[1:]]))


def _chain(c: "Compiler", term: "Term", nodes: "Sequence[Node]") -> "Node":
    line = c.line(term)
    place = {"lineno": line, "col_offset": 0, "end_lineno": line, "end_col_offset": 0}
    codes = [c.check(node, Arg.DATUM, line, at) for at, node in enumerate(nodes)]
    assert term.spec is not None
    if len(nodes) == 2:
        left, right = nodes
        return c.finish(term, _pair(c, term.spec.type, codes, [left, right], line), nodes)
    names = [c.temp() for _ in nodes]
    bound: list[ast.expr] = [
        ast.NamedExpr(ast.Name(name, ast.Store(), **place), code, **place)
        for name, code in zip(names, codes, strict=True)
    ]
    negated = term.spec.type == NE
    pairs: list[ast.expr] = []
    for at in range(1, len(nodes)):
        left_code = bound[0] if at == 1 else c.name(names[at - 1], line)
        number = EQ if negated else term.spec.type
        pairs.append(_pair(c, number, [left_code, bound[at]], nodes[at - 1 : at + 1], line))
    code: ast.expr = ast.BoolOp(ast.And(), pairs, **place)
    if negated:
        code = ast.UnaryOp(ast.Not(), code, **place)
    return c.finish(term, code, nodes)


def _pair(
    c: "Compiler", number: int, codes: list[ast.expr], nodes: "Sequence[Node]", line: int
) -> ast.expr:
    """One comparison of two operands."""
    left, right = nodes
    template = comparison(
        _SIGNS[number],
        (left.known, left.unset),
        (right.known, right.unset),
        simple=is_simple(right.code),
    )
    slow = c.call(f"run_{number}", [c.name("env", line)], line)
    unset = [name for name, node in zip("ab", nodes, strict=True) if node.unset]
    args = {"a": codes[0], "b": codes[1], "slow": slow}
    return c.inline(template, args, line, unset=unset)


# ---- arithmetic


def add(env: "Env", *values: Datum) -> Datum:
    """NUMBER... -> NUMBER | STRING... -> STRING | ARRAY... -> ARRAY | TIME, NUMBER -> TIME"""
    total = values[0]
    for at, value in enumerate(values[1:], 1):
        total = add_pair(env, total, value)
        if at % ARGS_LOT == 0:
            env.tick()
    return total


def add_pair(env: "Env", left: Datum, right: Datum) -> Datum:
    if left.__class__ in NUMBERS and right.__class__ in NUMBERS:
        return number(left + right)
    kind = left.__class__
    if is_time(left):
        return time.add(left, number_of(right))
    if is_time(right):
        return time.add(number_of(left), right)
    if kind is str:
        if right.__class__ is str:
            size = len(left) + len(right)  # type: ignore[arg-type]
            if size > LARGE_CHARS:
                env.making(size)
            return left + right  # type: ignore[operator]
        raise wrong_type("STRING", right)
    if kind is list:
        if right.__class__ is not list:
            raise wrong_type("ARRAY", right)
        within_array_limit(env, len(left) + len(right))  # type: ignore[arg-type]
        joined: list[Datum] = env.made([*left, *right])  # type: ignore[misc]
        return joined
    return number(number_of(left) + number_of(right))  # raises: one of them is no number


def sub(env: "Env", *values: Datum) -> Datum:
    """NUMBER... -> NUMBER | TIME, NUMBER -> TIME | TIME, TIME -> NUMBER"""
    total = values[0]
    for at, value in enumerate(values[1:], 1):
        if total.__class__ is dict and is_time(total):
            total = time.sub(total, value if is_time(value) else number_of(value))
        else:
            total = number(number_of(total) - number_of(value))
        if at % ARGS_LOT == 0:
            env.tick()
    return total


def mul(env: "Env", *values: Datum) -> Datum:
    """NUMBER... -> NUMBER | ARRAY, NUMBER -> ARRAY (in either order)"""
    product = values[0]
    for at, value in enumerate(values[1:], 1):
        if at % ARGS_LOT == 0:
            env.tick()
        if product.__class__ in NUMBERS and value.__class__ in NUMBERS:
            product = times(product, value)
        elif product.__class__ is list:
            product = repeated(env, array_of(product), value)
        elif value.__class__ is list:
            product = repeated(env, array_of(value), product)
        else:
            product = times(number_of(product), number_of(value))
    return product


def times(left: Number, right: Number) -> Number:
    """The product. A zero keeps the sign that doubles give it."""
    product = left * right
    return number(product) if product else number(float(left) * float(right))


def repeated(env: "Env", array: list[Datum], count: Datum) -> list[Datum]:
    """The array, `count` times in a row."""
    times = to_int(number_of(count))
    if times < 0:
        raise QueryLogicError("Cannot multiply an ARRAY by a negative number.")
    within_array_limit(env, len(array) * times)
    if array and times > 1:
        check_weight(env, array, times)
    product: list[Datum] = env.made(array * times) if array else []
    return product


def div(env: "Env", *values: Datum) -> Datum:
    """NUMBER... -> NUMBER. Raises `Cannot divide by zero.`"""
    quotient = values[0]
    for value in values[1:]:
        dividend, divisor = number_of(quotient), number_of(value)
        if divisor == 0:
            raise QueryLogicError("Cannot divide by zero.")
        quotient = number(float(dividend) / divisor)
    return quotient


def mod(env: "Env", dividend: int, divisor: int) -> int:
    """NUMBER, NUMBER -> NUMBER: of integers, with the sign of the dividend."""
    if divisor == 0:
        raise QueryLogicError("Cannot take a number modulo 0.")
    remainder = abs(dividend) % abs(divisor)
    return -remainder if dividend < 0 else remainder


def compile_fold(c: "Compiler", term: "Term") -> "Node":
    """A left fold: each argument is evaluated after the step before it succeeded. One argument is left unchecked."""
    if len(term.args) > INLINE_ARGS_MAX:
        return c.plain(term)
    loose = c.raw and len(term.args) > 1
    compile_ = c.compile if len(term.args) == 1 else c.operand
    nodes = [compile_(arg) for arg in term.args]
    if nodes[0].kind is Kind.ANY:
        loose = False
    return c.grouped(term, nodes[0], lambda first: _fold(c, term, [first, *nodes[1:]], loose))


def _fold(c: "Compiler", term: "Term", nodes: "Sequence[Node]", loose: bool) -> "Node":
    """`loose`: whether the result may be."""
    line = c.line(term)
    assert term.spec is not None
    number = term.spec.type
    code = c.check(nodes[0], Arg.DATUM, line, 0)
    known, unset = nodes[0].known, nodes[0].unset
    for at, node in enumerate(nodes[1:], 1):
        right = c.check(node, Arg.DATUM, line, at)
        slow = c.call(f"run_{number}", [c.name("env", line)], line)
        template = arithmetic(
            _SIGNS[number],
            known,
            node.known,
            simple=is_simple(right),
            loose=loose or at < len(nodes) - 1,
        )
        missing = [name for name, may in (("a", unset), ("b", node.unset)) if may]
        code = c.inline(template, {"a": code, "b": right, "slow": slow}, line, unset=missing)
        known, unset = _result(number, known, node.known), False
    return replace(c.finish(term, code, nodes), known=known, loose=loose)


def _result(number: int, left: "Known | None", right: "Known | None") -> "Known | None":
    """What the result of an operation certainly is."""
    if number == DIV or (left in NUMERIC and right in NUMERIC):
        return Known.NUMBER
    if number == ADD and Known.STRING in (left, right):
        return Known.STRING
    if number in (ADD, SUB) and left is Known.TIME and right in NUMERIC:
        return Known.TIME
    return None


# ---- rounding


def floor(env: "Env", value: Number) -> Number:
    """NUMBER -> NUMBER: the integer at or below."""
    return value if value.__class__ is int else _signed(math.floor(value), value)


def ceil(env: "Env", value: Number) -> Number:
    """NUMBER -> NUMBER: the integer at or above; -0.0 for what lies between -1 and 0."""
    return value if value.__class__ is int else _signed(math.ceil(value), value)


def round_(env: "Env", value: Number) -> Number:
    """NUMBER -> NUMBER: the nearest integer, halves away from zero."""
    if value.__class__ is int:
        return value
    whole = math.trunc(value)
    if abs(value - whole) >= 0.5:
        whole += 1 if value > 0 else -1
    return _signed(whole, value)


def _signed(whole: int, value: Number) -> Number:
    """The rounded number as a double has it: zero keeps the sign of the value."""
    return number(whole) if whole else number(math.copysign(0.0, value))


# ---- bits


def _bitwise(operation: Callable[[int, int], int]) -> Callable[..., int]:
    def run(env: "Env", *values: int) -> int:
        """NUMBER... -> NUMBER: of integers from -2**53 up to but not including 2**53."""
        total = values[0]
        for at, value in enumerate(values[1:], 1):
            total = operation(_bits(total), _bits(value))
            if at % ARGS_LOT == 0:
                env.tick()
        return total

    return run


def _bits(value: int) -> int:
    if value >= INTEGER_MAX or value < -INTEGER_MAX:
        raise QueryLogicError(f"Integer too large: {value}")
    return value


bit_and: Final = _bitwise(lambda left, right: left & right)
bit_or: Final = _bitwise(lambda left, right: left | right)
bit_xor: Final = _bitwise(lambda left, right: left ^ right)


def bit_not(env: "Env", value: int) -> Number:
    """NUMBER -> NUMBER"""
    return number(~value)


_NEGATIVE_SHIFT: Final = "Cannot bit-shift by a negative value"
_DOUBLE_EXPONENT_MAX: Final = 1023
_SHIFT_MAX: Final = 63


def bit_sal(env: "Env", value: int, shift: int) -> Number:
    """NUMBER, NUMBER -> NUMBER: the value times two to the power of the shift, as a double."""
    if shift < 0:
        raise QueryLogicError(_NEGATIVE_SHIFT)
    factor = math.inf if shift > _DOUBLE_EXPONENT_MAX else 2.0**shift
    return number(value * factor)


def bit_sar(env: "Env", value: int, shift: int) -> int:
    """NUMBER, NUMBER -> NUMBER: an arithmetic shift to the right."""
    if shift < 0:
        raise QueryLogicError(_NEGATIVE_SHIFT)
    return value >> min(shift, _SHIFT_MAX)


# ---- random numbers


def random_(env: "Env", *bounds: Number, opts: "Options") -> Number:
    """-> NUMBER in [0, 1) | upper -> NUMBER in [0, upper) | lower, upper -> NUMBER in [lower, upper)

    Integers unless `float` is true or there are no bounds. Floats may have their bounds the wrong way round.
    """
    wants_float = opts.value("float") not in (None, False) if opts.has("float") else not bounds
    if wants_float:
        lower, upper = (0, 1) if not bounds else (0, *bounds)[-2:]
        return number(_between(lower, upper, env.chance.random()))
    if not bounds:
        raise QueryLogicError("Generating a random integer requires one or two bounds.")
    least, most = (0, *bounds)[-2:]
    least, most = _whole_bound("Lower", least), _whole_bound("Upper", most)
    if least >= most:
        raise QueryLogicError(f"Lower bound ({least}) is not less than upper bound ({most}).")
    return env.chance.randrange(least, most)


def _between(lower: Number, upper: Number, fraction: float) -> Number:
    width = float(upper) - lower
    if math.isfinite(width):
        return lower + width * fraction
    return lower * (1.0 - fraction) + upper * fraction


def _whole_bound(which: str, value: Number) -> int:
    if isinstance(value, int):
        return value
    raise QueryLogicError(
        f"{which} bound ({number_text(value)}) could not be safely converted to an integer."
    )


# ---- the table

EQ: Final = 17
NE: Final = 18
ADD: Final = 24
SUB: Final = 25
DIV: Final = 27

_SIGNS: Final = {
    EQ: "==",
    NE: "!=",
    19: "<",
    20: "<=",
    21: ">",
    22: ">=",
    ADD: "+",
    25: "-",
    26: "*",
    DIV: "/",
}


def _comparison(type_: int, name: str, run: Callable[..., bool]) -> TermSpec:
    return TermSpec(
        type_,
        name,
        at_least(2),
        run=run,
        compile=compile_comparison,
        boolean=True,
        names=NAMES,
    )


def _fold_of(type_: int, name: str, run: Callable[..., Datum]) -> TermSpec:
    return TermSpec(
        type_,
        name,
        at_least(1),
        run=run,
        compile=compile_fold,
        names=NAMES,
    )


TERMS: Final = (
    _comparison(EQ, "EQ", eq),
    _comparison(NE, "NE", ne),
    _comparison(19, "LT", lt),
    _comparison(20, "LE", le),
    _comparison(21, "GT", gt),
    _comparison(22, "GE", ge),
    _fold_of(ADD, "ADD", add),
    _fold_of(25, "SUB", sub),
    _fold_of(26, "MUL", mul),
    _fold_of(DIV, "DIV", div),
    TermSpec(
        28,
        "mod",
        exactly(2),
        run=mod,
        rest=Arg.INT,
        inline="a % b if a >= 0 and b > 0 else slow",
        known=Known.INT,
    ),
    TermSpec(
        183,
        "floor",
        exactly(1),
        run=floor,
        args=(Arg.NUMBER,),
        inline="a if a.__class__ is int else slow",
    ),
    TermSpec(
        184,
        "ceil",
        exactly(1),
        run=ceil,
        args=(Arg.NUMBER,),
        inline="a if a.__class__ is int else slow",
    ),
    TermSpec(
        185,
        "round",
        exactly(1),
        run=round_,
        args=(Arg.NUMBER,),
        inline="a if a.__class__ is int else slow",
    ),
    TermSpec(191, "BIT_AND", at_least(1), run=bit_and, rest=Arg.INT),
    TermSpec(192, "BIT_OR", at_least(1), run=bit_or, rest=Arg.INT),
    TermSpec(193, "BIT_XOR", at_least(1), run=bit_xor, rest=Arg.INT),
    TermSpec(194, "BIT_NOT", exactly(1), run=bit_not, rest=Arg.INT),
    TermSpec(195, "BIT_SAL", exactly(2), run=bit_sal, rest=Arg.INT),
    TermSpec(196, "BIT_SAR", exactly(2), run=bit_sar, rest=Arg.INT),
    TermSpec(
        151,
        "random",
        between(0, 2),
        run=random_,
        rest=Arg.NUMBER,
        optargs=("float",),
        determinism=Determinism.NEVER,
    ),
)
