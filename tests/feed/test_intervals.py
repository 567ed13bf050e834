"""The intervals that hold a key are exactly those that a look at each of them finds."""

from hypothesis import given
from hypothesis import strategies as st

from rethought.feed.intervals import Bounds, Intervals

keys = st.binary(max_size=2)
bounds = st.tuples(keys, st.none() | keys).filter(lambda each: each[1] is None or each[0] < each[1])
steps = st.lists(st.tuples(st.booleans(), bounds, st.integers(0, 2)), max_size=40)


def holds(interval: Bounds, key: bytes) -> bool:
    low, high = interval
    return low <= key and (high is None or key < high)


@given(script=steps, asked=st.lists(keys, min_size=1))
def test_what_holds_a_key_is_found(
    script: list[tuple[bool, Bounds, int]], asked: list[bytes]
) -> None:
    intervals: Intervals[int] = Intervals()
    there: set[tuple[Bounds, int]] = set()
    for add, interval, item in script:
        if add and (interval, item) not in there:
            intervals.add(interval, item)
            there.add((interval, item))
        elif not add and (interval, item) in there:
            intervals.remove(interval, item)
            there.remove((interval, item))
    assert bool(intervals) == bool(there)
    assert sorted(intervals) == sorted(item for _, item in there)
    for key in asked:
        expected = sorted(item for interval, item in there if holds(interval, key))
        assert sorted(intervals.holding(key)) == expected


def test_finding_costs_the_logarithm() -> None:
    few: Intervals[int] = Intervals()
    many: Intervals[int] = Intervals()
    for intervals, count in ((few, 100), (many, 10_000)):
        for number in range(count):
            intervals.add((b"%08d" % (10 * number), b"%08d" % (10 * number + 5)), number)
        for number in range(100):
            key = 10 * number * count // 100
            assert intervals.holding(b"%08d" % (key + 3)) == [key // 10]
            assert intervals.holding(b"%08d" % (key + 7)) == []
    assert many.looked_at < 4 * few.looked_at
