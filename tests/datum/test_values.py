import copy
import pickle

import pytest
from hypothesis import given

from rethought.datum.jsonbytes import RepeatedKeys, encode
from rethought.datum.values import (
    MAXVAL,
    MINVAL,
    binary,
    binary_bytes,
    check_storable,
    coerce_name,
    document_bytes,
    from_json,
    is_pseudotype,
    is_truthy,
    number,
    to_int,
    to_int32,
    to_uint32,
    type_name,
    wrong_type,
)
from rethought.errors import NonExistenceError, QueryLogicError, ResourceLimitError
from tests.datum.strategies import data

POINT = {"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [0, 0]}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "NULL"),
        (True, "BOOL"),
        (1, "NUMBER"),
        (1.5, "NUMBER"),
        ("", "STRING"),
        ([], "ARRAY"),
        ({}, "OBJECT"),
        (binary(b""), "PTYPE<BINARY>"),
        (POINT, "PTYPE<GEOMETRY>"),
        (MINVAL, "MINVAL"),
        (MAXVAL, "MAXVAL"),
    ],
)
def test_type_names(value, name):
    assert type_name(value) == name
    assert is_pseudotype(value) == name.startswith("PTYPE")


def test_binary_has_a_coercion_name_of_its_own():
    assert coerce_name(binary(b"")) == "BINARY"
    assert coerce_name(POINT) == "PTYPE<GEOMETRY>"


def test_the_bounds_stay_themselves_when_copied():
    for bound in (MINVAL, MAXVAL):
        assert copy.deepcopy([bound])[0] is bound
        assert pickle.loads(pickle.dumps(bound)) is bound


def test_only_null_and_false_are_false():
    assert [value for value in (None, False, 0, "", [], {}, True) if not is_truthy(value)] == [
        None,
        False,
    ]


@pytest.mark.parametrize(
    ("given_number", "canonical"),
    [
        (1.0, "1"),
        (-0.0, "-0.0"),
        (0.0, "0"),
        (9007199254740992.0, "9007199254740992"),
        (9007199254740993, "9007199254740992"),
        (9007199254740994, "9007199254740994.0"),
        (-(10**30), "-1e+30"),
        (1.5, "1.5"),
    ],
)
def test_numbers_are_canonical(given_number, canonical):
    assert repr(number(given_number)) == canonical


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (float("nan"), "nan"),
        (10**400, "inf"),
        (-(10**400), "-inf"),
    ],
)
def test_numbers_are_finite(value, text):
    with pytest.raises(QueryLogicError) as raised:
        number(value)
    assert raised.value.message == f"Non-finite number: {text}"


@given(data)
def test_canonical_data_stay_the_same_object(value):
    assert from_json(value) is value
    check_storable(value)


def test_foreign_json_becomes_canonical_at_any_depth():
    plain = {"keep": [1, "x"]}
    foreign = {"a": [1.0, {"b": 2.0}], "plain": plain, "t": 2**53 + 1, "n": 1.5}
    before = copy.deepcopy(foreign)
    value = from_json(foreign)
    assert repr(value) == repr(
        {"a": [1, {"b": 2}], "plain": plain, "t": 9007199254740992, "n": 1.5}
    )
    assert value["plain"] is plain
    assert repr(foreign) == repr(before)


def test_objects_of_other_classes_are_seen_through():
    doubled = RepeatedKeys({"a": 1.0})
    assert repr(from_json(doubled)) == repr({"a": 1})


