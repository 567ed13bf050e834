import pytest
from hypothesis import given

from rethought.datum.binary import binary
from rethought.datum.keys import (
    MAX_KEY,
    MIN_KEY,
    decode_key,
    index_bound,
    index_key,
    number_key,
    primary_bound,
    primary_key,
)
from rethought.datum.kinds import MAXVAL, MINVAL
from rethought.datum.order import compare, equal
from rethought.datum.time import make_time
from rethought.errors import NonExistenceError, QueryLogicError
from tests.datum.strategies import bounds, data, key_data, numbers

POINT = {"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [0, 0]}


def sign(left, right):
    return (left > right) - (left < right)


@given(key_data, key_data)
def test_keys_order_as_values_do(one, two):
    assert sign(index_key(one), index_key(two)) == compare(one, two)


@given(bounds, bounds)
def test_bounds_order_as_values_do(one, two):
    assert sign(index_bound(one), index_bound(two)) == compare(one, two)


@given(numbers, numbers)
def test_number_keys_order_as_numbers_do(one, two):
    assert sign(number_key(one), number_key(two)) == sign(one, two)


@given(key_data)
def test_decoding_a_key_gives_the_value_back(value):
    assert equal(decode_key(index_key(value)), value)


@given(key_data)
def test_a_primary_key_is_the_same_bytes_as_an_index_key(value):
    try:
        key = primary_key(value)
    except QueryLogicError:
        return
    assert key == index_key(value) == primary_bound(value)


@given(data)
def test_whatever_has_no_index_key_is_refused_as_a_bound(value):
    if index_key(value) is None:
        with pytest.raises(QueryLogicError):
            index_bound(value)
    else:
        assert index_bound(value) == index_key(value)


def test_the_encoding_on_disk_does_not_change():
    assert primary_key(0) == primary_key(-0.0) == b"N\x80\0\0\0\0\0\0\0"
    assert primary_key(1) == b"N\xbf\xf0\0\0\0\0\0\0"
    assert primary_key(-1) == b"N\x40\x0f\xff\xff\xff\xff\xff\xff"
    assert primary_key("añ\1") == b"Sa\xc3\xb1\1\2"
    assert index_key("a\0b") == b"Sa\1\1b"
    assert primary_key([True, [False], "x"]) == b"ABt\0ABf\0\0Sx\0"
    assert primary_key(binary(b"\0\1\2")) == b"PB\1\1\1\2\2"
    assert primary_key(make_time(0, "+01:00")) == b"PT\x80\0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            None,
            NonExistenceError,
            "Primary keys must be either a number, string, bool, pseudotype or array "
            "(got type NULL):\nnull",
        ),
        (
            {"a": 1},
            QueryLogicError,
            "Primary keys must be either a number, string, bool, pseudotype or array "
            '(got type OBJECT):\n{\n\t"a":\t1\n}',
        ),
        (
            POINT,
            QueryLogicError,
            "Cannot use a geometry value as a key value in a primary or "
            "non-geospatial secondary index.",
        ),
        (
            [1, None],
            NonExistenceError,
            "Array keys can only contain numbers, strings, bools,  pseudotypes, or arrays "
            "(got null of type NULL).",
        ),
        (
            [1, [{}]],
            QueryLogicError,
            "Array keys can only contain numbers, strings, bools,  pseudotypes, or arrays "
            "(got {} of type OBJECT).",
        ),
        (
            "nul\0in",
            QueryLogicError,
            'String "nul\\x00in" (truncated) contains NULL byte at offset 3 in index key.',
        ),
        (
            ["a\0"],
            QueryLogicError,
            'String "a\\x00" (truncated) contains NULL byte at offset 1 in index key.',
        ),
        ("a" * 128, QueryLogicError, f'Primary key too long (max 127 characters): "{"a" * 128}"'),
    ],
)
def test_what_cannot_be_a_primary_key(value, error, message):
    with pytest.raises(QueryLogicError) as raised:
        primary_key(value)
    assert type(raised.value) is error
    assert raised.value.message == message


def test_the_limit_counts_the_bytes_of_the_original_encoding():
    assert primary_key("a" * 127)
    assert primary_key([1, 2, 3, 4, 5, 6])  # 20 or so bytes each there, 10 here
    with pytest.raises(QueryLogicError, match="Primary key too long"):
        primary_key([1, 2, 3, 4, 5, 6, 7])
    with pytest.raises(QueryLogicError, match="Primary key too long"):
        primary_key(binary(b"x" * 121))
    assert primary_key(binary(b"x" * 120))
    with pytest.raises(QueryLogicError, match="Primary key too long"):
        primary_key(["é" * 62, 1])


def test_reading_the_bounds_by_primary_key_finds_nothing():
    assert primary_key(MINVAL) == MIN_KEY < primary_key([]) < primary_key("\U0010ffff")
    assert primary_key(MAXVAL) == MAX_KEY > primary_key("\U0010ffff")


@pytest.mark.parametrize("value", [None, {}, POINT, MINVAL, MAXVAL, [None], [[MINVAL]], [{}]])
def test_rows_without_an_index_key(value):
    assert index_key(value) is None


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, NonExistenceError, "Keys cannot be NULL."),
        (
            {},
            QueryLogicError,
            "Secondary keys must be a number, string, bool, pseudotype, or array "
            "(got {} of type OBJECT).",
        ),
        (
            [{}],
            QueryLogicError,
            "Array keys can only contain numbers, strings, bools,  pseudotypes, or arrays "
            "(got {} of type OBJECT).",
        ),
    ],
)
def test_what_cannot_be_a_bound(value, error, message):
    with pytest.raises(QueryLogicError) as raised:
        index_bound(value)
    assert type(raised.value) is error
    assert raised.value.message == message
