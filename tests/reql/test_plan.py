"""Plans found by shape give what compiling each query anew gives."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.errors import CompileError, ReqlError
from rethought.limits import Limits
from rethought.reql.plan import PLANS_MAX, PLANS_PER_SHAPE, PlanCache
from tests.reql.evaluation import Evaluator

EQ, ADD, BRANCH, FIELD, MAKE_ARRAY = 17, 24, 65, 31, 2


def body(term: Any, **options: Any) -> bytes:
    return json.dumps([1, term, options], separators=(",", ":")).encode()


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
)


def test_queries_of_one_shape_share_a_plan() -> None:
    plans = PlanCache(Limits())
    first, _ = plans.find(body([ADD, [1, 20]]))
    second, params = plans.find(body([ADD, [7, 35]]))
    assert second is first
    assert params == (7, 35)


def test_another_term_at_the_same_place_is_another_plan() -> None:
    plans = PlanCache(Limits())
    added, _ = plans.find(body([24, [1, 2]]))
    subtracted, _ = plans.find(body([25, [1, 2]]))
    assert subtracted is not added


def test_another_field_name_of_the_same_length_is_another_plan() -> None:
    plans = PlanCache(Limits())
    first, _ = plans.find(body([FIELD, [{"ab": 1, "cd": 2}, "ab"]]))
    second, _ = plans.find(body([FIELD, [{"ab": 1, "cd": 2}, "cd"]]))
    assert second is not first


@settings(max_examples=40)  # each example starts engines of its own
@given(st.lists(st.tuples(scalars, scalars), min_size=2, max_size=5))
def test_a_cached_plan_answers_like_a_fresh_one(pairs: list[tuple[Any, Any]]) -> None:
    warm = Evaluator()
    try:
        for left, right in pairs:
            term = [BRANCH, [[EQ, [left, right]], [MAKE_ARRAY, [left, {"k": right}]], right]]
            cold = Evaluator()
            try:
                assert warm.response_bytes(term) == cold.response_bytes(term)
            finally:
                cold.close()
    finally:
        warm.close()


@pytest.mark.parametrize("wrong", [b"nulk", b"0123", b"1x34", b"--12"])
def test_a_broken_literal_of_a_known_shape_is_refused(wrong: bytes) -> None:
    plans = PlanCache(Limits())
    plans.find(b"[1,[24,[1234,1]],{}]")
    with pytest.raises(ReqlError):
        plans.find(b"[1,[24,[" + wrong + b",1]],{}]")


def test_a_literal_document_is_one_parameter() -> None:
    plans = PlanCache(Limits())
    term = [FIELD, [{"a": {"b": [MAKE_ARRAY, [1, 2]]}}, "a"]]
    plans.find(body(term))
    _, params = plans.find(body([FIELD, [{"a": {"b": [MAKE_ARRAY, [3, 4]]}}, "a"]]))
    assert params[0] == {"a": {"b": [3, 4]}}


def test_a_term_where_a_plan_has_a_literal_array_is_not_mistaken_for_one() -> None:
    plans = PlanCache(Limits())
    first, _ = plans.find(body([FIELD, [{"a": [2, [1, 2]]}, "a"]]))
    with pytest.raises(CompileError, match="Unrecognized TermType: 9"):
        plans.find(body([FIELD, [{"a": [9, [1, 2]]}, "a"]]))
    assert first is plans.find(body([FIELD, [{"a": [2, [5, 6]]}, "a"]]))[0]


def test_the_cache_is_bounded() -> None:
    plans = PlanCache(Limits())
    for number in range(PLANS_MAX + 50):
        plans.find(body("x" * (number % 90) + "!" * (number // 90)))
    assert plans.size <= PLANS_MAX


def test_plans_of_one_shape_are_bounded() -> None:
    plans = PlanCache(Limits())
    for number in range(PLANS_PER_SHAPE * 3):
        plans.find(body([FIELD, [{"a": 1}, f"f{number:04}"]]))
    assert plans.size <= PLANS_PER_SHAPE


def test_deep_nesting_is_a_typed_error() -> None:
    plans = PlanCache(Limits())
    text = b"[1," + b"[24,[" * 2500 + b"1" + b"]]" * 2500 + b",{}]"
    with pytest.raises(ReqlError):
        plans.find(text)


def greater(number: int, least: int) -> Any:
    """`table.filter(row -> row.age > least)` with the variable numbered as told."""
    test = [21, [[170, [[10, [number]], "age"]], least]]
    return [39, [[15, ["people"]], [69, [[MAKE_ARRAY, [number]], test]]]]


def test_variables_numbered_anew_share_a_plan() -> None:
    plans = PlanCache(Limits())
    first, _ = plans.find(body(greater(12, 30)))
    second, params = plans.find(body(greater(57, 31)))
    assert second is first
    assert params == PlanCache(Limits()).find(body(greater(57, 31)))[1]


def second_of(left: int, right: int, used: int) -> Any:
    return [37, [[MAKE_ARRAY, [1, 2, 3]], [69, [[MAKE_ARRAY, [left, right]], [10, [used]]]]]]


def test_another_variable_in_the_same_place_is_another_plan() -> None:
    plans = PlanCache(Limits())
    right, _ = plans.find(body(second_of(12, 13, 13)))
    left, _ = plans.find(body(second_of(14, 15, 14)))
    assert left is not right
    assert plans.find(body(second_of(16, 17, 17)))[0] is right


def test_two_variables_that_become_one_are_not_mistaken_for_two() -> None:
    def product(outer: int, inner: int) -> Any:
        pairs = [MAKE_ARRAY, [[10, [outer]], [10, [inner]]]]
        inside = [38, [[MAKE_ARRAY, [1, 2]], [69, [[MAKE_ARRAY, [inner]], pairs]]]]
        return [38, [[MAKE_ARRAY, [8, 9]], [69, [[MAKE_ARRAY, [outer]], inside]]]]

    warm = Evaluator()
    try:
        assert warm.value(product(11, 12))[0] == [[8, 1], [8, 2]]
        assert warm.value(product(13, 13))[0] == [[1, 1], [2, 2]]  # the inner one hides the outer
        assert warm.value(product(14, 15))[1] == [[9, 1], [9, 2]]
    finally:
        warm.close()


def test_a_variable_that_is_not_there_is_still_refused() -> None:
    plans = PlanCache(Limits())
    plans.find(body(second_of(12, 13, 13)))
    with pytest.raises(CompileError, match="Variable name not found"):
        plans.find(body(second_of(14, 15, 16)))


@pytest.mark.parametrize(
    ("one", "other"), [(1234, True), (True, None), ("null", None), (1234, None)]
)
def test_a_literal_of_another_kind_is_another_plan(one: Any, other: Any) -> None:
    plans = PlanCache(Limits())
    first, _ = plans.find(json.dumps([1, [17, [[170, [{"a": 1}, "a"]], one]]]).encode())
    second, params = plans.find(json.dumps([1, [17, [[170, [{"a": 1}, "a"]], other]]]).encode())
    assert first is not second
    assert other in params


@pytest.mark.parametrize(
    "value", ["9007199254740993", "-9007199254740993", "[2,[9007199254740993]]"]
)
def test_a_cached_plan_takes_integers_past_the_exact_ones_as_a_fresh_one(value: str) -> None:
    query = [172, [{"a": json.loads(value)}]]
    warm = Evaluator()
    try:
        assert warm.response_bytes(query) == warm.response_bytes(query)
    finally:
        warm.close()


TABLE = [15, ["t"]]
ROW = [16, [TABLE, 1]]


@pytest.mark.parametrize(
    ("query", "in_place"),
    [
        (ROW, True),
        ([170, [ROW, "a"]], True),
        ([53, [ROW, {"a": 1}]], True),
        ([53, [ROW, {"a": [170, [[16, [TABLE, 2]], "a"]]}]], True),
        ([71, [[182, [TABLE, 1, 2]], 5]], True),
        (TABLE, True),
        ([170, [TABLE, 1_000_000]], False),
        ([92, [[170, [TABLE, 1_000_000]], None]], False),
        ([53, [ROW, {"a": [170, [TABLE, 1_000_000]]}]], False),
        ([53, [TABLE, {"a": 1}]], False),
        ([16, [TABLE, [170, [TABLE, 1_000_000]]]], False),
        ([182, [TABLE, [170, [[16, [TABLE, 1]], "a"]], 2]], False),
        ([71, [[41, [TABLE, "a"]], 5]], False),
        ([71, [[41, [TABLE, "b"], {"index": "a"}], 5]], False),
    ],
    ids=str,
)
def test_only_what_reads_few_rows_is_evaluated_in_place(query: Any, in_place: bool) -> None:
    body = json.dumps([1, query], separators=(",", ":")).encode()
    assert PlanCache(Limits()).find(body)[0].in_place is in_place
