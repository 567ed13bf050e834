"""The fast cases of comparisons and arithmetic as Python expressions, by what is known of their operands.

What always holds: a fast case computes what the term's `run` does, and leaves everything else to it (`slow`). The
operands `a` and `b` are evaluated in this order before anything is decided. Integers up to 2**53 are exact in both
languages; a result past that, infinity and nan fail the range check; a product of zero has a sign only `run` knows.
Without `loose`, a float without a fraction (it must become an int) is left to `run` too. Called by `reql.terms.math`.
"""

from functools import cache
from typing import Final

from rethought.reql.nodes import NUMERIC, Known

NUMBERS: Final = (int, float)
COMPARABLE: Final = (int, str, float, bool)
"""Of one such class, Python compares two values as the protocol does."""
ALIKE: Final = (int, str, bool, float, type(None))

NAMES: Final = {"NUMBERS": NUMBERS, "COMPARABLE": COMPARABLE, "ALIKE": ALIKE}

_ONE_IS_NUMBER: Final = "(a.__class__ is int or a.__class__ is float)"
_ALIKE_OR_NUMBER: Final = (
    "(a.__class__ is b.__class__ or a.__class__ is int or a.__class__ is float)"
)
_OTHER_IS_NUMBER: Final = (
    "(a.__class__ is b.__class__ or b.__class__ is int or b.__class__ is float)"
)
_BOTH_ARE_NUMBERS: Final = (
    "(a.__class__ is b.__class__ or b.__class__ in NUMBERS) and a.__class__ in NUMBERS"
)
_INT_RANGE: Final = "-9007199254740992 <= t_m <= 9007199254740992"
_FLOAT_RANGE: Final = "-9007199254740992.0 <= t_m <= 9007199254740992.0"
_FRACTION: Final = "t_m % 1.0 > 0.0"
_JOINED: Final = "a + b if a.__class__ is b.__class__ is str and len(a) + len(b) < 65536 else slow"

Operand = tuple[Known | None, bool]
"""What is known, and whether it may be a field that the row lacks."""


@cache
def comparison(operator: str, left: Operand, right: Operand, *, simple: bool) -> str:
    """`==`, `!=`, `<`, `<=`, `>` or `>=`. `simple`: the right side is a literal or a variable."""
    equality = operator in ("==", "!=")
    if equality:
        quick = _equality(operator, left, right)
        if quick is not None:
            return quick
    compared = f"a {operator} b"
    known = (left[0], right[0])
    if Known.TIME in known:
        return _instants(operator, known)
    if all(one in NUMERIC for one in known) or known == (Known.STRING, Known.STRING):
        return compared
    if right[0] in NUMERIC:
        test = _ONE_IS_NUMBER if simple else _ALIKE_OR_NUMBER
    elif left[0] in NUMERIC:
        test = _OTHER_IS_NUMBER
    elif right[0] is Known.STRING and simple:
        test = "a.__class__ is str"
    elif Known.STRING in known:
        test = "a.__class__ is b.__class__"
    else:
        classes = "ALIKE" if equality else "COMPARABLE"
        test = (
            f"(a.__class__ in {classes} if a.__class__ is b.__class__"
            " else a.__class__ in NUMBERS and b.__class__ in NUMBERS)"
        )
    return f"{compared} if {test} else slow"


def _instants(operator: str, known: tuple[Known | None, Known | None]) -> str:
    """Times compare by their instants."""
    compared = f'a["epoch_time"] {operator} b["epoch_time"]'
    tests = [
        f'{name}.__class__ is dict and {name}.get("$reql_type$") == "TIME"'
        for name, kind in zip("ab", known, strict=True)
        if kind is not Known.TIME
    ]
    return f"{compared} if {' and '.join(tests)} else slow" if tests else compared


def _equality(operator: str, left: Operand, right: Operand) -> str | None:
    """Where one side is a string, true, false or null, nothing else need be known of the other but that it is there."""
    for (known, _), (_, unset), name in ((right, left, "a"), (left, right, "b")):
        if known is Known.STRING:
            compared = f"a {operator} b"
        elif known is Known.NULL or known is Known.BOOL:
            compared = "a is b" if operator == "==" else "a is not b"
        else:
            continue
        return f"{compared} if {name} is not UNSET else slow" if unset else compared
    return None


@cache
def arithmetic(
    operator: str, left: Known | None, right: Known | None, *, simple: bool, loose: bool
) -> str:
    """`+`, `-`, `*` or `/`. `simple`: the right side is a literal or a variable."""
    tests = []
    if left in NUMERIC and right in NUMERIC:
        pass
    elif right in NUMERIC:
        tests.append(_ONE_IS_NUMBER if simple else _ALIKE_OR_NUMBER)
    elif left in NUMERIC:
        tests.append(_OTHER_IS_NUMBER)
    else:
        tests.append(_BOTH_ARE_NUMBERS)
    if operator == "/":
        tests.append("b")
    whole = _FLOAT_RANGE if loose else _FRACTION
    result = f"(t_m := a {operator} b)"
    if operator == "/":
        tests.append(whole.replace("t_m", result, 1))
    else:
        nonzero = " and t_m" if operator == "*" else ""
        tests.append(f"({_INT_RANGE}{nonzero} if {result}.__class__ is int else {whole}{nonzero})")
    otherwise = "slow"
    if operator == "+" and not (left in NUMERIC or right in NUMERIC):
        if Known.STRING in (left, right):
            return _JOINED
        otherwise = _JOINED
    return f"t_m if {' and '.join(tests)} else {otherwise}"
