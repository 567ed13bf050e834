"""The one place that talks to the S2 library: points, lines and polygons on the unit sphere, and its cells.

What always holds: S2 sees only what `shapes` checked or is about to check with `is_valid`; a point is never more
than `TOUCH` from where it was put. The library is loaded on first use. Callers: the rest of `datum.geo` only.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from math import asin, atan2, cos, degrees, hypot, pi, sin, sqrt
from typing import Any, Final, TypeAlias

Vertex: TypeAlias = Any  # s2geometry.S2Point
Polyline: TypeAlias = Any  # s2geometry.S2Polyline
Polygon: TypeAlias = Any  # s2geometry.S2Polygon
Vector: TypeAlias = tuple[float, float, float]
CellRange: TypeAlias = tuple[int, int]

TOUCH: Final = 2e-15
"""Radians, some 13 nanometres on Earth: what is this near is taken to touch. A few times the error of a computed
projection, so that a point that was put on an edge is found there."""

RADIANS: Final = pi / 180
LEAF_LEVEL: Final = 30
_NEIGHBOURHOOD: Final = 1e-14
"""Radians round a point within which all leaf cells count as its own."""


@cache
def library() -> Any:
    import s2geometry

    return s2geometry


_POLAR: Final = 89.999
"""Beyond this latitude, longitudes say nothing about nearness."""


def vector(longitude: float, latitude: float) -> Vector:
    """The unit vector of a position in degrees, bit for bit what S2 computes."""
    phi = RADIANS * latitude
    theta = RADIANS * longitude
    across = cos(phi)
    return cos(theta) * across, sin(theta) * across, sin(phi)


def vertex(longitude: float, latitude: float) -> Vertex:
    return library().S2Point_FromRaw(*vector(longitude, latitude))


def components(point: Vertex) -> Vector:
    result: Vector = library().S2Point_ToRaw(point)
    return result


def position(point: Vertex) -> tuple[float, float]:
    """Longitude and latitude in degrees."""
    x, y, z = components(point)
    return degrees(atan2(y, x)), degrees(atan2(z, hypot(x, y)))


def angle(one: Vector, other: Vector) -> float:
    """The angle between two unit vectors in radians, accurate for small ones too."""
    dx, dy, dz = one[0] - other[0], one[1] - other[1], one[2] - other[2]
    return 2 * asin(min(1.0, sqrt(dx * dx + dy * dy + dz * dz) / 2))


# ---- lines


def polyline(vertices: list[Vertex]) -> Polyline | None:
    """A line, None when neighbours are equal or antipodal."""
    line = library().S2Polyline()
    line.InitFromS2Points(vertices)
    return line if line.IsValid() else None


def nearest_on_line(line: Polyline, point: Vertex) -> Vertex:
    return line.Project(point)[0]


def line_touches(line: Polyline, point: Vertex) -> bool:
    return angle(components(nearest_on_line(line, point)), components(point)) <= TOUCH


def latitudes(line: Polyline) -> tuple[float, float]:
    """The lowest and the highest latitude on a line, or a little beyond, in radians."""
    bound = line.GetRectBound()
    return bound.lat_lo().radians() - 1e-14, bound.lat_hi().radians() + 1e-14


def lines_meet(one: Polyline, other: Polyline) -> bool:
    return bool(one.Intersects(other))


# ---- polygons


def ring(vertices: list[Vertex]) -> Any | None:
    """The loop through `vertices` with the smaller side inside, None when it crosses or touches itself."""
    loop = library().S2Loop()
    loop.Init(vertices)
    if not loop.IsValid():
        return None
    loop.Normalize()
    return loop


def polygon(loops: list[Any], *, shared: bool = False) -> Polygon | None:
    """The region inside an odd number of the loops; None when they cross. `shared`: some have an edge in common."""
    rings = _without_shared_edges(loops) if shared else loops
    if None in rings:
        return None
    region = library().S2Polygon()
    region.InitNested(rings)
    return region if region.IsValid() else None


def _edges(loop: Any) -> Iterable[tuple[Vertex, Vertex]]:
    vertices = [loop.vertex(index) for index in range(loop.num_vertices())]
    return zip(vertices, vertices[1:] + vertices[:1], strict=True)


def _without_shared_edges(loops: Sequence[Any]) -> list[Any | None]:
    """A hole that has an edge in common with the shell: such edges cancel out, what remains is the boundary, as loops.

    Not with the library's builder: its Python form can only be made without the options that it goes by.
    """
    vertices: dict[Vector, Vertex] = {}
    onward: dict[Vector, list[Vector]] = {}
    for number, loop in enumerate(loops):
        for edge in _edges(loop):
            start, end = map(components, edge if number == 0 else edge[::-1])
            vertices[start] = edge[number != 0]
            if start in onward.get(end, ()):
                onward[end].remove(start)
            else:
                onward.setdefault(start, []).append(end)
    return [ring([vertices[corner] for corner in corners]) for corners in _cycles(onward)]


def _cycles(onward: dict[Vector, list[Vector]]) -> Iterator[list[Vector]]:
    """Edges in cycles without a corner that occurs twice. Each corner has as many edges to it as from it."""
    for start in onward:
        path = [start]
        places = {start: 0}
        while onward[path[-1]]:
            corner = onward[path[-1]].pop()
            place = places.setdefault(corner, len(path))
            if place == len(path):
                path.append(corner)
                continue
            yield path[place:]
            for other in path[place + 1 :]:
                del places[other]
            del path[place + 1 :]


def may_hold(region: Polygon) -> Callable[[float, float], bool]:
    """A cheap test that is false only for positions (in degrees) that are not in or on the polygon."""
    bound = region.GetRectBound()
    south, north = (
        degrees(bound.lat_lo().radians()) - 1e-9,
        degrees(bound.lat_hi().radians()) + 1e-9,
    )
    west, east = degrees(bound.lng_lo().radians()) - 1e-9, degrees(bound.lng_hi().radians()) + 1e-9
    across = west > east  # the line of 180 degrees

    def test(longitude: float, latitude: float) -> bool:
        if not south <= latitude <= north:
            return False
        if abs(latitude) > _POLAR:
            return True
        if across:
            return longitude >= west or longitude <= east
        # What is at -180 is at 180 too.
        return west <= longitude <= east or (longitude == -180 and east >= 180)

    return test


def nearest_in_polygon(region: Polygon, point: Vertex) -> Vertex:
    """The point itself when it lies inside."""
    return region.Project(point)


def polygon_holds_point(region: Polygon, point: Vertex) -> bool:
    """Whether the point is inside or on the boundary."""
    if region.is_empty():
        return False
    if region.Contains(point):
        return True
    return angle(components(region.Project(point)), components(point)) <= TOUCH


def polygon_meets_line(region: Polygon, line: Polyline) -> bool:
    return not region.is_empty() and len(region.IntersectWithPolyline(line)) > 0


def polygon_holds_line(region: Polygon, line: Polyline) -> bool:
    return not region.is_empty() and bool(region.Contains(line))


def polygons_meet(one: Polygon, other: Polygon) -> bool:
    return bool(one.Intersects(other))


def polygon_holds_polygon(one: Polygon, other: Polygon) -> bool:
    return bool(one.Contains(other))


# ---- cells


def leaf_cells(center: Vertex) -> list[int]:
    """The smallest cells at a point: one, or up to four when it lies on their common boundary.

    A point on the boundary of two cells is in one of them only; counting it to all makes coverings of things that
    touch have a cell in common, whatever side rounding put either of them on.
    """
    coverer = library().S2RegionCoverer()
    coverer.set_min_level(LEAF_LEVEL)
    return [cell.id() for cell in coverer.GetCovering(cap(center, _NEIGHBOURHOOD))]


def cap(center: Vertex, radius: float) -> Any:
    """All points within `radius` radians."""
    return library().S2Cap(center, library().S1Angle.Radians(min(radius, pi)))


def covering(region: Any, *, cells_max: int, level_max: int, level_step: int = 1) -> list[int]:
    """Cells that together hold the whole region."""
    coverer = library().S2RegionCoverer()
    coverer.set_max_cells(cells_max)
    coverer.set_max_level(level_max)
    coverer.set_level_mod(level_step)
    return [cell.id() for cell in coverer.GetCovering(region)]


def cell_range(cell: int) -> CellRange:
    """The lowest and the highest id of the cells inside `cell`, itself included."""
    low = cell & -cell
    return cell - low + 1, cell + low - 1


def cell_level(cell: int) -> int:
    """0 for a sixth of the sphere, 30 for the smallest."""
    return LEAF_LEVEL - ((cell & -cell).bit_length() - 1) // 2


def is_near_cell_edge(point: Vector, level: int) -> bool:
    """Whether a point is so near to the edge of its cell of this level that rounding may put it on either side.

    May say yes too often, never no wrongly. Cells are squares in the coordinates (s, t) of a face of a cube.
    """
    x, y, z = point
    along = max(abs(x), abs(y), abs(z))
    if along == abs(x):
        u, v = y / along, z / along
    elif along == abs(y):
        u, v = x / along, z / along
    else:
        u, v = x / along, y / along
    cells = 1 << level
    margin = 8 * _NEIGHBOURHOOD * cells
    for w in (u, v):
        place = (sqrt(1 + 3 * w) / 2 if w >= 0 else 1 - sqrt(1 - 3 * w) / 2) * cells
        if abs(place - round(place)) <= margin:
            return True
    return False


def cell_parents(cell: int, level_step: int) -> list[int]:
    """The cells round `cell` whose level is a multiple of `level_step`, without itself."""
    level = cell_level(cell)
    parents = []
    for wanted in range((level - 1) // level_step * level_step, -1, -level_step):
        low = 1 << 2 * (LEAF_LEVEL - wanted)
        parents.append((cell & -low) | low)
    return parents


def polygon_loops(region: Polygon) -> Iterator[Iterator[Vertex]]:
    for index in range(region.num_loops()):
        loop = region.loop(index)
        yield map(loop.vertex, range(loop.num_vertices()))
