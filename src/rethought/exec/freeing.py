"""Frees large values some at a time: letting go of an array of a hundred thousand objects takes as long as making it.

What always holds: nothing is taken apart that somebody else refers to. The containers handed in are their owner's
alone; what is found inside them is taken apart only where nothing else holds it (Python counts references).
Called by `exec.schedule` between turns, by `exec.env` in the midst of a query, by `reql` for what it compiled.
"""

from collections.abc import Callable, Collection, Iterator
from sys import getrefcount
from typing import Any, Final

LOT: Final = 100
"""So many are freed at a time; what is no larger goes in one piece."""
_DEPTH: Final = 2
_CONTAINERS: Final[frozenset[type]] = frozenset({list, dict})


def free_some(owned: list[Any], lot: int = LOT) -> None:
    """Frees some of what is in the last of these containers, which is gone when it is empty."""
    container = owned[-1]
    if isinstance(container, dict):
        freed = [container.popitem()[1] for _ in range(min(lot, len(container)))]
    else:
        freed = container[-lot:]
        del container[-lot:]
    if not container:
        owned.pop()
    # Rows are of one kind, nearly always: what stands at both ends tells of all.
    if freed and (freed[0].__class__ in _CONTAINERS or freed[-1].__class__ in _CONTAINERS):
        _find_large(freed, _DEPTH, owned)


def _counted(parts: Collection[Any]) -> Iterator[tuple[Any, int]]:
    """Each with its references, counted where no variable of Python's is one of them: versions differ in these."""
    return zip(parts, map(getrefcount, parts), strict=True)


_ALONE: Final = next(_counted([object()]))[1]
"""The references to something that only its container has."""


def _find_large(parts: Collection[Any], depth: int, owned: list[Any]) -> None:
    """Adds the large containers in `parts` to those that are to be freed."""
    for part, references in _counted(parts):
        kind = part.__class__
        if kind in _CONTAINERS and references == _ALONE:
            if len(part) > LOT:
                owned.append(part)
            elif depth:
                _find_large(part.values() if kind is dict else part, depth - 1, owned)


def free_in_steps(owned: list[Any], pace: Callable[[], None]) -> None:
    """Frees these containers; `pace` is called in between."""
    while owned:
        free_some(owned)
        pace()


def unused(containers: list[Any]) -> list[Any]:
    """Takes those out that nobody else refers to."""
    alone = [each for each, references in _counted(containers) if references == _ALONE]
    if alone:
        known = set(map(id, alone))
        containers[:] = [each for each in containers if id(each) not in known]
    return alone
