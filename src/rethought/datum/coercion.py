"""From one type of datum to another: `coerce_to`, as far as data go.

What always holds: the result is canonical. Streams, tables and functions are the terms' affair.
Callers: the term COERCE_TO, and whoever reads numbers out of strings.
"""

import re
from typing import Final

from rethought.datum.binary import binary, binary_bytes
from rethought.datum.kinds import (
    BINARY,
    Datum,
    Number,
    coerce_name,
    is_binary,
    is_truthy,
    non_finite,
    number,
    wrong_type,
)
from rethought.datum.pseudotypes import made_of_parts
from rethought.datum.text import Pace, compact, truncated
from rethought.datum.utf8 import string_of
from rethought.errors import QueryLogicError

_BLANK: Final = " \t\n\v\f\r"
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL: Final = re.compile(
    r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?"
)
_INFINITY: Final = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_NAN: Final = re.compile(r"[+-]?nan(?:\([0-9A-Za-z_]*\))?", re.IGNORECASE)


def number_of_string(text: str) -> Number:
    """The number a string spells, as C's `strtod` reads it: leading blanks and hexadecimal, but nothing after."""
    text = text.partition("\0")[0]  # where C's strings end
    spelled = text.lstrip(_BLANK)
    if _DECIMAL.fullmatch(spelled):
        return number(float(spelled))
    if _HEXADECIMAL.fullmatch(spelled):
        try:
            return number(float.fromhex(spelled))
        except OverflowError:
            non_finite("-inf" if spelled[0] == "-" else "inf")
    sign = "-" if spelled[:1] == "-" else ""
    if _INFINITY.fullmatch(spelled):
        non_finite(f"{sign}inf")
    if _NAN.fullmatch(spelled):
        non_finite(f"{sign}nan")
    raise QueryLogicError(f"Could not coerce `{text}` to NUMBER.")


def coerce(value: Datum, to: str, pace: Pace | None = None) -> Datum:
    """`value` as the type named `to` (upper case, as in `coerce_name`, or DATUM)."""
    name = coerce_name(value)
    if to == name or to == "DATUM":
        return value
    if to == "BOOL":
        return is_truthy(value)
    if to == "STRING":
        return string_of(binary_bytes(value)) if is_binary(value) else compact(value, pace)
    if isinstance(value, str):
        if to == "NUMBER":
            return number_of_string(value)
        if to == BINARY:
            return binary(value.encode())
    elif isinstance(value, dict) and not is_binary(value):
        if to == "OBJECT":
            return value
        if to == "ARRAY":
            return [[key, value[key]] for key in sorted(value)]
    elif isinstance(value, list) and to == "OBJECT":
        return object_of_pairs(value)
    raise QueryLogicError(f"Cannot coerce {name} to {to}.")


def object_of_pairs(pairs: list[Datum]) -> dict[str, Datum]:
    """The object of an array of `[key, value]`."""
    result: dict[str, Datum] = {}
    for pair in pairs:
        if not isinstance(pair, list):
            raise wrong_type("ARRAY", pair)
        if len(pair) != 2:
            raise QueryLogicError(f"Expected array of size 2, but got size {len(pair)}.")
        key, item = pair
        if not isinstance(key, str):
            raise wrong_type("STRING", key)
        if key in result:
            both = f"(got {truncated(result[key])} and {truncated(item)} as values)"
            raise QueryLogicError(f'Duplicate key "{key}" in coerced object.  {both}')
        result[key] = item
    return made_of_parts(result)
