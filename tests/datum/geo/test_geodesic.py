"""Distances and circles."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.geo import construct, geodesic, shapes, sphere
from rethought.datum.geo.geodesic import UNIT_SPHERE, WGS84
from rethought.datum.kinds import Datum
from rethought.errors import QueryLogicError

longitudes = st.floats(-180, 180)
latitudes = st.floats(-90, 90)


def test_known_distances() -> None:
    origin = shapes.Point(0, 0)
    assert geodesic.distance_to(origin, shapes.Point(1, 0), WGS84) == pytest.approx(
        111319.49079327357, rel=1e-12
    )
    assert geodesic.distance_to(origin, shapes.Point(0, 90), WGS84) == pytest.approx(
        10001965.729312724, rel=1e-12
    )
    assert geodesic.distance_to(origin, shapes.Point(90, 0), UNIT_SPHERE) == pytest.approx(
        math.pi / 2, rel=1e-12
    )


def test_distance_to_a_line_or_polygon_is_that_of_its_nearest_point() -> None:
    origin = shapes.Point(0, 0)
    line = shapes.read(construct.line(([1, -1], [1, 1])))
    triangle = shapes.read(construct.polygon(([1, 1], [1, 2], [2, 2])))
    assert geodesic.distance_to(origin, line, WGS84) == pytest.approx(111319.49079327357, rel=1e-9)
    assert geodesic.distance_to(origin, triangle, WGS84) == pytest.approx(
        156899.56829134026, rel=1e-9
    )
    assert geodesic.distance_to(shapes.Point(1, 0.25), line, WGS84) == 0
    assert geodesic.distance_to(shapes.Point(1.2, 1.5), triangle, WGS84) == 0


@given(longitudes, latitudes, longitudes, latitudes)
def test_a_distance_bounds_the_angle(a: float, b: float, c: float, d: float) -> None:
    distance = geodesic.distance_between((a, b), (c, d), WGS84)
    angle = sphere.angle(sphere.vector(a, b), sphere.vector(c, d))
    assert angle <= WGS84.angle_max(distance) * (1 + 1e-12) + 1e-14


@given(longitudes, st.floats(-89, 89), st.floats(1, 5e6), st.integers(3, 12))
def test_corners_of_a_circle_are_its_radius_away(
    longitude: float, latitude: float, radius: float, corners: int
) -> None:
    center = shapes.Point(longitude, latitude)
    positions = construct.circle(center, radius, corners, WGS84)
    assert len(positions) == corners + 1
    assert positions[0] == positions[-1]
    for position in positions:
        distance = geodesic.distance_to(center, shapes.Point(*position), WGS84)  # type: ignore[misc]
        assert distance == pytest.approx(radius, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("radius", "corners", "message"),
    [
        (0, 3, "Radius must be positive"),
        (1, 2, "GeoJSON LinearRing must have at least four positions."),
        (
            14000000,
            3,
            "Radius must be smaller than a quarter of the circumference along the minor axis of "
            "the reference ellipsoid.  Got 14000000m, but must be smaller than "
            "9985163.1855612862855m.",
        ),
    ],
)
def test_impossible_circles_are_refused(radius: float, corners: int, message: str) -> None:
    with pytest.raises(QueryLogicError) as caught:
        construct.polygon(construct.circle(shapes.Point(0, 0), radius, corners, WGS84))
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("a", "f", "message"),
    [
        (0, 0, "The equator radius `a` must be positive."),
        (1, 1, "The flattening `f` must be in the range [0, 1)."),
        (1, -0.1, "The flattening `f` must be in the range [0, 1)."),
    ],
)
def test_impossible_ellipsoids_are_refused(a: float, f: float, message: str) -> None:
    with pytest.raises(QueryLogicError) as caught:
        geodesic.ellipsoid(a, f)
    assert caught.value.message == message


def test_unknown_names_are_refused() -> None:
    with pytest.raises(QueryLogicError, match="Unrecognized distance unit `parsec`"):
        geodesic.metres_of("parsec")
    with pytest.raises(QueryLogicError, match='Unrecognized geo system "flat"'):
        geodesic.named_ellipsoid("flat")


def test_an_empty_polygon_has_no_distance() -> None:
    empty: dict[str, Datum] = {"type": "Polygon", "coordinates": []}
    with pytest.raises(QueryLogicError, match="The polygon is empty"):
        geodesic.distance_to(shapes.Point(0, 0), shapes.read(empty), WGS84)
