"""Arrays: against Python's lists, and sets against a slow and obvious model. Single answers are cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.kinds import Datum
from rethought.datum.order import equal
from rethought.errors import NonExistenceError, QueryLogicError, ResourceLimitError
from rethought.reql.terms import arrays
from tests.datum.strategies import data, scalars
from tests.reql.outside import outside

env = outside()
small = outside(array_limit=3)

lists = st.lists(data, max_size=5)
# Few values, so that elements repeat.
few = st.sampled_from([0, -0.0, 1, True, False, None, "", "a", 0.5]) | scalars
bags = st.lists(few, max_size=8)


def has(values: list[Datum], value: Datum) -> bool:
    return any(equal(value, other) for other in values)


def distinct(values: list[Datum]) -> list[Datum]:
    seen: list[Datum] = []
    for value in values:
        if not has(seen, value):
            seen.append(value)
    return seen


# ---- sets


@given(array=bags, value=few)
def test_set_insert_is_the_model(array: list[Datum], value: Datum) -> None:
    assert repr(arrays.set_insert(env, array, value)) == repr(distinct([*array, value]))


@given(left=bags, right=bags)
def test_set_union_is_the_model(left: list[Datum], right: list[Datum]) -> None:
    assert repr(arrays.set_union(env, left, right)) == repr(distinct(left + right))


@given(left=bags, right=bags)
def test_set_intersection_is_the_model(left: list[Datum], right: list[Datum]) -> None:
    expected = distinct([value for value in right if has(left, value)])
    assert repr(arrays.set_intersection(env, left, right)) == repr(expected)


@given(left=bags, right=bags)
def test_set_difference_is_the_model(left: list[Datum], right: list[Datum]) -> None:
    expected = distinct([value for value in left if not has(right, value)])
    assert repr(arrays.set_difference(env, left, right)) == repr(expected)


@given(left=bags, right=bags)
def test_difference_and_intersection_part_a_set(left: list[Datum], right: list[Datum]) -> None:
    both = arrays.set_intersection(env, right, left)
    only = arrays.set_difference(env, left, right)
    assert len(both) + len(only) == len(distinct(left))


# ---- positions


@given(array=lists, index=st.integers(-7, 7), value=data)
def test_insert_at_is_that_of_lists(array: list[Datum], index: int, value: Datum) -> None:
    expected = array.copy()
    at = index if index >= 0 else len(array) + 1 + index
    if not 0 <= at <= len(array):
        with pytest.raises(NonExistenceError, match="out of bounds"):
            arrays.insert_at(env, array, index, lambda: value)
        return
    expected.insert(at, value)
    assert arrays.insert_at(env, array, index, lambda: value) == expected


@given(array=lists, index=st.integers(-7, 7))
def test_deleting_undoes_inserting(array: list[Datum], index: int) -> None:
    try:
        longer = arrays.insert_at(env, array, index, lambda: "new")
    except NonExistenceError:
        return
    assert arrays.delete_at(env, longer, index) == array


@given(array=lists, index=st.integers(-7, 7), value=data)
def test_change_at_changes_one_element(array: list[Datum], index: int, value: Datum) -> None:
    expected = array.copy()
    try:
        expected[index] = value
    except IndexError:
        with pytest.raises(NonExistenceError, match="out of bounds"):
            arrays.change_at(env, array, index, lambda: value)
        return
    assert arrays.change_at(env, array, index, lambda: value) == expected


@given(array=lists, start=st.integers(0, 6), stop=st.integers(0, 6))
def test_deleting_a_range_is_that_of_lists(array: list[Datum], start: int, stop: int) -> None:
    if start <= stop <= len(array):
        assert arrays.delete_at(env, array, start, lambda: stop) == array[:start] + array[stop:]
    else:
        with pytest.raises(QueryLogicError):
            arrays.delete_at(env, array, start, lambda: stop)


@given(array=lists, other=lists, index=st.integers(0, 5))
def test_splicing_keeps_all_elements_in_order(
    array: list[Datum], other: list[Datum], index: int
) -> None:
    at = min(index, len(array))
    spliced = arrays.splice_at(env, array, at, lambda: other)
    assert spliced == array[:at] + other + array[at:]


@given(array=lists, value=data)
def test_no_term_changes_its_argument(array: list[Datum], value: Datum) -> None:
    before = repr((array, value))
    arrays.append(env, array, value)
    arrays.prepend(env, array, value)
    arrays.insert_at(env, array, 0, lambda: value)
    arrays.splice_at(env, array, 0, lambda: array)
    arrays.set_insert(env, array, value)
    arrays.set_union(env, array, array)
    assert repr((array, value)) == before


# ---- limits


def test_results_keep_the_query_s_array_limit() -> None:
    full: list[Datum] = [1, 2, 3]
    for call in (
        lambda: arrays.append(small, full, 4),
        lambda: arrays.prepend(small, full, 0),
        lambda: arrays.insert_at(small, full, 1, lambda: 0),
        lambda: arrays.splice_at(small, full, 1, lambda: [0]),
        lambda: arrays.set_insert(small, full, 4),
        lambda: arrays.set_union(small, full, [4]),
    ):
        with pytest.raises(ResourceLimitError, match="Array over size limit `3`"):
            call()


def test_equal_elements_do_not_count_towards_the_limit() -> None:
    assert arrays.set_union(small, [1, 2, 3], [3, 2, 1]) == [1, 2, 3]
