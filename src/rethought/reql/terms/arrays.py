"""Arrays: putting elements in, taking them out, and arrays as sets.

What always holds: no argument is changed; a result longer than the query's array limit is a ResourceLimitError.
Set terms keep the first of equal elements and the order in which they were first seen.
"""

from typing import TYPE_CHECKING, Final

from rethought.datum.order import hash_key
from rethought.datum.values import Datum
from rethought.errors import NonExistenceError, QueryLogicError
from rethought.reql.checks import int_of, within_array_limit
from rethought.reql.spec import Arg, TermSpec, between, exactly

if TYPE_CHECKING:
    from rethought.exec.env import Env

Array = list[Datum]

# ---- by position


def position(index: int, size: int) -> int:
    """A position counted from the start; negative ones count from the end of `size` places."""
    if index >= 0:
        return index
    if -index > size:
        raise NonExistenceError(f"Index out of bounds: {index}")
    return size + index


def no_such_place(index: int, size: int) -> NonExistenceError:
    return NonExistenceError(f"Index `{index}` out of bounds for array of size: `{size}`.")


def append(env: "Env", array: Array, value: Datum) -> Array:
    """ARRAY, DATUM -> ARRAY"""
    within_array_limit(env, len(array) + 1)
    return [*array, value]


def prepend(env: "Env", array: Array, value: Datum) -> Array:
    """ARRAY, DATUM -> ARRAY"""
    within_array_limit(env, len(array) + 1)
    return [value, *array]


def insert_at(env: "Env", array: Array, index: int, value: Datum) -> Array:
    """ARRAY, NUMBER, DATUM -> ARRAY: before the element at that place; -1 is behind the last."""
    return splice_at(env, array, index, [value])


def splice_at(env: "Env", array: Array, index: int, other: Array) -> Array:
    """ARRAY, NUMBER, ARRAY -> ARRAY: the elements of the other array before that place."""
    at = position(index, len(array) + 1)
    if at > len(array):
        raise no_such_place(at, len(array))
    within_array_limit(env, len(array) + len(other))
    return [*array[:at], *other, *array[at:]]


def change_at(env: "Env", array: Array, index: int, value: Datum) -> Array:
    """ARRAY, NUMBER, DATUM -> ARRAY"""
    at = position(index, len(array))
    if at >= len(array):
        raise no_such_place(at, len(array))
    return [*array[:at], value, *array[at + 1 :]]


def delete_at(env: "Env", array: Array, index: int, *end: Datum) -> Array:
    """ARRAY, NUMBER[, NUMBER] -> ARRAY: without one element, or without those up to an end that is not included."""
    size = len(array)
    if not end:
        at = position(index, size)
        if at >= size:
            raise no_such_place(at, size)
        return [*array[:at], *array[at + 1 :]]
    start, stop = position(index, size), position(int_of(end[0], 2), size)
    for place in (start, stop):
        if place > size:
            raise no_such_place(place, size)
    if start > stop:
        raise QueryLogicError(f"Start index `{start}` is greater than end index `{stop}`.")
    return [*array[:start], *array[stop:]]


# ---- as sets


def set_insert(env: "Env", array: Array, value: Datum) -> Array:
    """ARRAY, DATUM -> ARRAY"""
    return _distinct(env, [*array, value])


def set_union(env: "Env", left: Array, right: Array) -> Array:
    """ARRAY, ARRAY -> ARRAY"""
    return _distinct(env, [*left, *right])


def set_intersection(env: "Env", left: Array, right: Array) -> Array:
    """ARRAY, ARRAY -> ARRAY: what both have, in the order of the second."""
    wanted = {hash_key(value) for value in left}
    return _distinct(env, [value for value in right if hash_key(value) in wanted])


def set_difference(env: "Env", left: Array, right: Array) -> Array:
    """ARRAY, ARRAY -> ARRAY: what only the first has."""
    unwanted = {hash_key(value) for value in right}
    return _distinct(env, [value for value in left if hash_key(value) not in unwanted])


def _distinct(env: "Env", values: Array) -> Array:
    first: dict[object, Datum] = {}
    for value in values:
        first.setdefault(hash_key(value), value)
    within_array_limit(env, len(first))
    return list(first.values())


# ---- the table

_ARRAY_AND_VALUE: Final = (Arg.ARRAY, Arg.DATUM)
_TWO_ARRAYS: Final = (Arg.ARRAY, Arg.ARRAY)

TERMS: Final = (
    TermSpec(29, "append", exactly(2), run=append, args=_ARRAY_AND_VALUE),
    TermSpec(80, "prepend", exactly(2), run=prepend, args=_ARRAY_AND_VALUE),
    TermSpec(82, "insert_at", exactly(3), run=insert_at, args=(Arg.ARRAY, Arg.INT, Arg.DATUM)),
    TermSpec(83, "delete_at", between(2, 3), run=delete_at, args=(Arg.ARRAY, Arg.INT)),
    TermSpec(84, "change_at", exactly(3), run=change_at, args=(Arg.ARRAY, Arg.INT, Arg.DATUM)),
    TermSpec(85, "splice_at", exactly(3), run=splice_at, args=(Arg.ARRAY, Arg.INT, Arg.ARRAY)),
    TermSpec(88, "set_insert", exactly(2), run=set_insert, args=_ARRAY_AND_VALUE),
    TermSpec(89, "set_intersection", exactly(2), run=set_intersection, args=_TWO_ARRAYS),
    TermSpec(90, "set_union", exactly(2), run=set_union, args=_TWO_ARRAYS),
    TermSpec(91, "set_difference", exactly(2), run=set_difference, args=_TWO_ARRAYS),
)
