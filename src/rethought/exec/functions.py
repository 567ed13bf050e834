"""Functions of ReQL at run time.

A function of one argument runs over whole chunks (`rows`), and over projected chunks where the compiler found that
it reads only a few top-level fields. What always holds: the projected form gives the same values as the full one or
raises, and whoever runs it falls back to the full form, which raises the right error. Called by operators and terms.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import compress
from operator import attrgetter
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rethought.errors import Frame, NonExistenceError, QueryLogicError, ReqlError
from rethought.exec.chunk import Chunk
from rethought.exec.projection import Projection, projection

if TYPE_CHECKING:
    from rethought.exec.env import Env
    from rethought.exec.reshaping import Recipe

_BOOLEAN: Final = 8
_DETERMINISM: Final = 7

ROWS_AT_FIRST: Final = 8
PIECE_S: Final = 0.001
SOON_S: Final = 1e-9
LOT: Final = 16
"""So many rows are tried at once where some raise: rows that lack a field are mostly few or many."""

SHARED_ROWS_MIN: Final = 50
SHARED_FIELDS_MAX: Final = 12

Rows = Callable[[list[Any]], list[Any]]


class ProjectionMissError(NonExistenceError):
    """A projected row lacks a field. The full form finds nothing there either, and says where."""

    _message = "No attribute in object."
    at = ()
    frames = None

    def __init__(self) -> None:  # raised once for every such row: nothing to be done then
        pass


class NotFlatError(Exception):
    """A value to merge has objects in it: what comes of it depends on what is there."""


FLAT: Final = frozenset({type(None), bool, int, float, str})
"""Values of these classes, and arrays of them, replace what is there."""


def flat(value: Any) -> Any:
    """A value that replaces what is there."""
    if value.__class__ in FLAT or (value.__class__ is list and FLAT.issuperset(map(type, value))):
        return value
    raise NotFlatError


class Function:
    """A function of any number of arguments. `term` is its FUNC term, None for one that was not sent as such."""

    __slots__ = ("arity", "call", "flags", "term")

    fields: frozenset[str] = frozenset()  # what it reads of projected rows, if it can do with such

    def __init__(self, arity: int, call: Callable[..., Any], flags: int, term: Any) -> None:
        self.arity = arity
        self.call = call
        self.flags = flags
        self.term = term

    @property
    def determinism(self) -> int:
        return self.flags & _DETERMINISM

    def invoke(self, *args: Any) -> Any:
        if self.arity and self.arity != len(args):
            raise self.refused(len(args))
        return self.call(*args) if self.arity else self.call()

    def over(self, rows: list[Any]) -> list[Any]:
        """The values of a function of one argument for these rows."""
        if self.arity == 0:
            return [self.call() for _ in rows]
        if self.arity != 1:
            raise self.refused(1)
        call = self.call
        return [call(row) for row in rows]

    def over_chunk(self, chunk: Chunk) -> list[Any]:
        return self.over(chunk.datums())

    def remade(self, chunk: Chunk) -> Chunk | None:
        """The values for these rows as rows made of others, None where that cannot be or takes a look at each."""
        return None

    def found(self, chunk: Chunk, missing: Any) -> list[Any]:
        """As `over_chunk`, with `missing` for the rows where the function finds nothing."""
        rows = chunk.datums()
        try:
            return self.over(rows)
        except NonExistenceError:
            return _one_by_one(self.over, missing)(rows)

    def refused(self, given: int) -> QueryLogicError:
        """The error of a call with the wrong number of arguments."""
        error = arity_error(given, self.arity)
        error.frames = self.place
        return error

    @property
    def place(self) -> tuple[Frame, ...] | None:
        """Where the body stands in the query."""
        return None if self.term is None else (*self.term.path, 1)

    @property
    def boolean(self) -> bool:
        return bool(self.flags & _BOOLEAN)


class RowFunction(Function):
    """A function of one argument that runs over chunks."""

    __slots__ = ("env", "fields", "first", "projection", "recipe", "rows")

    def __init__(
        self,
        rows: Rows,
        projection: tuple[Projection, Rows] | None,
        flags: int,
        term: Any,
        env: "Env | None" = None,
        first: str | None = None,
        recipe: "Recipe | None" = None,
    ) -> None:
        self.arity = 1
        self.first = (
            first  # the attribute of projected rows without which the function finds nothing
        )
        self.flags = flags
        self.term = term
        self.rows = rows
        self.projection = projection
        self.recipe = recipe
        self.fields = frozenset() if projection is None else projection[0].fields
        self.env = env  # None where nobody is to have a turn

    def call(self, row: Any) -> Any:
        """A method: an attribute with it would make a circle, and a query's environment would be garbage to collect."""
        return self.rows([row])[0]

    def over(self, rows: list[Any]) -> list[Any]:
        return self._paced(self.rows, rows)

    def over_chunk(self, chunk: Chunk) -> list[Any]:
        if self.projection is not None:
            projection, narrow = self.projection
            try:
                rows = chunk.project(projection)
                if rows is not None:
                    return self._paced(narrow, rows)
            except (ReqlError, msgspec.ValidationError):
                pass
        return self._paced(self.rows, chunk.datums())

    def remade(self, chunk: Chunk) -> Chunk | None:
        if self.recipe is None:
            return None
        try:
            return self.recipe.make(chunk, self._paced)
        except (ReqlError, msgspec.ValidationError):
            return None
        except NotFlatError:
            self.recipe = None  # nor will it be in other rows
            return None

    def found(self, chunk: Chunk, missing: Any) -> list[Any]:
        if self.projection is not None:
            projection, narrow = self.projection
            try:
                rows = chunk.project(projection)
                if rows is not None:
                    return self._found_where(narrow, rows, missing)
            except (ReqlError, msgspec.ValidationError):
                pass
        return self._found(self.rows, chunk.datums(), missing)

    def _found(self, function: Rows, rows: list[Any], missing: Any) -> list[Any]:
        try:
            return self._paced(function, rows)
        except NonExistenceError:
            return self._paced(_one_by_one(function, missing), rows)

    def _found_where(self, function: Rows, rows: list[Any], missing: Any) -> list[Any]:
        """As `_found` for projected rows; those that lack the first field are not even tried."""
        if self.first is None:
            return self._found(function, rows, missing)
        try:
            return self._paced(function, rows)
        except NonExistenceError:
            there = [value is not msgspec.UNSET for value in map(attrgetter(self.first), rows)]
            values = iter(self._found(function, list(compress(rows, there)), missing))
            return [next(values) if has else missing for has in there]

    def _paced(self, function: Rows, rows: list[Any]) -> list[Any]:
        """Few rows first, then as many as take a moment: nobody knows what a row costs in time and memory."""
        count = len(rows)
        env = self.env
        if count <= ROWS_AT_FIRST or env is None:
            return function(rows)
        out: list[Any] = []
        at = 0
        step = ROWS_AT_FIRST
        while at < count:
            begun = perf_counter()
            out += function(rows[at : at + step])
            at += step
            spent = perf_counter() - begun
            step = max(1, min(8 * step, env.lot(int(step * PIECE_S / (spent + SOON_S)))))
            env.tick()
        return out


