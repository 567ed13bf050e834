"""Streams in batches.

What always holds: a batch reads one snapshot and ends when it has the rows, the bytes or the time asked for; between
two batches a cursor holds no snapshot and no greenlet; an error ends the cursor. Made by the engine, driven by the
wire through it.
"""

from collections.abc import Iterator
from time import perf_counter
from typing import Any, Final

from rethought.datum.text import pretty
from rethought.datum.values import to_int
from rethought.errors import QueryLogicError
from rethought.exec.chunk import PIECE_BYTES, Chunk, pieces
from rethought.exec.env import Env
from rethought.exec.local import LocalTable
from rethought.exec.ops import Slice
from rethought.exec.table import TableSource
from rethought.exec.values import Stream, need_number

ROWS_UNLIMITED: Final = 1 << 62
LARGE_BYTES: Final = 1 << 16


FEW: Final = 50
"""So many rows without a limit are worth a try."""
FEW_MAX: Final = 200


def at_once(env: Env, stream: Stream) -> bytes | None:
    """All rows of a stream, joined, when one short read of a table has them; else None."""
    source = stream.source
    ops = stream.ops
    if not isinstance(source, TableSource) or len(ops) > 1 or env.defaults.fallback or stream.array:
        return None
    most = FEW
    if ops:
        op = ops[0]
        if not isinstance(op, Slice) or op.start or not op.end or op.end > FEW_MAX:
            return None
        most = op.end
    table = source.table
    if not isinstance(table, LocalTable):
        return None
    page = table.few(env, source.range, most)
    if page is None or (page.after is not None and (not ops or page.count < most)):
        return None
    limits = env.limits
    rows: bytes = page.docs
    return rows if len(rows) <= limits.batch_bytes // limits.first_batch_scaledown else None


class BatchSize:
    """How large batches are."""

    __slots__ = ("bytes_max", "rows_max", "rows_min", "scaledown", "seconds_max")

    def __init__(self, env: Env) -> None:
        limits = env.limits
        defaults = env.defaults
        given = defaults.fallback
        self.rows_min = _integer(env, "min_batch_rows", limits.batch_rows_min) if given else 1
        self.rows_max = ROWS_UNLIMITED
        self.bytes_max = limits.batch_bytes
        self.seconds_max = limits.batch_seconds
        self.scaledown = limits.first_batch_scaledown
        if not given:
            return
        if "max_batch_rows" in given:
            self.rows_max = max(1, _integer(env, "max_batch_rows", 0))
        self.rows_min = min(self.rows_min, self.rows_max)
        self.bytes_max = _integer(env, "max_batch_bytes", self.bytes_max)
        self.scaledown = max(1, _integer(env, "first_batch_scaledown_factor", self.scaledown))
        seconds = defaults.value("max_batch_seconds")
        if seconds is not None:
            self.seconds_max = _seconds(need_number(env, seconds, "max_batch_seconds"))


def _integer(env: Env, name: str, default: int) -> int:
    value = env.defaults.value(name)
    return default if value is None else to_int(need_number(env, value, name))


def _seconds(value: float) -> float:
    if value >= 86400:
        raise QueryLogicError(
            f"max_batch_seconds is too large (got `{pretty(value)}`, must be less than 86400)."
        )
    if value < 0:
        raise QueryLogicError(f"max_batch_seconds must be positive (got `{pretty(value)}`).")
    return float(value)


class Batches:
    """A stream's rows, batch by batch."""

    __slots__ = ("_first", "_held", "chunks", "env", "finished", "size")

    def __init__(self, env: Env, stream: Stream) -> None:
        self.env = env
        self.size = BatchSize(env)
        want = min(self.size.rows_max, 1 << 20) if self.size.rows_max < ROWS_UNLIMITED else 0
        self.chunks: Iterator[Chunk] = stream.chunks(env, want)
        self._held: Chunk | None = None
        self._first = True
        self.finished = False

    def next(self) -> bytes:
        """The rows of the next batch, joined; sets `finished` when there are no more."""
        size = self.size
        env = self.env
        scale = size.scaledown if self._first else 1
        self._first = False
        rows_max = (
            max(1, size.rows_max // scale) if size.rows_max < ROWS_UNLIMITED else size.rows_max
        )
        bytes_max = size.bytes_max // scale
        deadline = perf_counter() + size.seconds_max / scale
        rows = 0
        filled = 0
        parts: list[bytes] = []
        chunk = self._held
        self._held = None
        while True:
            if chunk is None:
                chunk = next(self.chunks, None)
                if chunk is None:
                    self.finished = True
                    break
            if rows + chunk.count > rows_max:
                self._held = chunk.slice(rows_max - rows, chunk.count)
                chunk = chunk.slice(0, rows_max - rows)
            done = 0
            for count, data in pieces(chunk, env.lot(PIECE_BYTES)):
                done += count
                filled += len(data)
                parts.append(data)
                if len(data) > env.lot(LARGE_BYTES):
                    env.making(len(data))
                    if filled >= bytes_max and rows + done >= size.rows_min:
                        break
            rows += done
            if done < chunk.count:
                self._held = chunk.slice(done, chunk.count)
                break
            chunk = None
            if rows >= rows_max or (filled >= bytes_max and rows >= size.rows_min):
                break
            if perf_counter() > deadline:
                break
        return b",".join(parts)

    def close(self) -> None:
        close: Any = getattr(self.chunks, "close", None)
        if close is not None:
            close()
