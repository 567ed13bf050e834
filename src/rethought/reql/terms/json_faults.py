"""Why a text is not JSON, in the words of the protocol.

What always holds: it is called only for a text the decoder refused, and reads it once, from the left, to the first
fault. Callers: the term JSON.
"""

import re
from typing import Final

from rethought.datum.text import Pace

PACE_ITEMS: Final = 256

EMPTY: Final = "The document is empty."
TRAILING: Final = "The document root must not follow by other values."
VALUE: Final = "Invalid value."
NAME: Final = "Missing a name for object member."
COLON: Final = "Missing a colon after a name of object member."
OBJECT_END: Final = "Missing a comma or '}' after an object member."
ARRAY_END: Final = "Missing a comma or ']' after an array element."
HEX: Final = "Incorrect hex digit after \\u escape in string."
SURROGATE: Final = "The surrogate pair in string is invalid."
ESCAPE: Final = "Invalid escape character in string."
QUOTE: Final = "Missing a closing quotation mark in string."
NUMBER_SIZE: Final = "Number too big to be stored in double."
FRACTION: Final = "Miss fraction part in number."
EXPONENT: Final = "Miss exponent in number."
DEPTH: Final = "The document is nested too deeply."

_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r"true|false|null")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]*)?")
_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_HEX: Final = re.compile(r"[0-9a-fA-F]{4}")


class _FaultError(Exception):
    """The first fault; its argument is the text for it."""


def first_fault(text: str, pace: Pace) -> str:
    """The fault of a text that is not JSON. Calls `pace` now and then."""
    at = _skip(text, 0)
    if at == len(text):
        return EMPTY
    try:
        at = _value(text, at, pace)
    except _FaultError as fault:
        return str(fault)
    except RecursionError:
        return DEPTH
    # What is whole after all was nested deeper than the decoder goes.
    return TRAILING if _skip(text, at) < len(text) else DEPTH


def _skip(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    assert blanks is not None
    return blanks.end()


def _value(text: str, at: int, pace: Pace) -> int:
    """The position after the value at `at`."""
    match text[at : at + 1]:
        case "{":
            return _object(text, _skip(text, at + 1), pace)
        case "[":
            return _array(text, _skip(text, at + 1), pace)
        case '"':
            return _string(text, at + 1, pace)
    word = _WORD.match(text, at)
    return word.end() if word else _number(text, at)


def _object(text: str, at: int, pace: Pace) -> int:
    if text.startswith("}", at):
        return at + 1
    members = 0
    while True:
        if not text.startswith('"', at):
            raise _FaultError(NAME)
        members += 1
        if members % PACE_ITEMS == 0:
            pace()
        at = _skip(text, _string(text, at + 1, pace))
        if not text.startswith(":", at):
            raise _FaultError(COLON)
        at = _skip(text, _value(text, _skip(text, at + 1), pace))
        if text.startswith("}", at):
            return at + 1
        if not text.startswith(",", at):
            raise _FaultError(OBJECT_END)
        at = _skip(text, at + 1)


def _array(text: str, at: int, pace: Pace) -> int:
    if text.startswith("]", at):
        return at + 1
    elements = 0
    while True:
        elements += 1
        if elements % PACE_ITEMS == 0:
            pace()
        at = _skip(text, _value(text, at, pace))
        if text.startswith("]", at):
            return at + 1
        if not text.startswith(",", at):
            raise _FaultError(ARRAY_END)
        at = _skip(text, at + 1)


def _string(text: str, at: int, pace: Pace) -> int:
    escapes = 0
    while True:
        plain = _PLAIN.match(text, at)
        assert plain is not None
        at = plain.end()
        match text[at : at + 1]:
            case '"':
                return at + 1
            case "":
                raise _FaultError(QUOTE)
            case "\\":
                at = _escape(text, at + 1)
                escapes += 1
                if escapes % PACE_ITEMS == 0:
                    pace()
            case _:
                raise _FaultError(ESCAPE)


def _escape(text: str, at: int) -> int:
    letter = text[at : at + 1]
    if letter != "u":
        if not letter or letter not in '"\\/bfnrt':
            raise _FaultError(ESCAPE)
        return at + 1
    code = _hex(text, at + 1)
    if not 0xD800 <= code <= 0xDFFF:
        return at + 5
    if not text.startswith("\\u", at + 5) or not 0xDC00 <= _hex(text, at + 7) <= 0xDFFF:
        raise _FaultError(SURROGATE)
    return at + 11


def _hex(text: str, at: int) -> int:
    digits = _HEX.match(text, at)
    if digits is None:
        raise _FaultError(HEX)
    return int(digits[0], 16)


def _number(text: str, at: int) -> int:
    number = _NUMBER.match(text, at)
    if number is None:
        raise _FaultError(VALUE)
    if number[1] == ".":
        raise _FaultError(FRACTION)
    if number[2] is not None and not number[2][-1].isdigit():
        raise _FaultError(EXPONENT)
    if float(number[0]) in (float("inf"), float("-inf")):
        raise _FaultError(NUMBER_SIZE)
    return number.end()
