"""The wordings that families of terms share when an argument is not what it must be.

What always holds: each message is built here (or in `datum`, `exec`) once; a null that stands where something else
must counts as missing. `at` is the argument (or optional argument) to blame; without it the term itself is blamed.
Callers: `reql.terms`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from rethought.datum.text import truncated
from rethought.datum.values import Datum, Number, to_int
from rethought.errors import (
    Frame,
    QueryLogicError,
    ReqlError,
    ResourceLimitError,
)
from rethought.exec.env import too_many
from rethought.exec.values import wrong_datum

if TYPE_CHECKING:
    from rethought.exec.env import Env, Options

Result = TypeVar("Result")


def wrong_type(expected: str, value: Datum, *at: Frame) -> QueryLogicError:
    """`Expected type {X} but found {Y}.`"""
    return wrong_datum(expected, value, *at)


def number_of(value: Datum, *at: Frame) -> Number:
    if value.__class__ is int or value.__class__ is float:
        return value
    raise wrong_type("NUMBER", value, *at)


def string_of(value: Datum, *at: Frame) -> str:
    if isinstance(value, str):
        return value
    raise wrong_type("STRING", value, *at)


def array_of(value: Datum, *at: Frame) -> list[Datum]:
    if isinstance(value, list):
        return value
    raise wrong_type("ARRAY", value, *at)


def int_of(value: Datum, *at: Frame) -> int:
    """A number that must be an integer: `Expected type NUMBER ..`, `Number not an integer: {v}`."""
    return blamed(lambda: to_int(number_of(value)), *at)


_INT32: Final = 2**31


def narrow(value: int, *at: Frame) -> int:
    """A number that must fit 32 bits."""
    if not -_INT32 <= value < _INT32:
        raise QueryLogicError(f"Integer too large: {value}", *at)
    return value


def blamed(function: Callable[[], Result], *at: Frame) -> Result:
    """The function's result; an error of it that blames nobody yet blames `at`."""
    try:
        return function()
    except ReqlError as error:
        if not error.at:
            error.at = at
        raise


def within_array_limit(env: "Env", size: int) -> None:
    """Raises ResourceLimitError when an array of this size is more than the query may build."""
    if size > env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    if size > LARGE_ARRAY:
        env.making(8 * size)


LARGE_ARRAY: Final = 8_192

OPEN: Final = "open"
CLOSED: Final = "closed"


def is_open_bound(opts: "Options", name: str, default: str) -> bool:
    """Whether a `left_bound` or `right_bound` says open."""
    if not opts.has(name):
        return default == OPEN
    value = string_of(opts.value(name), name)
    if value not in (OPEN, CLOSED):
        raise QueryLogicError(
            f"Expected `open` or `closed` for optarg `{name}` (got `{truncated(value)}`)."
        )
    return value == OPEN
