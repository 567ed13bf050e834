"""GET_INTERSECTING before CHANGES.

What always holds: a change is looked at by those feeds whose region has one of its cells, and is in a feed as often as
it has geometries that intersect; the index is found by name when rows are looked at, so that without it the feed is
silent. Used by `reql.terms.changes`.
"""

from collections.abc import Iterator
from typing import Any, Final

from rethought.datum.geo.cells import query_ranges
from rethought.datum.geo.predicates import geometries_intersect
from rethought.datum.jsonbytes import encode
from rethought.datum.keys import primary_key
from rethought.exec.chunk import Chunk
from rethought.exec.env import Env, Options
from rethought.exec.values import Source, Stream
from rethought.feed.view import Region, View
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.geo_index import geometries, index_function
from rethought.reql.spec import Arg, Determinism, Effect, TermSpec, exactly
from rethought.reql.terms.geosearch import get_intersecting
from rethought.reql.tree import DATUM, Term

_GET_INTERSECTING: Final = 166
_UNION: Final = 44


class Intersecting(Source):
    """The rows of a GET_INTERSECTING, which also knows what was asked for."""

    def __init__(self, rows: Source, table: Any, index: str, geometry: Any) -> None:
        self.rows = rows
        self.table = table
        self.index = index
        self._geometry = geometry

    def chunks(self, env: Env, want: int) -> Iterator[Chunk]:
        return self.rows.chunks(env, want)

    def view(self) -> View:
        """What is asked for, in the feed room's terms."""
        geometry, name = self._geometry, self.index
        handle, primary = self.table.handle, self.table.primary_key

        def count(row: Any) -> int:
            index = handle.indexes.get(name)
            if index is None or not index.geo:
                return 0
            shapes = geometries(index_function(index), row, multi=index.multi)
            return sum([geometries_intersect(geometry, shape) for shape in shapes])

        ranges = tuple(query_ranges(geometry))
        region = Region(encode(geometry), ranges, count, lambda row: primary_key(row[primary]))
        return View(name, region=region)


def followed_intersecting(env: Env, target: Any, geometry: Any, opts: Options) -> Stream:
    """As GET_INTERSECTING, for a feed."""
    stream = get_intersecting(env, target, geometry, opts=opts)
    source = Intersecting(stream.source, stream.table, opts.value("index"), geometry)
    return Stream(source, table=stream.table)


def followed_tree(source: Term) -> Term:
    """The terms before CHANGES with GET_INTERSECTING as above."""
    if source.type == _GET_INTERSECTING:
        return Term(source.type, source.args, source.optargs, source.path, SPEC)
    if source.type == DATUM or not source.args:
        return source
    count = len(source.args) if source.type == _UNION else 1
    args = [followed_tree(arg) for arg in source.args[:count]] + source.args[count:]
    if all(new is old for new, old in zip(args, source.args, strict=True)):
        return source
    return Term(source.type, args, source.optargs, source.path, source.spec)


def _compile(c: Compiler, term: Term) -> Node:
    target, geometry = [c.compile(arg) for arg in term.args]
    line = c.line(term)
    code = c.call(
        "followed_intersecting",
        [
            c.name("env", line),
            target.code,
            c.check(geometry, Arg.GEOMETRY, line, 1),
            c.options(term),
        ],
        line,
    )
    return c.node(term, code, [target, geometry], Kind.VALUE)


SPEC: Final = TermSpec(
    _GET_INTERSECTING,
    "get_intersecting",
    exactly(2),
    compile=_compile,
    optargs=("index",),
    effect=Effect.READ,
    determinism=Determinism.NEVER,
    datum=False,
)
