"""Rows of a feed through the terms that stand before CHANGES.

What always holds: a row's value does not depend on the rows beside it; a row whose transformation fails, whatever the
error, and a value of null count as no row. Evaluation here never gives way: it happens between two commits. Made by
`reql.terms.changes`, called by the feed room.
"""

from typing import Any

from rethought.datum.jsonbytes import encode
from rethought.errors import ReqlError
from rethought.exec.chunk import of_rows
from rethought.exec.env import Env
from rethought.exec.ops import Filter, Map, MapSkip, Operator, apply_all
from rethought.feed.documents import Documents


class RowTransform:
    """The operators of a feed as one function of documents."""

    __slots__ = ("_env", "_keeps", "_ops")

    def __init__(self, env: Env, ops: tuple[Operator, ...]) -> None:
        self._env = env
        self._ops = ops
        self._keeps = all(op.keeps_rows for op in ops)

    def __call__(self, documents: Documents) -> list[bytes | None]:
        env = self._env
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

    def _together(self, rows: list[Any]) -> list[tuple[int, Any]] | None:
        """Number and value of each row that has one; None when the rows must be looked at one by one."""
        at = list(range(len(rows)))
        try:
            for op in self._ops:
                inner: Any = getattr(op, "op", op)
                if isinstance(inner, Filter):
                    mask = inner.predicate.over_chunk(of_rows(rows))
                    kept = [
                        number
                        for number, value in enumerate(mask)
                        if value is not None and value is not False
                    ]
                    if len(kept) < len(rows):
                        rows = [rows[number] for number in kept]
                        at = [at[number] for number in kept]
                elif inner.__class__ is Map or inner.__class__ is MapSkip:
                    rows = inner.function.over_chunk(of_rows(rows))
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
