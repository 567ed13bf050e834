"""Decodes long queries some at a time, and lets go of what was decoded the same way.

What always holds: the value is what `decode_query` gives, errors included: whatever is odd goes that way. Called by
`reql.plan` for queries that are compiled a piece at a time.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from rethought.datum.jsonbytes import decode_query, has_repeated_keys

LOT_BYTES: Final = 1 << 16
LEVELS_MAX: Final = 8
"""Every level of long arrays in long arrays is looked through once more: no further than this."""
LOT: Final = 1_000

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
    lot: list[msgspec.Raw] = []
    size = 0
    parts = _decode_parts(text)
    pace()
    for part in parts:
        if len(part) > LOT_BYTES:
            values += _lot(lot)
            values.append(_decoded(part, levels - 1, pace))
            lot, size = [], 0
            continue
        lot.append(part)
        size += len(part)
        if size > LOT_BYTES:
            values += _lot(lot)
            lot, size = [], 0
            pace()
    values += _lot(lot)
    let_go(parts, pace)
    return values


def _lot(lot: list[msgspec.Raw]) -> list[Any]:
    values: list[Any] = _once(b"[" + b",".join(lot) + b"]")
    return values


def _once(text: bytes) -> Any:
    value = _decode(text)
    if has_repeated_keys(text, value):
        raise ValueError
    return value


def let_go(value: Any, pace: Pace) -> None:
    """Empties the long lists in a value that nobody needs any more."""
    pending = [value]
    while pending:
        part = pending.pop()
        if part.__class__ is not list:
            continue
        while len(part) > LOT:
            pending += [each for each in part[-LOT:] if each.__class__ is list and len(each) > LOT]
            del part[-LOT:]
            pace()
        pending += part
