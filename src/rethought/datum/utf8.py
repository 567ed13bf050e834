"""Strings from bytes: what is not UTF-8, and why.

What always holds: a string datum is valid UTF-8 (and so has no lone surrogates). The texts name the first bad place.
Callers: `jsonbytes` for queries, `coercion` for binary to string, whoever else takes bytes from outside.
"""

from typing import Final

from rethought.errors import QueryLogicError

_SHOWN_BYTES: Final = 20

# Leading byte range -> continuation bytes, and the smallest code point that needs as many.
_SHAPES: Final = ((0xC0, 0xDF, 1, 0x80), (0xE0, 0xEF, 2, 0x800), (0xF0, 0xF7, 3, 0x10000))


def utf8_problem(data: bytes) -> tuple[str, int] | None:
    """Why `data` is not UTF-8 and at which byte, or None when it is."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return _explain(data, error.start), error.start
    return None


def _explain(data: bytes, start: int) -> str:
    lead = data[start]
    for low, high, count, least in _SHAPES:
        if not low <= lead <= high:
            continue
        code = lead & (0x3F >> count)
        for offset in range(start + 1, start + 1 + count):
            if offset == len(data):
                return "Expected continuation byte, saw end of string"
            if data[offset] & 0xC0 != 0x80:
                return "Expected continuation byte, saw something else"
            code = code << 6 | data[offset] & 0x3F
        if code < least:
            return "Overlong encoding seen"
        return "Non-Unicode character encoded (beyond U+10FFFF or a surrogate)"
    return "Invalid initial byte seen"


def not_utf8(data: bytes) -> str | None:
    """The protocol's message about bytes that are not UTF-8, or None."""
    problem = utf8_problem(data)
    if problem is None:
        return None
    reason, position = problem
    shown = data[:_SHOWN_BYTES].decode("utf-8", "replace")
    return f"String `{shown}` (truncated) is not a UTF-8 string; {reason} at position {position}."


def string_of(data: bytes) -> str:
    """`data` as a string. Raises QueryLogicError when it is not UTF-8."""
    message = not_utf8(data)
    if message is not None:
        raise QueryLogicError(message)
    return data.decode()
