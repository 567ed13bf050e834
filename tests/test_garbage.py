"""Garbage that refers to itself is collected, at moments when nobody waits for it; queries leave none."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from rethought.garbage import (
    GROWTH_BYTES,
    NEW_EASY,
    NEW_MIN,
    OLD_MIN,
    PATIENCE_S,
    Collector,
    Look,
    State,
    decide,
)

MEGABYTES = 1 << 20


def state(**values: object) -> State:
    made = State()
    for name, value in values.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("now", "look"),
    [
        (state(new=NEW_MIN - 1, held=1 << 40), Look.NOT),
        (state(new=NEW_MIN), Look.NEW),
        (state(new=NEW_MIN, quiet=False), Look.NOT),
        (state(new=NEW_EASY + 1), Look.NOT),
        (state(new=NEW_EASY + 1, waited_s=PATIENCE_S, old=10**6), Look.NEW),
        (state(new=NEW_EASY + 1, waited_s=PATIENCE_S, quiet=False), Look.NOT),
        (state(new=NEW_MIN, passed=OLD_MIN), Look.ALL),
        (state(new=NEW_MIN, passed=OLD_MIN, old=10 * OLD_MIN), Look.NEW),
        (state(new=NEW_MIN, grown_from=100, held=GROWTH_BYTES + 101), Look.ALL),
        (state(new=NEW_MIN, grown_from=100, held=GROWTH_BYTES + 101, quiet=False), Look.NOT),
        (
            state(
                new=NEW_MIN,
                grown_from=100,
                held=GROWTH_BYTES + 101,
                quiet=False,
                grown_s=PATIENCE_S,
            ),
            Look.ALL,
        ),
        (
            state(
                new=NEW_MIN, grown_from=GROWTH_BYTES, held=GROWTH_BYTES * 2 - MEGABYTES, quiet=False
            ),
            Look.NOT,
        ),
    ],
)
def test_when_to_look(now: State, look: Look) -> None:
    assert decide(now) is look


@pytest.fixture
def collector() -> Iterator[Callable[..., Collector]]:
    loop = asyncio.new_event_loop()
    made: list[Collector] = []

    def make(*, quiet: bool = True, held: Callable[[], int] = lambda: 0) -> Collector:
        made.append(Collector(loop, quiet=lambda: quiet, held=held))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()
    gc.unfreeze()
    loop.close()


class Circle:
    def __init__(self) -> None:
        self.me = self


def circles(count: int) -> list["weakref.ref[Circle]"]:
    return [weakref.ref(Circle()) for _ in range(count)]


def left(made: list["weakref.ref[Circle]"]) -> int:
    return sum(each() is not None for each in made)


def test_circles_go_when_nothing_is_under_way(collector: Callable[..., Collector]) -> None:
    looking = collector()
    made = circles(NEW_MIN)
    assert left(made) == NEW_MIN
    assert looking.look() is Look.NEW
    assert left(made) == 0


def test_circles_that_were_old_when_they_broke_go_too(collector: Callable[..., Collector]) -> None:
    looking = collector()
    kept = [Circle() for _ in range(NEW_EASY // 4)]
    made = [weakref.ref(each) for each in kept]
    assert looking.look() is Look.NEW
    kept.clear()
    assert left(made) == NEW_EASY // 4
    looks = []
    more: list[Circle] = []
    while Look.ALL not in looks:
        more += [Circle() for _ in range(NEW_MIN)]
        looks.append(looking.look())
        assert len(more) <= 2 * OLD_MIN
    assert left(made) == 0


def test_while_queries_are_under_way_circles_go_when_the_process_has_been_large_for_a_while(
    collector: Callable[..., Collector], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = 100 * MEGABYTES
    now = 1000.0
    monkeypatch.setattr("rethought.garbage.perf_counter", lambda: now)
    looking = collector(quiet=False, held=lambda: held)
    made = circles(NEW_EASY)
    assert looking.look() is Look.NOT
    assert left(made) == NEW_EASY
    held += GROWTH_BYTES + MEGABYTES
    assert looking.look() is Look.NOT
    now += PATIENCE_S
    assert looking.look() is Look.ALL
    assert left(made) == 0
    circles(NEW_MIN)
    assert looking.look() is Look.NOT  # it has not grown since


def test_the_interpreter_does_not_look_by_itself(collector: Callable[..., Collector]) -> None:
    looking = collector()
    assert not gc.isenabled()
    looking.stop()
    assert gc.isenabled()
