import pytest
from hypothesis import given

from rethought.datum.binary import binary
from rethought.datum.coercion import coerce, number_of_string
from rethought.datum.kinds import MINVAL
from rethought.datum.text import compact
from rethought.datum.time import make_time
from rethought.errors import QueryLogicError
from tests.datum.strategies import data, numbers

MOMENT = make_time(1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("-1.2", -1.2),
        ("+.5", 0.5),
        ("5.", 5),
        ("-3e2", -300),
        (" \t7", 7),
        ("0x10", 16),
        ("-0xa.8p1", -21),
        ("1e-400", 0),
    ],
)
def test_strings_that_spell_numbers(text, value):
    result = number_of_string(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("text", ["", " ", "abc", "--1.2", "-1.2-", "1 ", "1_000", "١", "0x", "e5"])
def test_strings_that_do_not(text):
    with pytest.raises(QueryLogicError) as raised:
        number_of_string(text)
    assert raised.value.message == f"Could not coerce `{text}` to NUMBER."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("inf", "inf"),
        ("-Infinity", "-inf"),
        ("nan", "nan"),
        ("1e999", "inf"),
        ("-0x1p99999", "-inf"),
    ],
)
def test_strings_that_spell_what_is_not_finite(text, shown):
    with pytest.raises(QueryLogicError) as raised:
        number_of_string(text)
    assert raised.value.message == f"Non-finite number: {shown}"


@given(numbers)
def test_numbers_survive_being_strings(value):
    assert repr(number_of_string(compact(value))) == repr(value)


@pytest.mark.parametrize(
    ("value", "to", "result"),
    [
        (1, "STRING", "1"),
        ("a", "STRING", "a"),
        ("a", "DATUM", "a"),
        (None, "STRING", "null"),
        (None, "BOOL", False),
        (False, "BOOL", False),
        (0, "BOOL", True),
        (MINVAL, "BOOL", True),
        ({"b": 1, "a": [2.5]}, "STRING", '{"a":[2.5],"b":1}'),
        (binary(b"foo"), "STRING", "foo"),
        ("foo", "BINARY", binary(b"foo")),
        ({"b": 1, "a": 2}, "ARRAY", [["a", 2], ["b", 1]]),
        (
            MOMENT,
            "ARRAY",
            [["$reql_type$", "TIME"], ["epoch_time", 1], ["timezone", "+00:00"]],
        ),
        ([["a", 1], ["b", None]], "OBJECT", {"a": 1, "b": None}),
        ("0xa", "NUMBER", 10),
    ],
)
def test_coercions(value, to, result):
    assert coerce(value, to) == result


@pytest.mark.parametrize(
    ("value", "to", "message"),
    [
        (binary(b""), "ARRAY", "Cannot coerce BINARY to ARRAY."),
        (binary(b""), "OBJECT", "Cannot coerce BINARY to OBJECT."),
        (binary(b""), "NUMBER", "Cannot coerce BINARY to NUMBER."),
        (True, "ARRAY", "Cannot coerce BOOL to ARRAY."),
        ({}, "NUMBER", "Cannot coerce OBJECT to NUMBER."),
        ([], "NUMBER", "Cannot coerce ARRAY to NUMBER."),
        ([[1]], "OBJECT", "Expected array of size 2, but got size 1."),
        ([1], "OBJECT", "Expected type ARRAY but found NUMBER."),
        ([[1, 2]], "OBJECT", "Expected type STRING but found NUMBER."),
        (
            [["a", 1], ["a", 2]],
            "OBJECT",
            'Duplicate key "a" in coerced object.  (got 1 and 2 as values)',
        ),
        (
            binary(b"a\xff"),
            "STRING",
            "String `a\N{REPLACEMENT CHARACTER}` (truncated) is not a UTF-8 string; "
            "Invalid initial byte seen at position 1.",
        ),
    ],
)
def test_coercions_that_fail(value, to, message):
    with pytest.raises(QueryLogicError) as raised:
        coerce(value, to)
    assert raised.value.message == message


@given(data)
def test_every_datum_is_of_its_own_type_and_true_or_false(value):
    assert coerce(value, "DATUM") is value
    assert coerce(value, "BOOL") in (True, False)
