"""Rows of a feed through the terms that stand before CHANGES.

What always holds: a row's value does not depend on the rows beside it; a row whose transformation fails, whatever the
error, and a value of null count as no row. Evaluation here never gives way: it happens between two commits.
Feeds whose queries differ in nothing but constants have one transformation (`shared`): its functions are those of the
first of these queries, with a list in place of that query's parameters, which is filled before they are called. What is
left of the others is their constants: parameters, data of variables outside, the time when the query began. Made by
`reql.feeds`, called by the feed room.
"""

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from types import CellType, FunctionType
from typing import Any, Final, NamedTuple

import msgspec

from rethought.datum.jsonbytes import encode
from rethought.errors import ReqlError
from rethought.exec.chunk import of_rows
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function, RowFunction, constant_function
from rethought.exec.matching import PatternFunction, rows_that_fit
from rethought.exec.ops import Filter, Map, MapSkip, Operator, apply_all
from rethought.exec.values import DATUM_CLASSES
from rethought.feed.conditions import Condition
from rethought.feed.documents import Documents
from rethought.reql.feed_text import SourceText, condition
from rethought.reql.spec import Determinism

_decode: Final = msgspec.json.Decoder(list[Any]).decode


class RowTransform:
    """The operators of feeds as one function of documents. `params` are the query's, or the list that stands for those
    of any query of its shape; its places that `varying` names are filled with constants. `text` is None where nothing
    is known of the rows."""

    __slots__ = (
        "__weakref__",
        "_cells",
        "_env",
        "_filter",
        "_keeps",
        "_ops",
        "_params",
        "_text",
        "_timed",
        "_varying",
    )

    def __init__(
        self,
        env: Env,
        ops: tuple[Operator, ...],
        text: SourceText | None,
        params: Any = (),
        varying: tuple[int, ...] = (),
        cells: tuple[tuple[CellType, int], ...] = (),
        *,
        timed: bool = False,
    ) -> None:
        self._env = env
        self._ops = ops
        self._keeps = all(op.keeps_rows for op in ops)
        self._text = text
        self._params = params
        self._varying = varying
        self._cells = cells
        self._timed = timed
        first: Any = ops[0]
        certain = first.__class__ is Filter and first.default is None
        self._filter: Function | None = first.predicate if certain else None

    def _put(self, constants: bytes | None) -> None:
        if constants is None or not (self._varying or self._timed):
            return
        values = _decode(constants)
        if self._timed:
            self._env.now = values.pop()
        for at, value in zip(self._varying, values, strict=True):
            self._params[at] = value
        for cell, at in self._cells:
            cell.cell_contents = self._params[at]

    def __call__(self, documents: Documents, constants: bytes | None) -> list[bytes | None]:
        self._put(constants)
        env = self._env
        env.memory_seen = env.memory_bytes = 0
        slice_end, undivided = env.slice_end, env.undivided
        env.hold_on()
        try:
            found = self._together(documents.data())
            if found is None:
                return [self._alone(row) for row in documents.data()]
        finally:
            env.slice_end, env.undivided = slice_end, undivided
        values: list[bytes | None] = [None] * len(documents)
        for at, value in found:
            if self._keeps:
                values[at] = bytes(documents.docs[at])
            elif value is not None:
                values[at] = encode(value)
        return values

    def admits(self, rows: list[Any], constants: bytes | None) -> bool:
        predicate = self._filter
        if predicate is None:
            return True
        self._put(constants)
        env = self._env
        slice_end, undivided = env.slice_end, env.undivided
        env.hold_on()
        try:
            mask = predicate.over(rows)
        except ReqlError:
            return any(self._admits(predicate, row) for row in rows)
        except RecursionError:
            return True
        finally:
            env.slice_end, env.undivided = slice_end, undivided
        return any(value is not None and value is not False for value in mask)

    def _admits(self, predicate: Function, row: Any) -> bool:
        try:
            value = predicate.over([row])[0]
        except (ReqlError, RecursionError):
            return False
        return value is not None and value is not False

    def is_of(self, env: Env) -> bool:
        """Whether it was made for this query alone, and needs what the query has."""
        return self._env is env

    def condition(self, constants: bytes | None) -> Condition | None:
        if self._text is None:
            return None
        self._put(constants)
        return condition(self._text, self._params)

    def _together(self, rows: list[Any]) -> list[tuple[int, Any]] | None:
        """Number and value of each row that has one; None when the rows must be looked at one by one."""
        at = list(range(len(rows)))
        try:
            for op in self._ops:
                inner: Any = op
                if isinstance(inner, Filter):
                    mask = inner.predicate.over(rows)
                    kept = [
                        number
                        for number, value in enumerate(mask)
                        if value is not None and value is not False
                    ]
                    if len(kept) < len(rows):
                        rows = [rows[number] for number in kept]
                        at = [at[number] for number in kept]
                elif inner.__class__ is Map or inner.__class__ is MapSkip:
                    rows = inner.function.over(rows)
                else:
                    return None
            return list(zip(at, rows, strict=True))
        except (ReqlError, RecursionError):
            return None

    def _alone(self, row: Any) -> bytes | None:
        try:
            result = apply_all(self._env, self._ops, of_rows([row]))
            if not result.count:
                return None
            value = result.datums()[0]
            return None if value is None else encode(value)
        except (ReqlError, RecursionError):
            return None


