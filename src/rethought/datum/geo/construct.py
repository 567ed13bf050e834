"""Makes geometry values: points, lines, polygons, circles, and holes in polygons.

What always holds: what leaves here is a checked GEOMETRY value; the numbers of the coordinates are those that came in.
Callers: `reql.terms.geo`, and `nearest` for the limit of a circle's radius.
"""

from rethought.datum.geo import shapes, sphere
from rethought.datum.geo.geodesic import Ellipsoid, travel
from rethought.datum.geo.shapes import Point
from rethought.datum.kinds import GEOMETRY, TYPE_KEY, Datum, number
from rethought.datum.text import number_text, pretty
from rethought.errors import NonExistenceError, QueryLogicError

_FIELDS = frozenset({"type", "coordinates", "crs", "bbox", TYPE_KEY})


def geometry(kind: str, coordinates: list[Datum]) -> dict[str, Datum]:
    return {TYPE_KEY: GEOMETRY, "type": kind, "coordinates": coordinates}


def checked(value: dict[str, Datum]) -> dict[str, Datum]:
    shapes.read(value)
    return value


def point(longitude: float, latitude: float) -> dict[str, Datum]:
    shapes.checked_position(longitude, latitude)
    return geometry("Point", [longitude, latitude])


def place_coordinates(value: Datum) -> Datum:
    """The coordinates of a Point or a pair, checked but as they were written."""
    shapes.read_place(value)
    return value["coordinates"] if isinstance(value, dict) else value


def line(places: tuple[Datum, ...]) -> dict[str, Datum]:
    return checked(geometry("LineString", [place_coordinates(place) for place in places]))


def polygon(places: tuple[Datum, ...]) -> dict[str, Datum]:
    return checked(geometry("Polygon", [_closed([place_coordinates(place) for place in places])]))


def _closed(positions: list[Datum]) -> list[Datum]:
    return positions if positions[0] == positions[-1] else [*positions, positions[0]]


def fill(value: dict[str, Datum]) -> dict[str, Datum]:
    """The polygon inside a line, closed when it is not."""
    shapes.expect_kind(value, "LineString")
    shapes.read(value)
    positions = value["coordinates"]
    assert isinstance(positions, list)
    return checked(geometry("Polygon", [_closed(positions)]))


def polygon_with_hole(outer: dict[str, Datum], hole: dict[str, Datum]) -> dict[str, Datum]:
    shell, cut = _only_shell(outer), _only_shell(hole)
    outer_shape, hole_shape = shapes.read(outer), shapes.read(hole)
    assert isinstance(outer_shape, shapes.Polygon)
    assert isinstance(hole_shape, shapes.Polygon)
    if not sphere.polygon_holds_polygon(outer_shape.region, hole_shape.region):
        raise QueryLogicError(
            "The second argument to `polygon_sub` is not contained in the first one."
        )
    return checked(geometry("Polygon", [shell, cut]))


def _only_shell(value: dict[str, Datum]) -> Datum:
    if value["type"] != "Polygon":
        raise QueryLogicError(f"Expected a Polygon but found a {value['type']}.")
    rings = value["coordinates"]
    if not isinstance(rings, list) or not rings:
        raise QueryLogicError("The polygon is empty. It must have at least an outer shell.")
    if len(rings) > 1:
        raise QueryLogicError("Expected a Polygon with only an outer shell.  This one has holes.")
    return rings[0]


# ---- circles


def check_radius(radius: float, earth: Ellipsoid) -> None:
    if not radius > 0:
        raise QueryLogicError("Radius must be positive")
    if radius >= earth.radius_limit:
        raise QueryLogicError(
            "Radius must be smaller than a quarter of the circumference along the minor axis of "
            f"the reference ellipsoid.  Got {number_text(radius)}m, but must be smaller than "
            f"{number_text(earth.radius_limit)}m."
        )


def circle(
    center: Point, radius: float, vertices: int, earth: Ellipsoid, *, filled: bool
) -> dict[str, Datum]:
    """A regular polygon with its corners `radius` from the centre, the first one due south."""
    check_radius(radius, earth)
    if vertices <= 0:
        raise QueryLogicError("num_vertices must be positive.")
    start = (center.longitude, center.latitude)
    corners: list[Datum] = []
    for index in range(vertices):
        longitude, latitude = travel(start, -180 + 360 * index / vertices, radius, earth)
        corners.append([number(longitude), number(latitude)])
    corners.append(corners[0])
    return checked(geometry("Polygon", [corners]) if filled else geometry("LineString", corners))


# ---- GeoJSON


def from_geojson(value: dict[str, Datum]) -> dict[str, Datum]:
    for key in ("type", "coordinates"):
        if key not in value:
            raise NonExistenceError(f"No attribute `{key}` in object:\n{pretty(value)}")
    result: dict[str, Datum] = {k: v for k, v in value.items() if k != "bbox"}
    shapes.check_crs(value)
    shapes.read(result)
    if TYPE_KEY in value:
        raise QueryLogicError(f"GeoJSON object already had a {TYPE_KEY} field.")
    for key in value:
        if key not in _FIELDS:
            raise QueryLogicError(f"Unrecognized field `{key}` found in geometry object.")
    result[TYPE_KEY] = GEOMETRY
    return result


def to_geojson(value: dict[str, Datum]) -> dict[str, Datum]:
    return {key: part for key, part in value.items() if key != TYPE_KEY}
