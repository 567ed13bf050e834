"""How much a value would be if it were written out.

A value in memory may hold the same array many times over, and that array another one many times over: a few hundred
bytes that take forever to write, to compare or to sort. What always holds: a value that could have become such a thing
is weighed before anybody gets it; weighing stops at what one value may be. Called by generated code and by terms
that repeat values.
"""

from typing import TYPE_CHECKING, Any, Final

from rethought.errors import ResourceLimitError
from rethought.exec.env import VALUE_SHARE, too_large

if TYPE_CHECKING:
    from rethought.exec.env import Env

PART_BYTES: Final = 16
"""What an element or a key counts for."""

VALUE_BYTES: Final = 100
"""What an array or an object counts for besides."""

_LOT: Final = 20_000


def check_weight(env: "Env", value: Any, times: int = 1) -> None:
    """Raises ResourceLimitError when `times` such values, written out, are more than one value may be."""
    most = env.limits.query_memory_bytes // VALUE_SHARE // times
    weight = looked = 0
    stack: list[Any] = [value]
    while stack:
        part = stack.pop()
        kind = part.__class__
        if kind is str:
            weight += len(part)
        elif kind is list:
            weight += VALUE_BYTES + PART_BYTES * len(part)
            looked += len(part)
            stack += [inner for inner in part if inner.__class__ in _HEAVY]
        elif kind is dict:
            weight += VALUE_BYTES + PART_BYTES * len(part) + sum(map(len, part))
            looked += len(part)
            stack += [inner for inner in part.values() if inner.__class__ in _HEAVY]
        if weight > most:
            raise ResourceLimitError(too_large(env.limits.query_memory_bytes // VALUE_SHARE))
        looked += 1
        if looked > _LOT:
            looked = 0
            env.tick()


_HEAVY: Final = frozenset({str, list, dict})


def weighed(env: "Env", value: Any) -> Any:
    """The value, if it is not too heavy."""
    if value.__class__ is list or value.__class__ is dict:
        check_weight(env, value)
    return value
