"""Merging objects, and the literals that say where to replace instead.

What always holds: merging changes neither side; the result has no literal in it, and every pseudotype in it was
checked again if the merge could have changed it.
Callers: the terms merge, update, insert (conflicts), zip.
"""

from typing import Final, cast

from rethought.datum.kinds import BINARY, LITERAL, TYPE_KEY, Datum
from rethought.datum.pseudotypes import STRAY_LITERAL
from rethought.datum.values import from_json
from rethought.errors import QueryLogicError

_NOTHING: Final = cast(Datum, object())
"""What a literal without a value stands for: no field."""


def merge_objects(left: Datum, right: Datum) -> Datum:
    """`right` merged onto `left`: objects field by field, all the way down; anything else replaces what was there."""
    if right.__class__ is not dict:
        return right
    changes = right
    kind = changes.get(TYPE_KEY)
    if kind == LITERAL:
        raise QueryLogicError(STRAY_LITERAL)
    if left.__class__ is not dict or kind == BINARY:
        return without_literals(right)
    base = left
    if base.get(TYPE_KEY) == BINARY:
        return without_literals(right)
    merged = {**base, **changes}
    for key, value in changes.items():
        if value.__class__ is dict:
            _merge_field(merged, key, base.get(key), value)
        elif value.__class__ is list:
            merged[key] = without_literals(value)
    return from_json(merged) if TYPE_KEY in merged else merged


def _merge_field(
    merged: dict[str, Datum], key: str, before: Datum, value: dict[str, Datum]
) -> None:
    if value.get(TYPE_KEY) != LITERAL:
        merged[key] = merge_objects(before, value)
    elif "value" in value:
        merged[key] = without_literals(value["value"])
    else:
        del merged[key]


def without_literals(value: Datum) -> Datum:
    """The value with every literal in it replaced by what it holds: the same object when there is none."""
    cleaned = _cleaned(value)
    return None if cleaned is _NOTHING else cleaned


def _cleaned(value: Datum) -> Datum:
    if value.__class__ is dict:
        return _cleaned_object(value)
    if value.__class__ is list:
        return _cleaned_array(value)
    return value


def _cleaned_object(value: dict[str, Datum]) -> Datum:
    kind = value.get(TYPE_KEY)
    if kind is not None:
        if kind != LITERAL:
            return value  # other pseudotypes hold no literals
        return _cleaned(value["value"]) if "value" in value else _NOTHING
    changed: dict[str, Datum] | None = None
    for key, item in value.items():
        if item.__class__ is not dict and item.__class__ is not list:
            continue
        cleaned = _cleaned(item)
        if cleaned is not item:
            if changed is None:
                changed = {**value}
            if cleaned is _NOTHING:
                del changed[key]
            else:
                changed[key] = cleaned
    return value if changed is None else changed


def _cleaned_array(value: list[Datum]) -> Datum:
    for item in value:
        if item.__class__ is dict or item.__class__ is list:
            break
    else:
        return value
    cleaned = [_cleaned(item) for item in value]
    if all(one is other for one, other in zip(cleaned, value, strict=True)):
        return value
    return [item for item in cleaned if item is not _NOTHING]
