"""The operators a stream's rows go through.

What always holds: an operator keeps nothing between two runs (state lives in the generator of one run); `keeps_rows`
operators hand on the rows of a selection as they are; a chunk that leaves is never empty. Built by terms.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.merging import merge_objects
from rethought.errors import NonExistenceError, QueryLogicError, ReqlError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.derived import zipped
from rethought.exec.fields import MISSING
from rethought.exec.functions import Function
from rethought.exec.values import Stream, is_datum, need_datum, need_sequence, wrong_datum

if TYPE_CHECKING:
    from rethought.exec.env import Env


class EmptyError(QueryLogicError):
    """`r.error()` without a message: inside a default it stands for the error being handled."""

    def __init__(self) -> None:
        super().__init__("Empty ERROR term outside a default block.")


class Operator:
    """One step. Stateless ones implement `apply`; others `run`."""

    keeps_rows = False
    ends = False  # makes an infinite stream finite
    stateless = True
    aligned = False  # gives at most one row for each: it implements `masked`
    want = 0  # how many rows of the source are needed at first, 0 unknown
    name = ""

    def looks(self) -> Function | None:
        """The function that it runs on each row."""
        return None

    def run(self, env: "Env", chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            env.tick()
            result = self.apply(env, chunk)
            if result.count:
                yield result

    def apply(self, env: "Env", chunk: Chunk) -> Chunk:
        raise NotImplementedError

    def masked(self, env: "Env", chunk: Chunk) -> tuple[Chunk, list[Any] | None]:
        """As `apply`, and which rows the result is of (None: all)."""
        raise NotImplementedError


class Map(Operator):
    """Every row through a function that gives a datum."""

    aligned = True
    name = "map"

    def __init__(self, function: Function) -> None:
        self.function = function

    def looks(self) -> Function:
        return self.function

    def apply(self, env: "Env", chunk: Chunk) -> Chunk:
        made = self.function.remade(chunk)
        if made is not None:
            return made
        return Chunk(chunk.count, rows=self.function.over_chunk(chunk))

    def masked(self, env: "Env", chunk: Chunk) -> tuple[Chunk, list[Any] | None]:
        return self.apply(env, chunk), None


class MapSkip(Map):
    """As Map; rows for which the function finds nothing are left out."""

    name = "get_field"

    def apply(self, env: "Env", chunk: Chunk) -> Chunk:
        return self.masked(env, chunk)[0]

    def masked(self, env: "Env", chunk: Chunk) -> tuple[Chunk, list[Any] | None]:
        found = self.function.found(chunk, MISSING)
        mask = [value is not MISSING for value in found]
        return of_rows(found if all(mask) else list(compress(found, mask))), mask


class Filter(Operator):
    """Keeps the rows for which a predicate holds. `default` gives the answer where it raises NON_EXISTENCE."""

    keeps_rows = True
    aligned = True
    name = "filter"

    def __init__(self, predicate: Function, default: Callable[[], Any] | None = None) -> None:
        self.predicate = predicate
        self.default = default

    def looks(self) -> Function:
        return self.predicate

    def apply(self, env: "Env", chunk: Chunk) -> Chunk:
        return self.masked(env, chunk)[0]

    def masked(self, env: "Env", chunk: Chunk) -> tuple[Chunk, list[Any] | None]:
        predicate = self.predicate
        if self.default is None:
            mask = predicate.found(chunk, False)
        else:
            mask = predicate.found(chunk, MISSING)
            if MISSING in mask:
                mask = [
                    self.accepts(chunk.datums()[at]) if value is MISSING else value
                    for at, value in enumerate(mask)
                ]
        if not predicate.boolean:
            mask = [value is not None and value is not False for value in mask]
        return chunk.keep(mask, mask.count(True)), mask

    def accepts(self, row: Any) -> bool:
        try:
            value = self.predicate.over([row])[0]
        except NonExistenceError as error:
            if self.default is None:
                return False
            try:
                value = self.default()
            except EmptyError:
                raise error from None
        return value is not None and value is not False


LOT_MAX: Final = 64
"""So many rows are made sequences of at once: each may be a large one."""


class ConcatMap(Operator):
    """Every row through a function that gives a sequence; the sequences joined."""

    name = "concat_map"

    def __init__(self, function: Function) -> None:
        self.function = function

    def run(self, env: "Env", chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        size = 1
        for chunk in chunks:
            out: list[Any] = []
            at = 0
            while at < chunk.count:
                lot = chunk.slice(at, at + size)
                at += size
                size = min(8 * size, LOT_MAX)
                for value in self._values(lot):
                    env.tick()
                    part = self._sequence(env, value)
                    if part.__class__ is list:
                        out.extend(part)
                        if len(out) > env.lot(2000):
                            yield of_rows(out)
                            out = []
                        continue
                    if out:
                        yield of_rows(out)
                        out = []
                    yield from part.chunks(env)
            if out:
                yield of_rows(out)

    def _values(self, lot: Chunk) -> Iterable[Any]:
        """What the function gives for some rows; where it raises, that of the rows before comes first."""
        try:
            return self.function.over_chunk(lot)
        except ReqlError:
            return (self.function.over([row])[0] for row in lot.datums())

    def apply(self, env: "Env", chunk: Chunk) -> Chunk:
        out: list[Any] = []
        for value in self.function.over(chunk.datums()):
            part = self._sequence(env, value)
            out.extend(part if part.__class__ is list else part.to_list(env))
        return of_rows(out)

    def _sequence(self, env: "Env", value: Any) -> Any:
        try:
            return need_sequence(env, value, None)
        except QueryLogicError as error:
            term = self.function.term
            if term is not None:
                error.frames = term.path if is_datum(value) else (*term.path, 1)
            raise


class Slice(Operator):
    """Rows `start` to `end` (exclusive, None open)."""

    keeps_rows = True
    stateless = False
    name = "slice"

    def __init__(self, start: int, end: int | None) -> None:
        self.start = start
        self.end = end
        self.ends = end is not None
        self.want = end or 0

    def run(self, env: "Env", chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        start, end = self.start, self.end
        if end is not None and end <= start:
            return
        position = 0
        for chunk in chunks:
            env.tick()
            first = max(0, start - position)
            last = chunk.count if end is None else min(chunk.count, end - position)
            position += chunk.count
            if first < last:
                yield chunk.slice(first, last)
            if end is not None and position >= end:
                return


class Zip(Operator):
    """`left` merged with `right`."""

    name = "zip"

    def apply(self, env: "Env", chunk: Chunk) -> Chunk:
        together = zipped(chunk)
        if together is not None:
            return together
        rows = []
        for row in chunk.datums():
            if row.__class__ is not dict:
                raise wrong_datum("OBJECT", row).by_stream()
            if "left" not in row:
                raise QueryLogicError("ZIP can only be called on the result of a join.").by_stream()
            left = row["left"]
            rows.append(merge_objects(left, row["right"]) if "right" in row else left)
        return of_rows(rows)


def functions_first(ops: tuple[Operator, ...], last: Function | None) -> list[Function]:
    """The functions that see the rows as they come: those of operators up to the first that makes rows of its own, or
    of all and `last`."""
    found = []
    for op in ops:
        function = op.looks()
        if function is not None:
            found.append(function)
        if not op.keeps_rows:
            return found
    return found if last is None else [*found, last]


def apply_all(env: "Env", ops: tuple[Operator, ...], chunk: Chunk) -> Chunk:
    """A chunk through stateless operators at once."""
    for op in ops:
        if not chunk.count:
            return chunk
        chunk = op.apply(env, chunk)
    return chunk


def transform(env: "Env", sequence: Any, op: Operator) -> Any:
    """A sequence through an operator: arrays give arrays, streams stay lazy."""
    if sequence.__class__ is list:
        return Stream(_rows(sequence), (op,)).to_list(env)
    result = sequence.through(op)
    return result.to_list(env) if result.array and result.table is None else result


def _rows(rows: list[Any]) -> Any:
    from rethought.exec.values import Rows

    return Rows(rows)


__all__ = ["need_datum"]
