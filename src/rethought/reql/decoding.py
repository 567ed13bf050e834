"""Decodes long queries some at a time, and lets go of what was decoded the same way.

What always holds: the value is what `decode_query` gives, errors included: whatever is odd goes that way. Called by
`reql.plan` for queries that are compiled a piece at a time, and by `reql.inserts` for long arrays of documents.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from rethought.datum.jsonbytes import decode_query, has_repeated_keys
from rethought.exec.freeing import free_in_steps

LOT_BYTES: Final = 1 << 16
LEVELS_MAX: Final = 8
"""Every level of long arrays in long arrays is looked through once more: no further than this."""

_decode: Final = msgspec.json.Decoder().decode
_decode_parts: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode

Pace = Callable[[], None]


def decode_in_steps(body: bytes, pace: Pace) -> Any:
    """As `decode_query`; `pace` is called between two parts of the query."""
    if len(body) <= LOT_BYTES:
        return decode_query(body)
    try:
        return _decoded(body, LEVELS_MAX, pace)
    except (ValueError, RecursionError):  # the exact error, or repeated keys, take the long way
        return decode_query(body)


def _decoded(text: "bytes | msgspec.Raw", levels: int, pace: Pace) -> Any:
    if not levels or bytes(memoryview(text)[:1]) != b"[":
        return _once(bytes(text))
    values: list[Any] = []
    parts = _decode_parts(text)
    pace()
    for lot in lots(parts):
        if len(lot[0]) > LOT_BYTES:
            values.append(_decoded(lot[0], levels - 1, pace))
        else:
            values += _once(joined(lot))
            pace()
    free_in_steps([parts], pace)
    return values


def lots(parts: list[msgspec.Raw]) -> Iterator[list[msgspec.Raw]]:
    """Neighbours that are small enough to be decoded together; a long part stands alone."""
    lot: list[msgspec.Raw] = []
    size = 0
    for part in parts:
        if lot and size + len(part) > LOT_BYTES:
            yield lot
            lot, size = [], 0
        lot.append(part)
        size += len(part)
    if lot:
        yield lot


def joined(lot: list[msgspec.Raw]) -> bytes:
    """An array of these parts."""
    return b"[" + b",".join(lot) + b"]"


def _once(text: bytes) -> Any:
    value = _decode(text)
    if has_repeated_keys(text, value):
        raise ValueError
    return value
