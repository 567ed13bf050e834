"""Time terms: how they fit together. The calendar has its own tests; single answers are cases."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rethought.datum import time
from rethought.datum.kinds import Datum
from rethought.reql.terms import times
from tests.datum.strategies import zones
from tests.reql.evaluation import Evaluator
from tests.reql.outside import outside

env = outside()

within_calendar = st.builds(
    time.make_time, st.integers(-(10**10), 10**11).map(lambda ms: ms / 8), zones
)


class Given(dict[str, Any]):
    """Optional arguments as a term gets them."""

    has = dict.__contains__
    value = dict.get


NONE: Any = Given()


@given(within_calendar)
def test_parts_make_the_time_again(value: Datum) -> None:
    run: dict[str, Any] = {spec.name: spec.run for spec in times.TERMS}
    calendar = [run[name](env, value) for name in ("year", "month", "day")]
    clock = [run[name](env, value) for name in ("hours", "minutes")]
    seconds = run["time_of_day"](env, value) % 60
    first, *later = [*calendar, *clock, round(seconds, 3), time.timezone_of(value)]
    again = times.time_(env, first, *(lambda part=part: part for part in later))
    assert abs(time.epoch_of(again) - time.epoch_of(value)) < 0.002


@given(within_calendar)
def test_iso8601_text_makes_the_time_again(value: Datum) -> None:
    text = time.format_iso8601(value)
    assert times.iso8601(env, text, opts=NONE) == value


@given(within_calendar, within_calendar, within_calendar)
def test_during_is_a_half_open_range(value: Datum, lower: Datum, upper: Datum) -> None:
    instant, least, most = (time.epoch_of(one) for one in (value, lower, upper))
    assert times.during(env, value, lower, upper, opts=NONE) is (least <= instant < most)


@given(within_calendar, st.booleans(), st.booleans())
def test_bounds_of_during_decide_at_the_ends(value: Datum, left: bool, right: bool) -> None:
    opts: Any = Given(
        left_bound="closed" if left else "open", right_bound="closed" if right else "open"
    )
    assert times.during(env, value, value, time.add(value, 1), opts=opts) is left
    assert times.during(env, value, time.sub(value, 1), value, opts=opts) is right


def test_now_is_the_time_the_query_carries() -> None:
    moment = time.make_time(12.5)
    assert times.now(SimpleNamespace(now=moment)) is moment  # type: ignore[arg-type]


def test_weekdays_and_months_count_from_one(reql: Evaluator) -> None:
    assert reql.value([2, [[type_, []] for type_ in range(107, 114)]]) == list(range(1, 8))
    assert reql.value([2, [[type_, []] for type_ in range(114, 126)]]) == list(range(1, 13))
