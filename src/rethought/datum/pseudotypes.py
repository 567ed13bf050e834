"""Pseudotypes that come from outside: checking the objects that carry `$reql_type$`.

What always holds: `checked_pseudotype` gives a canonical TIME, BINARY, GEOMETRY or LITERAL, or raises the protocol's
message. Coordinates of a geometry are not looked at until a geometry term uses them.
Callers: `values.from_json`, and every term that builds or changes objects (merge, map to an object, ...).
"""

from typing import Final

from rethought.datum import time
from rethought.datum.binary import checked_binary
from rethought.datum.kinds import (
    BINARY,
    GEOMETRY,
    LITERAL,
    TIME,
    TYPE_KEY,
    Datum,
    type_name,
    wrong_type,
)
from rethought.datum.text import pretty, truncated
from rethought.errors import NonExistenceError, QueryLogicError

STRAY_LITERAL: Final = (
    "Stray literal keyword found: literal is only legal inside of the object passed to merge or update and cannot "
    "nest inside other literals."
)


def checked_pseudotype(value: dict[str, Datum]) -> dict[str, Datum]:
    """`value`, which has the key `$reql_type$` and canonical parts, as a canonical pseudotype."""
    kind = value[TYPE_KEY]
    if kind == TIME:
        return _checked_time(value)
    if kind == BINARY:
        return checked_binary(value)
    if kind == GEOMETRY:
        return _checked_geometry(value)
    if kind == LITERAL:
        return _checked_literal(value)
    if not isinstance(kind, str):
        # `type_name` would take the odd key for a name.
        raise QueryLogicError(
            f"Error: Field `$reql_type$` must be a string (got `{truncated(kind)}` of type {type_name(kind)}):\n"
            f"{pretty(value)}"
        )
    raise QueryLogicError(f"Unknown $reql_type$ `PTYPE<{kind}>`.")


def made_of_parts(value: dict[str, Datum]) -> dict[str, Datum]:
    """An object that was put together of canonical parts, as a canonical datum. It cannot be a literal."""
    if TYPE_KEY not in value:
        return value
    if value[TYPE_KEY] == LITERAL:
        raise QueryLogicError(STRAY_LITERAL)
    return checked_pseudotype(value)


def _checked_time(value: dict[str, Datum]) -> dict[str, Datum]:
    def refuse(why: str) -> QueryLogicError:
        return QueryLogicError(f"Invalid time object constructed ({why}):\n{pretty(value)}")

    zone = ""
    epoch: int | float = 0
    for key, part in sorted(value.items(), key=lambda item: item[0]):
        if key == "epoch_time":
            if isinstance(part, bool) or not isinstance(part, int | float):
                found = f"(got `{truncated(part)}` of type {type_name(part)})"
                raise refuse(f"field `epoch_time` must be a number {found}")
            epoch = time.rounded(part)
        elif key == "timezone":
            if not isinstance(part, str):
                found = f"(got `{truncated(part)}` of type {type_name(part)})"
                raise refuse(f"field `timezone` must be a string {found}")
            try:
                zone = time.parse_timezone(part)
            except QueryLogicError:
                raise refuse(f"invalid timezone string `{truncated(part)}`") from None
        elif key != TYPE_KEY:
            raise refuse(f"unrecognized field `{key}`")
    for key in ("epoch_time", "timezone"):
        if key not in value:
            raise refuse(f"no field `{key}`")
    if epoch == value["epoch_time"] and zone == value["timezone"]:
        return value
    return {TYPE_KEY: TIME, "epoch_time": epoch, "timezone": zone}


def _checked_geometry(value: dict[str, Datum]) -> dict[str, Datum]:
    for key, part in sorted(value.items(), key=lambda item: item[0]):
        if key == "type":
            if not isinstance(part, str):
                raise wrong_type("STRING", part)
        elif key == "coordinates":
            if not isinstance(part, list):
                raise wrong_type("ARRAY", part)
        elif key not in (TYPE_KEY, "crs"):
            raise QueryLogicError(f"Unrecognized field `{key}` found in geometry object.")
    for key in ("coordinates", "type"):
        if key not in value:
            raise NonExistenceError(f"Field `{key}` not found in geometry object.")
    return value


def _checked_literal(value: dict[str, Datum]) -> dict[str, Datum]:
    for key in sorted(value):
        if key not in (TYPE_KEY, "value"):
            raise QueryLogicError(f"Invalid literal term with illegal key `{key}`.")
    return value
