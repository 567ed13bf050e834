"""Reads what clients write into system tables, and says what is wrong with it.

What always holds: each check raises OpFailedError with the protocol's text, without the prefix that names the table
(`wrong_format` puts it before). Pure functions.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from rethought.catalog.catalog import NAME
from rethought.datum.text import compact
from rethought.errors import OpFailedError

Value = TypeVar("Value")


def wrong_format(table: str, check: Callable[[], Value]) -> Value:
    """Runs `check`; what it raises becomes a complaint about a change of `table`."""
    try:
        return check()
    except OpFailedError as error:
        raise OpFailedError(
            f"The change you're trying to make to `rethinkdb.{table}` has the wrong format. "
            f"{error.message}"
        ) from error


def within(field: str, check: Callable[[], Value]) -> Value:
    """Runs `check` of a field's value; what it raises names the field."""
    try:
        return check()
    except OpFailedError as error:
        raise OpFailedError(f"In `{field}`: {error.message}") from error


def need_field(row: dict[str, Any], name: str) -> Any:
    if name not in row:
        raise OpFailedError(f"Expected a field named `{name}`.")
    return row[name]


def refuse_others(row: Iterable[str], known: Iterable[str]) -> None:
    unexpected = sorted(set(row) - set(known))
    if unexpected:
        raise OpFailedError(f"Unexpected key(s): {', '.join(unexpected)}")


def read_name(value: Any, kind: str, shown_kind: str | None = None) -> str:
    """A name of a `kind` (`table`, `db`, `server`, ...)."""
    if value.__class__ is not str:
        raise OpFailedError(f"Expected a {shown_kind or kind} name; got {compact(value)}")
    check_name(value, kind)
    return str(value)


def check_name(value: str, kind: str) -> None:
    if not NAME.match(value):
        raise OpFailedError(
            f"{compact(value)} is not a valid {kind} name; Use A-Z, a-z, 0-9, _ and - only"
        )


def read_array(value: Any) -> list[Any]:
    if value.__class__ is not list:
        raise OpFailedError(f"Expected an array, got {compact(value)}")
    return list(value)


def read_choice(value: Any, first: str, second: str) -> str:
    if value not in (first, second):
        raise OpFailedError(f'Expected "{first}" or "{second}", got: {compact(value)}')
    return str(value)
