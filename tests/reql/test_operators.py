"""The fast cases of comparisons and arithmetic against the terms that they stand for, whatever is known."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from rethought.datum.kinds import Datum, Number, number
from rethought.errors import QueryLogicError
from rethought.reql.nodes import Known, known_of
from rethought.reql.operators import NAMES, arithmetic, comparison
from rethought.reql.terms import math
from tests.datum.strategies import numbers, scalars

env: Any = SimpleNamespace(array_limit=100_000)
RUN = {spec.type: spec.run for spec in math.TERMS}
COMPARISONS = {"==": 17, "!=": 18, "<": 19, "<=": 20, ">": 21, ">=": 22}
FOLDS = {"+": 24, "-": 25, "*": 26, "/": 27}
SLOW = object()

flags = st.booleans()


def evaluated(template: str, a: Any, b: Any) -> Any:
    """What the expression gives, SLOW where it leaves the answer to `run`."""
    return eval(template, {**NAMES, "slow": SLOW, "UNSET": UNSET}, {"a": a, "b": b})


def same(one: Any, other: Any) -> bool:
    """Equal down to the class and the sign of zero."""
    return repr(one) == repr(other)


def general(number: int, a: Datum, b: Datum) -> Any:
    """What the term gives; its error as text."""
    run = RUN[number]
    assert run is not None
    try:
        return run(env, a, b)
    except QueryLogicError as error:
        return error.message


@pytest.mark.parametrize("operator", COMPARISONS)
@given(a=scalars, b=scalars, left=flags, right=flags, simple=flags)
def test_fast_comparison_agrees_with_the_general_one(
    operator: str, a: Datum, b: Datum, left: bool, right: bool, simple: bool
) -> None:
    known = (known_of(a) if left else None, False), (known_of(b) if right else None, False)
    fast = evaluated(comparison(operator, *known, simple=simple), a, b)
    assert fast is SLOW or fast is general(COMPARISONS[operator], a, b)


@pytest.mark.parametrize("operator", COMPARISONS)
@given(value=scalars, known=flags)
def test_a_missing_field_is_never_compared(operator: str, value: Datum, known: bool) -> None:
    field, other = (None, True), (known_of(value) if known else None, False)
    assert evaluated(comparison(operator, field, other, simple=True), UNSET, value) is SLOW
    assert evaluated(comparison(operator, other, field, simple=False), value, UNSET) is SLOW
    assert evaluated(comparison(operator, field, field, simple=False), UNSET, UNSET) is SLOW


@pytest.mark.parametrize("operator", FOLDS)
@given(a=scalars, b=scalars, left=flags, right=flags, simple=flags)
def test_fast_arithmetic_agrees_with_the_general_one(
    operator: str, a: Datum, b: Datum, left: bool, right: bool, simple: bool
) -> None:
    known = known_of(a) if left else None, known_of(b) if right else None
    template = arithmetic(operator, *known, simple=simple, loose=False)
    fast = evaluated(template, a, b)
    assert fast is SLOW or same(fast, general(FOLDS[operator], a, b))


@pytest.mark.parametrize("operator", FOLDS)
@given(a=numbers, b=numbers, simple=flags)
def test_fast_arithmetic_gives_canonical_numbers(
    operator: str, a: Number, b: Number, simple: bool
) -> None:
    fast = evaluated(arithmetic(operator, None, None, simple=simple, loose=False), a, b)
    assert fast is SLOW or same(fast, number(fast))


@pytest.mark.parametrize("operator", FOLDS)
@given(a=numbers, b=numbers, simple=flags)
def test_a_loose_result_differs_in_its_class_only(
    operator: str, a: Number, b: Number, simple: bool
) -> None:
    fast = evaluated(arithmetic(operator, None, None, simple=simple, loose=True), a, b)
    assert fast is SLOW or same(number(fast), general(FOLDS[operator], a, b))


@pytest.mark.parametrize(
    ("operator", "a", "b"),
    [("==", "a", "b"), ("<", 1, 2), ("<", 1, 2.5), ("+", 1, 2), ("+", 0.5, 1), ("*", 3, -4)],
)
def test_common_operands_take_the_fast_case(operator: str, a: Datum, b: Datum) -> None:
    for left in (None, known_of(a)):
        for right in (None, known_of(b)):
            if operator in FOLDS:
                template = arithmetic(operator, left, right, simple=True, loose=False)
            else:
                template = comparison(operator, (left, False), (right, False), simple=True)
            assert evaluated(template, a, b) is not SLOW


def test_integers_are_numbers_whose_class_is_known() -> None:
    assert evaluated(arithmetic("-", Known.INT, None, simple=True, loose=False), 3, 1) == 2
