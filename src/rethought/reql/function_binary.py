"""Functions as binary data: what `index_status().function` and `get_write_hook().function` hold.

Purpose: dumps carry index functions in this form and give it back to `index_create`, so both directions follow the
original's layout. What always holds: `decode(encode(f)) == f` for every function that compiled. Little endian:
prefix, u8 layout version, three u8 language versions, six zero bytes (an empty captured scope), u8 number of arguments,
an i64 per argument, i32 length, the term tree as JSON ended by NUL, u32 position, and for an index u8 multi, u8 geo. In
the tree every term is `[type, arguments, optional arguments, position]`, a literal `[1, value, position]`.
"""

import struct
from collections.abc import Iterator
from itertools import count
from typing import Any, Final, NamedTuple

import msgspec

from rethought.errors import InternalError, QueryLogicError

INDEX_PREFIX: Final = b"$reql_index_function$"
HOOK_PREFIX: Final = b"$reql_write_hook_function$"
RULE_PREFIX: Final = b"$reql_rule_function$"
"""Of a rule for rows; the original has none."""

_LAYOUT: Final = 9
_LANGUAGE: Final = 7
_HEAD: Final = struct.pack("<4B6x", _LAYOUT, _LANGUAGE, _LANGUAGE, _LANGUAGE)
_ARGUMENTS_MAX: Final = 255

_DATUM: Final = 1
_MAKE_ARRAY: Final = 2
_MAKE_OBJ: Final = 3

NOT_A_FUNCTION: Final = (
    "Cannot create an sindex except from a reql_index_function returned from `index_status` in the "
    "field `function`."
)
UNRECOGNIZED: Final = "Unrecognized secondary index version, secondary index not created."


class IndexFunction(NamedTuple):
    params: list[int]
    body: Any
    multi: bool
    geo: bool


def encode_index(params: list[int], body: Any, *, multi: bool, geo: bool) -> bytes:
    return INDEX_PREFIX + _encode(params, body) + bytes((multi, geo))


def encode_hook(params: list[int], body: Any) -> bytes:
    return HOOK_PREFIX + _encode(params, body)


def encode_rule(params: list[int], body: Any) -> bytes:
    return RULE_PREFIX + _encode(params, body)


def decode_rule(data: bytes) -> tuple[list[int], Any]:
    """Params and body of a rule."""
    if not data.startswith(RULE_PREFIX):
        raise QueryLogicError("This is no rule of `rethinkdb.permissions`.")
    params, body, _ = _decode(data[len(RULE_PREFIX) :])
    return params, body


def decode_index(data: bytes) -> IndexFunction:
    """Raises QueryLogicError for what is no index function at all, InternalError for a damaged one."""
    if not data.startswith(INDEX_PREFIX):
        raise QueryLogicError(NOT_A_FUNCTION)
    params, body, rest = _decode(data[len(INDEX_PREFIX) :])
    if len(rest) != 2 or max(rest) > 1:
        raise InternalError(UNRECOGNIZED)
    return IndexFunction(params, body, bool(rest[0]), bool(rest[1]))


def decode_hook(data: bytes) -> tuple[list[int], Any]:
    """Params and body of a write hook."""
    if not data.startswith(HOOK_PREFIX):
        raise QueryLogicError(
            "Cannot create a write hook except from a reql_write_hook_function returned from "
            "`get_write_hook`."
        )
    params, body, _ = _decode(data[len(HOOK_PREFIX) :])
    return params, body


def _encode(params: list[int], body: Any) -> bytes:
    assert len(params) <= _ARGUMENTS_MAX
    text = msgspec.json.encode(_stored(body, count())) + b"\0"
    arguments = struct.pack(f"<B{len(params)}q", len(params), *params)
    return _HEAD + arguments + struct.pack("<i", len(text)) + text + struct.pack("<I", 0)


def _decode(data: bytes) -> tuple[list[int], Any, bytes]:
    try:
        at = len(_HEAD)
        if data[0] > _LAYOUT or any(data[4:at]):
            raise ValueError("another layout")
        arguments = data[at]
        params = list(struct.unpack_from(f"<{arguments}q", data, at + 1))
        at += 1 + 8 * arguments
        (length,) = struct.unpack_from("<i", data, at)
        at += 4
        text, data = data[at : at + length], data[at + length :]
        if length < 1 or len(text) != length or text[-1] or len(data) < 4:
            raise ValueError("cut short")
        body = _sent(msgspec.json.decode(text[:-1]))
    except (ValueError, IndexError, struct.error, TypeError, RecursionError) as error:
        raise InternalError(UNRECOGNIZED) from error
    return params, body, data[4:]


def _stored(term: Any, positions: Iterator[int]) -> list[Any]:
    """The stored form of a term as it is sent."""
    position = next(positions)
    if isinstance(term, dict):
        fields = {key: _stored(value, positions) for key, value in term.items()}
        return [_MAKE_OBJ, [], fields, position]
    if not isinstance(term, list):
        return [_DATUM, term, position]
    if term[0] == _DATUM:
        return [_DATUM, term[1], position]
    result: list[Any] = [term[0], []]
    for part in term[1:]:
        if isinstance(part, list):
            result[1] = [_stored(arg, positions) for arg in part]
        else:
            result.append({key: _stored(value, positions) for key, value in part.items()})
    return [*result, position]


def _sent(term: Any) -> Any:
    """The form a driver sends, of a stored term."""
    if not isinstance(term, list) or len(term) < 2 or not isinstance(term[0], int):
        raise ValueError("not a term")
    if term[0] == _DATUM:
        return _literal(term[1])
    args: list[Any] = []
    optargs: dict[str, Any] = {}
    for part in term[1:]:
        if isinstance(part, list):
            args = [_sent(arg) for arg in part]
        elif isinstance(part, dict):
            optargs = {key: _sent(value) for key, value in part.items()}
    if term[0] == _MAKE_OBJ and not args:
        return optargs
    return [term[0], args, optargs] if optargs else [term[0], args]


def _literal(value: Any) -> Any:
    """A literal as a driver sends it: an array is a term of its own."""
    if isinstance(value, list):
        return [_MAKE_ARRAY, [_literal(item) for item in value]]
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    return value
