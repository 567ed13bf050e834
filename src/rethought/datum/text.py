"""Data as text: compact JSON, the indented print of error messages, numbers in messages.

What always holds: `compact` is the protocol's spelling of JSON (keys in byte order, integers without a fraction,
exponents only from 1e21 and below 1e-6); `pretty` and `truncated` never raise, whatever the value.
Callers: every room that words an error or makes a JSON string.
"""

import re
from typing import Final

from rethought.datum.jsonbytes import encode
from rethought.datum.kinds import BINARY, TYPE_KEY, Bound, Datum, Number

_TRUNCATED_MAX: Final = 300
_INDENT_MAX: Final = 200
"""How deep `pretty` follows a value; what lies below is shown as `...`."""

# The encoder's spelling differs from the protocol's in exponents and in the digits of escaped control characters.
# Also found inside strings, which costs time, not truth.
_EXPONENT: Final = re.compile(rb"e[-0-9]")
_CONTROL: Final = b"\\u00"
_HEX_ESCAPE: Final = re.compile(r"\\(?:u00[0-9a-f]{2}|.)")


def compact(value: Datum) -> str:
    """`value` as JSON on one line. Raises ``Cannot convert `r.minval` to JSON.`` for a bound inside."""
    data = encode(value)
    if _CONTROL not in data and _EXPONENT.search(data) is None:
        return data.decode()
    return _compact(value)


def _compact(value: Datum) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        items = sorted(value.items())
        return "{" + ",".join(f"{quoted(key)}:{_compact(item)}" for key, item in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_compact(item) for item in value]) + "]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_json(value)
    return encode(value).decode()


def quoted(string: str) -> str:
    """`string` as a JSON string: raw but for quotes, backslashes and control characters."""
    text = encode(string).decode()
    if "\\u00" not in text:
        return text
    return _HEX_ESCAPE.sub(_upper_hex, text)


def _upper_hex(match: re.Match[str]) -> str:
    escape = match[0]
    return escape[:2] + escape[2:].upper() if len(escape) > 2 else escape


def number_json(value: Number) -> str:
    """A number as the protocol spells it in JSON: 1, 1.5, 100000000000000000000.0, 1e21, 0.000001, 1e-7."""
    text = repr(value)
    if "e" not in text:
        return text
    mantissa, _, exponent_text = text.partition("e")
    sign = "-" if mantissa[0] == "-" else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = whole + fraction
    exponent = int(exponent_text)
    if 0 <= exponent < 21:
        return sign + digits.ljust(exponent + 1, "0") + ".0"
    if -7 < exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    return f"{mantissa}e{exponent}"


def number_text(value: Number) -> str:
    """A number as messages print it (C's `%.20g`)."""
    return f"{float(value):.20g}"


def pretty(value: Datum) -> str:
    """`value` as error messages print it: one item a line, indented by tabs; scalars and binary on one line."""
    return _pretty(value, "\n\t")


def _pretty(value: Datum, line: str) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Bound):
        return repr(value)
    if isinstance(value, dict):
        if not value:
            return "{}"
        if value.get(TYPE_KEY) == BINARY:
            return _compact(value)
        if len(line) > _INDENT_MAX:
            return "..."
        inner = line + "\t"
        rows = [f"{quoted(key)}:\t{_pretty(value[key], inner)}" for key in sorted(value)]
        return "{" + line + ("," + line).join(rows) + line[:-1] + "}"
    if isinstance(value, list):
        if not value:
            return "[]"
        if len(line) > _INDENT_MAX:
            return "..."
        inner = line + "\t"
        return (
            "["
            + line
            + ("," + line).join([_pretty(item, inner) for item in value])
            + line[:-1]
            + "]"
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_json(value)
    return encode(value).decode()


def truncated(value: Datum) -> str:
    """`pretty`, cut to 297 characters and `...` when longer than 300."""
    text = pretty(value)
    return text if len(text) <= _TRUNCATED_MAX else text[: _TRUNCATED_MAX - 3] + "..."