def test_pseudotypes_become_canonical():
    assert from_json({"$reql_type$": "TIME", "epoch_time": 1.23456, "timezone": "Z"}) == {
        "$reql_type$": "TIME",
        "epoch_time": 1.235,
        "timezone": "+00:00",
    }
    long = binary(bytes(100))
    assert long["data"].index("\r\n") == 76
    loose = {"$reql_type$": "BINARY", "data": long["data"].replace("\r\n", "").rstrip("=")}
    assert from_json([loose]) == [long]
    assert binary_bytes(long) == bytes(100)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"$reql_type$": "X"}, "Unknown $reql_type$ `PTYPE<X>`."),
        ({"$reql_type$": "GROUPED_DATA"}, "Unknown $reql_type$ `PTYPE<GROUPED_DATA>`."),
        (
            {"$reql_type$": 1},
            "Error: Field `$reql_type$` must be a string (got `1` of type NUMBER):\n"
            '{\n\t"$reql_type$":\t1\n}',
        ),
        (
            {"$reql_type$": "TIME"},
            "Invalid time object constructed (no field `epoch_time`):\n"
            '{\n\t"$reql_type$":\t"TIME"\n}',
        ),
        (
            {"$reql_type$": "TIME", "epoch_time": "x", "timezone": "Z"},
            "Invalid time object constructed "
            '(field `epoch_time` must be a number (got `"x"` of type STRING)):\n'
            '{\n\t"$reql_type$":\t"TIME",\n\t"epoch_time":\t"x",\n\t"timezone":\t"Z"\n}',
        ),
        (
            {"$reql_type$": "TIME", "epoch_time": 1, "timezone": "x"},
            'Invalid time object constructed (invalid timezone string `"x"`):\n'
            '{\n\t"$reql_type$":\t"TIME",\n\t"epoch_time":\t1,\n\t"timezone":\t"x"\n}',
        ),
        (
            {"$reql_type$": "TIME", "epoch_time": 1, "timezone": "Z", "a": 1},
            "Invalid time object constructed (unrecognized field `a`):\n"
            '{\n\t"$reql_type$":\t"TIME",\n\t"a":\t1,\n\t"epoch_time":\t1,\n\t"timezone":\t"Z"\n}',
        ),
        ({"$reql_type$": "BINARY"}, "Invalid binary pseudotype: lacking `data` key."),
        (
            {"$reql_type$": "BINARY", "data": "", "x": 1},
            "Invalid binary pseudotype: illegal `x` key.",
        ),
        (
            {"$reql_type$": "BINARY", "data": "ABCDEFGH==AA"},
            "Invalid base64 format, data found after padding character '='.",
        ),
        (
            {"$reql_type$": "BINARY", "data": "ABCDEF==$"},
            "Invalid base64 format, data found after padding character '='.",
        ),
        (
            {"$reql_type$": "BINARY", "data": "A^CDEFGH"},
            "Invalid base64 character found: '^'.",
        ),
        (
            {"$reql_type$": "BINARY", "data": "ABCDE"},
            "Invalid base64 length: 1 character remaining, cannot decode a full byte.",
        ),
        (
            {"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [], "x": 1},
            "Unrecognized field `x` found in geometry object.",
        ),
        (
            {"$reql_type$": "LITERAL", "x": 1},
            "Invalid literal term with illegal key `x`.",
        ),
    ],
)
def test_broken_pseudotypes_are_refused(value, message):
    with pytest.raises(QueryLogicError) as raised:
        from_json({"a": [value]})
    assert raised.value.message == message


def test_a_geometry_without_coordinates_lacks_something():
    with pytest.raises(NonExistenceError) as raised:
        from_json({"$reql_type$": "GEOMETRY", "type": "Point"})
    assert raised.value.message == "Field `coordinates` not found in geometry object."


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            {"a": [MINVAL]},
            QueryLogicError,
            "`r.minval` and `r.maxval` cannot be written to disk.",
        ),
        (
            {"a": [0] * 100_001},
            ResourceLimitError,
            "Array too large for disk writes (limit 100,000 elements).",
        ),
        (
            {"a": {"$reql_type$": "LITERAL"}},
            QueryLogicError,
            "Stray literal keyword found: literal is only legal inside of the object passed to "
            "merge or update and cannot nest inside other literals.",
        ),
    ],
)
def test_what_cannot_be_stored(value, error, message):
    for store in (check_storable, document_bytes):
        with pytest.raises(error) as raised:
            store(value)
        assert raised.value.message == message


def test_documents_nest_to_a_limit():
    deep = []
    for _ in range(498):
        deep = [deep]
    check_storable({"a": deep})
    assert document_bytes({"a": deep}) == encode({"a": deep})
    for store in (check_storable, document_bytes):
        with pytest.raises(ResourceLimitError, match="nested too deeply"):
            store({"a": [deep]})
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ResourceLimitError, match="nested too deeply"):
        document_bytes({"a": deep})
    with pytest.raises(ResourceLimitError, match="nested too deeply"):
        from_json({"a": deep})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, "Number not an integer: 1.5"),
        (0.1, "Number not an integer: 0.10000000000000000555"),
        (9007199254740994.0, "Number not an integer (>2^53): 9007199254740994"),
        (-9007199254740994.0, "Number not an integer (<-2^53): -9007199254740994"),
    ],
)
def test_numbers_that_are_no_integers(value, message):
    with pytest.raises(QueryLogicError) as raised:
        to_int(value)
    assert raised.value.message == message


def test_narrow_integers():
    assert to_int(-0.0) == 0
    assert to_int32(-(2**31)) == -(2**31)
    assert to_uint32(2**32 - 1) == 2**32 - 1
    for narrow, value in ((to_int32, 2**31), (to_uint32, -1)):
        with pytest.raises(QueryLogicError) as raised:
            narrow(value)
        assert raised.value.message == f"Integer too large: {value}"


def test_a_null_of_the_wrong_type_counts_as_missing():
    assert type(wrong_type("STRING", None)) is NonExistenceError
    assert type(wrong_type("STRING", 1)) is QueryLogicError
