"""Keys of a geo index: whatever meets is found."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.geo import construct, sphere
from rethought.datum.geo.cells import (
    KeyRange,
    index_cells,
    indexed_geometries,
    query_ranges,
    together,
    without,
)
from rethought.datum.geo.predicates import geometries_intersect
from rethought.datum.kinds import Datum
from rethought.errors import QueryLogicError

Geometry = dict[str, Datum]

# Whole and half degrees in a small window meet often, and often exactly on the lines between cells.
steps = st.integers(-6, 6).map(lambda step: step / 2)
coordinates = st.one_of(steps, st.floats(-3, 3))
positions = st.tuples(coordinates, coordinates).map(list)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    kind = draw(st.sampled_from(["point", "line", "polygon", "box"]))
    if kind == "point":
        return construct.point(*draw(positions))
    try:
        if kind == "line":
            return construct.line(tuple(draw(st.lists(positions, min_size=2, max_size=4))))
        if kind == "polygon":
            return construct.polygon(tuple(draw(st.lists(positions, min_size=3, max_size=4))))
        (west, south), (width, height) = draw(positions), draw(positions)
        return construct.polygon(
            (
                [west, south],
                [west + width, south],
                [west + width, south + height],
                [west, south + height],
            )
        )
    except QueryLogicError:
        return construct.point(*draw(positions))


def found(stored: Geometry, asked: Geometry) -> bool:
    return any(
        lower <= cell <= upper
        for cell in index_cells(stored)
        for lower, upper in query_ranges(asked)
    )


@given(geometries(), geometries())
def test_what_meets_is_found(one: Geometry, other: Geometry) -> None:
    if geometries_intersect(one, other):
        assert found(one, other)
        assert found(other, one)


@given(geometries())
def test_ranges_are_in_order_and_apart(geometry: Geometry) -> None:
    ranges = query_ranges(geometry)
    flat = [bound for both in ranges for bound in both]
    assert flat == sorted(flat)
    assert all(lower <= upper for lower, upper in ranges)
    assert all(first[1] < second[0] for first, second in pairwise(ranges))


@given(geometries())
def test_a_geometry_finds_itself_under_few_distinct_keys(geometry: Geometry) -> None:
    keys = index_cells(geometry)
    assert len(set(keys)) == len(keys)
    assert len(keys) <= 8 + 4 * 4
    assert found(geometry, geometry)


def test_a_point_where_cells_meet_is_kept_in_all_of_them() -> None:
    assert len(index_cells(construct.point(0, 0))) == 4
    assert len(index_cells(construct.point(0, 90))) == 4
    assert len(index_cells(construct.point(12.3, 45.6))) == 1


def test_far_apart_is_not_even_a_candidate() -> None:
    square = construct.polygon(([1, 1], [2, 1], [2, 2], [1, 2]))
    assert not found(square, construct.point(20, 20))


def test_parents_hold_their_cell() -> None:
    leaf = int.from_bytes(index_cells(construct.point(12.3, 45.6))[0], "big")
    parents = sphere.cell_parents(leaf, 2)
    assert len(parents) == 15
    assert all(low <= leaf <= high for low, high in map(sphere.cell_range, parents))
    assert sphere.cell_parents(parents[-1], 2) == []


@given(st.floats(-180, 180), st.floats(-90, 90))
def test_points_in_several_cells_are_near_an_edge(longitude: float, latitude: float) -> None:
    point = sphere.vertex(longitude, latitude)
    if len(sphere.leaf_cells(point)) > 1:
        assert sphere.is_near_cell_edge(sphere.components(point), sphere.LEAF_LEVEL)


def test_few_points_are_near_an_edge() -> None:
    near = [
        sphere.is_near_cell_edge(sphere.vector(number * 0.0317, number * 0.0123), 30)
        for number in range(1, 1000)
    ]
    assert sum(near) < 10
    assert sphere.is_near_cell_edge(sphere.vector(0, 12.3), 0) is False
    assert sphere.is_near_cell_edge(sphere.vector(45, 12.3), 0)
    assert sphere.is_near_cell_edge(sphere.vector(0, 12.3), 1)


def test_an_index_holds_the_valid_geometries_of_a_value() -> None:
    here, bad = construct.point(1, 2), {**construct.point(1, 2), "coordinates": [1]}
    assert indexed_geometries(here, multi=False) == [here]
    assert indexed_geometries([here, 1, None, bad, here], multi=True) == [here, here]
    assert indexed_geometries([here], multi=False) == []
    assert indexed_geometries(None, multi=True) == []


ranges = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 5)).map(lambda pair: (pair[0], sum(pair))),
    max_size=6,
).map(lambda pairs: together([], [(as_key(low), as_key(high)) for low, high in pairs]))


def as_key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def members(pieces: list[KeyRange]) -> list[int]:
    return [
        number
        for low, high in pieces
        for number in range(int.from_bytes(low, "big"), int.from_bytes(high, "big") + 1)
    ]


@given(ranges, ranges)
def test_ranges_are_added_and_taken_away_as_sets_are(
    one: list[KeyRange], other: list[KeyRange]
) -> None:
    first, second = set(members(one)), set(members(other))
    assert members(without(one, other)) == sorted(first - second)
    assert members(together(one, other)) == sorted(first | second)
