"""Laws of reading by an index: it gives what looking at every row gives.

The rows are random; an index is compared with a filter, an order or a distance that does without it.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.datum.geo.predicates import geometries_intersect
from rethought.datum.keys import index_key
from rethought.datum.order import compare, order_key
from tests.datum import strategies as datum
from tests.datum.geo.test_cells import geometries, positions
from tests.reql.database import Database
from tests.reql.queries import func, table, term, var

TABLE = "indexed"
T = table(TABLE)
BETWEEN, GET_ALL, ORDER_BY, DISTINCT, FILTER = 182, 78, 41, 42, 39
INTERSECTING, NEAREST, DISTANCE, INTERSECTS = 166, 168, 162, 163
METRES_MAX = 300_000

often = settings(max_examples=40)
sometimes = settings(max_examples=20)

long_strings = st.builds(lambda size, end: "x" * size + end, st.integers(100, 260), st.text("ab"))
"""The original cuts such keys off, and must look at the rows again."""

values = st.one_of(
    st.integers(-2, 2),
    st.sampled_from(["", "a", "b", None, True, False, {}]),
    long_strings,
    datum.times,
    datum.binaries,
    datum.numbers,
    st.lists(st.integers(-1, 1) | st.none() | long_strings, max_size=3),
)
documents = st.lists(
    st.fixed_dictionaries({}, optional={"a": values, "b": st.integers(0, 2)}), max_size=10
)


@pytest.fixture(scope="module")
def rooms(database: Database) -> Iterator[Database]:
    compound = func([2, [[170, [var(), "a"]], [170, [var(), "b"]]]])
    for query in (
        [60, [TABLE]],
        [75, [T, "a"]],
        [75, [T, "both", compound]],
        [75, [T, "each", func([170, [var(), "a"]])], {"multi": True}],
        [75, [T, "at"], {"geo": True}],
        [75, [T, "places"], {"geo": True, "multi": True}],
        [140, [T]],
    ):
        database.value(query)
    yield database
    database.value([61, [TABLE]])


def fill(rooms: Database, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Puts rows into the empty table; they are numbered."""
    rooms.value([54, [T]])
    numbered = [{"id": number, **row} for number, row in enumerate(rows)]
    found = rooms.value([56, [T, term(numbered)]])
    assert found["inserted"] == len(rows), found
    return numbered


def bag(rows: list[Any]) -> Counter[int]:
    return Counter(row["id"] for row in rows)


def entries(row: dict[str, Any], index: str) -> list[Any]:
    """The values under which an index holds a row, by its description."""
    if "a" not in row or (index == "both" and "b" not in row):
        return []
    value = [row["a"], row["b"]] if index == "both" else row["a"]
    found = value if index == "each" and isinstance(value, list) else [value]
    return [value for value in found if index_key(value) is not None]


indexes = st.sampled_from(["a", "both", "each"])


@often
@given(rows=documents, index=indexes, choice=st.randoms(use_true_random=False))
def test_get_all_finds_the_equal_ones(
    rooms: Database, rows: list[Any], index: str, choice: Any
) -> None:
    numbered = fill(rooms, rows)
    known = [value for row in numbered for value in entries(row, index)]
    keys = [choice.choice(known) for _ in range(2)] if known else ["none"]
    found = rooms.value([GET_ALL, [T, *map(term, keys)], {"index": index}])
    expected = [
        row
        for key in keys
        for row in numbered
        for value in entries(row, index)
        if compare(value, key) == 0
    ]
    assert bag(found) == bag(expected)


@often
@given(
    rows=documents,
    index=indexes,
    ends=st.tuples(values, values).filter(lambda ends: None not in map(index_key, ends)),
    opened=st.tuples(st.booleans(), st.booleans()),
)
def test_between_finds_what_lies_between(
    rooms: Database, rows: list[Any], index: str, ends: Any, opened: tuple[bool, bool]
) -> None:
    numbered = fill(rooms, rows)
    low, high = sorted(ends, key=order_key)
    kinds = {
        name: "open" if is_open else "closed" for name, is_open in zip(SIDES, opened, strict=True)
    }
    found = rooms.value([BETWEEN, [T, term(low), term(high)], {"index": index, **kinds}])
    expected = [
        row
        for row in numbered
        for value in entries(row, index)
        if compare(low, value) < (not opened[0]) and compare(value, high) < (not opened[1])
    ]
    assert bag(found) == bag(expected)


SIDES = ("left_bound", "right_bound")


@often
@given(rows=documents, index=indexes, down=st.booleans())
def test_an_indexed_order_is_that_of_the_values_then_of_the_keys(
    rooms: Database, rows: list[Any], index: str, down: bool
) -> None:
    numbered = fill(rooms, rows)
    pairs = [(value, row) for row in numbered for value in entries(row, index)]
    pairs.sort(key=lambda pair: (order_key(pair[0]), pair[1]["id"]), reverse=down)
    found = rooms.value([ORDER_BY, [T], {"index": [74 if down else 73, [index]]}])
    assert [row["id"] for row in found] == [row["id"] for _, row in pairs]


@often
@given(rows=documents, index=indexes)
def test_distinct_by_an_index_gives_its_values(
    rooms: Database, rows: list[Any], index: str
) -> None:
    numbered = fill(rooms, rows)
    found = rooms.value([DISTINCT, [T], {"index": index}])
    known = {order_key(value) for row in numbered for value in entries(row, index)}
    assert [order_key(value) for value in found] == sorted(known)


# ---- geometry

places = st.lists(
    st.fixed_dictionaries({}, optional={"at": geometries(), "places": st.lists(geometries())}),
    max_size=6,
)


@sometimes
@given(rows=places, asked=geometries())
def test_get_intersecting_finds_what_intersects(
    rooms: Database, rows: list[Any], asked: Any
) -> None:
    numbered = fill(rooms, rows)
    found = rooms.value([INTERSECTING, [T, term(asked)], {"index": "at"}])
    meets = func([INTERSECTS, [[170, [var(), "at"]], term(asked)]])
    assert bag(found) == bag(rooms.value([FILTER, [T, meets]]))
    several = rooms.value([INTERSECTING, [T, term(asked)], {"index": "places"}])
    expected = [
        row
        for row in numbered
        for place in row.get("places", ())
        if geometries_intersect(place, asked)
    ]
    assert bag(several) == bag(expected)


@sometimes
@given(rows=places, center=positions, most=st.integers(1, 4))
def test_get_nearest_gives_the_least_distances_in_order(
    rooms: Database, rows: list[Any], center: Any, most: int
) -> None:
    numbered = fill(rooms, rows)
    here = [159, center]
    options = {"index": "at", "max_dist": METRES_MAX, "max_results": most}
    found = rooms.value([NEAREST, [T, here], options])
    distances = {
        row["id"]: rooms.value([DISTANCE, [here, term(row["at"])]])
        for row in numbered
        if "at" in row
    }
    within = sorted(each for each in distances.values() if each <= METRES_MAX)
    assert [near["dist"] for near in found] == within[:most]
    assert all(distances[near["doc"]["id"]] == near["dist"] for near in found)
    assert len({near["doc"]["id"] for near in found}) == len(found)
