"""Search in growing rings: the nearest geometries of an index, in order of distance.

Purpose: read only as much of a geo index as the wanted number of results needs. What always holds: when a ring of
some radius has been searched, everything not further than that radius is known; only then it is handed out.
Callers: GET_NEAREST.
"""

from collections.abc import Callable, Hashable, Iterable
from heapq import heappop, heappush
from math import cos, pi
from typing import Any, Final, Generic, NamedTuple, TypeVar

from rethought.datum.geo.cells import KeyRange, cap_ranges, together, without
from rethought.datum.geo.construct import check_radius
from rethought.datum.geo.geodesic import Ellipsoid, distance_to
from rethought.datum.geo.shapes import Point, Shape
from rethought.errors import QueryLogicError

Item = TypeVar("Item")

FIRST_RADIUS: Final = 1e-4  # of the equator's: some 640 m on Earth
GROWTH: Final = 2.0
_OUTLINE: Final = cos(pi / 8)
_MARGIN: Final = 1.01
"""The original searches a ring as an octagon round it, one per cent larger; its corners must stay within the limit
of a circle's radius, and the message for that says where they are."""


class Candidate(NamedTuple, Generic[Item]):
    """Something an index holds. `identity` tells candidates apart and orders equal distances."""

    identity: Any
    shape: Shape
    item: Item


def nearest(
    center: Point,
    earth: Ellipsoid,
    *,
    distance_max: float,
    results_max: int,
    search: Callable[[list[KeyRange]], Iterable[Candidate[Item]]],
) -> list[tuple[float, Item]]:
    """Up to `results_max` items within `distance_max` (ellipsoid's unit, included), nearest first.

    `search` reads the index; each time it is asked for what was not searched before. It may give a candidate again.
    Raises QueryLogicError when the search would have to go further than circles may be large.
    """
    known: set[Hashable] = set()
    waiting: list[tuple[float, Any, Item]] = []
    found: list[tuple[float, Item]] = []
    searched: list[KeyRange] = []
    radius = min(distance_max, earth.equator_radius * FIRST_RADIUS)
    while True:
        _check_reach(radius, earth)
        ring = cap_ranges(center, earth.angle_max(radius))
        fresh = without(ring, searched)
        searched = together(searched, ring)
        for identity, shape, item in search(fresh):
            if identity in known:
                continue
            known.add(identity)
            distance = distance_to(center, shape, earth)
            if distance <= distance_max:
                heappush(waiting, (distance, identity, item))
        while waiting and waiting[0][0] <= radius and len(found) < results_max:
            distance, _, item = heappop(waiting)
            found.append((distance, item))
        if len(found) >= results_max or radius >= distance_max:
            return found
        radius = min(radius * GROWTH, distance_max)


def _check_reach(radius: float, earth: Ellipsoid) -> None:
    try:
        check_radius(radius * (_MARGIN / (1 - earth.flattening)) / _OUTLINE, earth)
    except QueryLogicError as error:
        raise QueryLogicError(
            "The distance has become too large for continuing the indexed nearest traversal.  "
            f"Consider specifying a smaller `max_dist` parameter.  ({error.message})"
        ) from None
