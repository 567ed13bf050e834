"""Paths: pluck and without part a document; how specifications join."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.kinds import Datum
from rethought.datum.merging import merge_objects
from rethought.datum.paths import has_fields, parse_paths, pluck, without
from rethought.errors import QueryLogicError

names = st.sampled_from("abc")
leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x"])
# Objects in objects, so that what is taken out and what is left can be put together again.
documents: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(names, leaves, max_size=3),
    lambda inner: st.dictionaries(names, inner | leaves, max_size=3),
    max_leaves=10,
)
specs: st.SearchStrategy[Any] = st.recursive(
    names,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names, inner | st.just(True), max_size=3)
    ),
    max_leaves=6,
)
spec_lists = st.lists(specs, max_size=3)


# ---- pluck and without


@given(documents, st.lists(names, max_size=3))
def test_pluck_and_without_part_the_fields(document: Any, fields: list[Datum]) -> None:
    taken, left = pluck(document, fields), without(document, fields)
    assert isinstance(taken, dict)
    assert isinstance(left, dict)
    assert set(taken) | set(left) == set(document)
    assert not set(taken) & set(left)
    assert all(document[key] == value for key, value in {**taken, **left}.items())


@given(documents, spec_lists)
def test_what_is_taken_merged_onto_what_is_left_is_the_document(
    document: Any, paths: list[Datum]
) -> None:
    assert merge_objects(without(document, paths), pluck(document, paths)) == document


@given(documents, spec_lists)
def test_plucking_twice_is_plucking_once(document: Any, paths: list[Datum]) -> None:
    once: Any = pluck(document, paths)
    assert pluck(once, paths) == once


@given(documents, spec_lists)
def test_nothing_is_plucked_after_without(document: Any, paths: list[Datum]) -> None:
    left: Any = without(document, paths)

    def has_leaf(value: Datum) -> bool:
        if isinstance(value, dict):
            return any(has_leaf(part) for part in value.values())
        return True

    assert not has_leaf(pluck(left, paths))


@given(documents, spec_lists)
def test_documents_are_left_as_they_were(document: Any, paths: list[Datum]) -> None:
    before = repr((document, paths))
    pluck(document, paths)
    without(document, paths)
    has_fields(document, paths)
    assert repr((document, paths)) == before


def test_elements_of_arrays_are_looked_into() -> None:
    document: Any = {"a": [{"b": 1, "c": 2}, {"c": 3}]}
    assert pluck(document, [{"a": "b"}]) == {"a": [{"b": 1}, {}]}
    assert without(document, [{"a": "b"}]) == {"a": [{"c": 2}, {"c": 3}]}


def test_a_path_that_leads_nowhere_drops_or_leaves_the_field() -> None:
    for value in (1, None, "x", [1], [{"b": 1}, 2], [[{"b": 1}]]):
        assert pluck({"a": value}, [{"a": "b"}]) == {}
        assert without({"a": value}, [{"a": "b"}]) == {"a": value}


def test_binary_is_not_looked_into() -> None:
    document: Any = {"a": {"$reql_type$": "BINARY", "data": "AA=="}}
    assert pluck(document, [{"a": "data"}]) == {}
    assert without(document, [{"a": "data"}]) == document
    assert has_fields(document, [{"a": "data"}]) is False


# ---- has_fields


@given(documents, spec_lists)
def test_all_specifications_must_hold(document: Any, paths: list[Datum]) -> None:
    assert has_fields(document, paths) is all(has_fields(document, [path]) for path in paths)


@given(documents, names)
def test_a_field_is_had_unless_it_is_missing_or_null(document: Any, name: str) -> None:
    assert has_fields(document, [name]) is (document.get(name) is not None)


def test_a_field_named_as_a_whole_and_in_parts_must_have_the_parts() -> None:
    assert has_fields({"a": {"b": 1}}, ["a", {"a": "b"}]) is True
    assert has_fields({"a": {"c": 1}}, ["a", {"a": "b"}]) is False
    assert has_fields({"a": {"c": 1}}, [{"a": "b"}, "a"]) is False


# ---- specifications


@given(specs)
def test_specifications_join_whatever_their_order(spec: Datum) -> None:
    for deepest in (False, True):
        assert parse_paths([spec, "a", {"a": "b"}], deepest=deepest) == parse_paths(
            [{"a": "b"}, "a", spec], deepest=deepest
        )


def test_a_field_named_as_a_whole_is_whole() -> None:
    assert parse_paths([{"a": "b"}, {"a": True}]) == {"a": None}
    assert parse_paths(["a", {"a": {"b": "c"}}]) == {"a": None}


def test_parts_of_one_field_join() -> None:
    assert parse_paths([{"a": {"b": True}}, {"a": ["c", {"b": "d"}]}]) == {
        "a": {"b": None, "c": None}
    }


@pytest.mark.parametrize(
    ("spec", "printed"),
    [(1, "1"), (None, "null"), (True, "true"), ([0.5], "0.5"), ({"a": False}, "false")],
)
def test_other_values_are_no_paths(spec: Datum, printed: str) -> None:
    with pytest.raises(QueryLogicError) as caught:
        parse_paths([spec])
    assert caught.value.message == f"Invalid path argument `{printed}`."


def test_a_value_that_is_no_path_is_refused_even_when_the_answer_is_known() -> None:
    with pytest.raises(QueryLogicError, match="Invalid path argument"):
        has_fields({}, ["x", 1])
