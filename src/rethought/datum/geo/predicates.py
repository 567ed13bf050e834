"""What meets what, and what holds what.

What always holds: `intersects` is symmetric. A point on a line or on the boundary of a polygon counts. Two polygons
that only share edges or corners do not meet, nor does a line that only ends on a polygon's boundary; holes are
outside. Callers: `reql.terms.geo`, and whoever filters what a geo index found.
"""

from rethought.datum.geo import sphere
from rethought.datum.geo.shapes import Line, Point, Polygon, Shape, expect_kind, read
from rethought.datum.values import Datum


def geometries_intersect(one: dict[str, Datum], other: dict[str, Datum]) -> bool:
    return intersects(read(one), read(other))


def geometry_includes(outer: dict[str, Datum], inner: dict[str, Datum]) -> bool:
    """Whether a polygon holds all of another geometry. Raises for another type than Polygon on the left."""
    expect_kind(outer, "Polygon")
    return includes(read(outer), read(inner))


def intersects(one: Shape, other: Shape) -> bool:
    match one, other:
        case Point(), Point():
            return _same_place(one, other)
        case Line(), Point():
            return sphere.line_touches(one.polyline, other.vertex)
        case Line(), Line():
            return sphere.lines_meet(one.polyline, other.polyline)
        case Polygon(), Point():
            return _holds_point(one, other)
        case Polygon(), Line():
            return sphere.polygon_meets_line(one.region, other.polyline)
        case Polygon(), Polygon():
            return sphere.polygons_meet(one.region, other.region)
    return intersects(other, one)


def includes(outer: Shape, inner: Shape) -> bool:
    assert isinstance(outer, Polygon)
    match inner:
        case Point():
            return _holds_point(outer, inner)
        case Line():
            return sphere.polygon_holds_line(outer.region, inner.polyline)
        case Polygon():
            return sphere.polygon_holds_polygon(outer.region, inner.region)


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
