"""Keys of a geo index: the S2 cells that cover a geometry, and the ranges of keys to search for one.

Purpose: a geometry is stored under each cell of a covering; two geometries can only meet when a cell of one holds,
or lies in, a cell of the other. Invariants:
  1. A key is the cell's number in 8 bytes, big end first. Cells inside a cell are the numbers around its own, so they
     are one range of keys; the cells round it are at most 15 more keys.
  2. A point is stored as a smallest cell (all of them when it lies on a boundary); others as at most `CELLS_MAX` cells
     of even level, and the smallest cells at corners that the covering misses by rounding.
  3. Ranges of one query are in order and do not overlap, both ends included. What they find are candidates: a
     geometry may come more than once and need not meet; `predicates.intersects` decides.
Callers: the catalog's index rules, GET_INTERSECTING, and `nearest`.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from rethought.datum.geo import sphere
from rethought.datum.geo.shapes import (
    TICK_POSITIONS,
    Line,
    Point,
    Shape,
    Tick,
    no_tick,
    read,
)
from rethought.datum.values import Datum, is_geometry
from rethought.errors import QueryLogicError

KeyRange: TypeAlias = tuple[bytes, bytes]

CELLS_MAX: Final = 8
QUERY_CELLS_MAX: Final = 16
LEVEL_MAX: Final = 24  # cells of some half metre; nothing but points is stored finer
LEVEL_STEP: Final = 2
"""Only every second level is stored: a search tries half the parents, a covering has at most a few more cells."""


def index_cells(geometry: dict[str, Datum]) -> list[bytes]:
    """The keys to store a geometry under. Raises QueryLogicError when it is not a valid one."""
    return shape_cells(read(geometry))


def indexed_geometries(value: Datum, *, multi: bool) -> list[dict[str, Datum]]:
    """The geometries that an index holds of its function's value: what is none, or is not valid, is left out.

    With `multi` those of an array, in its order; each is an entry of its own.
    """
    values = value if multi and isinstance(value, list) else [value]
    found = []
    for part in values:
        if isinstance(part, dict) and is_geometry(part):
            try:
                read(part)
            except QueryLogicError:
                continue
            found.append(part)
    return found


def shape_cells(shape: Shape) -> list[bytes]:
    if isinstance(shape, Point):
        return [_key(cell) for cell in sphere.leaf_cells(shape.vertex)]
    cells = sphere.covering(
        _region(shape), cells_max=CELLS_MAX, level_max=LEVEL_MAX, level_step=LEVEL_STEP
    )
    return [_key(cell) for cell in sorted([*cells, *_missed_corners(shape, cells)])]


def query_ranges(geometry: dict[str, Datum], tick: Tick = no_tick) -> list[KeyRange]:
    """Where to look for geometries that may meet this one."""
    return shape_ranges(read(geometry, tick), tick)


def shape_ranges(shape: Shape, tick: Tick = no_tick) -> list[KeyRange]:
    if isinstance(shape, Point):
        return _ranges(sphere.leaf_cells(shape.vertex))
    cells = sphere.covering(_region(shape), cells_max=QUERY_CELLS_MAX, level_max=sphere.LEAF_LEVEL)
    return _ranges([*cells, *_missed_corners(shape, cells, tick)])


def cap_ranges(center: Point, radius: float) -> list[KeyRange]:
    """Where to look for geometries with a point within `radius` radians of a place."""
    region = sphere.cap(center.vertex, radius + 1e-14)
    return _ranges(sphere.covering(region, cells_max=QUERY_CELLS_MAX, level_max=sphere.LEAF_LEVEL))


def without(ranges: list[KeyRange], known: list[KeyRange]) -> list[KeyRange]:
    """What is in `ranges` and in none of `known`; both are in order and do not overlap."""
    rest = []
    at = 0
    for start, last in ranges:
        while at < len(known) and known[at][1] < start:
            at += 1
        ahead = at
        low = start
        while ahead < len(known) and known[ahead][0] <= last:
            if low < known[ahead][0]:
                rest.append((low, _before(known[ahead][0])))
            low = max(low, _after(known[ahead][1]))
            ahead += 1
        if low <= last:
            rest.append((low, last))
    return rest


def together(one: list[KeyRange], other: list[KeyRange]) -> list[KeyRange]:
    """What is in either of two lists of ranges, in order and without overlap."""
    merged: list[KeyRange] = []
    for start, last in sorted(one + other):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((start, last))
    return merged


def _after(key: bytes) -> bytes:
    return (int.from_bytes(key, "big") + 1).to_bytes(9, "big")[-8:]


def _before(key: bytes) -> bytes:
    return (int.from_bytes(key, "big") - 1).to_bytes(8, "big")


def _region(shape: Shape) -> object:
    assert not isinstance(shape, Point)
    return shape.polyline if isinstance(shape, Line) else shape.region


def _missed_corners(shape: Shape, cells: list[int], tick: Tick = no_tick) -> set[int]:
    """Smallest cells at corners, outside the covering: things may touch exactly there, on the line between cells."""
    assert not isinstance(shape, Point)
    if isinstance(shape, Line):
        corners: Iterable[sphere.Vertex] = shape.vertices
    else:
        corners = (corner for loop in sphere.polygon_loops(shape.region) for corner in loop)
    covered = [sphere.cell_range(cell) for cell in cells]
    finest = max(map(sphere.cell_level, cells), default=0)
    missed = set()
    for at, corner in enumerate(corners, 1):
        if at % TICK_POSITIONS == 0:
            tick()
        if sphere.is_near_cell_edge(sphere.components(corner), finest):
            for leaf in sphere.leaf_cells(corner):
                if not any(lowest <= leaf <= highest for lowest, highest in covered):
                    missed.add(leaf)
    return missed


def _ranges(cells: list[int]) -> list[KeyRange]:
    merged: list[list[int]] = []
    for lowest, highest in sorted(sphere.cell_range(cell) for cell in cells):
        if merged and lowest <= merged[-1][1] + 2:  # cell numbers are odd: neighbours are 2 apart
            merged[-1][1] = max(merged[-1][1], highest)
        else:
            merged.append([lowest, highest])
    around = {parent for cell in cells for parent in sphere.cell_parents(cell, LEVEL_STEP)}
    for parent in around:
        if not any(lowest <= parent <= highest for lowest, highest in merged):
            merged.append([parent, parent])
    return [(_key(lowest), _key(highest)) for lowest, highest in sorted(merged)]


def _key(cell: int) -> bytes:
    return cell.to_bytes(8, "big")
