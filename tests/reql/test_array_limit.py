"""The option `array_limit`: which values it takes, and that each term that builds an array keeps to it."""

from typing import Any

import pytest

from tests.reql.database import Database
from tests.reql.evaluation import Evaluator
from tests.reql.queries import table

TEN = [51, [[173, [10]], "array"]]
A_TO_D = {"a": 1, "b": 2, "c": 3, "d": 4}
OVER = (
    "Array over size limit `3`.  To raise the number of allowed elements, modify the `array_limit` option to `.run` "
    "(not available in the Data Explorer), or use an index."
)


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        (0, "Illegal array size limit `0`.  (Must be >= 1.)"),
        (-1, "Illegal array size limit `-1`.  (Must be >= 1.)"),
        (1.5, "Number not an integer: 1.5"),
        (0.5, "Number not an integer: 0.5"),
        ("1", "Expected type NUMBER but found STRING."),
        (None, "Expected type NUMBER but found NULL."),
    ],
)
def test_the_limit_is_a_whole_number_above_0(reql: Evaluator, limit: Any, why: str) -> None:
    assert reql.message(1, array_limit=limit) == why


@pytest.mark.parametrize(
    "query",
    [
        pytest.param([2, [1, 2, 3, 4]], id="make_array"),
        pytest.param(TEN, id="coerce_to of a stream"),
        pytest.param([51, [A_TO_D, "array"]], id="coerce_to of an object"),
        pytest.param([94, [A_TO_D]], id="keys"),
        pytest.param([186, [A_TO_D]], id="values"),
        pytest.param([98, ["[1, 2, [1, 2, 3, 4]]"]], id="json"),
        pytest.param([149, ["a b c d"]], id="split"),
        pytest.param([97, ["abcd", "(a)(b)(c)(d)"]], id="match"),
        pytest.param([24, [[2, [1, 2]], [2, [3, 4]]]], id="add"),
        pytest.param([26, [[2, [1, 2]], 2]], id="mul"),
        pytest.param([29, [[2, [1, 2, 3]], 4]], id="append"),
        pytest.param([80, [[2, [1, 2, 3]], 4]], id="prepend"),
        pytest.param([88, [[2, [1, 2, 3]], 4]], id="set_insert"),
        pytest.param([90, [[2, [1, 2]], [2, [3, 4]]]], id="set_union"),
        pytest.param([82, [[2, [1, 2, 3]], 0, 4]], id="insert_at"),
        pytest.param([85, [[2, [1, 2]], 0, [2, [3, 4]]]], id="splice_at"),
        pytest.param([44, [[2, [1, 2]], [2, [3, 4]]]], id="union"),
        pytest.param([41, [[173, [4]], [73, [[2, ["x"]]]]]], id="order_by"),
        pytest.param([42, [[173, [4]]]], id="distinct"),
        pytest.param([81, [[173, [4]], 4]], id="sample"),
    ],
)
def test_an_array_of_one_too_many_is_refused(reql: Evaluator, query: Any) -> None:
    assert reql.message(query, array_limit=3) == OVER


def test_each_pair_of_an_object_is_an_array(reql: Evaluator) -> None:
    pairs = [51, [{"a": 1}, "array"]]
    assert "limit `1`" in reql.message(pairs, array_limit=1)
    assert reql.value(pairs, array_limit=2) == [["a", 1]]
    assert reql.value([51, [{}, "array"]], array_limit=1) == []


def test_an_array_that_was_stored_is_cut_to_no_more(database: Database) -> None:
    database.value([60, ["long"]])
    try:
        database.value([56, [table("long"), {"id": 0, "a": [2, [1, 2, 3, 4]]}]])
        stored = [170, [[16, [table("long"), 0]], "a"]]
        assert database.value([71, [stored, 3]], array_limit=3) == [1, 2, 3]
        assert database.response([71, [stored, 4]], array_limit=3)["r"] == [OVER]
    finally:
        database.value([61, ["long"]])
