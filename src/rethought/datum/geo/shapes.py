"""Reads and checks geometry: from a GEOMETRY value (or GeoJSON) to points, lines and polygons.

What always holds: a `Shape` is valid on the sphere. Values are checked when they are used, not when they are stored,
so everything here meets arbitrary data and answers with the protocol's errors. Shapes read lately are kept, because
the same constant meets every row of a table. Callers: the rest of `datum.geo` and `reql.terms.geo`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, TypeAlias, TypeVar, cast

from rethought.datum.geo import sphere
from rethought.datum.text import number_text, pretty
from rethought.datum.values import Datum, is_binary, is_geometry, wrong_type
from rethought.errors import NonExistenceError, QueryLogicError

Item = TypeVar("Item")

Position: TypeAlias = tuple[float, float]
"""Longitude and latitude in degrees."""

Tick: TypeAlias = Callable[[], None]
"""Called now and then by work that may take long."""

TICK_POSITIONS: Final = 1_000
"""Positions between two ticks."""


def no_tick() -> None:
    """For whoever need not let others have a turn."""


@dataclass(frozen=True, slots=True)
class Point:
    longitude: float
    latitude: float

    @property
    def vertex(self) -> sphere.Vertex:
        return sphere.vertex(self.longitude, self.latitude)


@dataclass(frozen=True, slots=True)
class Line:
    polyline: sphere.Polyline
    vertices: list[sphere.Vertex]


@dataclass(frozen=True, slots=True)
class Polygon:
    region: sphere.Polygon
    may_hold: Callable[[float, float], bool]


Shape: TypeAlias = Point | Line | Polygon

_UNSUPPORTED: Final = frozenset(
    {
        "MultiPoint",
        "MultiLineString",
        "MultiPolygon",
        "GeometryCollection",
        "Feature",
        "FeatureCollection",
    }
)
_RING_INVALID: Final = (
    "Invalid LinearRing.  Are there antipodal or duplicate vertices? Is it self-intersecting?"
)
_KEPT_MAX: Final = 64
_kept: "OrderedDict[int, tuple[dict[str, Datum], Shape]]" = OrderedDict()


def read(geometry: dict[str, Datum], tick: Tick = no_tick) -> Shape:
    """The shape of a geometry. The value must not be changed afterwards (no datum ever is)."""
    kind = kind_of(geometry)
    if kind == "Point":
        check_crs(geometry)
        return Point(*read_position(_coordinates(geometry)))
    kept = _kept.get(id(geometry))
    if kept is not None and kept[0] is geometry:
        _kept.move_to_end(id(geometry))
        return kept[1]
    shape = _read(geometry, tick)
    _kept[id(geometry)] = (geometry, shape)
    if len(_kept) > _KEPT_MAX:
        _kept.popitem(last=False)
    return shape


def _read(geometry: dict[str, Datum], tick: Tick) -> Shape:
    check_crs(geometry)
    match kind_of(geometry):
        case "LineString":
            return read_line(_coordinates(geometry), tick)
        case "Polygon":
            return read_polygon(_coordinates(geometry), tick)
        case str(kind) if kind in _UNSUPPORTED:
            raise QueryLogicError(f"GeoJSON type `{kind}` is not supported.")
        case str(kind):
            raise QueryLogicError(f"Unrecognized GeoJSON type `{kind}`.")
        case other:
            raise wrong_type("STRING", other)


def check_crs(geometry: dict[str, Datum]) -> None:
    if geometry.get("crs") is not None:
        raise QueryLogicError(
            "Non-default coordinate reference systems are not supported in GeoJSON objects.  "
            "Make sure the `crs` field of the geometry is null or non-existent."
        )


def kind_of(value: dict[str, Datum]) -> Datum:
    """The type of a geometry. Where one is wanted any pseudotype may stand: here it shows."""
    if is_binary(value):
        raise wrong_type("OBJECT", value)
    if "type" not in value:
        raise NonExistenceError(f"No attribute `type` in object:\n{pretty(value)}")
    return value["type"]


def expect_kind(geometry: dict[str, Datum], kind: str) -> None:
    """Raises unless the geometry is of this type."""
    found = kind_of(geometry)
    if found != kind:
        raise QueryLogicError(f"Expected geometry of type `{kind}` but found `{found}`.")


def read_point(geometry: dict[str, Datum]) -> Point:
    expect_kind(geometry, "Point")
    return Point(*read_position(_coordinates(geometry)))


def read_place(value: Datum) -> Point:
    """An argument that names a place: a Point or a pair of longitude and latitude."""
    return Point(*checked_position(*pair(value)))


def pair(value: Datum) -> Position:
    """Longitude and latitude of an argument that names a place, whatever their range."""
    if is_geometry(value):
        geometry = cast(dict[str, Datum], value)
        expect_kind(geometry, "Point")
        return _pair(_coordinates(geometry))
    numbers = _array(value)
    if len(numbers) != 2:
        raise QueryLogicError(
            "Expected point coordinate pair.  "
            f"Got {len(numbers)} element array instead of a 2 element one."
        )
    return _number(numbers[0]), _number(numbers[1])


def pairs(geometry: dict[str, Datum], tick: Tick = no_tick) -> list[Position]:
    """The coordinates of a line, whatever their range."""
    return [_pair(value) for part in _parts(_coordinates(geometry), tick) for value in part]


# ---- coordinates


def _coordinates(geometry: dict[str, Datum]) -> list[Datum]:
    return _array(geometry.get("coordinates"))


def _array(value: Datum) -> list[Datum]:
    if value.__class__ is not list:
        raise wrong_type("ARRAY", value)
    return value


def _number(value: Datum) -> float:
    if value.__class__ is not int and value.__class__ is not float:
        raise wrong_type("NUMBER", value)
    return value


def checked_position(longitude: float, latitude: float) -> Position:
    if not -180 <= longitude <= 180:
        raise QueryLogicError(
            f"Longitude must be between -180 and 180.  Got {number_text(longitude)}."
        )
    if not -90 <= latitude <= 90:
        raise QueryLogicError(f"Latitude must be between -90 and 90.  Got {number_text(latitude)}.")
    return -180 if longitude == 180 else longitude, latitude


def read_position(value: Datum) -> Position:
    return checked_position(*_pair(value))


def _pair(value: Datum) -> Position:
    numbers = _array(value)
    if len(numbers) < 2:
        raise QueryLogicError("Too few coordinates.  Need at least longitude and latitude.")
    if len(numbers) > 3:
        raise QueryLogicError(
            "Too many coordinates.  GeoJSON position should have no more than three coordinates, "
            f"but got {len(numbers)}."
        )
    if len(numbers) == 3:
        raise QueryLogicError(
            "A third altitude coordinate in GeoJSON positions was found, but is not supported."
        )
    return _number(numbers[0]), _number(numbers[1])


def _positions(values: list[Datum], tick: Tick) -> list[Position]:
    return [position for part in _parts(values, tick) for position in map(read_position, part)]


def _vertices(positions: list[Position], tick: Tick) -> list[sphere.Vertex]:
    vertex = sphere.vertex
    return [vertex(*position) for part in _parts(positions, tick) for position in part]


def _parts(items: list[Item], tick: Tick) -> Iterable[list[Item]]:
    """A list a part at a time, with ticks between."""
    if len(items) <= TICK_POSITIONS:
        return (items,)
    return _ticking(items, tick)


def _ticking(items: list[Item], tick: Tick) -> Iterator[list[Item]]:
    for start in range(0, len(items), TICK_POSITIONS):
        tick()
        yield items[start : start + TICK_POSITIONS]


def read_line(coordinates: list[Datum], tick: Tick = no_tick) -> Line:
    if len(coordinates) < 2:
        raise QueryLogicError("GeoJSON LineString must have at least two positions.")
    vertices = _vertices(_positions(coordinates, tick), tick)
    line = sphere.polyline(vertices)
    if line is None:
        raise QueryLogicError("Invalid LineString.  Are there antipodal or duplicate vertices?")
    return Line(line, vertices)


def read_polygon(coordinates: list[Datum], tick: Tick = no_tick) -> Polygon:
    rings = []
    loops = []
    for ring in coordinates:
        positions = _ring(ring, tick)
        loop = sphere.ring(_vertices(positions, tick))
        if loop is None:
            raise QueryLogicError(_RING_INVALID)
        rings.append(positions)
        loops.append(loop)
        tick()
    region = sphere.polygon(loops, shared=len(rings) > 1 and _share_edges(rings))
    if region is None:
        raise QueryLogicError(
            "Some edges in GeoJSON polygon could not be used.  Are they intersecting?"
        )
    return Polygon(region, sphere.may_hold(region))


def _ring(value: Datum, tick: Tick) -> list[Position]:
    """The positions of a ring, without the last, which is the first again."""
    values = _array(value)
    if len(values) < 4:
        raise QueryLogicError("GeoJSON LinearRing must have at least four positions.")
    positions = _positions(values, tick)
    if positions[0] != positions[-1]:
        raise QueryLogicError("First and last vertex of GeoJSON LinearRing must be identical.")
    return positions[:-1]


def _share_edges(rings: list[list[Position]]) -> bool:
    """Whether two rings of a polygon have an edge in common."""
    edges: set[tuple[Position, Position]] = set()
    count = 0
    for ring in rings:
        count += len(ring)
        following = chain(islice(ring, 1, None), ring[:1])
        edges.update((a, b) if a < b else (b, a) for a, b in zip(ring, following, strict=True))
    return len(edges) != count
