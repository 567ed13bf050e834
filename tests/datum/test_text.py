import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.binary import binary
from rethought.datum.kinds import MAXVAL, MINVAL
from rethought.datum.text import compact, number_json, number_text, pretty, truncated
from rethought.errors import QueryLogicError
from tests.datum.strategies import bounded_data, data, numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "-0.0"),
        (1.5, "1.5"),
        (0.1, "0.1"),
        (9007199254740992, "9007199254740992"),
        (9007199254740994.0, "9007199254740994.0"),
        (123456789012345680.0, "123456789012345680.0"),
        (1e16, "10000000000000000.0"),
        (-1e20, "-100000000000000000000.0"),
        (1e21, "1e21"),
        (-1.5e21, "-1.5e21"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
        (0.0001, "0.0001"),
        (1.5e-5, "0.000015"),
        (-1e-6, "-0.000001"),
        (1e-7, "1e-7"),
        (1.23e-7, "1.23e-7"),
        (5e-324, "5e-324"),
    ],
)
def test_numbers_are_spelled_as_the_protocol_does(value, text):
    assert number_json(value) == text
    assert compact(value) == text
    assert pretty(value) == text
    assert compact({"a": [value, "\x1f"]}) == f'{{"a":[{text},"\\u001F"]}}'


@given(numbers)
def test_a_spelled_number_reads_back(value):
    read = json.loads(number_json(value))
    assert read == value
    assert type(read) is type(value)


@given(data)
def test_compact_text_is_json_with_sorted_keys(value):
    text = compact(value)
    assert json.loads(text) == value
    assert text == json.dumps(json.loads(text, parse_float=Raw, parse_int=Raw), **PLAIN)


class Raw(float):
    """A number that keeps the text it was read from."""

    def __init__(self, text):
        self.text = text

    def __new__(cls, text):
        return float.__new__(cls, text)

    def __repr__(self):
        return self.text


class PlainEncoder(json.JSONEncoder):
    """Writes JSON as the protocol does, but for the spelling of numbers."""

    def encode(self, value):
        if isinstance(value, dict):
            rows = [f"{self.encode(key)}:{self.encode(value[key])}" for key in sorted(value)]
            return "{" + ",".join(rows) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(self.encode, value)) + "]"
        if isinstance(value, Raw):
            return value.text
        if isinstance(value, str):
            text = json.dumps(value, ensure_ascii=False)
            for code in range(0x20):
                text = text.replace(f"\\u{code:04x}", f"\\u{code:04X}")
            return text
        return json.dumps(value)


PLAIN = {"cls": PlainEncoder}


def test_strings_escape_only_what_they_must():
    assert compact('x\n\t"\\/é\x01\x1f\x7f\u2028') == '"x\\n\\t\\"\\\\/é\\u0001\\u001F\x7f\u2028"'
    assert compact("\\u00ff") == '"\\\\u00ff"'


def test_bounds_are_no_json():
    with pytest.raises(QueryLogicError) as raised:
        compact([MINVAL])
    assert raised.value.message == "Cannot convert `r.minval` to JSON."
    with pytest.raises(QueryLogicError) as raised:
        compact({"a": MAXVAL})
    assert raised.value.message == "Cannot convert `r.maxval` to JSON."


def test_pretty_print_has_an_item_a_line_behind_tabs():
    assert pretty({}) == "{}"
    assert pretty([]) == "[]"
    assert pretty({"b": [1, {"c": None}], "a": "x"}) == (
        '{\n\t"a":\t"x",\n\t"b":\t[\n\t\t1,\n\t\t{\n\t\t\t"c":\tnull\n\t\t}\n\t]\n}'
    )
    assert pretty([binary(b"foo")]) == '[\n\t{"$reql_type$":"BINARY","data":"Zm9v"}\n]'


@given(bounded_data)
def test_pretty_print_never_fails(value):
    assert pretty(value)
    assert len(truncated(value)) <= 300


def test_pretty_print_of_deep_nesting_stops_somewhere():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert "..." in pretty(deep)


@given(bounded_data, st.integers(0, 60))
def test_a_long_print_is_cut_off(value, most):
    whole = pretty(value)
    assert pretty(value, most) == (whole if len(whole) <= most else whole[:most] + "...")


@given(data)
def test_pace_changes_nothing(value):
    turns = []
    value = [value, "\x01e1" * 22_000]
    assert compact(value, lambda: turns.append(None)) == compact(value)
    assert turns


def test_truncated_print_has_at_most_300_characters():
    assert truncated("a" * 298) == pretty("a" * 298)
    assert truncated("a" * 299) == '"' + "a" * 296 + "..."


def test_numbers_in_messages():
    assert number_text(1.5) == "1.5"
    assert number_text(9007199254740994.0) == "9007199254740994"
    assert number_text(0.1) == "0.10000000000000000555"
    assert number_text(1e300) == "1.0000000000000000525e+300"
