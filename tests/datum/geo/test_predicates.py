"""What meets what, boundaries in particular."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.geo import construct, predicates, shapes, sphere
from rethought.datum.geo.geodesic import WGS84
from rethought.datum.geo.predicates import geometries_intersect, geometry_includes
from rethought.datum.kinds import Datum
from rethought.errors import QueryLogicError

Geometry = dict[str, Datum]


def polygon(*places: Datum) -> Geometry:
    return construct.polygon(places)


def line(*places: Datum) -> Geometry:
    return construct.line(places)


SQUARE = polygon([1, 1], [2, 1], [2, 2], [1, 2])
HOLE = polygon([1.1, 1.1], [1.9, 1.1], [1.9, 1.9], [1.1, 1.9])
RING = construct.polygon_with_hole(SQUARE, HOLE)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (SQUARE, construct.point(1.5, 1.5), True),
        (SQUARE, construct.point(2, 2), True),
        (SQUARE, construct.point(1, 1.5), True),
        (SQUARE, construct.point(2.5, 2.5), False),
        (RING, construct.point(1.5, 1.5), False),
        (RING, construct.point(1.1, 1.1), True),
        (SQUARE, line([1.5, 1.5], [3, 3]), True),
        (SQUARE, line([2, 2], [3, 3]), False),
        (SQUARE, line([2, 1.5], [3, 3]), False),
        (SQUARE, polygon([1.5, 1.5], [2.5, 1.5], [2.5, 2.5], [1.5, 2.5]), True),
        (SQUARE, polygon([2, 1], [3, 1], [3, 2], [2, 2]), False),
        (RING, HOLE, False),
        (line([1, 1], [2, 1]), line([2, 1], [3, 1]), True),
        (line([1, 1], [1, 2]), construct.point(1, 1.8), True),
        (line([1, 1], [2, 1]), construct.point(1.5, 1.5), False),
        (construct.point(180, 5), construct.point(-180, 5), True),
        (construct.point(0, 0), construct.point(0, 1e-9), False),
        (construct.polygon_with_hole(SQUARE, SQUARE), construct.point(1, 1), False),
        (construct.polygon_with_hole(SQUARE, SQUARE), SQUARE, False),
        ({**SQUARE, "coordinates": []}, construct.point(1, 1), False),
        ({**SQUARE, "coordinates": []}, line([1, 1], [2, 1]), False),
        (polygon([170, -10], [-170, -10], [-170, 10], [170, 10]), construct.point(180, 0), True),
    ],
)
def test_intersects(one: Geometry, other: Geometry, expected: bool) -> None:
    assert geometries_intersect(one, other) is expected
    assert geometries_intersect(other, one) is expected


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (SQUARE, True),
        (construct.point(2, 1.5), True),
        (construct.point(2.5, 1.5), False),
        (line([2, 1], [2, 2]), True),
        (line([1.5, 1.5], [3, 3]), False),
        (polygon([1.5, 1.5], [2, 1.5], [2, 2], [1.5, 2]), True),
        (polygon([2, 2], [3, 2], [3, 3], [2, 3]), False),
    ],
)
def test_includes(inner: Geometry, expected: bool) -> None:
    assert geometry_includes(SQUARE, inner) is expected


def test_only_polygons_include() -> None:
    with pytest.raises(QueryLogicError) as caught:
        geometry_includes(construct.point(0, 0), SQUARE)
    assert caught.value.message == "Expected geometry of type `Polygon` but found `Point`."


@given(
    st.floats(-179, 179), st.floats(-85, 85), st.floats(-179, 179), st.floats(-85, 85),
)  # fmt: skip
def test_a_line_meets_its_ends(a: float, b: float, c: float, d: float) -> None:
    if abs(a - c) < 1e-6 and abs(b - d) < 1e-6:
        return
    way = line([a, b], [c, d])
    assert geometries_intersect(way, construct.point(a, b))
    assert geometries_intersect(way, construct.point(c, d))


@given(st.floats(-179, 178), st.floats(-80, 80), st.floats(0.001, 1), st.floats(0, 1))
def test_points_on_a_meridian_edge_are_on_the_polygon(
    west: float, south: float, size: float, share: float
) -> None:
    box = polygon(
        [west, south], [west + size, south], [west + size, south + size], [west, south + size]
    )
    assert geometries_intersect(box, construct.point(west, south + size * share))


windows = st.tuples(st.floats(-180, 180), st.floats(-90, 90)).map(list)


@given(st.lists(windows, min_size=3, max_size=5), windows)
def test_the_cheap_test_never_rejects_what_is_held(places: list[Datum], place: list[float]) -> None:
    try:
        shape = shapes.read(construct.polygon(tuple(places)))
    except QueryLogicError:
        return
    assert isinstance(shape, shapes.Polygon)
    corners = [shapes.read_place(corner) for corner in places]
    for point in (shapes.read_place(list(place)), *corners):
        if sphere.polygon_holds_point(shape.region, point.vertex):
            assert shape.may_hold(point.longitude, point.latitude)


def test_polygons_round_a_pole_or_across_the_date_line() -> None:
    cap = polygon([0, 80], [120, 80], [-120, 80])
    assert geometries_intersect(cap, construct.point(77, 89))
    assert geometries_intersect(cap, construct.point(-33, 90))
    band = polygon([170, -10], [-170, -10], [-170, 10], [170, 10])
    for longitude, expected in ((175, True), (-175, True), (-180, True), (180, True), (0, False)):
        assert geometries_intersect(band, construct.point(longitude, 0)) is expected
    edge = polygon([170, -10], [180, -10], [180, 10], [170, 10])
    assert geometries_intersect(edge, construct.point(180, 0))
    assert geometries_intersect(edge, construct.point(-180, 0))


# Lines of many places, on and off the grid that polygons stand on.
long_lines = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8)).map(lambda place: [place[0] / 2, place[1] / 2]),
    min_size=2,
    max_size=9,
).filter(lambda places: all(one != other for one, other in pairwise(places)))


@given(long_lines, long_lines)
def test_large_geometry_is_compared_piece_by_piece_with_the_same_result(
    places: list[Datum], others: list[Datum]
) -> None:
    way, other = line(*places), line(*others)
    comb = polygon([0, 0], [4, 0], [4, 4], [3, 4], [3, 1], [2, 1], [2, 4], [1, 4], [1, 1], [0, 1])
    asked = ((way, other), (comb, way), (way, comb))
    whole = [geometries_intersect(one, two) for one, two in asked]
    held = geometry_includes(comb, way)
    turns: list[None] = []

    def tick() -> None:
        turns.append(None)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("PAIRS_MAX", "CROSSINGS_MAX"):
            patch.setattr(predicates, name, 1)
        patch.setattr(predicates, "PIECE_MAX", 2)
        assert [geometries_intersect(one, two, tick) for one, two in asked] == whole
        assert geometry_includes(comb, way, tick) == held
    assert turns


def test_large_geometry_is_read_and_made_with_turns_for_others() -> None:
    turns: list[None] = []

    def tick() -> None:
        turns.append(None)

    corners = construct.circle(shapes.Point(0, 0), 1e6, 3_000, WGS84, tick)
    made = len(turns)
    assert made >= 3_000 // construct.TICK_CORNERS
    disc = construct.polygon(corners, tick)
    assert len(turns) - made >= 2 * (3_000 // shapes.TICK_POSITIONS)
    assert geometries_intersect(disc, construct.point(1, 1))
