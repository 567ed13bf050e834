"""The search in growing rings agrees with looking at everything."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.geo import construct, geodesic, shapes
from rethought.datum.geo.cells import KeyRange, index_cells
from rethought.datum.geo.geodesic import UNIT_SPHERE, WGS84
from rethought.datum.geo.nearest import Candidate, nearest
from rethought.datum.kinds import Datum
from rethought.errors import QueryLogicError

Search = Callable[[list[KeyRange]], Iterable[Candidate[int]]]

ROWS: list[dict[str, Datum]] = [
    construct.point(10, 10),
    construct.polygon(([0, 0], [0, 1], [1, 1], [1, 0])),
    construct.line(([2e-06, -1], [-1e-06, 1])),
]


def searching(rows: list[dict[str, Datum]]) -> Search:
    def search(ranges: list[KeyRange]) -> Iterable[Candidate[int]]:
        for number, row in enumerate(rows):
            for cell in index_cells(row):
                if any(lower <= cell <= upper for lower, upper in ranges):
                    yield Candidate(number, shapes.read(row), number)

    return search


def test_nearest_first_within_the_distance() -> None:
    found = nearest(
        shapes.Point(0, 0), WGS84, distance_max=1565110, results_max=100, search=searching(ROWS)
    )
    assert [row for _, row in found] == [1, 2, 0]
    assert [distance for distance, _ in found] == pytest.approx(
        [0, 0.055659745396754216, 1565109.0992178896], rel=1e-9
    )


def test_no_more_than_wanted() -> None:
    found = nearest(
        shapes.Point(-1e-06, 1), WGS84, distance_max=1e5, results_max=1, search=searching(ROWS)
    )
    assert found == [(0, 2)]


def test_on_the_unit_sphere() -> None:
    found = nearest(
        shapes.Point(0, 0), UNIT_SPHERE, distance_max=1, results_max=9, search=searching(ROWS)
    )
    assert [distance for distance, _ in found] == pytest.approx(
        [0, 8.726646259990191e-09, 0.24619691677893205], rel=1e-9
    )


def test_too_far_is_refused() -> None:
    with pytest.raises(QueryLogicError) as caught:
        nearest(
            shapes.Point(0, 0), WGS84, distance_max=1e7, results_max=100, search=searching(ROWS)
        )
    assert caught.value.message == (
        "The distance has become too large for continuing the indexed nearest traversal.  "
        "Consider specifying a smaller `max_dist` parameter.  (Radius must be smaller than a "
        "quarter of the circumference along the minor axis of the reference ellipsoid.  "
        "Got 10968937.995244588703m, but must be smaller than 9985163.1855612862855m.)"
    )


@given(
    st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), max_size=12),
    st.floats(-180, 180),
    st.floats(-90, 90),
    st.floats(1, 9e6),
    st.integers(1, 5),
)
def test_rings_find_what_looking_at_everything_finds(
    places: list[tuple[float, float]],
    longitude: float,
    latitude: float,
    distance_max: float,
    results_max: int,
) -> None:
    center = shapes.Point(longitude, latitude)
    rows = [construct.point(*place) for place in places]
    expected = sorted(
        (geodesic.distance_to(center, shapes.read(row), WGS84), number)
        for number, row in enumerate(rows)
    )
    within = [pair for pair in expected if pair[0] <= distance_max][:results_max]
    found = nearest(
        center,
        WGS84,
        distance_max=distance_max,
        results_max=results_max,
        search=searching(rows),
    )
    assert found == within
