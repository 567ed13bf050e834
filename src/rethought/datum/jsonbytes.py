"""JSON bytes: the canonical form documents have at rest and on the wire, and the decoding of queries.

What always holds: equal values (and equal time zones) encode to equal bytes, because keys are sorted in byte order
and numbers are canonical; so decoding what `encode` wrote gives canonical data again without a check. Numbers are
written as short as they go (`1e20`); `text.compact` is the spelling the protocol promises for JSON *strings*.
Callers: everybody. `decode_query` is for the wire and for compilers only.
"""

import json
import re
from typing import Any, Final, Never

import msgspec

from rethought.datum.kinds import Bound, Datum
from rethought.datum.utf8 import not_utf8
from rethought.errors import ClientError, CompileError, Frame, QueryLogicError

BUGGY_CLIENT: Final = "Client is buggy (failed to deserialize query)."
TOO_DEEP: Final = "Server could not parse query: The query is nested too deeply."


def _refuse(value: object) -> Never:
    if isinstance(value, Bound):
        raise QueryLogicError(f"Cannot convert `r.{value.name}` to JSON.")
    raise TypeError(f"not a datum: {value!r}")


_encoder: Final = msgspec.json.Encoder(order="deterministic", enc_hook=_refuse)
_any_order: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder()

encode: Final = _encoder.encode
"""`encode(value) -> bytes`. Raises ``Cannot convert `r.minval` to JSON.`` for a bound anywhere inside."""


def decode(data: bytes) -> Datum:
    """The value of bytes that `encode` wrote. Foreign JSON needs `values.from_json` on top."""
    return _decoder.decode(data)  # type: ignore[no-any-return]


decode_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""The fields of an object that `encode` wrote, each as its bytes; `encode` takes them as they are."""


class RepeatedKeys(dict[str, Any]):
    """A JSON object that names a key twice. `repeated` is the first such key; the last value won.

    Only the compiler knows whether it is a `Duplicate object key` or a `Duplicate optional argument`, and where.
    """

    repeated: str


def decode_query(data: bytes) -> Any:
    """The JSON of a query, not yet canonical. Objects that repeat a key come as `RepeatedKeys`.

    Raises ClientError for what is not JSON (lone surrogates and numbers past a double's range included) and for
    nesting past what the interpreter bears; CompileError, with its frames, for a string that is not UTF-8.
    """
    try:
        value = _decoder.decode(data)
    except UnicodeDecodeError:
        _blame_bytes(data)
    except RecursionError:
        raise ClientError(TOO_DEEP) from None
    except ValueError:  # msgspec's own errors and integers of thousands of digits
        raise ClientError(BUGGY_CLIENT) from None
    if has_repeated_keys(data, value):
        return json.loads(data, object_pairs_hook=_object_of_pairs)
    return value


def has_repeated_keys(data: bytes, value: Any) -> bool:
    r"""Whether an object in the JSON text `data`, decoded as `value`, names a key twice. Exact.

    A colon stands after each key or inside a string. Writing the value again keeps those inside strings and those
    after keys that are still there, so the counts differ exactly when a key was lost. Only a colon that is written
    `\u003a` could tip the scales; then we look closely.
    """
    if b"\\u003" in data and re.search(rb"\\u003[aA]", data):
        return _look_closely(data)
    colons = data.count(b":")
    return colons != 0 and _any_order.encode(value).count(b":") != colons


def _look_closely(data: bytes) -> bool:
    found = False

    def note(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({key for key, _ in pairs}) != len(pairs)

    json.loads(data, object_pairs_hook=note)
    return found


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    seen: set[str] = set()
    doubled = RepeatedKeys(plain)
    for key, _ in pairs:
        if key in seen:
            doubled.repeated = key
            break
        seen.add(key)
    return doubled


def _blame_bytes(data: bytes) -> Never:
    """Raise the error for a query with bytes that are not UTF-8, at the term that holds the string."""
    try:
        # Stray bytes become lone surrogates, which no other string can hold: escaped ones are refused above.
        value = json.loads(data.decode("utf-8", "surrogateescape"), parse_constant=_not_json)
    except (ValueError, RecursionError):
        raise ClientError(BUGGY_CLIENT) from None
    query = value if isinstance(value, list) else [value]
    for part in query[1:2]:
        _search_term(part, ())
    for part in query[2:3]:
        _search_term(part, ())
    raise ClientError(BUGGY_CLIENT)


def _search_term(term: Any, frames: tuple[Frame, ...]) -> None:
    if isinstance(term, str):
        raw = term.encode("utf-8", "surrogateescape")
        message = not_utf8(raw)
        if message is not None:
            raise CompileError(message, frames=frames)
    elif isinstance(term, dict):
        for key, value in term.items():
            _search_term(key, frames)
            _search_term(value, (*frames, key))
    elif isinstance(term, list):
        for part in term[1:]:
            if isinstance(part, list):
                for index, argument in enumerate(part):
                    _search_term(argument, (*frames, index))
            else:
                _search_term(part, frames)


def _not_json(_: str) -> Never:
    raise ValueError


QUERY_TYPES: Final = frozenset({1, 2, 3, 4, 5})

_JSON_NAMES: Final[dict[type, str]] = {
    type(None): "NULL",
    bool: "BOOL",
    int: "NUMBER",
    float: "NUMBER",
    str: "STRING",
    list: "ARRAY",
    dict: "OBJECT",
    RepeatedKeys: "OBJECT",
}


def json_type_name(value: Any) -> str:
    """The name of a decoded JSON value's type in the errors about a query's shape."""
    return _JSON_NAMES[value.__class__]


def query_parts(value: Any) -> tuple[int, list[Any]]:
    """The type of a decoded query and what follows it: [], [term] or [term, optargs]. Raises ClientError."""

    def refuse(what: str) -> Never:
        raise ClientError(f"Server could not parse query: {what}")

    if not isinstance(value, list):
        refuse(f"Expected a query to be an array, but found {json_type_name(value)}.")
    if not 1 <= len(value) <= 3:
        refuse(f"Expected 1 to 3 elements in the top-level query, but found {len(value)}.")
    kind = value[0]
    if isinstance(kind, bool) or not isinstance(kind, int | float):
        refuse(f"Expected a query type as a number, but found {json_type_name(kind)}.")
    number = int(kind) if kind == int(kind) else 0
    if number not in QUERY_TYPES:
        refuse(f"Unrecognized QueryType: {number}.")
    if len(value) == 3 and not isinstance(value[2], dict):
        found = json_type_name(value[2])
        refuse(f"Expected global optargs as an object, but found {found}.")
    return number, value[1:]
