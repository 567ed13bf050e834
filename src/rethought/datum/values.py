"""What a datum is, and how foreign JSON becomes one.

What always holds: after `from_json` a value is canonical all the way down (see `kinds`), and every other room may
rely on it without looking again. What leaves for the disk has passed `check_storable`.
Callers: everybody. The names of `kinds` and `pseudotypes` that other rooms need are offered here too.
"""

from typing import Final, cast

from rethought.datum.binary import binary, binary_bytes
from rethought.datum.jsonbytes import encode
from rethought.datum.kinds import (
    INTEGER_MAX,
    LITERAL,
    MAXVAL,
    MINVAL,
    TYPE_KEY,
    Bound,
    Datum,
    Number,
    coerce_name,
    is_binary,
    is_geometry,
    is_literal,
    is_pseudotype,
    is_time,
    is_truthy,
    number,
    type_name,
    wrong_type,
)
from rethought.datum.pseudotypes import STRAY_LITERAL, checked_pseudotype
from rethought.datum.text import number_text
from rethought.errors import QueryLogicError, ResourceLimitError

__all__ = [
    "INTEGER_MAX",
    "MAXVAL",
    "MINVAL",
    "STRAY_LITERAL",
    "TYPE_KEY",
    "Bound",
    "Datum",
    "Number",
    "binary",
    "binary_bytes",
    "check_storable",
    "checked_pseudotype",
    "coerce_name",
    "document_bytes",
    "from_json",
    "is_binary",
    "is_geometry",
    "is_literal",
    "is_pseudotype",
    "is_time",
    "is_truthy",
    "number",
    "to_int",
    "to_int32",
    "to_uint32",
    "to_uint64",
    "type_name",
    "wrong_type",
]

STORED_ARRAY_MAX: Final = 100_000
NESTING_MAX: Final = 500
"""Levels of arrays and objects in a stored document: what every later query can surely decode and walk."""

_LEAST: Final = -INTEGER_MAX
_MOST: Final = INTEGER_MAX
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_NESTED_TOO_DEEPLY: Final = f"Document nested too deeply (limit {NESTING_MAX} levels)."


def from_json(value: Datum) -> Datum:
    """Freshly decoded JSON as a canonical datum: the same object when nothing needs changing, else a new one."""
    kind = value.__class__
    if kind is not float and kind is not int:
        try:
            if isinstance(value, dict):
                return _object_from_json(value)
            if isinstance(value, list):
                return _array_from_json(value)
        except RecursionError:
            raise ResourceLimitError(_NESTED_TOO_DEEPLY) from None
        return value
    return number(cast(Number, value))


def _object_from_json(value: dict[str, Datum]) -> dict[str, Datum]:
    changed: dict[str, Datum] | None = None
    item: Datum
    for key, item in value.items():
        # Runs once per field of every document written: the usual kinds first, no call for them.
        kind = item.__class__
        if kind is str:
            continue
        if kind is int and _LEAST <= item <= _MOST:  # type: ignore[operator]
            continue
        if item is None or kind is bool:
            continue
        canonical = from_json(item)
        if canonical is not item:
            if changed is None:
                changed = {}
            changed[key] = canonical
    if changed is not None:
        value = {**value, **changed}
    return checked_pseudotype(value) if TYPE_KEY in value else value


def _array_from_json(value: list[Datum]) -> list[Datum]:
    changed: list[Datum] | None = None
    for position, item in enumerate(value):
        kind = item.__class__
        if kind is str:
            continue
        if kind is int and _LEAST <= item <= _MOST:  # type: ignore[operator]
            continue
        canonical = from_json(item)
        if canonical is not item:
            if changed is None:
                changed = value.copy()
            changed[position] = canonical
    return value if changed is None else changed


def document_bytes(document: dict[str, Datum]) -> bytes:
    """The document as it is stored. Refuses what `check_storable` does, from the bytes alone where they can tell."""
    try:
        data = encode(document)
    except (QueryLogicError, RecursionError):
        check_storable(document)  # words the error for a write
        raise
    if len(data) > _SURELY_FLAT or b"$" in data:
        _look_closely(document, data)
    return data


_SURELY_FLAT: Final = 2 * NESTING_MAX
"""Each level takes two bytes, so that fewer bytes are not nested too deeply."""


def _look_closely(document: dict[str, Datum], data: bytes) -> None:
    """Refuses what cannot be stored of a document that is long, or may hold a pseudotype."""
    if (
        len(data) > STORED_ARRAY_MAX  # below this, no array can have as many elements
        or b'"LITERAL"' in data
        or data.count(b"{") + data.count(b"[") > NESTING_MAX
    ):
        check_storable(document)


def check_storable(document: Datum) -> None:
    """Refuse what cannot be written: bounds, stray literals, huge arrays, nesting past `NESTING_MAX`."""
    _check_storable(document, NESTING_MAX)


def _check_storable(value: Datum, levels: int) -> None:
    kind = value.__class__
    items: object
    if kind is dict:
        value = cast(dict[str, Datum], value)
        if TYPE_KEY in value and value[TYPE_KEY] == LITERAL:
            raise QueryLogicError(STRAY_LITERAL)
        items = value.values()
    elif kind is list:
        value = cast(list[Datum], value)
        if len(value) > STORED_ARRAY_MAX:
            raise ResourceLimitError("Array too large for disk writes (limit 100,000 elements).")
        items = value
    elif kind is Bound:
        raise QueryLogicError("`r.minval` and `r.maxval` cannot be written to disk.")
    else:
        return
    if levels == 0:
        raise ResourceLimitError(_NESTED_TOO_DEEPLY)
    for item in cast(list[Datum], items):
        if item.__class__ not in _SCALARS:
            _check_storable(item, levels - 1)


# Integers out of numbers


def to_int(value: Number) -> int:
    """A number that must be an integer of at most 2**53 in size."""
    if isinstance(value, int):
        return value
    if not value.is_integer():
        raise QueryLogicError(f"Number not an integer: {number_text(value)}")
    if value > INTEGER_MAX:
        raise QueryLogicError(f"Number not an integer (>2^53): {number_text(value)}")
    if value < -INTEGER_MAX:
        raise QueryLogicError(f"Number not an integer (<-2^53): {number_text(value)}")
    return int(value)


def to_int32(value: Number) -> int:
    """A number that must be an integer in the range of 32 bits with a sign."""
    return _within(to_int(value), -(1 << 31), (1 << 31) - 1)


def to_uint32(value: Number) -> int:
    """A number that must be an integer in the range of 32 bits without a sign."""
    return _within(to_int(value), 0, (1 << 32) - 1)


def to_uint64(value: Number) -> int:
    """A number that must be an integer and not negative."""
    return _within(to_int(value), 0, (1 << 64) - 1)


def _within(value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise QueryLogicError(f"Integer too large: {value}")
    return value
