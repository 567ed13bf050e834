"""GET_INTERSECTING and GET_NEAREST: searches in a geospatial index.

What always holds: an index holds cells, and cells only propose; the geometry of the row itself decides. A row of a
multi index counts once for every one of its geometries that fits. The index is looked at when rows are read.
Callers: `reql.terms` joins `TERMS`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rethought.datum.geo.cells import KeyRange, query_ranges
from rethought.datum.geo.nearest import Candidate, nearest
from rethought.datum.geo.predicates import geometries_intersect
from rethought.datum.geo.shapes import read, read_place
from rethought.datum.keys import primary_key
from rethought.datum.values import number
from rethought.errors import QueryLogicError, ResourceLimitError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.env import Env, Options, too_many
from rethought.exec.table import Selection, Table
from rethought.exec.values import Generated, Stream, need_geometry, need_int, need_number
from rethought.reql.geo_index import geometries, index_function
from rethought.reql.spec import Arg, Determinism, Effect, TermSpec, exactly
from rethought.reql.terms.geo import geo_system, ticks, unit
from rethought.reql.terms.selecting import index_name

RESULTS_DEFAULT: Final = 100
DISTANCE_DEFAULT: Final = 100_000.0
PAGE: Final = 500


def get_intersecting(env: Env, target: Selection, geometry: Any, *, opts: Options) -> Stream:
    """TABLE, GEOMETRY, index -> SELECTION<STREAM>"""
    table = target.table
    assert table is not None
    index = _index_of(table, opts, "get_intersecting")
    geometry = need_geometry(env, geometry, 1)

    def chunks(env: Env) -> Iterator[Chunk]:
        out: list[Any] = []
        total = 0
        tick = ticks(env)
        ranges = query_ranges(geometry, tick)
        for _, shape, row in _found(env, table, index, "get_intersecting", ranges):
            if not geometries_intersect(geometry, shape, tick):
                continue
            out.append(row)
            total += 1
            if total > env.array_limit:
                raise ResourceLimitError(
                    "Array size limit exceeded during geospatial index traversal.", frames=()
                )
            if len(out) >= PAGE:
                yield of_rows(out)
                out = []
        if out:
            yield of_rows(out)

    return Stream(Generated(chunks), table=table)


def get_nearest(env: Env, target: Selection, center: Any, *, opts: Options) -> list[dict[str, Any]]:
    """TABLE, (ARRAY | Point), index [, max_results, max_dist, unit, geo_system] -> ARRAY of {dist, doc}"""
    table = target.table
    assert table is not None
    index = _index_of(table, opts, "get_nearest")
    place = read_place(center)
    earth = geo_system(opts)
    metres = unit(opts)
    reach = DISTANCE_DEFAULT
    if opts.has("max_dist"):
        reach = need_number(env, opts.value("max_dist"), "max_dist") * metres
        if reach <= 0:
            raise QueryLogicError("max_dist must be positive.", "max_dist")
    most = RESULTS_DEFAULT
    if opts.has("max_results"):
        most = need_int(env, opts.value("max_results"), "max_results")
        if most <= 0:
            raise QueryLogicError("max_results must be positive.", "max_results")
    tick = ticks(env)

    def search(ranges: list[KeyRange]) -> Iterable[Candidate[Any]]:
        for identity, shape, row in _found(env, table, index, "get_nearest", ranges):
            yield Candidate(identity, read(shape, tick), row)

    try:
        found = nearest(place, earth, distance_max=reach, results_max=most, search=search)
    except QueryLogicError as error:
        error.frames = ()
        raise
    if len(found) > env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    return [{"dist": number(distance / metres), "doc": row} for distance, row in found]


def _index_of(table: Table, opts: Options, term: str) -> str:
    name = index_name(opts)
    if name is None:
        raise QueryLogicError(f"{term} requires an index argument.")
    if name == table.primary_key:
        raise QueryLogicError(f"{term} cannot use the primary index.")
    return name


def _found(
    env: Env, table: Table, name: str, term: str, ranges: list[KeyRange]
) -> Iterator[tuple[tuple[bytes, int], dict[str, Any], Any]]:
    """Every geometry with a cell in these ranges, once: which it is, itself, and its row."""
    index = table.index(name)
    if not index.geo:
        raise QueryLogicError(
            f"Index `{name}` is not a geospatial index.  {term} can only be used with a "
            "geospatial index.",
            frames=(),
        )
    function = index_function(index)
    seen: set[bytes] = set()
    for chunk in table.range_chunks(env, index, ranges):
        env.tick()
        for row in chunk.datums():
            key = primary_key(row[table.primary_key])
            if key in seen:
                continue
            seen.add(key)
            for at, shape in enumerate(geometries(function, row, multi=index.multi)):
                yield (key, at), shape, row


TERMS: Final = (
    TermSpec(
        166,
        "get_intersecting",
        exactly(2),
        run=get_intersecting,
        args=(Arg.WHOLE, Arg.DATUM),
        optargs=("index",),
        effect=Effect.READ,
        determinism=Determinism.NEVER,
        datum=False,
    ),
    TermSpec(
        168,
        "get_nearest",
        exactly(2),
        run=get_nearest,
        args=(Arg.WHOLE, Arg.DATUM),
        optargs=("index", "max_results", "max_dist", "unit", "geo_system"),
        effect=Effect.READ,
        determinism=Determinism.NEVER,
    ),
)
