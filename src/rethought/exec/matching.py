"""Rows against the pattern of an object filter.

What always holds: an object matches when it has every field of the pattern with an equal value; objects inside match
the same way, so the row may have more fields; a literal demands equality. Fields are looked at in order of their
names. A missing field is a NON_EXISTENCE error, which the filter's default answers. Called by filter and count.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

from msgspec import UNSET

from rethought.datum.order import equal
from rethought.datum.values import type_name
from rethought.errors import Frame, NonExistenceError, QueryLogicError
from rethought.exec.functions import Function, RowFunction, Rows, constant_function
from rethought.exec.projection import Projection, attribute, projection

_BOOLEAN: Final = 8
_MISSING: Final = object()
_FIELDS_MAX: Final = 8


def matches(env: Any, row: Any, pattern: Any) -> Any:
    """Whether a row fits what a predicate gave: an object is a pattern, anything else holds or does not."""
    return _fits(pattern, row) if _is_object(pattern) else pattern


def _is_object(value: Any) -> bool:
    return value.__class__ is dict and value.get("$reql_type$") != "BINARY"


def _fits(pattern: dict[str, Any], value: Any) -> bool:
    if pattern.get("$reql_type$") == "LITERAL":
        return "value" in pattern and equal(value, pattern["value"])
    for field in sorted(pattern):
        if not _is_object(value):
            error = NonExistenceError if value is None else QueryLogicError
            raise error(f"Expected type OBJECT but found {type_name(value)}.")
        found = value.get(field, _MISSING)
        if found is _MISSING:
            raise NonExistenceError(f"No attribute `{field}` in object.")
        wanted = pattern[field]
        if _is_object(wanted) and _is_object(found):
            if not _fits(wanted, found):
                return False
        elif not equal(found, wanted):
            return False
    return True


class PatternFunction(RowFunction):
    """An object as a predicate, with the place where it stands in the query."""

    __slots__ = ("frames", "pattern")

    def __init__(
        self,
        pattern: dict[str, Any],
        frames: tuple[Frame, ...],
        narrow: tuple[Projection, Rows] | None,
    ) -> None:
        super().__init__(partial(rows_that_fit, pattern, frames), narrow, _BOOLEAN, None)
        self.pattern = pattern
        self.frames = frames


def rows_that_fit(
    pattern: dict[str, Any], frames: tuple[Frame, ...], documents: list[Any]
) -> list[bool]:
    try:
        return [_fits(pattern, row) for row in documents]
    except QueryLogicError as error:
        error.frames = frames
        raise


def pattern_function(pattern: Any, place: tuple[Frame, ...], *, strict: bool) -> Function:
    """A value as a predicate, standing at `place`. Unless `strict`, a missing field may simply count as a mismatch."""
    if not _is_object(pattern):
        return constant_function(lambda: pattern, 0)

    narrow = None
    if not strict and 0 < len(pattern) <= _FIELDS_MAX and "$reql_type$" not in pattern:
        names = tuple(sorted(pattern))
        values = [pattern[name] for name in names]
        fields, test = _narrow(names, tuple(value.__class__ for value in values))
        narrow = (fields, test(*values))
    return PatternFunction(pattern, place, narrow)


@lru_cache(maxsize=1024)
def _narrow(
    names: tuple[str, ...], kinds: tuple[type, ...]
) -> tuple[Projection, Callable[..., Callable[[list[Any]], list[bool]]]]:
    """The same test over decoded fields only; what it is made of are names of attributes and kinds of values."""
    tests = " and ".join(
        _TESTS.get(kind, _ANY).format(at, attribute(name))
        for at, (name, kind) in enumerate(zip(names, kinds, strict=True))
    )
    values = ", ".join(f"v{at}" for at in range(len(kinds)))
    source = f"lambda {values}: lambda rows: [{tests} for row in rows]"
    return projection(names), eval(source, {"fits": _fits_there})


def _fits_there(wanted: Any, found: Any) -> bool:
    """Whether the value of a field, if there is one, fits; a field that is missing below is a mismatch."""
    if found is UNSET:
        return False
    if not _is_object(wanted) or not _is_object(found):
        return equal(found, wanted)
    try:
        return _fits(wanted, found)
    except NonExistenceError:
        return False


_ANY: Final = "fits(v{0}, row.{1})"
_NUMBER: Final = "(row.{1} == v{0} and row.{1}.__class__ is not bool)"
_TESTS: Final[dict[type, str]] = {
    type(None): "row.{1} is None",
    bool: "row.{1} is v{0}",
    int: _NUMBER,
    float: _NUMBER,
    str: "row.{1} == v{0}",
}
