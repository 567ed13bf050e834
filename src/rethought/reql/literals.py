"""Literals of a query: from JSON as sent to canonical data.

What always holds: what comes out satisfies the invariants of a datum. The value is changed in place where that is
possible (it was decoded for this query and belongs to nobody else). Called by the tree builder and by plans.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from rethought.datum.values import from_json
from rethought.reql.tree import MAKE_ARRAY

_INTEGER_MAX: Final = 2**53
STEP: Final = 500
"""So many values are looked at before others may have their turn."""

_decode: Final = msgspec.json.Decoder().decode


class NotLiteralError(Exception):
    """There is a term in it."""


def literal_of(value: Any) -> Any:
    """A JSON value in which only `[2, [...]]` (MAKE_ARRAY) is a term, as a datum."""
    kind = value.__class__
    if kind is dict:
        for key, item in value.items():
            part = item.__class__
            if part is str or part is bool or item is None:
                continue
            if part is int:
                if not -_INTEGER_MAX <= item <= _INTEGER_MAX:
                    value[key] = _double(item)
            elif part is float:
                if item.is_integer():
                    value[key] = _canonical(item)
            else:
                value[key] = literal_of(item)
        if "$reql_type$" in value:
            return from_json(value)
        return value
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value if -_INTEGER_MAX <= value <= _INTEGER_MAX else _double(value)
    if kind is float:
        return _canonical(value)
    if kind is list and value and value[0] == MAKE_ARRAY:
        if len(value) == 1:
            return []
        if len(value) == 2 and value[1].__class__ is list:
            return [item if item.__class__ is str else literal_of(item) for item in value[1]]
    raise NotLiteralError


def literal_in_steps(value: Any, pace: Callable[[], None]) -> Any:
    """As `literal_of`, for a value that may be large: `pace` is called now and then."""
    kind = value.__class__
    if kind is dict:
        for at, (key, item) in enumerate(value.items(), 1):
            value[key] = literal_in_steps(item, pace)
            if at % STEP == 0:
                pace()
        return from_json(value) if "$reql_type$" in value else value
    if kind is not list:
        return literal_of(value)
    if len(value) != 2 or value[0] != MAKE_ARRAY or value[1].__class__ is not list:
        return literal_of(value)
    items = []
    for at, item in enumerate(value[1], 1):
        items.append(literal_in_steps(item, pace))
        if at % STEP == 0:
            pace()
    return items


def _double(value: int) -> int | float:
    """An integer that is too large to be exact; the general way refuses one that is too large for a double."""
    try:
        return _canonical(float(value))
    except OverflowError:
        raise NotLiteralError from None


def _canonical(value: float) -> int | float:
    if value.is_integer() and -_INTEGER_MAX <= value <= _INTEGER_MAX:
        whole = int(value)
        return whole if whole or str(value)[0] != "-" else value
    return value


# ---- the literals of a cached plan, from the slice of bytes where they stand


def number_slice(part: bytes) -> Any:
    if part.isdigit() and len(part) < 16 and (part[0] != 0x30 or len(part) == 1):
        return int(part)
    value = _decode(part)
    if value.__class__ is not int and value.__class__ is not float:
        raise NotLiteralError
    return literal_of(value)


def text_slice(part: bytes) -> str:
    """A string without escapes, quotes included."""
    return str(part[1:-1], "utf-8")


def truth_slice(part: bytes) -> bool:
    if part == b"true":
        return True
    if part == b"false":
        return False
    raise NotLiteralError


def null_slice(part: bytes) -> None:
    if part != b"null":
        raise NotLiteralError


def any_slice(part: bytes) -> Any:
    return literal_of(_decode(part))
