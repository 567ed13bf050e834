"""The fields `networks` and `limits` of a row of `users`.

What always holds: a row without them is a user without networks and limits, so that tools which know only passwords
show and write what they always did. `admin` has none: nobody can lock out who mends things.
"""

from ipaddress import ip_network
from typing import Any, Final

import msgspec

from rethought.catalog.permissions import ADMIN
from rethought.catalog.records import UserLimits, UserSettings
from rethought.datum.text import compact
from rethought.errors import OpFailedError

NETWORKS_MAX: Final = 1_000

_NAMES: Final = tuple(field.name for field in msgspec.structs.fields(UserLimits))
_WHOLE: Final = frozenset({"connections", "query_memory_bytes", "query_rows"})


def shown_settings(settings: UserSettings) -> dict[str, Any]:
    """The fields of a row; those that say nothing are left out."""
    shown: dict[str, Any] = {}
    if settings.networks:
        shown["networks"] = list(settings.networks)
    limits = msgspec.to_builtins(settings.limits)
    if limits:
        shown["limits"] = limits
    return shown


def parse_settings(user: str, row: dict[str, Any]) -> UserSettings:
    """What a written row says. Raises OpFailedError."""
    networks = row.get("networks")
    limits = row.get("limits")
    if user == ADMIN and (networks or limits):
        raise OpFailedError(f"The user `{ADMIN}` can't have networks or limits.")
    return UserSettings(
        [] if networks is None else _networks(networks),
        UserLimits() if limits is None else _limits(limits),
    )


def _networks(value: Any) -> list[str]:
    if value.__class__ is not list or len(value) > NETWORKS_MAX:
        raise OpFailedError(f"Expected an array for `networks`, got {compact(value)}.")
    return [_network(each) for each in value]


def _network(value: Any) -> str:
    try:
        if value.__class__ is not str:
            raise ValueError
        return str(ip_network(value))
    except ValueError:
        raise OpFailedError(
            f"Expected an address or a network like `10.0.0.0/8` in `networks`, got {compact(value)}."
        ) from None


def _limits(value: Any) -> UserLimits:
    if value.__class__ is not dict or "$reql_type$" in value:
        raise OpFailedError(f"Expected an object for `limits`, got {compact(value)}.")
    unknown = sorted(set(value) - set(_NAMES))
    if unknown:
        raise OpFailedError("Unexpected key(s) " + ", ".join(f"`{name}`" for name in unknown) + ".")
    for name, limit in value.items():
        if limit is None:
            continue
        wanted = (int,) if name in _WHOLE else (int, float)
        if limit.__class__ not in wanted or limit <= 0:
            kind = "an integer" if name in _WHOLE else "a number"
            raise OpFailedError(
                f"Expected {kind} greater than zero for `{name}`, got {compact(limit)}."
            )
    return UserLimits(**value)
