"""Sorting in steps is sorting, and gives way."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rethought.exec import sorting
from rethought.exec.sorting import AT_ONCE_MAX, sort_positions


class Env:
    """Counts the looks at the clock; is in a hurry now and then."""

    def __init__(self) -> None:
        self.ticks = 0

    def tick(self) -> None:
        self.ticks += 1

    def lot(self, size: int) -> int:
        return max(1, size // 2) if self.ticks % 2 else size


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AT_ONCE_MAX": 3, "RUNS_MAX": 8, "SLOW": 1}.items():
        monkeypatch.setattr(sorting, name, value)


VALUES = st.lists(st.integers(0, 9)) | st.lists(st.floats(allow_nan=False)) | st.lists(st.text())


@given(values=VALUES, descending=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("small_steps")
def test_it_is_a_stable_sort(values: list[Any], descending: bool) -> None:
    expected = sorted(range(len(values)), key=values.__getitem__, reverse=descending)
    env: Any = Env()
    order = list(range(len(values)))
    assert (
        sort_positions(env, order, values.__getitem__, descending=descending, plain=True)
        == expected
    )


@given(first=VALUES.filter(len), second=st.lists(st.integers(0, 3), min_size=100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("small_steps")
def test_an_order_that_is_there_already_decides_among_equal_ones(
    first: list[Any], second: list[int]
) -> None:
    env: Any = Env()
    column = [first[at % len(first)] for at in range(len(second))]
    order = sort_positions(
        env, list(range(len(second))), column.__getitem__, descending=False, plain=True
    )
    order = sort_positions(env, order, second.__getitem__, descending=True, plain=True)
    assert order == sorted(range(len(second)), key=lambda at: (-second[at], column[at], at))


@pytest.mark.parametrize("kinds", [1, 5, 10**9])
def test_a_long_sort_gives_way_every_few_thousand_rows(kinds: int) -> None:
    count = 20 * AT_ONCE_MAX
    values = [number * 7919 % 100_003 % kinds for number in range(count)]
    env: Any = Env()
    steps: list[int] = []
    env.tick = lambda: steps.append(1)
    sort_positions(env, list(range(count)), values.__getitem__, descending=False, plain=True)
    assert len(steps) >= count // AT_ONCE_MAX


def test_few_are_sorted_at_once() -> None:
    env: Any = SimpleNamespace(
        tick=lambda: pytest.fail("there is nothing to wait for"), lot=lambda size: size
    )
    assert sort_positions(env, [0, 1, 2], [3, 1, 2].__getitem__, descending=False, plain=True) == [
        1,
        2,
        0,
    ]
