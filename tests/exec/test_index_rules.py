"""What an index holds of a document."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.catalog import FunctionRecord, IndexDefinition
from rethought.catalog.model import Rule
from rethought.datum.keys import index_key
from rethought.exec.index_rules import FieldRule, FieldsRule, FunctionRule, rule_for
from rethought.reql.functions import compile_function

ROW = [10, [1]]


def field(name: str) -> list[Any]:
    return [170, [ROW, name]]


def rule(body: Any, *, params: list[int] | None = None, multi: bool = False) -> Rule:
    definition = IndexDefinition(
        FunctionRecord([1] if params is None else params, body), multi=multi, geo=False
    )
    return rule_for(definition, compile_function)


def key(value: Any) -> bytes:
    found = index_key(value)
    assert found is not None
    return found


def test_the_common_forms_need_no_compiler() -> None:
    assert isinstance(rule(field("a")), FieldRule)
    assert isinstance(rule([31, [[13, []], "a"]]), FieldRule)
    assert isinstance(rule([2, [field("a"), field("b")]]), FieldsRule)
    assert isinstance(rule([24, [field("a"), 1]]), FunctionRule)


@pytest.mark.parametrize(
    ("body", "doc", "keys"),
    [
        (field("a"), {"a": 1}, [1]),
        (field("a"), {"b": 1}, []),
        (field("a"), {"a": None}, []),
        (field("a"), {"a": {"x": 1}}, []),
        (field("a"), {"a": [1, "x"]}, [[1, "x"]]),
        (field("a"), {"a": [1, None]}, []),
        ([2, [field("a"), field("b")]], {"a": 1, "b": 2}, [[1, 2]]),
        ([2, [field("a"), field("b")]], {"a": 1}, []),
        ([2, [field("a"), field("a")]], {"a": 1}, [[1, 1]]),
        ([24, [field("a"), 1]], {"a": 1}, [2]),
        ([24, [field("a"), 1]], {"a": "x"}, []),
        ([180, []], {"a": 1}, []),
    ],
)
def test_a_document_has_the_key_of_its_value(
    body: Any, doc: dict[str, Any], keys: list[Any]
) -> None:
    wanted = [key(value) for value in keys]
    found = rule(body)
    assert found.keys(doc) == wanted
    assert found.keys_of_chunk(json.dumps(doc).encode()) == [wanted]


def test_a_multi_index_has_a_key_for_each_element() -> None:
    many = rule(field("a"), multi=True)
    assert many.keys({"a": [1, None, 2, 2, {}]}) == [key(1), key(2), key(2)]
    assert many.keys({"a": 5}) == [key(5)]
    assert many.keys({"a": []}) == []


def test_a_function_of_the_wrong_arity_indexes_nothing() -> None:
    two = rule([10, [1]], params=[1, 2])
    assert two.keys({"a": 1}) == []
    assert two.keys_of_chunk(b'{"a":1},{"a":2}') == [[], []]


values = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
names = st.sampled_from(("a", "b", "c", 'a"b', "\\", "\x1f", "é", ""))
documents = st.lists(st.dictionaries(names, values | st.lists(values, max_size=3)), min_size=1)


@given(documents, names, names, st.booleans())
def test_a_chunk_has_the_keys_of_its_documents(
    docs: list[dict[str, Any]], one: str, other: str, multi: bool
) -> None:
    chunk = ",".join(json.dumps(doc) for doc in docs).encode()
    for body in (
        field(one),
        [2, [field(one), field(other)]],
        [24, [field(one), field(other)]],
    ):
        found = rule(body, multi=multi)
        assert found.keys_of_chunk(chunk) == [found.keys(doc) for doc in docs]
