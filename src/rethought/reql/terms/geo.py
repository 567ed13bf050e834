"""Geometry: making it, measuring it, and what meets what.

What always holds: the work is done in `datum.geo`; here are arguments and optional arguments. INTERSECTS and INCLUDES
on a sequence are filters of it.
Callers: `reql.terms` joins `TERMS`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.geo import construct, geodesic, shapes
from rethought.datum.geo.geodesic import WGS84, Ellipsoid
from rethought.datum.geo.predicates import geometries_intersect, geometry_includes
from rethought.datum.geo.shapes import Tick
from rethought.datum.text import pretty
from rethought.datum.values import Datum, is_truthy, number, to_uint32
from rethought.errors import NonExistenceError, QueryLogicError, ResourceLimitError
from rethought.exec.env import MustWait, too_many
from rethought.exec.values import need_geometry, wrong_datum
from rethought.reql.compiler import PLAIN
from rethought.reql.spec import Arg, Determinism, Grouped, TermSpec, at_least, exactly
from rethought.reql.terms.fields import over_rows

if TYPE_CHECKING:
    from rethought.exec.env import Env, Options
    from rethought.reql.compiler import Compiler, Node
    from rethought.reql.tree import Term

Geometry = dict[str, Datum]

VERTICES_DEFAULT: Final = 32


def ticks(env: "Env") -> Tick:
    """How work on large geometry lets others have their turn."""
    return lambda: _give_way(env)


def _give_way(env: "Env") -> None:
    if env.in_place:
        raise MustWait
    env.tick()


def geojson(env: "Env", value: Datum) -> Geometry:
    """OBJECT -> GEOMETRY. `bbox` is dropped; a geometry is refused."""
    if value.__class__ is not dict:
        raise wrong_datum("OBJECT", value)
    return construct.from_geojson(value, ticks(env))


def to_geojson(env: "Env", geometry: Geometry) -> Geometry:
    """GEOMETRY -> OBJECT"""
    return construct.to_geojson(geometry)


def point(env: "Env", longitude: float, latitude: float) -> Geometry:
    """NUMBER, NUMBER -> Point"""
    return construct.point(longitude, latitude)


def line(env: "Env", *places: Datum) -> Geometry:
    """(ARRAY | Point)... -> LineString"""
    tick = ticks(env)
    return construct.line(_limited(env, construct.pairs(places, tick)), tick)


def polygon(env: "Env", *places: Datum) -> Geometry:
    """(ARRAY | Point)... -> Polygon, closed when it is not"""
    tick = ticks(env)
    coordinates = construct.closed(construct.pairs(places, tick))
    return construct.polygon(_limited(env, coordinates), tick)


def _limited(env: "Env", coordinates: list[Datum]) -> list[Datum]:
    if len(coordinates) > env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    return coordinates


def circle(env: "Env", center: Datum, radius: Datum, *, opts: "Options") -> Geometry:
    """(ARRAY | Point), NUMBER -> Polygon, or LineString when not to be filled"""
    filled = not opts.has("fill") or is_truthy(opts.value("fill"))
    vertices = VERTICES_DEFAULT
    if opts.has("num_vertices"):
        vertices = to_uint32(_number(opts.value("num_vertices")))
        if not vertices:
            raise QueryLogicError("num_vertices must be positive.", "num_vertices")
    earth = geo_system(opts)
    metres = unit(opts)
    place = shapes.read_place(center)
    length = _number(radius) * metres
    construct.check_radius(length, earth)
    if vertices >= env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    tick = ticks(env)
    corners = construct.circle(place, length, vertices, earth, tick)
    return construct.polygon(corners, tick) if filled else construct.line(corners, tick)


def distance(env: "Env", one: Datum, other: Datum, *, opts: "Options") -> int | float:
    """GEOMETRY, GEOMETRY -> NUMBER. One of them must be a Point."""
    earth = geo_system(opts)
    metres = unit(opts)
    tick = ticks(env)
    first = need_geometry(env, one, 0)
    if shapes.kind_of(first) == "Point":
        start = shapes.read_point(first)
        length = geodesic.distance_to(start, shapes.read(need_geometry(env, other, 1), tick), earth)
    else:
        start = shapes.read_point(need_geometry(env, other, 1))
        length = geodesic.distance_to(start, shapes.read(first, tick), earth)
    return number(length / metres)


def intersects(env: "Env", value: Datum, other: Datum) -> bool | list[Datum]:
    """GEOMETRY, GEOMETRY -> BOOL | ARRAY, GEOMETRY -> ARRAY of those that meet it"""
    return _each(env, "intersects", geometries_intersect, value, other)


def includes(env: "Env", value: Datum, inner: Datum) -> bool | list[Datum]:
    """Polygon, GEOMETRY -> BOOL | ARRAY, GEOMETRY -> ARRAY of those that hold it"""
    return _each(env, "includes", geometry_includes, value, inner)


def _each(
    env: "Env",
    name: str,
    holds: Callable[[Geometry, Geometry, Tick], bool],
    value: Datum,
    other: Datum,
) -> bool | list[Datum]:
    tick = ticks(env)
    if not isinstance(value, list):
        return holds(need_geometry(env, value, 0), need_geometry(env, other, 1), tick)
    kept: list[Datum] = []
    for row in value:
        if isinstance(row, list):
            raise QueryLogicError(f"Cannot perform {name} on a sequence of sequences.")
        try:
            if holds(need_geometry(env, row, None), need_geometry(env, other, 1), tick):
                kept.append(row)
        except NonExistenceError:  # as a filter does
            continue
    return kept


def compile_predicate(c: "Compiler", term: "Term") -> "Node":
    """On data the term is done at once; on anything else it filters rows."""
    first = c.compile(term.args[0])
    if first.kind in PLAIN:
        return c._plain(term, [first, *[c.compile(arg) for arg in term.args[1:]]])
    return over_rows(c, term, first, "filter")


def fill(env: "Env", geometry: Geometry) -> Geometry:
    """LineString -> Polygon"""
    tick = ticks(env)
    coordinates = construct.closed(construct.line_coordinates(geometry, tick))
    return construct.polygon(_limited(env, coordinates), tick)


def polygon_sub(env: "Env", outer: Geometry, hole: Geometry) -> Geometry:
    """Polygon, Polygon -> Polygon with a hole"""
    return construct.polygon_with_hole(outer, hole, ticks(env))


# ---- optional arguments shared with GET_NEAREST


def geo_system(opts: "Options") -> Ellipsoid:
    """The ellipsoid to measure on: a name, or an object with `a` and `f`."""
    if not opts.has("geo_system"):
        return WGS84
    value = opts.value("geo_system")
    try:
        if isinstance(value, dict):
            return geodesic.ellipsoid(_field(value, "a"), _field(value, "f"))
        if not isinstance(value, str):
            raise wrong_datum("STRING", value)
        return geodesic.named_ellipsoid(value)
    except QueryLogicError as error:
        error.at = ("geo_system",)
        raise


def _field(value: dict[str, Any], key: str) -> float:
    if key not in value:
        raise NonExistenceError(f"No attribute `{key}` in object:\n{pretty(value)}")
    return _number(value[key])


def _number(value: Datum) -> float:
    if value.__class__ is not int and value.__class__ is not float:
        raise wrong_datum("NUMBER", value)
    return value


def unit(opts: "Options") -> float:
    """The length in metres of the unit of distance."""
    if not opts.has("unit"):
        return 1.0
    value = opts.value("unit")
    if not isinstance(value, str):
        raise wrong_datum("STRING", value)
    return geodesic.metres_of(value)


_GEO: Final = Determinism.GEO

TERMS: Final = (
    TermSpec(157, "geojson", exactly(1), geojson, args=(Arg.DATUM,), determinism=_GEO),
    TermSpec(158, "to_geojson", exactly(1), to_geojson, args=(Arg.GEOMETRY,)),
    TermSpec(159, "point", exactly(2), point, args=(Arg.NUMBER, Arg.NUMBER)),
    TermSpec(160, "line", at_least(2), line, determinism=_GEO),
    TermSpec(161, "polygon", at_least(3), polygon, determinism=_GEO),
    TermSpec(
        162,
        "distance",
        exactly(2),
        distance,
        args=(Arg.DATUM, Arg.DATUM),
        optargs=("geo_system", "unit"),
        determinism=_GEO,
    ),
    TermSpec(
        163,
        "intersects",
        exactly(2),
        intersects,
        compile_predicate,
        args=(Arg.DATUM, Arg.DATUM),
        determinism=_GEO,
        grouped=Grouped.STREAM,
    ),
    TermSpec(
        164,
        "includes",
        exactly(2),
        includes,
        compile_predicate,
        args=(Arg.DATUM, Arg.DATUM),
        determinism=_GEO,
        grouped=Grouped.STREAM,
    ),
    TermSpec(
        165,
        "circle",
        exactly(2),
        circle,
        args=(Arg.DATUM, Arg.DATUM),
        optargs=("num_vertices", "geo_system", "unit", "fill"),
        determinism=_GEO,
    ),
    TermSpec(167, "fill", exactly(1), fill, args=(Arg.GEOMETRY,), determinism=_GEO),
    TermSpec(
        171,
        "polygon_sub",
        exactly(2),
        polygon_sub,
        args=(Arg.GEOMETRY, Arg.GEOMETRY),
        determinism=_GEO,
    ),
)
