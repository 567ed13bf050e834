"""Merging: the laws, and what literals do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.kinds import Datum
from rethought.datum.merging import merge_objects, without_literals
from rethought.datum.order import equal
from rethought.datum.values import binary
from rethought.errors import QueryLogicError
from tests.datum.strategies import nested, scalars, strings

plain_scalars = st.none() | st.booleans() | st.integers(-9, 9) | strings
documents = st.dictionaries(st.sampled_from("abc"), nested(plain_scalars), max_size=3)
overlapping = st.recursive(
    plain_scalars,
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
).filter(lambda value: isinstance(value, dict))


def literal(*value: Datum) -> Datum:
    return {"$reql_type$": "LITERAL", "value": value[0]} if value else {"$reql_type$": "LITERAL"}


# ---- laws


@given(documents)
def test_merging_with_an_empty_object_changes_nothing(document: Datum) -> None:
    assert merge_objects(document, {}) == document
    assert merge_objects({}, document) == document


@given(overlapping)
def test_merging_with_itself_changes_nothing(document: Datum) -> None:
    assert merge_objects(document, document) == document


@given(overlapping, overlapping)
def test_merging_twice_is_merging_once(left: Datum, right: Datum) -> None:
    once = merge_objects(left, right)
    assert merge_objects(once, right) == once


@given(overlapping, overlapping)
def test_every_leaf_of_the_right_side_wins(left: Datum, right: Datum) -> None:
    merged = merge_objects(left, right)

    def check(value: Datum, wanted: Datum) -> None:
        if isinstance(wanted, dict) and isinstance(value, dict):
            for key, part in wanted.items():
                check(value[key], part)
        else:
            assert equal(value, wanted)

    check(merged, right)


@given(overlapping, overlapping)
def test_merging_changes_neither_side(left: Datum, right: Datum) -> None:
    before = repr((left, right))
    merge_objects(left, right)
    assert repr((left, right)) == before


@given(documents, scalars)
def test_what_is_no_object_replaces_everything(document: Datum, value: Datum) -> None:
    if not isinstance(value, dict):
        assert merge_objects(document, value) is value


# ---- pseudotypes


def test_binary_is_replaced_and_replaces() -> None:
    data = binary(b"x")
    assert merge_objects({"a": data}, {"a": {"b": 1}}) == {"a": {"b": 1}}
    assert merge_objects({"a": {"b": 1}}, {"a": data}) == {"a": data}


def test_a_time_that_gets_a_key_is_checked_again() -> None:
    time: Datum = {"$reql_type$": "TIME", "epoch_time": 1, "timezone": "+00:00"}
    with pytest.raises(QueryLogicError, match="unrecognized field `x`"):
        merge_objects({"t": time}, {"t": {"x": 1}})


# ---- literals


def test_a_literal_replaces_what_was_there() -> None:
    assert merge_objects({"a": {"b": 1}}, {"a": literal({"c": 2})}) == {"a": {"c": 2}}


def test_an_empty_literal_removes_the_field() -> None:
    assert merge_objects({"a": {"b": 1}, "c": 2}, {"a": literal()}) == {"c": 2}
    assert merge_objects({"c": 2}, {"a": literal()}) == {"c": 2}


def test_literals_below_new_fields_leave_what_they_hold() -> None:
    assert merge_objects({}, {"x": {"y": literal()}}) == {"x": {}}
    assert merge_objects({"x": 1}, {"x": {"y": literal(2)}}) == {"x": {"y": 2}}


def test_a_literal_cannot_be_merged_itself() -> None:
    with pytest.raises(QueryLogicError, match="Stray literal keyword found"):
        merge_objects({"a": 1}, literal(2))


@given(documents)
def test_values_without_literals_are_handed_back_as_they_are(document: Datum) -> None:
    assert without_literals(document) is document


def test_no_literal_is_left_at_any_depth() -> None:
    value: Datum = {"a": [literal(1), {"b": literal()}, [literal()]], "c": literal({"d": 2})}
    assert without_literals(value) == {"a": [1, {}, []], "c": {"d": 2}}
