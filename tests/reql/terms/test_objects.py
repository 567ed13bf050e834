"""Objects: keys and values belong together. Single answers are cases."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.kinds import TYPE_KEY, Datum
from rethought.errors import ResourceLimitError
from rethought.reql.terms import objects
from tests.datum.strategies import data, strings
from tests.reql.outside import outside

env = outside()

documents = st.dictionaries(strings.filter(lambda key: key != TYPE_KEY), data, max_size=5)


@given(documents)
def test_an_object_is_made_of_its_keys_and_values(document: dict[str, Datum]) -> None:
    keys, values = objects.keys(env, document), objects.values(env, document)
    parts = [part for pair in zip(keys, values, strict=True) for part in pair]
    first, later = parts[:1], [lambda part=part: part for part in parts[1:]]
    assert objects.object_(env, *first, *later) == document


@given(documents)
def test_keys_are_in_the_order_of_their_bytes(document: dict[str, Datum]) -> None:
    keys = [str(key).encode() for key in objects.keys(env, document)]
    assert keys == sorted(keys)


def test_keys_and_values_keep_the_query_s_array_limit() -> None:
    small: Any = outside(array_limit=1)
    for run in (objects.keys, objects.values):
        with pytest.raises(ResourceLimitError, match="Array over size limit `1`"):
            run(small, {"a": 1, "b": 2})
