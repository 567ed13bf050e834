"""Binary values: base64 on the outside, bytes inside.

What always holds: a BINARY pseudotype carries canonical base64, `\\r\\n` after every 76 characters but not at the end,
so equal bytes are equal objects.
Callers: the rest of `datum/`, and the terms that work on binary.
"""

from binascii import a2b_base64, b2a_base64
from re import compile as pattern
from typing import Final, cast

from rethought.datum.kinds import BINARY, TYPE_KEY, Datum, wrong_type
from rethought.errors import QueryLogicError

_LINE_CHARACTERS: Final = 76
_NOT_BASE64: Final = pattern(r"[^A-Za-z0-9+/=\s]")


def binary(data: bytes) -> dict[str, Datum]:
    """The BINARY pseudotype that holds `data`."""
    return {TYPE_KEY: BINARY, "data": _base64(data)}


def binary_bytes(value: Datum) -> bytes:
    """The bytes of a BINARY pseudotype."""
    return a2b_base64(cast(dict[str, str], value)["data"])


def _base64(data: bytes) -> str:
    return _in_lines(b2a_base64(data, newline=False).decode("ascii"))


def _in_lines(text: str) -> str:
    if len(text) <= _LINE_CHARACTERS:
        return text
    starts = range(0, len(text), _LINE_CHARACTERS)
    return "\r\n".join([text[start : start + _LINE_CHARACTERS] for start in starts])


def checked_binary(value: dict[str, Datum]) -> dict[str, Datum]:
    """A BINARY pseudotype as it came from outside, checked and canonical (the same object when it already was)."""
    data = value.get("data")
    for key in sorted(value):
        if key not in (TYPE_KEY, "data"):
            raise QueryLogicError(f"Invalid binary pseudotype: illegal `{key}` key.")
    if "data" not in value:
        raise QueryLogicError("Invalid binary pseudotype: lacking `data` key.")
    if not isinstance(data, str):
        raise wrong_type("STRING", data)
    canonical = _canonical(data)
    return value if canonical == data else {TYPE_KEY: BINARY, "data": canonical}


def _canonical(text: str) -> str:
    """The text, which is usually as it should be, or all of it in one line."""
    try:
        plain = b2a_base64(a2b_base64(text), newline=False).decode("ascii")
    except ValueError:
        return _base64(from_base64(text))
    lines = _in_lines(plain)
    return lines if text in (lines, plain) else _base64(from_base64(text))


def from_base64(text: str) -> bytes:
    """The bytes of base64 text; line breaks are skipped and padding may be missing."""
    digits = "".join(text.split())
    body = digits.rstrip("=")
    if "=" in body:
        raise QueryLogicError("Invalid base64 format, data found after padding character '='.")
    stray = _NOT_BASE64.search(body)
    if stray is not None:
        raise QueryLogicError(f"Invalid base64 character found: '{stray[0]}'.")
    if len(body) % 4 == 1:
        raise QueryLogicError(
            "Invalid base64 length: 1 character remaining, cannot decode a full byte."
        )
    return a2b_base64(body + "=" * (-len(body) % 4))
