"""Strings: matching, splitting, case, JSON text and templates.

What always holds: strings are counted in code points, except that positions in a match count bytes of UTF-8, as the
original's do. Patterns are RE2's: linear time whatever the pattern. Callers: `reql.terms` joins `TERMS`.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import re2

from rethought.datum.coercion import coerce
from rethought.datum.jsonbytes import decode, has_repeated_keys
from rethought.datum.kinds import NonFiniteError
from rethought.datum.text import compact, pretty
from rethought.datum.values import Datum, from_json, is_pseudotype, wrong_type
from rethought.errors import NonExistenceError, QueryLogicError, ResourceLimitError
from rethought.exec.env import too_many
from rethought.exec.sorting import lots
from rethought.reql.checks import within_array_limit
from rethought.reql.decoding import LOT_BYTES, decoded_in_steps
from rethought.reql.spec import Arg, TermSpec, between, exactly
from rethought.reql.terms.json_faults import DEPTH, first_fault

if TYPE_CHECKING:
    from rethought.exec.env import Env

PATTERNS_KEPT_MAX: Final = 256

APART_BYTES: Final = 1 << 18
_threads: Final = ThreadPoolExecutor(2, thread_name_prefix="match")

SLICE_CHARS: Final = 1 << 18
"""Longer strings are worked on in slices, between which others have their turn."""

PACE_ITEMS: Final = 256
PACE_CHARS: Final = 1 << 14
"""So many rounds of a loop of Python's are about as long."""


# ---- match


def match(env: "Env", text: str, pattern: str) -> Datum:
    """STRING, STRING -> OBJECT | NULL. The first match anywhere, its groups in order; null where one did not match."""
    data = text.encode()
    search = partial(_compiled(pattern).search, data)
    found = apart(env, search) if len(data) > APART_BYTES else search()
    if found is None:
        return None
    within_array_limit(env, found.re.groups)
    spans = [found.span(number) for number in range(found.re.groups + 1)]
    whole, *groups = [_piece(data, start, end) for start, end in spans]
    assert whole is not None
    return {**whole, "groups": groups}  # type: ignore[dict-item]


def apart(env: "Env", work: Callable[[], Any]) -> Any:
    """The value of a long call into a library that lets others run meanwhile: on a thread, where the query may wait."""
    if env.undivided or env.transaction is not None or (env.in_place and env.awaited is not None):
        return work()
    return env.wait(env.scheduler.loop.run_in_executor(_threads, work))


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
    # No more pieces than may be: one more is an error anyway.
    cuts_max = env.array_limit if most < 0 else most
    pieces: list[str]
    if separator is None:
        pieces = _words(env, text, cuts_max)
    elif separator:
        pieces = _parts(env, text, separator, cuts_max)
    else:
        pieces = _characters(env, text, cuts_max)
    if len(pieces) > env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    env.made(pieces)
    return pieces  # type: ignore[return-value]


def _parts(env: "Env", text: str, separator: str, most: int) -> list[str]:
    if len(text) <= SLICE_CHARS:
        return text.split(separator, most)
    pieces: list[str] = []
    at = 0
    while len(pieces) < most:
        env.tick()
        found = text[at : at + SLICE_CHARS].split(separator, most - len(pieces))
        last = found.pop()  # it may go on in the next slice
        if found:
            at += sum(map(len, found)) + len(found) * len(separator)
            pieces += found
            continue
        end = text.find(separator, at + max(0, len(last) - len(separator) + 1))
        if end < 0:
            break
        pieces.append(text[at:end])
        at = end + len(separator)
    pieces.append(text[at:])
    return pieces


def _words(env: "Env", text: str, most: int) -> list[str]:
    pieces: list[str] = []
    at = 0
    while len(text) - at > SLICE_CHARS:
        env.tick()
        blank = _BLANKS.search(text, at + SLICE_CHARS)
        if blank is None:
            break
        left = most - len(pieces)
        found = _words_of(text[at : blank.start()], left)
        if len(found) > left:
            break
        pieces += found
        at = blank.end()
    pieces += _words_of(text[at:] if at else text, most - len(pieces))
    return pieces


def _words_of(text: str, most: int) -> list[str]:
    if text.isascii() and _PYTHON_BLANK.search(text) is None:
        return text.split(None, most)
    leading = _BLANKS.match(text)
    text = text[leading.end() :] if leading else text
    pieces = _BLANKS.split(text, maxsplit=most) if most else [text]
    if pieces[-1] == "":
        pieces.pop()
    return pieces


def _characters(env: "Env", text: str, most: int) -> list[str]:
    """Code points, each with the combining marks that follow it."""
    starts: list[int] = []
    for at, point in enumerate(text):
        if at % PACE_CHARS == PACE_CHARS - 1:
            env.tick()
        if at and not point.isascii() and unicodedata.category(point).startswith("M"):
            continue
        starts.append(at)
        if len(starts) > most:
            break
    env.made(starts)
    starts.append(len(text))
    pieces: list[str] = []
    for lot in lots(env, range(len(starts) - 1)):
        pieces += [text[starts[at] : starts[at + 1]] for at in lot]
    return pieces


