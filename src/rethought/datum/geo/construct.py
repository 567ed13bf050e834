"""Makes geometry values: points, lines, polygons, circles, and holes in polygons.

What always holds: what leaves here is a checked GEOMETRY value; the numbers of the coordinates are those that came in.
Callers: `reql.terms.geo`, and `nearest` for the limit of a circle's radius.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from rethought.datum.geo import shapes, sphere
from rethought.datum.geo.geodesic import Ellipsoid, travel
from rethought.datum.geo.shapes import TICK_POSITIONS, Point, Tick, no_tick
from rethought.datum.kinds import GEOMETRY, TYPE_KEY, Datum, is_binary, number, wrong_type
from rethought.datum.text import number_text, pretty
from rethought.errors import NonExistenceError, QueryLogicError

_FIELDS = frozenset({"type", "coordinates", "crs", "bbox", TYPE_KEY})


def geometry(kind: str, coordinates: list[Datum]) -> dict[str, Datum]:
    return {TYPE_KEY: GEOMETRY, "type": kind, "coordinates": coordinates}


def checked(value: dict[str, Datum], tick: Tick = no_tick) -> dict[str, Datum]:
    shapes.read(value, tick)
    return value


def point(longitude: float, latitude: float) -> dict[str, Datum]:
    shapes.checked_position(longitude, latitude)
    return geometry("Point", [longitude, latitude])


def pairs(places: Iterable[Datum], tick: Tick = no_tick) -> list[Datum]:
    """The coordinates of Points and pairs, as they were written; their range is checked later."""
    found: list[Datum] = []
    for at, place in enumerate(places, 1):
        found.append(list(shapes.pair(place)))
        if at % TICK_POSITIONS == 0:
            tick()
    return found


def line(coordinates: Sequence[Datum], tick: Tick = no_tick) -> dict[str, Datum]:
    return checked(geometry("LineString", list(coordinates)), tick)


def polygon(coordinates: Sequence[Datum], tick: Tick = no_tick) -> dict[str, Datum]:
    """A polygon without holes, closed when it is not."""
    return checked(geometry("Polygon", [closed(coordinates)]), tick)


def closed(positions: Sequence[Datum]) -> list[Datum]:
    """The positions of a ring, whose last is the first again."""
    end = [] if positions[:1] == positions[-1:] else positions[:1]
    return [*positions, *end]


def line_coordinates(value: dict[str, Datum], tick: Tick = no_tick) -> list[Datum]:
    """The coordinates of a LineString that need not be a valid one."""
    shapes.expect_kind(value, "LineString")
    return [list(position) for position in shapes.pairs(value, tick)]


def polygon_with_hole(
    outer: dict[str, Datum], hole: dict[str, Datum], tick: Tick = no_tick
) -> dict[str, Datum]:
    shell, cut = _only_shell(outer), _only_shell(hole)
    outer_shape, hole_shape = shapes.read(outer, tick), shapes.read(hole, tick)
    assert isinstance(outer_shape, shapes.Polygon)
    assert isinstance(hole_shape, shapes.Polygon)
    tick()
    if not sphere.polygon_holds_polygon(outer_shape.region, hole_shape.region):
        raise QueryLogicError(
            "The second argument to `polygon_sub` is not contained in the first one."
        )
    if not cut:
        raise NonExistenceError("Index out of bounds: 0")
    return checked(geometry("Polygon", [*shell, *cut]), tick)


def _only_shell(value: dict[str, Datum]) -> list[Datum]:
    """The rings of a polygon: one, or none."""
    kind = shapes.kind_of(value)
    if kind != "Polygon":
        raise QueryLogicError(f"Expected a Polygon but found a {kind}.")
    rings = value["coordinates"]
    assert isinstance(rings, list)
    if len(rings) > 1:
        raise QueryLogicError("Expected a Polygon with only an outer shell.  This one has holes.")
    return rings


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
    center: Point, radius: float, vertices: int, earth: Ellipsoid, tick: Tick = no_tick
) -> list[Datum]:
    """The corners of a regular polygon, `radius` from the centre; the first one is due south, and the last again."""
    check_radius(radius, earth)
    start = (center.longitude, center.latitude)
    corners: list[Datum] = []
    for index in range(vertices):
        if index % TICK_CORNERS == 0:
            tick()
        longitude, latitude = travel(start, -180 + 360 * index / vertices, radius, earth)
        corners.append([number(longitude), number(latitude)])
    corners.append(corners[0])
    return corners


TICK_CORNERS: Final = 64
"""Corners of a circle between two ticks: each takes some 60 microseconds."""


# ---- GeoJSON


def from_geojson(value: dict[str, Datum], tick: Tick = no_tick) -> dict[str, Datum]:
    for key in ("type", "coordinates"):
        if key not in value:
            raise NonExistenceError(f"No attribute `{key}` in object:\n{pretty(value)}")
    result: dict[str, Datum] = {k: v for k, v in value.items() if k != "bbox"}
    shapes.check_crs(value)
    shapes.read(result, tick)
    if TYPE_KEY in value:
        raise QueryLogicError(f"GeoJSON object already had a {TYPE_KEY} field.")
    for key in sorted(value):
        if key not in _FIELDS:
            raise QueryLogicError(f"Unrecognized field `{key}` found in geometry object.")
    result[TYPE_KEY] = GEOMETRY
    return result


def to_geojson(value: dict[str, Datum]) -> dict[str, Datum]:
    if is_binary(value):
        raise wrong_type("OBJECT", value)
    return {key: part for key, part in value.items() if key != TYPE_KEY}
