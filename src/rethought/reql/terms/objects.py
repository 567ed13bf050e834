"""Objects: their keys, their values, and making one from a list of both."""

from typing import TYPE_CHECKING, Any, Final

from rethought.datum.pseudotypes import made_of_parts
from rethought.datum.text import truncated
from rethought.datum.values import TYPE_KEY, Datum, type_name
from rethought.errors import QueryLogicError
from rethought.reql.checks import string_of, within_array_limit
from rethought.reql.spec import ANY_NUMBER, TermSpec, exactly

if TYPE_CHECKING:
    from rethought.exec.env import Env


PACE: Final = 1_000
"""So many parts are put together before others may have their turn."""


def plain_object(value: Datum, name: str) -> dict[str, Datum]:
    """The value when it is an object and no pseudotype."""
    if isinstance(value, dict) and TYPE_KEY not in value:
        return value
    raise QueryLogicError(f"Cannot call `{name}` on objects of type `{type_name(value)}`.", 0)


def keys(env: "Env", value: Datum) -> list[Datum]:
    """OBJECT -> ARRAY: sorted"""
    document = plain_object(value, "keys")
    within_array_limit(env, len(document))
    names: list[Datum] = [*sorted(document)]
    return env.made(names)


def values(env: "Env", value: Datum) -> list[Datum]:
    """OBJECT -> ARRAY: in the order of the keys"""
    document = plain_object(value, "values")
    within_array_limit(env, len(document))
    return env.made([document[key] for key in sorted(document)])


def object_(env: "Env", *parts: Any) -> Datum:
    """(STRING, DATUM)... -> OBJECT. All but the first key are evaluated here, pair by pair."""
    if len(parts) % 2:
        raise QueryLogicError(
            f"OBJECT expects an even number of arguments (but found {len(parts)})."
        )
    result: dict[str, Datum] = {}
    for at in range(0, len(parts), 2):
        if at % PACE == PACE - 2:
            env.tick()
        key = string_of(parts[at]() if at else parts[0], at)
        value = parts[at + 1]()
        if key in result:
            raise QueryLogicError(
                f'Duplicate key "{key}" in object.  '
                f"(got {truncated(result[key])} and {truncated(value)} as values)"
            )
        result[key] = value
    return made_of_parts(env.made(result))


TERMS: Final = (
    TermSpec(94, "keys", exactly(1), run=keys),
    TermSpec(186, "values", exactly(1), run=values),
    TermSpec(143, "object", ANY_NUMBER, run=object_, eager=1),
)
