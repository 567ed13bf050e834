"""Reading geometry: what is accepted and how refusals read."""

import pytest

from rethought.datum.geo import construct, shapes
from rethought.datum.kinds import Datum
from rethought.errors import NonExistenceError, QueryLogicError

SQUARE: list[Datum] = [[0, 0], [0, 3], [3, 3], [3, 0], [0, 0]]


def geometry(kind: str, coordinates: list[Datum], **fields: Datum) -> dict[str, Datum]:
    return {"$reql_type$": "GEOMETRY", "type": kind, "coordinates": coordinates, **fields}


@pytest.mark.parametrize(
    ("kind", "coordinates", "message"),
    [
        ("Point", [1], "Too few coordinates.  Need at least longitude and latitude."),
        (
            "Point",
            [1, 2, 3],
            "A third altitude coordinate in GeoJSON positions was found, but is not supported.",
        ),
        (
            "Point",
            [1, 2, 3, 4],
            "Too many coordinates.  GeoJSON position should have no more than three coordinates, "
            "but got 4.",
        ),
        ("Point", [180.5, 0], "Longitude must be between -180 and 180.  Got 180.5."),
        ("Point", [0, -91], "Latitude must be between -90 and 90.  Got -91."),
        ("Point", ["a", 0], "Expected type NUMBER but found STRING."),
        ("LineString", [[0, 0]], "GeoJSON LineString must have at least two positions."),
        (
            "LineString",
            [[0, 0], [0, 0]],
            "Invalid LineString.  Are there antipodal or duplicate vertices?",
        ),
        ("Polygon", [SQUARE[:3]], "GeoJSON LinearRing must have at least four positions."),
        ("Polygon", [SQUARE[:4]], "First and last vertex of GeoJSON LinearRing must be identical."),
        (
            "Polygon",
            [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]],
            "Invalid LinearRing.  Are there antipodal or duplicate vertices? "
            "Is it self-intersecting?",
        ),
        (
            "Polygon",
            [SQUARE, [[1, 1], [1, 2], [5, 2], [5, 1], [1, 1]]],
            "Some edges in GeoJSON polygon could not be used.  Are they intersecting?",
        ),
        ("MultiPoint", [[0, 0]], "GeoJSON type `MultiPoint` is not supported."),
        ("Blob", [[0, 0]], "Unrecognized GeoJSON type `Blob`."),
    ],
)
def test_bad_coordinates_are_refused_in_the_protocols_words(
    kind: str, coordinates: list[Datum], message: str
) -> None:
    with pytest.raises(QueryLogicError) as caught:
        shapes.read(geometry(kind, coordinates))
    assert caught.value.message == message


def test_null_coordinate_counts_as_missing() -> None:
    with pytest.raises(NonExistenceError, match=r"Expected type NUMBER but found NULL\."):
        shapes.read(geometry("Point", [None, 0]))


def test_another_reference_system_is_refused() -> None:
    with pytest.raises(QueryLogicError, match="Non-default coordinate reference systems"):
        shapes.read(geometry("Point", [0, 0], crs={"type": "name"}))
    shapes.read(geometry("Point", [0, 0], crs=None))


@pytest.mark.parametrize(
    "coordinates",
    [[], [SQUARE, [[5, 5], [6, 5], [6, 6], [5, 5]]], [SQUARE, SQUARE]],
    ids=["empty", "hole outside", "hole as large as the shell"],
)
def test_odd_polygons_are_accepted(coordinates: list[Datum]) -> None:
    assert isinstance(shapes.read(geometry("Polygon", coordinates)), shapes.Polygon)


def test_a_shape_is_read_once_for_the_same_value() -> None:
    square = geometry("Polygon", [SQUARE])
    assert shapes.read(square) is shapes.read(square)
    assert shapes.read(dict(square)) is not shapes.read(square)


def test_kept_shapes_are_bounded() -> None:
    for _ in range(500):
        shapes.read(geometry("Polygon", [SQUARE]))
    assert len(shapes._kept) <= shapes._KEPT_MAX


def test_polygon_closes_its_ring_and_keeps_numbers_as_they_came() -> None:
    corners = construct.pairs([[180, 0], [180, 1], construct.point(179, 1)])
    assert construct.polygon(corners)["coordinates"] == [[[180, 0], [180, 1], [179, 1], [180, 0]]]


def test_places_are_pairs_or_points() -> None:
    assert shapes.read_place([1, 2]) == shapes.Point(1, 2)
    assert shapes.read_place(geometry("Point", [180, 2])) == shapes.Point(-180, 2)
    with pytest.raises(QueryLogicError, match="Got 3 element array instead of a 2 element one"):
        shapes.read_place([1, 2, 3])
    with pytest.raises(QueryLogicError, match="Expected type ARRAY but found STRING"):
        shapes.read_place("here")


def test_geojson_drops_bbox_and_names_unknown_fields() -> None:
    point: dict[str, Datum] = {"type": "Point", "coordinates": [1, 2], "bbox": [1, 2, 1, 2]}
    assert construct.from_geojson(point) == geometry("Point", [1, 2])
    assert construct.to_geojson(geometry("Point", [1, 2])) == {
        "type": "Point",
        "coordinates": [1, 2],
    }
    with pytest.raises(QueryLogicError, match="Unrecognized field `x` found in geometry object"):
        construct.from_geojson({**point, "x": 1})
    with pytest.raises(QueryLogicError, match=r"GeoJSON object already had a \$reql_type\$ field"):
        construct.from_geojson(geometry("Point", [1, 2]))
    with pytest.raises(NonExistenceError, match="No attribute `coordinates` in object"):
        construct.from_geojson({"type": "Point"})


def test_polygon_sub_needs_plain_polygons_one_inside_the_other() -> None:
    outer = geometry("Polygon", [SQUARE])
    hole = geometry("Polygon", [[[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]])
    cut = construct.polygon_with_hole(outer, hole)
    assert cut["coordinates"] == [*outer["coordinates"], *hole["coordinates"]]  # type: ignore[misc]
    for one, other, message in (
        (cut, hole, "Expected a Polygon with only an outer shell.  This one has holes."),
        (outer, construct.point(0, 0), "Expected a Polygon but found a Point."),
        (
            hole,
            outer,
            "The second argument to `polygon_sub` is not contained in the first one.",
        ),
    ):
        with pytest.raises(QueryLogicError) as caught:
            construct.polygon_with_hole(one, other)
        assert caught.value.message == message
