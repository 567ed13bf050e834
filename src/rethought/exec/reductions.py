"""Reductions: count, sum, avg, min, max, reduce, each as (start, extract, fold, merge, finish).

What always holds: folding in any order and merging partial states gives the same result (up to the last digits of a
float), so the part up to the merge can run wherever the rows are. `extract` looks into a chunk once, in projected
form where it can (`glance` leaves even that for later); `fold` sees only what was extracted. Run over streams and,
per group, by `exec.grouping`.
"""

import sys
from functools import reduce
from itertools import repeat
from operator import add, itemgetter
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.order import compare
from rethought.datum.values import number, type_name
from rethought.errors import NonExistenceError, QueryLogicError, ReqlError
from rethought.exec.chunk import Chunk
from rethought.exec.functions import Function
from rethought.exec.weight import weighed

if TYPE_CHECKING:
    from rethought.exec.env import Env
    from rethought.exec.values import Stream

SKIP: Final = object()
_NUMBERS: Final = ({int}, {float}, {int, float})
_PLAIN: Final = (*_NUMBERS, {str})
_KEY: Final = itemgetter(0)


class Reduction:
    """The base; see the module."""

    name = ""
    counts = False  # needs only how many rows there are
    ordered = True  # the result may tell in which order the rows came

    def looks(self) -> Function | None:
        """The function that `extract` runs on each row."""
        return None

    def start(self) -> Any:
        raise NotImplementedError

    def extract(self, env: "Env", chunk: Chunk) -> list[Any]:
        """What fold needs of each row, SKIP for rows that do not take part."""
        raise NotImplementedError

    def glance(self, env: "Env", chunk: Chunk) -> list[Any]:
        """As `extract`, but what it gives may refer to the chunk, until a state made of it is settled."""
        return self.extract(env, chunk)

    def fold(self, env: "Env", state: Any, values: list[Any]) -> Any:
        raise NotImplementedError

    def settle(self, state: Any) -> Any:
        """The state without a chunk in it."""
        return state

    def merge(self, env: "Env", left: Any, right: Any) -> Any:
        raise NotImplementedError

    def finish(self, env: "Env", state: Any) -> Any:
        raise NotImplementedError

    def skipped(self, state: Any) -> bool:
        """Whether a group with this state disappears."""
        return False


class Count(Reduction):
    name = "count"
    counts = True
    ordered = False

    def start(self) -> int:
        return 0

    def extract(self, env: "Env", chunk: Chunk) -> list[Any]:
        return [None] * chunk.count

    def fold(self, env: "Env", state: int, values: list[Any]) -> int:
        return state + len(values)

    def merge(self, env: "Env", left: int, right: int) -> int:
        return left + right

    def finish(self, env: "Env", state: int) -> int:
        return state


def keys_of(function: Function | None, chunk: Chunk) -> list[Any]:
    """A key function's values for the rows, SKIP where it finds nothing."""
    if function is None:
        return chunk.datums()
    return function.found(chunk, SKIP)


if sys.version_info < (3, 12):
    _added: Final = sum
else:

    def _added(values: list[Any], start: float) -> float:
        """Doubles one after the other, as the original adds them: `sum` compensates for what they lose."""
        return reduce(add, values, start)


class Sum(Reduction):
    """Adds numbers; rows whose field is missing or null do not take part."""

    name = "sum"
    ordered = False

    def __init__(self, function: Function | None) -> None:
        self.function = function

    def looks(self) -> Function | None:
        return self.function

    def start(self) -> Any:
        return (0.0, 0)

    def extract(self, env: "Env", chunk: Chunk) -> list[Any]:
        return keys_of(self.function, chunk)

    def fold(self, env: "Env", state: Any, values: list[Any]) -> Any:
        total, count = state
        if set(map(type, values)) not in _NUMBERS:
            values = [value for value in values if value is not SKIP and self.is_number(value)]
        return (_added(values, total), count + len(values))

    def is_number(self, value: Any) -> bool:
        if value.__class__ is int or value.__class__ is float:
            return True
        if value is None:
            return False
        raise QueryLogicError(f"Expected type NUMBER but found {type_name(value)}.")

    def merge(self, env: "Env", left: Any, right: Any) -> Any:
        return (left[0] + right[0], left[1] + right[1])

    def finish(self, env: "Env", state: Any) -> Any:
        return number(state[0])

    def skipped(self, state: Any) -> bool:
        return not state[1]


