"""Arithmetic and comparisons: the laws that hold for all values. Single answers are cases."""

import math as maths
import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rethought.datum.kinds import Datum, Number, number
from rethought.datum.order import compare
from rethought.datum.values import from_json
from rethought.errors import QueryLogicError
from rethought.reql.spec import TermSpec
from rethought.reql.terms import math
from tests.datum.strategies import bounded_data, data, numbers
from tests.reql.evaluation import Evaluator
from tests.reql.outside import outside

env = outside()
BY_TYPE = {spec.type: spec for spec in math.TERMS}
COMPARISONS = [BY_TYPE[type_] for type_ in (17, 18, 19, 20, 21, 22)]
SLOW = object()

integers = st.integers(-(2**53), 2**53)


def named(spec: TermSpec) -> str:
    return spec.name


def fast_case(spec: TermSpec, a: Datum, b: Datum) -> Any:
    """What the inline expression gives, SLOW where it leaves the answer to `run`."""
    assert spec.inline is not None
    return eval(spec.inline, {**spec.names, "slow": SLOW}, {"a": a, "b": b})


def same(one: Any, other: Any) -> bool:
    """Equal down to the class and the sign of zero."""
    return repr(one) == repr(other)


# ---- the fast cases


@given(a=integers, b=integers)
def test_fast_modulo_agrees_with_the_general_one(a: int, b: int) -> None:
    fast = fast_case(BY_TYPE[28], a, b)
    assert fast is SLOW or fast == math.mod(env, a, b)


# ---- numbers are doubles


@pytest.mark.parametrize(
    ("type_", "operation"),
    [(24, operator.add), (25, operator.sub), (26, operator.mul), (27, operator.truediv)],
)
@given(a=numbers, b=numbers)
def test_arithmetic_is_that_of_doubles(
    type_: int, operation: Callable[[float, float], float], a: Number, b: Number
) -> None:
    assume(type_ != 27 or b != 0)
    run = BY_TYPE[type_].run
    assert run is not None
    expected = operation(float(a), float(b))
    if maths.isfinite(expected):
        assert same(run(env, a, b), number(expected))
    else:
        with pytest.raises(QueryLogicError, match=r"Non-finite number: -?inf"):
            run(env, a, b)


@given(a=integers, b=integers.filter(bool))
def test_quotient_and_remainder_make_the_dividend(a: int, b: int) -> None:
    remainder = math.mod(env, a, b)
    assert (a - remainder) % b == 0
    assert abs(remainder) < abs(b)
    assert remainder == 0 or (remainder < 0) == (a < 0)


@given(value=numbers)
def test_rounding_stays_within_one(value: Number) -> None:
    low, high, nearest = (run(env, value) for run in (math.floor, math.ceil, math.round_))
    assert low <= value <= high
    assert nearest in (low, high)
    assert abs(nearest - value) <= 0.5
    assert all(same(result, number(result)) for result in (low, high, nearest))


@given(value=st.integers(-(2**53), 2**53 - 1), other=st.integers(-(2**53), 2**53 - 1))
def test_bits_obey_de_morgan(value: int, other: int) -> None:
    inverted = ~math.bit_and(env, value, other)
    assert inverted == (~value | ~other)
    assert math.bit_xor(env, value, other) == math.bit_or(env, value, other) - math.bit_and(
        env, value, other
    )


# ---- comparisons


@given(a=bounded_data, b=bounded_data)
def test_comparisons_say_what_the_order_says(a: Datum, b: Datum) -> None:
    order = compare(a, b)
    assert math.eq(env, a, b) is (order == 0)
    assert math.ne(env, a, b) is (order != 0)
    assert math.lt(env, a, b) is (order < 0)
    assert math.le(env, a, b) is (order <= 0)
    assert math.gt(env, a, b) is (order > 0)
    assert math.ge(env, a, b) is (order >= 0)


literals = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, "", "a"]),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=3,
)


@pytest.mark.parametrize("spec", COMPARISONS, ids=named)
@given(values=st.lists(literals, min_size=2, max_size=5))
def test_compiled_chain_says_what_its_pairs_say(
    spec: TermSpec, values: list[Any], reql: Evaluator
) -> None:
    chained = reql.value([spec.type, values])
    assert spec.run is not None
    assert chained is spec.run(env, *[from_json(value) for value in values])


@pytest.mark.parametrize("count", [33, 5_000])
def test_long_chains_and_folds_are_answered(count: int, reql: Evaluator) -> None:
    assert reql.value([24, [1] * count]) == count
    assert reql.value([17, [1] * count]) is True
    assert reql.value([19, [1] * count]) is False


def test_operands_are_evaluated_once(reql: Evaluator) -> None:
    random = [151, [0, 1], {"float": True}]
    variable = [10, [1]]
    bounded = [69, [[2, [1]], [20, [0, [24, [variable, [151, [1]]]], 1]]]]
    assert reql.value([64, [bounded, random]]) is True


# ---- arrays, times, strings


@given(a=st.lists(data, max_size=4), b=st.lists(data, max_size=4))
def test_adding_arrays_joins_them_and_changes_neither(a: list[Datum], b: list[Datum]) -> None:
    before = repr((a, b))
    assert math.add(env, a, b) == a + b
    assert repr((a, b)) == before


def test_joined_arrays_keep_the_query_s_limit() -> None:
    small = outside(array_limit=3)
    with pytest.raises(Exception, match="Array over size limit `3`"):
        math.add(small, [1, 2], [3, 4])
    with pytest.raises(Exception, match="Array over size limit `3`"):
        math.mul(small, [1, 2], 2)


def test_nothing_times_anything_is_nothing() -> None:
    assert math.mul(env, [], 2**53) == []


# ---- random numbers


class Given(dict[str, Any]):
    """Optional arguments as a term gets them."""

    has = dict.__contains__
    value = dict.get


@given(a=st.integers(-(2**53), 2**53), b=st.integers(-(2**53), 2**53))
def test_random_integers_lie_within_their_bounds(a: int, b: int) -> None:
    assume(a < b)
    opts: Any = Given()
    result = math.random_(env, a, b, opts=opts)
    assert isinstance(result, int)
    assert a <= result < b


@given(a=numbers, b=numbers)
def test_random_floats_lie_between_their_bounds(a: Number, b: Number) -> None:
    opts: Any = Given(float=True)
    result = math.random_(env, a, b, opts=opts)
    assert min(a, b) <= result <= max(a, b)
    assert same(result, number(result))
