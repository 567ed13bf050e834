"""GET_INTERSECTING before CHANGES.

What always holds: a feed follows the whole table and keeps the rows with a geometry in the index that intersects; the
index is found by name when rows are looked at, so that without it the feed is silent. Used by `reql.terms.changes`.
"""

from collections.abc import Iterator
from typing import Any, Final

from rethought.datum.geo.predicates import geometries_intersect
from rethought.datum.jsonbytes import encode
from rethought.exec.chunk import Chunk
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function, RowFunction
from rethought.exec.ops import Filter
from rethought.exec.values import Source, Stream
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.spec import Arg, Determinism, Effect, TermSpec, exactly
from rethought.reql.terms.geosearch import _function_of, _geometries, get_intersecting
from rethought.reql.tree import DATUM, Term

_GET_INTERSECTING: Final = 166
_UNION: Final = 44


class Intersecting(Source):
    """The rows of a GET_INTERSECTING, which also knows what was asked for."""

    def __init__(self, rows: Source, table: Any, index: str, geometry: Any) -> None:
        self.rows = rows
        self.table = table
        self.index = index
        self.geometry = geometry
        self._known: Any = None  # the index that `_compiled` is of
        self._compiled: Any = None

    def chunks(self, env: Env, want: int) -> Iterator[Chunk]:
        return self.rows.chunks(env, want)

    def test(self) -> Filter:
        """Whether a row is in the index and intersects."""
        return Filter(
            RowFunction(lambda rows: [self._intersects(row) for row in rows], None, 8, None)
        )

    def _intersects(self, row: Any) -> bool:
        index = self.table.handle.indexes.get(self.index)
        if index is None or not index.geo:
            return False
        return any(
            geometries_intersect(self.geometry, shape)
            for shape in _geometries(self._function(index), row, multi=index.multi)
        )

    def _function(self, index: Any) -> Function:
        if index is not self._known:
            self._known = index
            record = index.definition.function
            self._compiled = _function_of(encode([record.params, record.body]))
        compiled: Function = self._compiled
        return compiled


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
