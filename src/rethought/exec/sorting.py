"""Sorting many values a step at a time, so that others have their turn meanwhile.

Runs of some thousand values are sorted by Python's own sort, which is stable and finds what is in order already: given
several sorted parts one after the other it only merges them. So each further step takes from every run what is
certainly next, and sorts that. What always holds: the result is that of one stable sort. Used by terms that sort.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.order import order_key, order_keys

if TYPE_CHECKING:
    from rethought.exec.env import Env

AT_ONCE_MAX: Final = 16_000
"""So many are sorted in one go, where values are compared in no time: some milliseconds."""
SLOW: Final = 6
"""So many times longer takes what must be compared part by part."""
RUNS_MAX: Final = 128
PLAIN_KINDS: Final = ({str}, {int}, {float}, {int, float})
"""What Python orders by itself as the protocol does, and fast."""
LOT: Final = 20_000
SLOW_LOT: Final = 1_000
"""So many values are looked at before others may have their turn; those that take longer to look at."""


def sort_positions(
    env: "Env",
    order: list[int],
    key: Callable[[int], Any],
    *,
    descending: bool,
    plain: bool,
) -> list[int]:
    """The positions in the order of their keys; those with equal keys stay as they are. `plain`: the keys are all
    numbers or all strings."""
    most = AT_ONCE_MAX if plain else AT_ONCE_MAX // SLOW
    size = env.lot(most)
    if len(order) <= size:
        order.sort(key=key, reverse=descending)
        return order
    if descending:  # as Python does it
        order.reverse()
    runs = []
    run_size = max(size, len(order) // RUNS_MAX + 1)
    for start in range(0, len(order), run_size):
        runs.append(sorted(order[start : start + run_size], key=key))
        env.tick()
    order = _merged(env, runs, key, most)
    if descending:
        order.reverse()
    return order


def _merged(env: "Env", runs: list[list[int]], key: Callable[[int], Any], most: int) -> list[int]:
    """One run of several, about `most` positions at a time."""
    merged: list[int] = []
    heads = [0] * len(runs)
    while runs:
        block = env.lot(most) // len(runs) + 1
        # Up to the least of the ends of the runs' next blocks everything is known.
        tails = [min(head + block, len(run)) for run, head in zip(runs, heads, strict=True)]
        least = min(key(run[tail - 1]) for run, tail in zip(runs, tails, strict=True))
        before: list[int] = []
        equal: list[int] = []  # there may be very many of them: no need to sort those
        for at, run in enumerate(runs):
            head = heads[at]
            first = bisect_left(run, least, head, tails[at], key=key)
            before += run[head:first]
            if first < len(run) and not least < key(run[first]):
                last = bisect_right(run, least, first, key=key)
                equal += run[first:last]
                first = last
            heads[at] = first
        before.sort(key=key)
        merged += before
        merged += equal
        left = [at for at, run in enumerate(runs) if heads[at] < len(run)]
        if len(left) < len(runs):
            runs = [runs[at] for at in left]
            heads = [heads[at] for at in left]
        env.tick()
    return merged


def lots(env: "Env", values: Sequence[Any], size: int = LOT) -> Iterator[Sequence[Any]]:
    """So many at a time; others may have their turn in between."""
    if len(values) <= env.lot(size):
        yield values
        return
    start = 0
    while start < len(values):
        end = start + env.lot(size)
        yield values[start:end]
        start = end
        env.tick()


def picked(env: "Env", items: list[Any], order: Sequence[int]) -> list[Any]:
    """The items at these positions."""
    rows: list[Any] = []
    for lot in lots(env, order):
        rows += [items[at] for at in lot]
    return rows


def sort_keys(env: "Env", values: Sequence[Any]) -> tuple[Sequence[Any], bool]:
    """Keys that Python orders as the protocol orders the values, and whether they are plain (see `sort_positions`)."""
    if len(values) <= SLOW_LOT:
        return order_keys(values), False
    kinds: set[type] = set()
    for lot in lots(env, values):
        kinds.update(map(type, lot))
    if kinds in PLAIN_KINDS:
        return values, True
    keys: list[Any] = []
    for lot in lots(env, values, SLOW_LOT):
        keys += map(order_key, lot)
    return env.made(keys), False


def sorted_values(env: "Env", values: list[Any]) -> list[Any]:
    """The values in their order."""
    keys, plain = sort_keys(env, values)
    order = list(range(len(values)))
    order = sort_positions(env, order, keys.__getitem__, descending=False, plain=plain)
    return picked(env, values, order)
