"""Polygons whose holes have edges in common with the shell or with each other."""

from hypothesis import given
from hypothesis import strategies as st

from rethought.datum.geo.predicates import geometries_intersect
from rethought.datum.geo.shapes import read
from rethought.datum.values import Datum

SIDE = 4
STEP = 0.5

Cell = tuple[int, int]
Block = tuple[int, int, int, int]


def around(block: Block) -> list[Datum]:
    """The ring round a block of cells, with a corner at each cell."""
    west, south, east, north = block
    corners = [(x, south) for x in range(west, east)]
    corners += [(east, y) for y in range(south, north)]
    corners += [(x, north) for x in range(east, west, -1)]
    corners += [(west, y) for y in range(north, south - 1, -1)]
    return [[10 + STEP * x, 20 + STEP * y] for x, y in corners]


def cells(block: Block) -> set[Cell]:
    west, south, east, north = block
    return {(x, y) for x in range(west, east) for y in range(south, north)}


@st.composite
def blocks(draw: st.DrawFn) -> list[Block]:
    """Some that have no cell in common."""
    chosen: list[Block] = []
    taken: set[Cell] = set()
    for _ in range(draw(st.integers(1, 5))):
        west, south = draw(st.integers(0, SIDE - 1)), draw(st.integers(0, SIDE - 1))
        block = (west, south, draw(st.integers(west + 1, SIDE)), draw(st.integers(south + 1, SIDE)))
        if not cells(block) & taken:
            taken |= cells(block)
            chosen.append(block)
    return chosen


@given(blocks())
def test_a_cell_is_outside_just_when_it_is_in_a_hole(holes: list[Block]) -> None:
    whole = (0, 0, SIDE, SIDE)
    polygon: dict[str, Datum] = {
        "$reql_type$": "GEOMETRY",
        "type": "Polygon",
        "coordinates": [around(whole), *map(around, holes)],
    }
    read(polygon)
    outside = set().union(*map(cells, holes))
    for x, y in cells(whole):
        middle: dict[str, Datum] = {
            "$reql_type$": "GEOMETRY",
            "type": "Point",
            "coordinates": [10 + STEP * (x + 0.5), 20 + STEP * (y + 0.5)],
        }
        assert geometries_intersect(polygon, middle) is ((x, y) not in outside)
