"""Strings: matching, splitting, case, JSON text and templates.

What always holds: strings are counted in code points, except that positions in a match count bytes of UTF-8, as the
original's do. Patterns are RE2's: linear time whatever the pattern. Callers: `reql.terms` joins `TERMS`.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING, Any, Final

import re2

from rethought.datum.coercion import coerce
from rethought.datum.jsonbytes import decode, has_repeated_keys
from rethought.datum.text import compact, pretty
from rethought.datum.values import Datum, from_json, is_pseudotype, wrong_type
from rethought.errors import NonExistenceError, QueryLogicError, ResourceLimitError
from rethought.exec.env import too_many
from rethought.reql.spec import Arg, TermSpec, between, exactly
from rethought.reql.terms.json_faults import DEPTH, first_fault

if TYPE_CHECKING:
    from rethought.exec.env import Env

PATTERNS_KEPT_MAX: Final = 256


# ---- match


def match(env: "Env", text: str, pattern: str) -> Datum:
    """STRING, STRING -> OBJECT | NULL. The first match anywhere, its groups in order; null where one did not match."""
    data = text.encode()
    found = _compiled(pattern).search(data)
    if found is None:
        return None
    spans = [found.span(number) for number in range(found.re.groups + 1)]
    whole, *groups = [_piece(data, start, end) for start, end in spans]
    assert whole is not None
    return {**whole, "groups": groups}  # type: ignore[dict-item]


def _piece(data: bytes, start: int, end: int) -> dict[str, Datum] | None:
    if start < 0:
        return None
    # A group may end inside a character when the pattern says \C.
    return {"str": data[start:end].decode("utf-8", "replace"), "start": start, "end": end}


@lru_cache(PATTERNS_KEPT_MAX)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = error.args[0]
        why = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        portion = why.partition(": ")[2]
        raise QueryLogicError(f"Error in regexp `{pattern}` (portion `{portion}`): {why}") from None


# ---- split

_BLANK: Final = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_BLANKS: Final = re.compile(_BLANK + "+")
_PYTHON_BLANK: Final = re.compile("[\x1c-\x1f]")
"""What `str.split` takes for blank, but Unicode's property White_Space does not."""


def split(
    env: "Env", text: str, separator: Datum = None, cuts: Callable[[], int] | None = None
) -> list[Datum]:
    """STRING [, STRING | NULL [, NUMBER]] -> ARRAY. The number is that of the cuts at most; -1 is no limit."""
    if separator is not None and separator.__class__ is not str:
        raise wrong_type("STRING", separator)
    most = -1 if cuts is None else cuts()
    if not -1 <= most <= env.array_limit - 1:
        raise QueryLogicError(
            f"Error: `split` size argument must be in range [-1, {env.array_limit - 1}]."
        )
    pieces: list[str]
    if separator is None:
        pieces = _words(text, most)
    elif separator:
        pieces = text.split(separator, most)
    else:
        pieces = _characters(text, most)
    if len(pieces) > env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    return pieces  # type: ignore[return-value]


def _words(text: str, most: int) -> list[str]:
    if text.isascii() and _PYTHON_BLANK.search(text) is None:
        return text.split(None, most)
    leading = _BLANKS.match(text)
    text = text[leading.end() :] if leading else text
    pieces = [text] if most == 0 else _BLANKS.split(text, maxsplit=max(most, 0))
    if pieces[-1] == "":
        pieces.pop()
    return pieces


def _characters(text: str, most: int) -> list[str]:
    """Code points, each with the combining marks that follow it."""
    if text.isascii():
        starts = list(range(len(text)))
    else:
        starts = [
            at
            for at, point in enumerate(text)
            if at == 0 or not unicodedata.category(point).startswith("M")
        ]
    if 0 <= most < len(starts):
        starts = starts[: most + 1]
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


# ---- case

_UPPER: Final = str.maketrans(ascii_lowercase, ascii_uppercase)
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)


def upcase(env: "Env", text: str) -> str:
    """STRING -> STRING. Only the letters of ASCII."""
    return text.translate(_UPPER)


