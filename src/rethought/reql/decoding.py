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
_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Pace = Callable[[], None]


def decode_in_steps(body: bytes, pace: Pace) -> Any:
    """As `decode_query`; `pace` is called between two parts of the query."""
    value = decoded_in_steps(body, pace) if len(body) > LOT_BYTES else None
    return decode_query(body) if value is None else value


def decoded_in_steps(text: bytes, pace: Pace) -> Any:
    """The value of a JSON text, None for null and for whatever is odd: the exact error, or repeated keys."""
    try:
        return _decoded(text, LEVELS_MAX, pace)
    except (ValueError, RecursionError):
        return None


def _decoded(text: bytes, levels: int, pace: Pace) -> Any:
    opening = text[:1]
    if not levels or len(text) <= LOT_BYTES or opening not in (b"[", b"{"):
        return _once(text)
    if opening == b"{":
        names, parts = _fields(text, pace)
        return dict(zip(names, _values(parts, levels, pace), strict=True))
    parts = _decode_parts(text)
    pace()
    return _values(parts, levels, pace)


def _values(parts: list[msgspec.Raw], levels: int, pace: Pace) -> list[Any]:
    values: list[Any] = []
    for lot in lots(parts):
        if len(lot[0]) > LOT_BYTES:
            values.append(_decoded(bytes(lot[0]), levels - 1, pace))
        else:
            values += _once(joined(lot))
            pace()
    free_in_steps([parts], pace)
    return values


def _fields(text: bytes, pace: Pace) -> tuple[list[str], list[msgspec.Raw]]:
    """The names and the parts of an object. It has one colon for each, and those in names and parts; if there are more,
    a name came twice."""
    fields = _decode_fields(text)
    pace()
    names, parts = list(fields), list(fields.values())
    colons = text.count(b":") - len(names)
    for lot in lots(parts):
        colons -= joined(lot).count(b":")
        pace()
    if colons != "".join(names).count(":") or rb"\u003" in text:
        raise ValueError
    return names, parts


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
