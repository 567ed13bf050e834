"""Rows of a feed through the terms that stand before CHANGES.

What always holds: a row's value does not depend on the rows beside it; a row whose transformation fails, whatever the
error, and a value of null count as no row. Evaluation here never gives way: it happens between two commits.
Feeds whose queries differ in nothing but constants have one transformation (`shared`): its functions are those of the
first of these queries, with a list in place of that query's parameters, which is filled before they are called. What is
left of the others is their constants. Made by `reql.feeds`, called by the feed room.
"""

from types import CellType, FunctionType
from typing import Any, Final

import msgspec

from rethought.datum.jsonbytes import encode
from rethought.errors import ReqlError
from rethought.exec.chunk import of_rows
from rethought.exec.env import Env
from rethought.exec.functions import Function, RowFunction
from rethought.exec.matching import PatternFunction, rows_that_fit
from rethought.exec.ops import Filter, Map, MapSkip, Operator, apply_all
from rethought.feed.conditions import Condition
from rethought.feed.documents import Documents
from rethought.reql.feed_text import SourceText, condition

_decode: Final = msgspec.json.Decoder(list[Any]).decode


class RowTransform:
    """The operators of feeds as one function of documents. `params` are the query's, or the list that stands for those
    of any query of its shape; its places that `varying` names are filled with constants. `text` is None where nothing
    is known of the rows."""

    __slots__ = (
        "__weakref__",
        "_env",
        "_filter",
        "_keeps",
        "_ops",
        "_params",
        "_text",
        "_varying",
    )

    def __init__(
        self,
        env: Env,
        ops: tuple[Operator, ...],
        text: SourceText | None,
        params: Any = (),
        *,
        varying: tuple[int, ...] = (),
    ) -> None:
        self._env = env
        self._ops = ops
        self._keeps = all(op.keeps_rows for op in ops)
        self._text = text
        self._params = params
        self._varying = varying
        first: Any = ops[0]
        certain = first.__class__ is Filter and first.default is None
        self._filter: Function | None = first.predicate if certain else None

    def _put(self, constants: bytes | None) -> None:
        if self._varying:
            assert constants is not None
            for at, value in zip(self._varying, _decode(constants), strict=True):
                self._params[at] = value

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


def shared(
    env: Env, ops: tuple[Operator, ...], text: SourceText, params: Any, *, alone: bool
) -> RowTransform | None:
    """The transformation for any parameters; None when the operators hold more than their functions' text. `alone`:
    whether these are all rows of the feed."""
    places: list[Any] = list(params)
    # That of the query would keep all that the query had.
    env = Env(env.engine, env.client, env.catalog, env.limits, env.scheduler)
    made = [_with_params(env, op, params, places) for op in ops]
    found = [op for op in made if op is not None]
    if len(found) < len(ops):
        return None
    known = text if alone else None
    return RowTransform(env, tuple(found), known, places, varying=text.varying)


def _with_params(env: Env, op: Operator, params: Any, places: list[Any]) -> Operator | None:
    """The same operator, which finds the query's parameters in a list."""
    if op.__class__ is Filter:
        assert isinstance(op, Filter)
        predicate = _function(env, op.predicate, params, places)
        return None if predicate is None or op.default is not None else Filter(predicate)
    if op.__class__ is Map or op.__class__ is MapSkip:
        assert isinstance(op, Map)
        function = _function(env, op.function, params, places)
        return None if function is None else op.__class__(function)
    return None


def _function(env: Env, function: Function, params: Any, places: list[Any]) -> Function | None:
    if function.__class__ is PatternFunction:
        assert isinstance(function, PatternFunction)
        for at, value in enumerate(params):
            if value is function.pattern:
                return _pattern_at(at, function, places)
        return None
    if function.__class__ is not RowFunction:
        return None
    assert isinstance(function, RowFunction)
    rows = function.rows
    if not isinstance(rows, FunctionType):
        return None
    closure = dict(zip(rows.__code__.co_freevars, rows.__closure__ or (), strict=True))
    if not closure.keys() <= {"env", "p"}:
        return None
    if "p" in closure:
        if closure["p"].cell_contents is not params:
            return None  # of another text, as a rule's
        closure["p"] = CellType(places)
    if "env" in closure:
        closure["env"] = CellType(env)
    cells = tuple(closure.values())
    rows = FunctionType(rows.__code__, rows.__globals__, rows.__name__, None, cells)
    return RowFunction(rows, None, function.flags, function.term, None, function.first)


def _pattern_at(at: int, function: PatternFunction, places: list[Any]) -> Function:
    """The predicate for whatever object is at a place."""
    frames = function.frames
    return RowFunction(
        lambda rows: rows_that_fit(places[at], frames, rows), None, function.flags, None
    )
