"""What kinds of values there are: their Python shape, their names, and the canonical form of numbers.

What always holds: a datum is plain Python (None, bool, int, float, str, list, dict) or one of the two bounds
`MINVAL` and `MAXVAL`. A number is an `int` exactly when it is integral, at most 2**53 in size and not negative
zero; else a finite `float`. Pseudotypes are dicts with the key `$reql_type$`, checked when they were made.
Callers: the rest of `datum/`; other rooms import these names from `datum.values`.
"""

from math import copysign, isfinite
from typing import Final, Never, TypeAlias

from rethought.errors import NonExistenceError, QueryLogicError


class Bound:
    """`r.minval` or `r.maxval`: below or above every other value. There are exactly two; compare with `is`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"r.{self.name}"

    def __copy__(self) -> "Bound":
        return self

    def __deepcopy__(self, memo: object) -> "Bound":
        return self

    def __reduce__(self) -> str:
        return self.name.upper()  # pickled by reference, so that identity survives


MINVAL: Final = Bound("minval")
MAXVAL: Final = Bound("maxval")

Datum: TypeAlias = "bool | int | float | str | list[Datum] | dict[str, Datum] | Bound | None"
Number: TypeAlias = int | float

TYPE_KEY: Final = "$reql_type$"
TIME: Final = "TIME"
BINARY: Final = "BINARY"
GEOMETRY: Final = "GEOMETRY"
LITERAL: Final = "LITERAL"

INTEGER_MAX: Final = 1 << 53
"""The largest size up to which every integer is a double."""

_NAMES: Final[dict[type, str]] = {
    type(None): "NULL",
    bool: "BOOL",
    int: "NUMBER",
    float: "NUMBER",
    str: "STRING",
    list: "ARRAY",
    dict: "OBJECT",
}


def type_name(value: Datum) -> str:
    """The name `type_of` gives and errors print: NULL, NUMBER, PTYPE<TIME>, MINVAL, ..."""
    if isinstance(value, dict) and TYPE_KEY in value:
        return f"PTYPE<{value[TYPE_KEY]}>"
    if isinstance(value, Bound):
        return value.name.upper()
    return _NAMES[value.__class__]


def coerce_name(value: Datum) -> str:
    """The name `coerce_to` uses: binary has one of its own, other pseudotypes keep theirs."""
    name = type_name(value)
    return BINARY if name == "PTYPE<BINARY>" else name


def is_pseudotype(value: Datum) -> bool:
    return value.__class__ is dict and TYPE_KEY in value


def is_time(value: Datum) -> bool:
    return isinstance(value, dict) and value.get(TYPE_KEY) == TIME


def is_binary(value: Datum) -> bool:
    return isinstance(value, dict) and value.get(TYPE_KEY) == BINARY


def is_geometry(value: Datum) -> bool:
    return isinstance(value, dict) and value.get(TYPE_KEY) == GEOMETRY


def is_literal(value: Datum) -> bool:
    return isinstance(value, dict) and value.get(TYPE_KEY) == LITERAL


def is_truthy(value: Datum) -> bool:
    """Only null and false are false: 0, "", [] and {} are true."""
    return value is not None and value is not False


def number(value: Number) -> Number:
    """The canonical form of a number. Raises `Non-finite number: inf` (-inf, nan)."""
    if isinstance(value, int):
        if -INTEGER_MAX <= value <= INTEGER_MAX:
            return value
        try:
            value = float(value)
        except OverflowError:
            non_finite("inf" if value > 0 else "-inf")
    if value.is_integer():
        if -INTEGER_MAX <= value <= INTEGER_MAX and (value or copysign(1.0, value) > 0):
            return int(value)
        return value
    if not isfinite(value):
        non_finite("nan" if value != value else "inf" if value > 0 else "-inf")
    return value


class NonFiniteError(QueryLogicError):
    """A number that is none."""


def non_finite(text: str) -> Never:
    raise NonFiniteError(f"Non-finite number: {text}")


def wrong_type(expected: str, value: Datum) -> QueryLogicError:
    """The error for a value of the wrong type; a null that stands there counts as missing."""
    message = f"Expected type {expected} but found {type_name(value)}."
    return NonExistenceError(message) if value is None else QueryLogicError(message)