class Average(Sum):
    name = "avg"

    def finish(self, env: "Env", state: Any) -> Any:
        total, count = state
        if not count:
            raise NonExistenceError(empty_message("take the average of", "avg"))
        return number(total / count)


class Extreme(Reduction):
    """The first row with the smallest (sign 1) or largest (sign -1) key."""

    def __init__(self, name: str, function: Function | None, sign: int) -> None:
        self.name = name
        self.function = function
        self.sign = sign

    def looks(self) -> Function | None:
        return self.function

    def start(self) -> Any:
        return None

    def extract(self, env: "Env", chunk: Chunk) -> list[Any]:
        keys = keys_of(self.function, chunk)
        rows = chunk.datums()
        return [SKIP if key is SKIP else (key, row) for key, row in zip(keys, rows, strict=True)]

    def glance(self, env: "Env", chunk: Chunk) -> list[Any]:
        """Rows are looked at where their keys win, so a row is its place and its chunk."""
        keys = keys_of(self.function, chunk)
        places = zip(keys, range(len(keys)), repeat(chunk))
        return [SKIP if place[0] is SKIP else place for place in places]

    def fold(self, env: "Env", state: Any, values: list[Any]) -> Any:
        found = [value for value in values if value is not SKIP]
        if not found:
            return state
        kinds = {value[0].__class__ for value in found}
        if kinds in _PLAIN:  # Python's order is the protocol's; of equal ones both take the first
            best = (min if self.sign > 0 else max)(found, key=_KEY)
            if state is None or compare(best[0], state[0]) * self.sign < 0:
                state = best
            return state
        for value in found:
            if state is None or compare(value[0], state[0]) * self.sign < 0:
                state = value
        return state

    def settle(self, state: Any) -> Any:
        return (
            (state[0], state[2].row(state[1])) if state is not None and len(state) == 3 else state
        )

    def merge(self, env: "Env", left: Any, right: Any) -> Any:
        if left is None or right is None:
            return left if right is None else right
        return self.fold(env, left, [right])

    def finish(self, env: "Env", state: Any) -> Any:
        if state is None:
            raise NonExistenceError(empty_message(f"take the {self.name} of", self.name))
        return state[1]

    def skipped(self, state: Any) -> bool:
        return state is None


class Reduce(Reduction):
    """A user's function of two arguments."""

    name = "reduce"

    def __init__(self, function: Function) -> None:
        self.function = function

    def start(self) -> Any:
        return SKIP

    def extract(self, env: "Env", chunk: Chunk) -> list[Any]:
        return chunk.datums()

    def fold(self, env: "Env", state: Any, values: list[Any]) -> Any:
        function = self.function
        if function.arity not in (0, 2):
            values = values[:2] if state is SKIP else values[:1]
        for value in values:
            if state is SKIP:
                state = value
            else:
                env.tick()
                state = function.invoke(state, value)
        return state

    def merge(self, env: "Env", left: Any, right: Any) -> Any:
        if left is SKIP or right is SKIP:
            return left if right is SKIP else right
        return self.function.invoke(left, right)

    def finish(self, env: "Env", state: Any) -> Any:
        if state is SKIP:
            raise NonExistenceError(
                "Cannot reduce over an empty stream.", frames=self.function.place
            )
        return weighed(env, state)

    def skipped(self, state: Any) -> bool:
        return state is SKIP


def empty_message(what: str, name: str) -> str:
    return (
        f"Cannot {what} an empty stream.  (If you passed `{name}` a field name, it may be that no "
        "elements of the stream had that field.)"
    )


def reduce_stream(env: "Env", stream: "Stream", reduction: Reduction) -> Any:
    """A whole stream to one value."""
    stream.refuse_endless()
    state = reduction.start()
    if reduction.counts:
        for chunk in stream.chunks(env):
            env.tick()
            state += chunk.count
        return state
    first = True
    try:
        for chunk in stream.chunks(env, settled=reduction.ordered):
            env.tick()
            state = reduction.fold(env, state, reduction.glance(env, chunk))
            state = reduction.settle(state)
            first = False
    except ReqlError:
        if first and not reduction.ordered:  # of several errors the first row's counts
            state = reduction.start()
            for chunk in stream.chunks(env, settled=True):
                state = reduction.fold(env, state, reduction.extract(env, chunk))
        raise
    return reduction.finish(env, state)