# ---- case


def upcase(env: "Env", text: str) -> str:
    """STRING -> STRING. Only the letters of ASCII."""
    return _sliced(env, text, lambda part: part.encode().upper().decode())


def downcase(env: "Env", text: str) -> str:
    """STRING -> STRING. Only the letters of ASCII."""
    return _sliced(env, text, lambda part: part.encode().lower().decode())


def _sliced(env: "Env", text: str, change: Callable[[str], str]) -> str:
    if len(text) <= SLICE_CHARS:
        return change(text)
    env.making(len(text))
    parts = []
    for at in range(0, len(text), SLICE_CHARS):
        parts.append(change(text[at : at + SLICE_CHARS]))
        env.tick()
    return "".join(parts)


# ---- JSON


def json_of(env: "Env", text: str) -> Datum:
    """STRING -> what the JSON in it says, pseudotypes included."""
    if "\0" in text:
        raise QueryLogicError("Encountered unescaped null byte in JSON string.")
    data = text.encode()
    env.tick()
    try:
        value = decoded_in_steps(data, env.tick) if len(data) > LOT_BYTES else None
        if value is None:
            value = decode(data)
            if has_repeated_keys(data, value):
                _refuse_repeated_keys(text)
        env.tick()
        value = _canonical(env, value)
    except RecursionError:
        raise _not_json(data, DEPTH) from None
    except (ValueError, NonFiniteError):
        raise _not_json(data, first_fault(text, env.tick)) from None
    if data.count(b",") >= env.array_limit:
        _check_arrays(env, value)
    if len(data) > LOT_BYTES:
        env.hold([value])
    return value


def _canonical(env: "Env", value: Datum) -> Datum:
    """What `from_json` makes of a value; the elements of a long array a few at a time."""
    if not isinstance(value, list) or len(value) <= PACE_ITEMS:
        return from_json(value)
    for at in range(0, len(value), PACE_ITEMS):
        value[at : at + PACE_ITEMS] = from_json(value[at : at + PACE_ITEMS])  # type: ignore[assignment]
        env.tick()
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


def _check_arrays(env: "Env", whole: Datum) -> None:
    limit = env.array_limit
    pending: list[Datum] = [whole] if whole.__class__ in _NESTED else []
    count = 0
    while pending:
        value = pending.pop()
        count += 1
        if count % PACE_ITEMS == 0:
            env.tick()
        if isinstance(value, list) and len(value) > limit:
            raise ResourceLimitError(too_many(limit))
        parts = value.values() if isinstance(value, dict) else value
        pending += [part for part in parts if part.__class__ in _NESTED]  # type: ignore[union-attr]


_NESTED: Final = (dict, list)


def to_json_string(env: "Env", value: Datum) -> str:
    """DATUM -> STRING, on one line with sorted keys."""
    return compact(value, env.tick)


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
        parts.append(value if isinstance(value, str) else str(coerce(value, "STRING", env.tick)))
        if len(parts) % PACE_ITEMS < 2:
            env.tick()
    parts.append(template[at:])
    return "".join(parts)


_TAG_END: Final = re.compile(r"[{},\\]")


def _tag(template: str, start: int) -> tuple[str, int]:
    """The name in the tag that opened before `start`, and the position after the tag."""
    end = _TAG_END.search(template, start)
    match "" if end is None else end[0]:
        case "}":
            assert end is not None
            return template[start : end.start()], end.end()
        case "{":
            raise QueryLogicError("Nested template parameters are not allowed")
        case ",":
            raise QueryLogicError("Formatting separator `,` is not allowed in parameter name")
        case "\\":
            raise QueryLogicError("Reserved escape character `\\` is not allowed in parameter name")
    raise QueryLogicError("Parameter tag must be closed")


_QUICK: Final = "a.{}() if a.__class__ is str and a.isascii() and len(a) < 262144 else slow"

TERMS: Final = (
    TermSpec(97, "match", exactly(2), match, args=(Arg.STRING, Arg.STRING)),
    TermSpec(149, "split", between(1, 3), split, args=(Arg.STRING, Arg.DATUM, Arg.INT), eager=2),
    TermSpec(
        141,
        "upcase",
        exactly(1),
        upcase,
        args=(Arg.STRING,),
        inline=_QUICK.format("upper"),
    ),
    TermSpec(
        142,
        "downcase",
        exactly(1),
        downcase,
        args=(Arg.STRING,),
        inline=_QUICK.format("lower"),
    ),
    TermSpec(98, "json", exactly(1), json_of, args=(Arg.STRING,)),
    TermSpec(172, "to_json_string", exactly(1), to_json_string),
    TermSpec(197, "format", exactly(2), format_template, args=(Arg.STRING, Arg.DATUM)),
)
