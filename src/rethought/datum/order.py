"""The order and equality of values.

What always holds: the order is total and the same in `compare`, `order_key` and the bytes of `keys`. Types come
first, in the alphabetical order of their names; times compare by their instant, binary by its bytes, a geometry as
the object it is (so it lies among objects, which keeps the order transitive). Equality is comparison 0: 0 equals
-0.0, times in different zones may be equal, 1 and true are not.
Callers: everybody who compares, sorts, groups or finds duplicates.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Final, cast

from rethought.datum.binary import binary_bytes
from rethought.datum.kinds import BINARY, MINVAL, TIME, TYPE_KEY, Datum

# Ranks of the types. MINVAL < ARRAY < BOOL < NULL < NUMBER < OBJECT < PTYPE<BINARY> < PTYPE<TIME> < STRING < MAXVAL
_MINVAL: Final = 0
_ARRAY: Final = 1
_BOOL: Final = 2
_NULL: Final = 3
_NUMBER: Final = 4
_OBJECT: Final = 5
_BINARY: Final = 6
_TIME: Final = 7
_STRING: Final = 8
_MAXVAL: Final = 9

_MINVAL_KEY: Final = (_MINVAL,)
_FALSE_KEY: Final = (_BOOL, False)
_TRUE_KEY: Final = (_BOOL, True)
_NULL_KEY: Final = (_NULL,)
_MAXVAL_KEY: Final = (_MAXVAL,)

OrderKey = tuple[Any, ...]


def order_key(value: Datum) -> OrderKey:
    """A tuple that Python orders, and tells equal, as the values are; hashable too."""
    kind = value.__class__
    if kind is str:
        return (_STRING, value)  # code points order as their UTF-8 bytes do
    if kind is int or kind is float:
        return (_NUMBER, value)
    if value is None:
        return _NULL_KEY
    if kind is dict:
        return _object_key(cast(dict[str, Datum], value))
    if kind is list:
        return (_ARRAY, tuple([order_key(item) for item in cast(list[Datum], value)]))
    if kind is bool:
        return _TRUE_KEY if value else _FALSE_KEY
    return _MINVAL_KEY if value is MINVAL else _MAXVAL_KEY


def _object_key(value: dict[str, Datum]) -> OrderKey:
    pseudotype = value.get(TYPE_KEY)
    if pseudotype is not None:
        if pseudotype == TIME:
            return (_TIME, value["epoch_time"])
        if pseudotype == BINARY:
            return (_BINARY, binary_bytes(value))
    return (_OBJECT, tuple([(key, order_key(value[key])) for key in sorted(value)]))


def order_keys(values: Sequence[Datum]) -> Sequence[Any]:
    """Keys to sort `values` by: the values themselves where Python orders them so, which is fastest: strings, numbers,
    arrays that have only strings or only numbers at each place."""
    kinds = set(map(type, values))
    if kinds == {str} or kinds <= _NUMBERS:
        return values
    if kinds == {list}:
        places = [set(map(type, place)) for place in zip(*values, strict=False)]
        longest = max(map(len, values))  # type: ignore[arg-type]
        if len(places) == longest and all(kind == {str} or kind <= _NUMBERS for kind in places):
            return values
    return [order_key(value) for value in values]


_NUMBERS: Final = frozenset({int, float})


def in_order(values: Iterable[Datum]) -> list[Datum]:
    """`values` sorted, ascending and stable."""
    values = list(values)
    kinds = set(map(type, values))
    if kinds == {str} or kinds <= {int, float}:
        return sorted(cast(list[str], values))  # type: ignore[return-value]
    return sorted(values, key=order_key)


def hash_key(value: Datum) -> Hashable:
    """A key for dicts and sets: equal for equal values only, whatever their types."""
    kind = value.__class__
    if kind is str or kind is int or kind is float or value is None:
        return cast(Hashable, value)  # booleans are wrapped below, so 1 stays apart from true
    return order_key(value)


HASHED_AS_THEMSELVES: Final = frozenset({str, int, float, type(None)})
"""Of these classes, and in tuples of values of them, Python tells equal what the protocol tells equal."""


def hash_keys(values: Sequence[Datum]) -> Sequence[Any]:
    """`hash_key` of each."""
    if HASHED_AS_THEMSELVES.issuperset(map(type, values)):
        return values
    return [hash_key(value) for value in values]


def compare(left: Datum, right: Datum) -> int:
    """-1, 0 or 1."""
    kind = left.__class__
    if kind is right.__class__:
        if kind is str or kind is int or kind is float or kind is bool:
            return (left > right) - (left < right)  # type: ignore[operator]
        if kind is list:
            return _compare_arrays(cast(list[Datum], left), cast(list[Datum], right))
    left_key, right_key = order_key(left), order_key(right)
    return (left_key > right_key) - (left_key < right_key)


def _compare_arrays(left: list[Datum], right: list[Datum]) -> int:
    for one, other in zip(left, right, strict=False):
        order = compare(one, other)
        if order:
            return order
    return (len(left) > len(right)) - (len(left) < len(right))


def equal(left: Datum, right: Datum) -> bool:
    """Whether two values compare as 0. Does not build keys."""
    kind = left.__class__
    other = right.__class__
    if kind is str:
        return left == right
    if kind is int or kind is float:
        return left == right and other is not bool
    if kind is not other:
        return False
    if kind is dict:
        return _equal_objects(cast(dict[str, Datum], left), cast(dict[str, Datum], right))
    if kind is list:
        return _equal_arrays(cast(list[Datum], left), cast(list[Datum], right))
    return left is right


def _equal_arrays(left: list[Datum], right: list[Datum]) -> bool:
    if len(left) != len(right):
        return False
    for one, other in zip(left, right, strict=True):  # noqa: SIM110 - a generator is slower
        if not equal(one, other):
            return False
    return True


def _equal_objects(left: dict[str, Datum], right: dict[str, Datum]) -> bool:
    if len(left) != len(right):
        return False
    if left.get(TYPE_KEY) == TIME and right.get(TYPE_KEY) == TIME:
        return left["epoch_time"] == right["epoch_time"]
    for key, item in left.items():
        if key not in right:
            return False
        other = right[key]
        if item is not other and not equal(item, other):
            return False
    return True