# ---- one for all constants


class Shared(NamedTuple):
    """A transformation for whatever constants; `key` is equal for equal ones, `constants` are the query's."""

    transform: RowTransform
    key: Hashable
    constants: bytes


def shared(
    env: Env,
    ops: tuple[Operator, ...],
    text: SourceText,
    known: SourceText | None,
    params: Any,
    options: dict[str, Any],
) -> Shared | None:
    """The transformation for any parameters; None when the operators hold what is no data. `known` is the text if it
    tells of all rows, `options` are the query's global ones."""
    # The query's own would keep all that the query had.
    own = Env(env.engine, env.client, env.catalog, env.limits, env.scheduler)
    own.array_limit = env.array_limit
    if options:
        given = {name: partial(_itself, value) for name, value in options.items()}
        own.defaults = Options(
            None, {}, given
        )  # with itself in them it would be garbage to collect
    binding = _Binding(own, params, env.defaults.fallback)
    made = [binding.operator(op) for op in ops]
    found = [op for op in made if op is not None]
    if len(found) < len(ops):
        return None
    values = [params[at] for at in text.varying] + binding.places[len(params) :]
    timed = any(determinism(op) == Determinism.NOW for op in ops)
    if timed:
        values.append(env.now)
    varying = (*text.varying, *range(len(params), len(binding.places)))
    transform = RowTransform(
        own, tuple(found), known, binding.places, varying, tuple(binding.cells), timed=timed
    )
    same = text.shape or tuple(binding.codes)
    return Shared(transform, (same, encode(options)), encode(values))


def determinism(op: Operator) -> int:
    """That of the operator's function; geometry is the same on one machine."""
    inner: Any = getattr(op, "op", op)
    function = getattr(inner, "function", None) or inner.predicate
    found: int = function.determinism
    return Determinism.ALWAYS if found == Determinism.GEO else found


def _itself(value: Any) -> Any:
    return value


class _Binding:
    """Makes the same functions again, which find the query's parameters, and other data that they hold, in `places`."""

    def __init__(self, env: Env, params: Any, given: Mapping[str, Callable[[], Any]]) -> None:
        self._env = env
        self._params = params
        self._given = given  # the query's global options
        self.places: list[Any] = list(params)
        self.cells: list[tuple[CellType, int]] = []  # which of them to fill from `places`
        self.codes: list[Any] = []  # equal for functions of one text

    def operator(self, op: Operator) -> Operator | None:
        self.codes.append(op.__class__)
        if op.__class__ is Filter:
            assert isinstance(op, Filter)
            predicate = self._function(op.predicate)
            default = op.default
            if default is not None:
                of_all = default is self._given.get("default")
                default = (
                    self._env.defaults.fallback["default"] if of_all else self._closure(default)
                )
            if predicate is None or (default is None) is not (op.default is None):
                return None
            return Filter(predicate, default)
        if op.__class__ is Map or op.__class__ is MapSkip:
            assert isinstance(op, Map)
            function = self._function(op.function)
            return None if function is None else op.__class__(function)
        return None

    def _function(self, function: Function) -> Function | None:
        if function.__class__ is PatternFunction:
            assert isinstance(function, PatternFunction)
            self.codes.append(function.frames)
            return _pattern_at(self._place(function.pattern), function, self.places)
        if function.__class__ is Function and function.arity == 0:
            call = self._closure(function.call)
            return None if call is None else constant_function(call, function.flags)
        if function.__class__ is not RowFunction:
            return None
        assert isinstance(function, RowFunction)
        rows = self._closure(function.rows)
        if rows is None:
            return None
        return RowFunction(rows, None, function.flags, function.term, None, function.first)

    def _place(self, value: Any) -> int:
        """Where a value is found: a parameter's place, or one of its own."""
        for at, param in enumerate(self._params):
            if param is value:
                return at
        self.places.append(value)
        return len(self.places) - 1

    def _closure(self, function: Any) -> FunctionType | None:
        if not isinstance(function, FunctionType) or function.__defaults__:
            return None
        code = function.__code__
        # What it holds of its query otherwise are globals, which stay as long as the function does.
        self.codes.append((code, id(function.__globals__)))
        cells = []
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            held = cell.cell_contents
            if name == "env":
                cells.append(CellType(self._env))
            elif name == "p":
                if held is not self._params:
                    return None  # of another text, as a rule's
                cells.append(CellType(self.places))
            elif held.__class__ in DATUM_CLASSES:
                self.places.append(held)
                own = CellType(held)
                self.cells.append((own, len(self.places) - 1))
                cells.append(own)
            else:
                return None
        return FunctionType(code, function.__globals__, function.__name__, None, tuple(cells))


def _pattern_at(at: int, function: PatternFunction, places: list[Any]) -> Function:
    """The predicate for whatever object is at a place."""
    frames = function.frames
    return RowFunction(
        lambda rows: rows_that_fit(places[at], frames, rows), None, function.flags, None
    )
