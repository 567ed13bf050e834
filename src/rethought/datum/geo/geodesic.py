"""Distances on an ellipsoid: its parameters, units of length, and the geodesic from a point to a shape.

What always holds: lengths are in the ellipsoid's unit (metres for the Earth's) until `from_metres` converts them. The
point of a line or polygon that is nearest is found on the sphere; the way to it is measured on the ellipsoid.
Callers: the rest of `datum.geo` and `reql.terms.geo`.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import pi
from typing import Any, Final

from rethought.datum.geo import sphere
from rethought.datum.geo.shapes import Line, Point, Position, Shape
from rethought.errors import QueryLogicError


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Equator radius and flattening."""

    equator_radius: float
    flattening: float

    @property
    def polar_radius(self) -> float:
        return self.equator_radius * (1 - self.flattening)

    @property
    def radius_limit(self) -> float:
        """A quarter of the circumference through the poles: circles must stay below it."""
        return pi / 2 * self.polar_radius

    def angle_max(self, distance: float) -> float:
        """No two positions `distance` apart are further from each other, as angles on the sphere, than this."""
        # The smallest radius of curvature, that of the meridian at the equator, is b * b / a.
        return distance * self.equator_radius / (self.polar_radius * self.polar_radius)


WGS84: Final = Ellipsoid(6378137.0, 1 / 298.257223563)
UNIT_SPHERE: Final = Ellipsoid(1.0, 0.0)

ELLIPSOIDS: Final = {"WGS84": WGS84, "unit_sphere": UNIT_SPHERE}

METRES: Final[dict[str, float]] = {
    "m": 1.0,
    "km": 1000.0,
    "mi": 1609.344,
    "nm": 1852.0,
    "ft": 0.3048,
}


def metres_of(unit: str) -> float:
    """How long a unit is."""
    metres = METRES.get(unit)
    if metres is None:
        raise QueryLogicError(f"Unrecognized distance unit `{unit}`.")
    return metres


def ellipsoid(equator_radius: float, flattening: float) -> Ellipsoid:
    if not equator_radius > 0:
        raise QueryLogicError("The equator radius `a` must be positive.")
    if not 0 <= flattening < 1:
        raise QueryLogicError("The flattening `f` must be in the range [0, 1).")
    return Ellipsoid(float(equator_radius), float(flattening))


def named_ellipsoid(name: str) -> Ellipsoid:
    found = ELLIPSOIDS.get(name)
    if found is None:
        raise QueryLogicError(
            f'Unrecognized geo system "{name}" (valid options: "WGS84", "unit_sphere").'
        )
    return found


@lru_cache(maxsize=16)
def _solver(shape: Ellipsoid) -> Any:
    from geographiclib.geodesic import Geodesic

    return Geodesic(shape.equator_radius, shape.flattening)


def distance_between(one: Position, other: Position, shape: Ellipsoid) -> float:
    """The length of the shortest way between two positions."""
    if one == other:
        return 0.0
    solver = _solver(shape)
    way = solver.Inverse(one[1], one[0], other[1], other[0], solver.DISTANCE)
    return float(way["s12"])


def travel(start: Position, azimuth: float, length: float, shape: Ellipsoid) -> Position:
    """Where one is after going `length` straight ahead; `azimuth` is in degrees, clockwise from north."""
    solver = _solver(shape)
    end = solver.Direct(start[1], start[0], azimuth, length, solver.LATITUDE | solver.LONGITUDE)
    return float(end["lon2"]), float(end["lat2"])


def distance_to(point: Point, shape: Shape, earth: Ellipsoid) -> float:
    """From a point to the nearest point of a shape; 0 when it is on or in it."""
    here = (point.longitude, point.latitude)
    if isinstance(shape, Point):
        return distance_between(here, (shape.longitude, shape.latitude), earth)
    vertex = point.vertex
    if isinstance(shape, Line):
        nearest = sphere.nearest_on_line(shape.polyline, vertex)
    else:
        if shape.region.is_empty():
            raise QueryLogicError("The polygon is empty. It must have at least an outer shell.")
        nearest = sphere.nearest_in_polygon(shape.region, vertex)
    if sphere.angle(sphere.components(nearest), sphere.components(vertex)) <= sphere.TOUCH:
        return 0.0
    return distance_between(here, sphere.position(nearest), earth)
