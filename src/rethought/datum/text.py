"""Data as text: compact JSON, the indented print of error messages, numbers in messages.

What always holds: `compact` is the protocol's spelling of JSON (keys in byte order, integers without a fraction,
exponents only from 1e21 and below 1e-6); `pretty` and `truncated` never raise, whatever the value.
Callers: every room that words an error or makes a JSON string.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from rethought.datum.jsonbytes import encode
from rethought.datum.kinds import BINARY, TYPE_KEY, Bound, Datum, Number

Pace = Callable[[], None]
"""Called between pieces of long work, so that others may have their turn."""

_PACE_ITEMS: Final = 256
_FEW_ITEMS: Final = 16
_PACE_CHARS: Final = 1 << 16

PRETTY_MAX: Final = 1 << 18
_TRUNCATED_MAX: Final = 300
_INDENT_MAX: Final = 200
"""How deep `pretty` follows a value; what lies below is shown as `...`."""

# The encoder's spelling differs from the protocol's in exponents and in the digits of escaped control characters.
# Also found inside strings, which costs time, not truth.
_EXPONENT: Final = re.compile(rb"e[-0-9]")
_CONTROL: Final = b"\\u00"
_HEX_ESCAPE: Final = re.compile(r"\\(?:u00[0-9a-f]{2}|.)")


def compact(value: Datum, pace: Pace | None = None) -> str:
    """`value` as JSON on one line; calls `pace` now and then when that takes long.

    Raises ``Cannot convert `r.minval` to JSON.`` for a bound inside.
    """
    if pace is not None and isinstance(value, list) and len(value) > _FEW_ITEMS:
        lots = []
        at, size = 0, 1
        while at < len(value):
            lots.append(compact(value[at : at + size])[1:-1])
            pace()
            at += size
            size = max(1, min(8 * size, size * _PACE_CHARS // (len(lots[-1]) + 1)))
        return f"[{','.join(lots)}]"
    data = encode(value)
    if _CONTROL not in data and _EXPONENT.search(data) is None:
        return data.decode()
    parts: list[str] = []
    _write(value, parts, pace)
    return "".join(parts)


def _compact(value: Datum) -> str:
    parts: list[str] = []
    _write(value, parts, None)
    return "".join(parts)


def _write(value: Datum, parts: list[str], pace: Pace | None) -> None:
    if isinstance(value, str):
        _write_string(value, parts, pace)
    elif isinstance(value, dict):
        parts.append("{")
        for count, key in enumerate(sorted(value)):
            if count:
                parts.append(",")
            _write_string(key, parts, pace)
            parts.append(":")
            _write(value[key], parts, pace)
            if pace is not None and count % _PACE_ITEMS == _PACE_ITEMS - 1:
                pace()
        parts.append("}")
    elif isinstance(value, list):
        parts.append("[")
        for count, item in enumerate(value):
            if count:
                parts.append(",")
            _write(item, parts, pace)
            if pace is not None and count % _PACE_ITEMS == _PACE_ITEMS - 1:
                pace()
        parts.append("]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        parts.append(number_json(value))
    else:
        parts.append(encode(value).decode())


def _write_string(string: str, parts: list[str], pace: Pace | None) -> None:
    if pace is None or len(string) <= _PACE_CHARS:
        parts.append(quoted(string))
        return
    parts.append('"')
    for at in range(0, len(string), _PACE_CHARS):
        parts.append(quoted(string[at : at + _PACE_CHARS])[1:-1])
        pace()
    parts.append('"')


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


def pretty(value: Datum, most: int = PRETTY_MAX) -> str:
    """`value` as error messages print it: one item a line, indented by tabs; scalars and binary on one line. What is
    longer than `most` ends in `...`: the time that a message takes does not grow with the document."""
    parts: list[str] = []
    with suppress(_EnoughError):
        _print(value, "\n\t", parts, most)
    text = "".join(parts)
    return text if len(text) <= most else text[:most] + "..."


class _EnoughError(Exception):
    """The text is long enough."""


def _print(value: Datum, line: str, parts: list[str], left: int) -> int:
    """Prints at most a little more than `left` characters; returns how many more there may be."""
    if isinstance(value, dict) and value and value.get(TYPE_KEY) != BINARY:
        if len(line) > _INDENT_MAX:
            return _put("...", parts, left)
        left = _put("{", parts, left)
        inner = line + "\t"
        for count, key in enumerate(sorted(value)):
            left = _put(("," if count else "") + line + quoted(key[:left]) + ":\t", parts, left)
            left = _print(value[key], inner, parts, left)
        return _put(line[:-1] + "}", parts, left)
    if isinstance(value, list) and value:
        if len(line) > _INDENT_MAX:
            return _put("...", parts, left)
        left = _put("[", parts, left)
        inner = line + "\t"
        for count, item in enumerate(value):
            left = _put(("," if count else "") + line, parts, left)
            left = _print(item, inner, parts, left)
        return _put(line[:-1] + "]", parts, left)
    if isinstance(value, Bound):
        return _put(repr(value), parts, left)
    if isinstance(value, str):
        return _put(quoted(value[: left + 1]), parts, left)
    return _put(_compact(value), parts, left)


def _put(text: str, parts: list[str], left: int) -> int:
    parts.append(text)
    left -= len(text)
    if left < 0:
        raise _EnoughError
    return left


def truncated(value: Datum) -> str:
    """`pretty`, cut to 297 characters and `...` when longer than 300."""
    text = pretty(value, _TRUNCATED_MAX)
    return text if len(text) <= _TRUNCATED_MAX else text[: _TRUNCATED_MAX - 3] + "..."
