"""Terms over strings."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.kinds import Datum
from rethought.datum.text import compact
from rethought.errors import NonExistenceError, QueryLogicError, ResourceLimitError
from rethought.reql.terms import text
from rethought.reql.terms.json_faults import DEPTH, first_fault
from tests.reql.outside import outside

env = outside()


def refusal(call: Any, *args: Any) -> str:
    with pytest.raises(QueryLogicError) as caught:
        call(env, *args)
    return caught.value.message


# ---- match


def test_match_counts_bytes() -> None:
    assert text.match(env, "héllo", "l(l)(x)?") == {
        "str": "ll",
        "start": 3,
        "end": 5,
        "groups": [{"str": "l", "start": 4, "end": 5}, None],
    }


def test_match_is_not_anchored_and_gives_null_without_a_match() -> None:
    assert text.match(env, "abc", "b|c") == {"str": "b", "start": 1, "end": 2, "groups": []}
    assert text.match(env, "abc", "^b") is None


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("ab\\9", "Error in regexp `ab\\9` (portion `\\9`): invalid escape sequence: \\9"),
        ("(", "Error in regexp `(` (portion `(`): missing ): ("),
        ("a**", "Error in regexp `a**` (portion `**`): bad repetition operator: **"),
    ],
)
def test_a_bad_pattern_is_refused(pattern: str, message: str) -> None:
    assert refusal(text.match, "", pattern) == message


# ---- split


@pytest.mark.parametrize(
    ("args", "pieces"),
    [
        (("  a  b  ",), ["a", "b"]),
        (("aaaa bbbb  cccc ", None, 2), ["aaaa", "bbbb", "cccc "]),
        (("  a b ", None, 0), ["a b "]),
        (("  é  b  c ", None, 1), ["é", "b  c "]),
        (("  é b ", None, 0), ["é b "]),
        (("   ", None, 0), []),
        (("", ","), [""]),
        (("a,b,,c", ",", 2), ["a", "b", ",c"]),
        (("", ""), []),
        (("héo", ""), ["h", "é", "o"]),
        (("he\u0301o", ""), ["h", "e\u0301", "o"]),
        (("he\u0301o", "", 1), ["h", "e\u0301o"]),
        (("a\xa0b\u2001c\u2060d\u2028e\x85f\u200b",), ["a", "b", "c\u2060d", "e", "f\u200b"]),
        (("a\x1cb c",), ["a\x1cb", "c"]),
    ],
)
def test_split(args: tuple[Any, ...], pieces: list[str]) -> None:
    *rest, most = args if len(args) == 3 else (*args, None)
    assert text.split(env, *rest, *([] if most is None else [lambda: most])) == pieces


def test_split_refuses_odd_limits_and_separators() -> None:
    assert refusal(text.split, "a", ",", lambda: -2) == (
        "Error: `split` size argument must be in range [-1, 99999]."
    )
    assert refusal(text.split, "a", 1) == "Expected type STRING but found NUMBER."


def test_split_stays_within_the_array_limit() -> None:
    small = outside(array_limit=3)
    assert text.split(small, "a b c") == ["a", "b", "c"]
    with pytest.raises(ResourceLimitError, match="Array over size limit `3`"):
        text.split(small, "a b c d")


@given(st.text(), st.integers(-1, 5))
def test_characters_join_to_the_whole(string: str, most: int) -> None:
    assert "".join(text.split(env, string, "", lambda: most)) == string  # type: ignore[arg-type]


@given(st.text(alphabet="ab \t\u2003"), st.integers(-1, 4))
def test_words_agree_with_python_where_blanks_do(string: str, most: int) -> None:
    assert text.split(env, string, None, lambda: most) == string.split(None, most)


@given(
    st.text(alphabet="ab \u0301\u2003", max_size=40),
    st.sampled_from([None, "", "a", "ab", "aba", "aa", "  "]),
    st.integers(-1, 6),
)
def test_slices_do_not_change_how_a_string_is_split(
    string: str, separator: str | None, most: int
) -> None:
    whole = text.split(env, string, separator, lambda: most)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "SLICE_CHARS", 3)
        assert text.split(env, string, separator, lambda: most) == whole


# ---- case


@given(st.text(alphabet="aZéß\u0130"))
def test_slices_do_not_change_case(string: str) -> None:
    upper, lower = text.upcase(env, string), text.downcase(env, string)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "SLICE_CHARS", 2)
        assert (text.upcase(env, string), text.downcase(env, string)) == (upper, lower)


def test_case_is_that_of_ascii() -> None:
    assert text.upcase(env, "straße é") == "STRAßE é"
    assert text.downcase(env, "ÉA") == "Éa"


# ---- JSON


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "The document is empty."),
        (" \n", "The document is empty."),
        ("nul", "Invalid value."),
        ("[1", "Missing a comma or ']' after an array element."),
        ("[1,]", "Invalid value."),
        ('{"a":1', "Missing a comma or '}' after an object member."),
        ('{"a" 1}', "Missing a colon after a name of object member."),
        ("{a:1}", "Missing a name for object member."),
        ("1 2", "The document root must not follow by other values."),
        ('"a', "Missing a closing quotation mark in string."),
        ('"\\x"', "Invalid escape character in string."),
        ('"\\u12g4"', "Incorrect hex digit after \\u escape in string."),
        ('"\\ud800x"', "The surrogate pair in string is invalid."),
        ("1.", "Miss fraction part in number."),
        ("1e", "Miss exponent in number."),
        ("1e999", "Number too big to be stored in double."),
    ],
)
def test_json_says_what_is_wrong(source: str, why: str) -> None:
    assert refusal(text.json_of, source) == f'Failed to parse "{source}" as JSON: {why}'


def test_json_cuts_a_long_text_in_its_message() -> None:
    message = refusal(text.json_of, "[" + "1," * 30)
    assert message == f'Failed to parse "[{"1," * 18}..." as JSON: Invalid value.'


def test_json_refuses_null_bytes_repeated_keys_and_large_arrays() -> None:
    assert refusal(text.json_of, "[\0]") == "Encountered unescaped null byte in JSON string."
    assert refusal(text.json_of, '[{"a":1,"a":2}]') == 'Duplicate key "a" in JSON.'
    small: Any = SimpleNamespace(array_limit=2, tick=lambda: None)
    with pytest.raises(ResourceLimitError):
        text.json_of(small, "[[1,2,3]]")


def test_json_makes_canonical_data() -> None:
    parsed = text.json_of(
        env, '[1.0, 1e5, {"$reql_type$":"TIME","epoch_time":1,"timezone":"Z"}, "\\u00e9"]'
    )
    assert parsed == [
        1,
        100000,
        {"$reql_type$": "TIME", "epoch_time": 1, "timezone": "+00:00"},
        "é",
    ]
    assert isinstance(parsed, list)
    assert parsed[0].__class__ is int


def test_long_json_gives_others_their_turn_and_is_canonical() -> None:
    turns: list[None] = []
    busy: Any = SimpleNamespace(array_limit=100_000, tick=lambda: turns.append(None))
    assert text.json_of(busy, f"[{'1.0,' * 9_999}1.0]") == [1] * 10_000
    assert len(turns) >= 10_000 // text.PACE_ITEMS
    turns.clear()
    fault = "Missing a comma or ']' after an array element."
    with pytest.raises(QueryLogicError, match=re.escape(fault)):
        text.json_of(busy, f"[{'1.0,' * 9_999}1.0")
    assert len(turns) >= 10_000 // text.PACE_ITEMS


def test_long_templates_give_others_their_turn() -> None:
    turns: list[None] = []
    busy: Any = SimpleNamespace(tick=lambda: turns.append(None))
    assert text.format_template(busy, "{a}-" * 10_000, {"a": 1}) == "1-" * 10_000
    assert len(turns) > 10_000 // text.PACE_ITEMS


def test_json_nested_too_deeply_is_an_error() -> None:
    assert "nested too deeply" in refusal(text.json_of, "[" * 100_000 + "]" * 100_000)


@given(st.text(alphabet='[]{}",:01.e-tru\\u ', max_size=12))
def test_every_refused_text_has_a_fault(source: str) -> None:
    message = None
    try:
        text.json_of(env, source)
    except QueryLogicError as error:
        message = error.message
    if message is not None and not message.startswith("Duplicate key"):
        assert message.startswith("Failed to parse")
        assert first_fault(source, env.tick) != DEPTH


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text().filter(lambda key: key != "$reql_type$"), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(json_values)
def test_json_reads_what_to_json_string_writes(value: Datum) -> None:
    written = text.to_json_string(env, value)
    assert written == compact(value)
    assert text.json_of(env, written) == value


# ---- format


def test_format_fills_in_fields_as_strings() -> None:
    assert (
        text.format_template(
            env, "{a} {b}{} {c}", {"a": "x", "b": 99.5, "": None, "c": [1, {"d": True}]}
        )
        == 'x 99.5null [1,{"d":true}]'
    )


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("foo {bar baz", "Parameter tag must be closed"),
        ("foo bar} baz", "No parameter tags to close"),
        ("foo {{bar}} baz", "Nested template parameters are not allowed"),
        ("{bar,}", "Formatting separator `,` is not allowed in parameter name"),
        ("{bar\\}", "Reserved escape character `\\` is not allowed in parameter name"),
    ],
)
def test_format_refuses_odd_templates(template: str, message: str) -> None:
    assert refusal(text.format_template, template, {"bar": 1}) == message


def test_format_misses_a_field() -> None:
    with pytest.raises(NonExistenceError, match="No attribute `bar` in object"):
        text.format_template(env, "foo {bar} baz", {})
