"""Large values are freed in lots, and only where nobody else needs them."""

from typing import Any

from rethought.exec.env import LARGE_MIN
from rethought.exec.freeing import LOT, free_in_steps, unused
from tests.reql.outside import outside


def freed(owned: list[Any]) -> int:
    """How many lots it took."""
    steps: list[None] = []
    free_in_steps(owned, lambda: steps.append(None))
    assert not owned
    return len(steps)


def objects(count: int) -> list[Any]:
    return [{"n": number} for number in range(count)]


def test_an_array_goes_a_lot_at_a_time() -> None:
    assert freed([objects(20 * LOT)]) == 20


def test_an_object_goes_a_lot_at_a_time() -> None:
    assert freed([dict.fromkeys(map(str, range(20 * LOT)))]) == 20


def test_what_is_large_inside_goes_a_lot_at_a_time() -> None:
    assert freed([[{"a": {"b": objects(20 * LOT)}}]]) == 21


def test_what_somebody_else_holds_stays_whole() -> None:
    inside = objects(2 * LOT)
    row = {"a": inside}
    assert freed([[row, {"a": inside}, [inside]]]) == 1
    assert (len(inside), row["a"]) == (2 * LOT, inside)


def test_what_is_in_an_object_that_somebody_else_holds_stays_whole() -> None:
    row = {"a": objects(2 * LOT)}
    assert freed([[row]]) == 1
    assert len(row["a"]) == 2 * LOT


def test_only_what_nobody_else_holds_is_unused() -> None:
    held = objects(1)
    containers = [held, objects(2)]
    assert list(map(len, unused(containers))) == [2]
    assert containers == [held]
    del held
    assert list(map(len, unused(containers))) == [1]
    assert containers == []


def test_a_query_holds_what_it_made_until_nobody_needs_it() -> None:
    env = outside()
    env.scheduler = object()
    first = objects(LARGE_MIN)
    for _ in range(2):
        assert env.made(first) is first
    assert env.made(objects(1)) == objects(1)
    second = env.made(objects(LARGE_MIN))
    assert [each is first for each in env.large] == [True, False]
    del first
    env.made(third := objects(LARGE_MIN))
    assert [each is second or each is third for each in env.large] == [True, True]
