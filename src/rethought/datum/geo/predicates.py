"""What meets what, and what holds what.

What always holds: `intersects` is symmetric. A point on a line or on the boundary of a polygon counts. Two polygons
that only share edges or corners do not meet, nor does a line that only ends on a polygon's boundary; holes are
outside. Callers: `reql.terms.geo`, and whoever filters what a geo index found.
"""

from collections.abc import Iterator
from typing import Final

from rethought.datum.geo import sphere
from rethought.datum.geo.shapes import (
    Line,
    Point,
    Polygon,
    Shape,
    Tick,
    expect_kind,
    no_tick,
    read,
)
from rethought.datum.values import Datum

PAIRS_MAX: Final = 250_000
"""Pairs of edges that are compared in one go: about a millisecond."""

CROSSINGS_MAX: Final = 10_000
"""Crossings of a polygon that a piece of a line may have: the library makes an object of each."""

PIECE_MAX: Final = 64


def geometries_intersect(
    one: dict[str, Datum], other: dict[str, Datum], tick: Tick = no_tick
) -> bool:
    return intersects(read(one, tick), read(other, tick), tick)


def geometry_includes(
    outer: dict[str, Datum], inner: dict[str, Datum], tick: Tick = no_tick
) -> bool:
    """Whether a polygon holds all of another geometry. Raises for another type than Polygon on the left."""
    expect_kind(outer, "Polygon")
    return includes(read(outer, tick), read(inner, tick), tick)


def intersects(one: Shape, other: Shape, tick: Tick = no_tick) -> bool:
    match one, other:
        case Point(), Point():
            return _same_place(one, other)
        case Line(), Point():
            return sphere.line_touches(one.polyline, other.vertex)
        case Line(), Line():
            return _lines_meet(one, other, tick)
        case Polygon(), Point():
            return _holds_point(one, other)
        case Polygon(), Line():
            return any(
                sphere.polygon_meets_line(one.region, piece)
                for piece in _pieces_for(one, other, tick)
            )
        case Polygon(), Polygon():
            return sphere.polygons_meet(one.region, other.region)
    return intersects(other, one, tick)


def includes(outer: Shape, inner: Shape, tick: Tick = no_tick) -> bool:
    assert isinstance(outer, Polygon)
    match inner:
        case Point():
            return _holds_point(outer, inner)
        case Line():
            return all(
                sphere.polygon_holds_line(outer.region, piece)
                for piece in _pieces_for(outer, inner, tick)
            )
        case Polygon():
            return sphere.polygon_holds_polygon(outer.region, inner.region)


def _pieces_for(polygon: Polygon, line: Line, tick: Tick) -> Iterator[sphere.Polyline]:
    """A line in pieces small enough that none crosses the polygon too often."""
    edges = len(line.vertices) - 1
    most = max(1, min(PIECE_MAX, CROSSINGS_MAX // max(1, polygon.region.num_vertices())))
    if edges <= most:
        yield line.polyline
        return
    for start in range(0, edges, most):
        tick()
        yield _piece(line, start, most)


def _piece(line: Line, start: int, edges: int) -> sphere.Polyline:
    piece = sphere.polyline(line.vertices[start : start + edges + 1])
    assert piece is not None, "a piece of a line is as valid as the line"
    return piece


def _lines_meet(one: Line, other: Line, tick: Tick) -> bool:
    if len(one.vertices) * len(other.vertices) <= PAIRS_MAX:
        return sphere.lines_meet(one.polyline, other.polyline)
    pieces = [(piece, sphere.latitudes(piece)) for piece in _pieces(one)]
    for piece in _pieces(other):
        tick()
        south, north = sphere.latitudes(piece)
        for candidate, (least, most) in pieces:
            if south <= most and least <= north and sphere.lines_meet(candidate, piece):
                return True
    return False


def _pieces(line: Line) -> Iterator[sphere.Polyline]:
    for start in range(0, len(line.vertices) - 1, PIECE_MAX):
        yield _piece(line, start, PIECE_MAX)


def _holds_point(outer: Polygon, inner: Point) -> bool:
    if not outer.may_hold(inner.longitude, inner.latitude):
        return False
    return sphere.polygon_holds_point(outer.region, inner.vertex)


def _same_place(one: Point, other: Point) -> bool:
    if one == other:
        return True
    # A pole has every longitude.
    return sphere.vector(one.longitude, one.latitude) == sphere.vector(
        other.longitude, other.latitude
    )