def share(chunk: Chunk, functions: Sequence[Function | None]) -> None:
    """Decodes the rows of a chunk once with the fields of several functions that are going to look at them."""
    looking = [function.fields for function in functions if function is not None]
    looking = [fields for fields in looking if fields]
    if len(looking) < 2 or chunk.count < SHARED_ROWS_MIN:
        return
    together = frozenset().union(*looking)
    if len(together) <= SHARED_FIELDS_MAX and together not in looking:
        with suppress(msgspec.ValidationError):
            chunk.project(projection(tuple(sorted(together))))


def _one_by_one(function: Rows, missing: Any) -> Rows:
    """The same function, with `missing` for the rows that it finds nothing in."""

    def found(rows: list[Any]) -> list[Any]:
        out: list[Any] = []
        for at in range(0, len(rows), LOT):
            lot = rows[at : at + LOT]
            try:
                out += function(lot)
                continue
            except NonExistenceError:
                pass
            for row in lot:
                try:
                    out += function([row])
                except NonExistenceError:
                    out.append(missing)
        return out

    return found


def constant_function(call: Callable[[], Any], flags: int) -> Function:
    return Function(0, call, flags, None)


def arity_error(given: int, taken: int) -> QueryLogicError:
    def plural(count: int) -> str:
        return f"{count} argument{'' if count == 1 else 's'}"

    return QueryLogicError(
        f"Expected function with {plural(given)} but found function with {plural(taken)}."
    )