def downcase(env: "Env", text: str) -> str:
    """STRING -> STRING. Only the letters of ASCII."""
    return text.translate(_LOWER)


# ---- JSON


def json_of(env: "Env", text: str) -> Datum:
    """STRING -> what the JSON in it says, pseudotypes included."""
    if "\0" in text:
        raise QueryLogicError("Encountered unescaped null byte in JSON string.")
    data = text.encode()
    try:
        value = decode(data)
        if has_repeated_keys(data, value):
            _refuse_repeated_keys(text)
        value = from_json(value)
    except RecursionError:
        raise _not_json(data, DEPTH) from None
    except ValueError:
        raise _not_json(data, first_fault(text)) from None
    _check_arrays(value, env.array_limit)
    return value


def _not_json(data: bytes, why: str) -> QueryLogicError:
    shown = data[:37].decode("utf-8", "ignore") + "..." if len(data) > 40 else data.decode()
    return QueryLogicError(f'Failed to parse "{shown}" as JSON: {why}')


def _refuse_repeated_keys(text: str) -> None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise QueryLogicError(f'Duplicate key "{key}" in JSON.')
            seen.add(key)

    json.loads(text, object_pairs_hook=check)


def _check_arrays(value: Datum, limit: int) -> None:
    if isinstance(value, dict):
        for item in value.values():
            _check_arrays(item, limit)
    elif isinstance(value, list):
        if len(value) > limit:
            raise ResourceLimitError(too_many(limit))
        for item in value:
            _check_arrays(item, limit)


def to_json_string(env: "Env", value: Datum) -> str:
    """DATUM -> STRING, on one line with sorted keys."""
    return compact(value)


# ---- format

_BRACE: Final = re.compile("[{}]")


def format_template(env: "Env", template: str, values: Datum) -> str:
    """STRING, OBJECT -> STRING with each `{name}` replaced by that field as a string."""
    if not isinstance(values, dict) or is_pseudotype(values):
        raise wrong_type("OBJECT", values)
    parts = []
    at = 0
    while brace := _BRACE.search(template, at):
        if brace[0] == "}":
            raise QueryLogicError("No parameter tags to close")
        parts.append(template[at : brace.start()])
        name, at = _tag(template, brace.end())
        if name not in values:
            raise NonExistenceError(f"No attribute `{name}` in object:\n{pretty(values)}")
        value = values[name]
        parts.append(value if isinstance(value, str) else str(coerce(value, "STRING")))
    parts.append(template[at:])
    return "".join(parts)


def _tag(template: str, start: int) -> tuple[str, int]:
    """The name in the tag that opened before `start`, and the position after the tag."""
    for at in range(start, len(template)):
        match template[at]:
            case "}":
                return template[start:at], at + 1
            case "{":
                raise QueryLogicError("Nested template parameters are not allowed")
            case ",":
                raise QueryLogicError("Formatting separator `,` is not allowed in parameter name")
            case "\\":
                raise QueryLogicError(
                    "Reserved escape character `\\` is not allowed in parameter name"
                )
    raise QueryLogicError("Parameter tag must be closed")


TERMS: Final = (
    TermSpec(97, "match", exactly(2), match, args=(Arg.STRING, Arg.STRING)),
    TermSpec(149, "split", between(1, 3), split, args=(Arg.STRING, Arg.DATUM, Arg.INT), eager=2),
    TermSpec(
        141,
        "upcase",
        exactly(1),
        upcase,
        args=(Arg.STRING,),
        inline="a.upper() if a.__class__ is str and a.isascii() else slow",
    ),
    TermSpec(
        142,
        "downcase",
        exactly(1),
        downcase,
        args=(Arg.STRING,),
        inline="a.lower() if a.__class__ is str and a.isascii() else slow",
    ),
    TermSpec(98, "json", exactly(1), json_of, args=(Arg.STRING,)),
    TermSpec(172, "to_json_string", exactly(1), to_json_string),
    TermSpec(197, "format", exactly(2), format_template, args=(Arg.STRING, Arg.DATUM)),
)
