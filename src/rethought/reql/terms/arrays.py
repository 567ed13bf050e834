"""Arrays: putting elements in, taking them out, and arrays as sets.

What always holds: no argument is changed; a result longer than the query's array limit is a ResourceLimitError.
Set terms keep the first of equal elements and the order in which they were first seen. That something is no array is
found by the term itself, so the error blames the term, not the argument.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.order import hash_key, hash_keys
from rethought.datum.values import Datum
from rethought.errors import NonExistenceError, QueryLogicError
from rethought.exec.sorting import SLOW_LOT, lots
from rethought.reql.checks import array_of, int_of, within_array_limit
from rethought.reql.spec import Arg, TermSpec, between, exactly

if TYPE_CHECKING:
    from rethought.exec.env import Env

Array = list[Datum]
Later = Callable[[], Datum]

# ---- by position


def position(index: int, size: int) -> int:
    """A position counted from the start; negative ones count from the end of `size` places."""
    if index >= 0:
        return index
    if -index > size:
        raise NonExistenceError(f"Index out of bounds: {index}")
    return size + index


def within(place: int, least_size: int, size: int) -> int:
    """The place, refused when there would have to be `least_size` elements and there are only `size`."""
    if size < least_size:
        raise NonExistenceError(f"Index `{place}` out of bounds for array of size: `{size}`.")
    return place


def append(env: "Env", array: Datum, value: Datum) -> Array:
    """ARRAY, DATUM -> ARRAY"""
    return _limited(env, [*array_of(array), value])


def prepend(env: "Env", array: Datum, value: Datum) -> Array:
    """ARRAY, DATUM -> ARRAY"""
    return _limited(env, [value, *array_of(array)])


def insert_at(env: "Env", array: Array, index: int, value: Later) -> Array:
    """ARRAY, NUMBER, DATUM -> ARRAY: before the element at that place; -1 is behind the last."""
    at = position(index, len(_limited(env, array)) + 1)
    return _spliced(env, array, at, [value()])


def splice_at(env: "Env", array: Array, index: int, other: Later) -> Array:
    """ARRAY, NUMBER, ARRAY -> ARRAY: the elements of the other array before that place."""
    at = position(index, len(_limited(env, array)) + 1)
    return _spliced(env, array, at, other())


def _spliced(env: "Env", array: Array, at: int, other: Datum) -> Array:
    within(at, at, len(array))
    return _limited(env, [*array[:at], *array_of(other), *array[at:]])


def change_at(env: "Env", array: Array, index: int, value: Later) -> Array:
    """ARRAY, NUMBER, DATUM -> ARRAY"""
    size = len(_limited(env, array))
    at = position(index, size)
    new = value()
    within(at, at + 1, size)
    return env.made([*array[:at], new, *array[at + 1 :]])


def delete_at(env: "Env", array: Array, index: int, *end: Later) -> Array:
    """ARRAY, NUMBER[, NUMBER] -> ARRAY: without one element, or without those up to an end that is not included."""
    size = len(_limited(env, array))
    start = position(index, size)
    if not end:
        within(start, start + 1, size)
        return env.made([*array[:start], *array[start + 1 :]])
    stop = position(int_of(end[0]()), size)
    within(start, start, size)
    within(stop, stop, size)
    if start > stop:
        raise QueryLogicError(f"Start index `{start}` is greater than end index `{stop}`.")
    return env.made([*array[:start], *array[stop:]])


# ---- as sets


def set_insert(env: "Env", array: Datum, value: Datum) -> Array:
    """ARRAY, DATUM -> ARRAY"""
    return _distinct(env, [*array_of(array), value])


def set_union(env: "Env", left: Datum, right: Datum) -> Array:
    """ARRAY, ARRAY -> ARRAY"""
    return _distinct(env, [*array_of(left), *array_of(right)])


def set_intersection(env: "Env", left: Datum, right: Datum) -> Array:
    """ARRAY, ARRAY -> ARRAY: what both have, in the order of the second."""
    wanted = firsts(env, array_of(left))
    return _distinct(env, _chosen(env, array_of(right), wanted, among=True))


def set_difference(env: "Env", left: Datum, right: Datum) -> Array:
    """ARRAY, ARRAY -> ARRAY: what only the first has."""
    unwanted = firsts(env, array_of(right))
    return _distinct(env, _chosen(env, array_of(left), unwanted, among=False))


def _chosen(env: "Env", values: Array, known: dict[Any, Datum], *, among: bool) -> Array:
    """The values that are among those known, or are not."""
    if len(values) <= SLOW_LOT:
        return [value for value in values if (hash_key(value) in known) is among]
    chosen: Array = []
    for lot in lots(env, values, SLOW_LOT):
        keys = hash_keys(lot)
        chosen += [value for key, value in zip(keys, lot, strict=True) if (key in known) is among]
    return chosen


def _distinct(env: "Env", values: Array) -> Array:
    return _limited(env, list(firsts(env, values).values()))


def firsts(env: "Env", values: Array) -> dict[Any, Datum]:
    """The first of equal values, by what tells them apart."""
    first: dict[Any, Datum] = {}
    if len(values) <= SLOW_LOT:
        for value in values:
            first.setdefault(hash_key(value), value)
        return first
    for lot in lots(env, values, SLOW_LOT):
        for key, value in zip(hash_keys(lot), lot, strict=True):
            first.setdefault(key, value)
    return env.made(first)


def _limited(env: "Env", array: Array) -> Array:
    within_array_limit(env, len(array))
    return env.made(array)


# ---- the table

_AT: Final = (Arg.ARRAY_DATUM, Arg.INT_DATUM)

TERMS: Final = (
    TermSpec(29, "append", exactly(2), run=append),
    TermSpec(80, "prepend", exactly(2), run=prepend),
    TermSpec(82, "insert_at", exactly(3), run=insert_at, args=_AT, eager=2),
    TermSpec(83, "delete_at", between(2, 3), run=delete_at, args=_AT, eager=2),
    TermSpec(84, "change_at", exactly(3), run=change_at, args=_AT, eager=2),
    TermSpec(85, "splice_at", exactly(3), run=splice_at, args=_AT, eager=2),
    TermSpec(88, "set_insert", exactly(2), run=set_insert),
    TermSpec(89, "set_intersection", exactly(2), run=set_intersection),
    TermSpec(90, "set_union", exactly(2), run=set_union),
    TermSpec(91, "set_difference", exactly(2), run=set_difference),
)
