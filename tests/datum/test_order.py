from hypothesis import given

from rethought.datum.binary import binary
from rethought.datum.kinds import MAXVAL, MINVAL
from rethought.datum.order import compare, equal, hash_key, in_order, order_key, order_keys
from rethought.datum.time import make_time
from tests.datum.strategies import bounded_data

ASCENDING = [
    MINVAL,
    [],
    [MINVAL],
    [1],
    [1, 0],
    [2],
    [MAXVAL],
    False,
    True,
    None,
    -1e300,
    -1.5,
    0,
    1,
    2.5,
    1e20,
    {},
    {"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [0, 0]},
    {"a": 0},
    {"a": 0, "b": 1},
    {"a": 0, "c": 1},
    {"a": 1},
    {"b": 0},
    binary(b""),
    binary(b"\0"),
    binary(b"a"),
    binary(b"\xff"),
    make_time(-1),
    make_time(0, "+05:00"),
    make_time(1),
    "",
    "A",
    "a",
    "aa",
    "b",
    "é",
    "日",
    "😀",
    MAXVAL,
]


def test_types_and_values_stand_in_the_order_of_the_protocol():
    for low, smaller in enumerate(ASCENDING):
        for high, larger in enumerate(ASCENDING):
            assert compare(smaller, larger) == (low > high) - (low < high)


@given(bounded_data, bounded_data, bounded_data)
def test_order_is_total_and_transitive(one, two, three):
    assert compare(one, two) == -compare(two, one)
    if compare(one, two) <= 0 and compare(two, three) <= 0:
        assert compare(one, three) <= 0


@given(bounded_data, bounded_data)
def test_every_form_of_comparison_agrees(one, two):
    order = compare(one, two)
    left, right = order_key(one), order_key(two)
    assert (left > right) - (left < right) == order
    assert equal(one, two) == (order == 0)
    assert (hash_key(one) == hash_key(two)) == (order == 0)
    if order == 0:
        assert hash(hash_key(one)) == hash(hash_key(two))


@given(bounded_data)
def test_a_value_equals_itself(value):
    assert equal(value, value)
    assert compare(value, value) == 0


def test_one_and_true_are_not_equal():
    assert not equal(1, True)
    assert not equal(True, 1)
    assert not equal([0], [False])
    assert not equal({"a": 1}, {"a": True})
    assert hash_key(1) != hash_key(True)


def test_zero_equals_negative_zero():
    assert equal(0, -0.0)
    assert hash_key(0) == hash_key(-0.0)


def test_times_are_equal_in_different_zones():
    here, there = make_time(10, "+01:00"), make_time(10)
    assert equal(here, there)
    assert equal({"t": here}, {"t": there})
    assert hash_key(here) == hash_key(there)


def test_sort_keys_of_plain_values_are_the_values_themselves():
    for values in ([2, 1.5], ["b", "a"], []):
        assert order_keys(values) is values
    assert order_keys([1, True])[0] > order_keys([1, True])[1]


def test_sorting_is_stable():
    first, second = make_time(0, "+01:00"), make_time(0)
    assert in_order([first, second, "x", 1]) == [1, first, second, "x"]
