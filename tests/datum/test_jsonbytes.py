import pytest
from hypothesis import given

from rethought.datum.jsonbytes import (
    RepeatedKeys,
    decode,
    decode_query,
    encode,
    has_repeated_keys,
    query_parts,
)
from rethought.datum.kinds import MINVAL
from rethought.datum.order import equal
from rethought.datum.values import from_json
from rethought.errors import ClientError, CompileError, QueryLogicError
from tests.datum.strategies import data

BUGGY = "Client is buggy (failed to deserialize query)."


@given(data)
def test_decoding_gives_back_what_was_encoded_and_it_is_canonical(value):
    read = decode(encode(value))
    assert read == value
    assert repr(read) == repr(from_json(read))
    assert equal(read, value)


@given(data)
def test_equal_data_encode_to_equal_bytes(value):
    assert encode(decode(encode(value))) == encode(value)


def test_keys_are_sorted_by_bytes():
    assert (
        encode({"é": 1, "b": 2, "a": {"z": 1, "y": 2}})
        == '{"a":{"y":2,"z":1},"b":2,"é":1}'.encode()
    )


def test_bounds_cannot_be_encoded():
    with pytest.raises(QueryLogicError) as raised:
        encode({"a": [MINVAL]})
    assert raised.value.message == "Cannot convert `r.minval` to JSON."


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1",
        b"nonsense",
        b"[1,1]garbage",
        b'[1,"\\ud83d"]',
        b"[1,1e400]",
        b"[1,NaN]",
        b"[1," + b"1" * 5000 + b"]",
        b'[1,"\n"]',
    ],
)
def test_what_is_not_json_is_the_clients_fault(body):
    with pytest.raises(ClientError) as raised:
        decode_query(body)
    assert raised.value.message == BUGGY


def test_nesting_past_all_bearing_is_refused():
    with pytest.raises(ClientError, match="nested too deeply"):
        decode_query(b"[" * 500_000 + b"]" * 500_000)


def test_a_query_may_hold_blanks_and_escaped_pairs():
    assert decode_query(b' [ 1 , "\\ud83d\\ude00\\u0000" ] ') == [1, "😀\0"]


def test_a_string_that_is_not_utf8_is_blamed_on_its_term():
    with pytest.raises(CompileError) as raised:
        decode_query(b'[1,[56,[[15,["t"]],{"a":"ok","b":"x\xffy"}]],{}]')
    assert raised.value.frames == (1, "b")
    assert raised.value.message == (
        "String `x\N{REPLACEMENT CHARACTER}y` (truncated) is not a UTF-8 string; "
        "Invalid initial byte seen at position 1."
    )


def test_repeated_keys_are_kept_for_the_compiler_to_name():
    query = decode_query(b'[1,{"a":1,"b":{"c":1,"c" :2}},{}]')
    assert query == [1, {"a": 1, "b": {"c": 2}}, {}]
    assert type(query[1]) is dict
    inner = query[1]["b"]
    assert isinstance(inner, RepeatedKeys)
    assert inner.repeated == "c"


@pytest.mark.parametrize(
    ("body", "repeated"),
    [
        (b'{"a":":","b":"\\":"}', False),
        (b'{"a" : 1 , "b":2}', False),
        (b'{"a":"\\u003a"}', False),
        (b'{"a":1,"a":"\\u003A"}', True),
        (b'{"a":1,"\\u0061":2}', True),
        (b'[{"a":1},{"a":1}]', False),
        (b"[]", False),
    ],
)
def test_repeated_keys_are_found_whatever_the_spelling(body, repeated):
    assert has_repeated_keys(body, decode(body)) is repeated


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (None, "Expected a query to be an array, but found NULL."),
        ({}, "Expected a query to be an array, but found OBJECT."),
        ([], "Expected 1 to 3 elements in the top-level query, but found 0."),
        ([1, 1, {}, 2], "Expected 1 to 3 elements in the top-level query, but found 4."),
        (["1", 1], "Expected a query type as a number, but found STRING."),
        ([True], "Expected a query type as a number, but found BOOL."),
        ([99], "Unrecognized QueryType: 99."),
        ([1.5, 1], "Unrecognized QueryType: 0."),
        ([1, 1, []], "Expected global optargs as an object, but found ARRAY."),
        ([1, 1, None], "Expected global optargs as an object, but found NULL."),
    ],
)
def test_queries_of_the_wrong_shape(query, message):
    with pytest.raises(ClientError) as raised:
        query_parts(query)
    assert raised.value.message == f"Server could not parse query: {message}"


def test_the_parts_of_a_query():
    assert query_parts([1, 5, {"a": 1}]) == (1, [5, {"a": 1}])
    assert query_parts([1.0, 5]) == (1, [5])
    assert query_parts([4]) == (4, [])
