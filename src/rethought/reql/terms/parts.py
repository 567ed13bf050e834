"""Parts of sequences: nth, slice, skip, limit, sample, is_empty; and range, which makes one.

What always holds: a part of a selection is a selection; arrays take negative positions, streams only -1 at the end.
"""

from collections.abc import Iterator
from typing import Any, Final

from rethought.datum.binary import binary, binary_bytes
from rethought.datum.jsonbytes import encode
from rethought.datum.values import to_int, type_name
from rethought.errors import NonExistenceError, QueryLogicError, ResourceLimitError
from rethought.exec.chunk import Chunk
from rethought.exec.env import Env, Options, too_many
from rethought.exec.grouping import GroupedStream
from rethought.exec.ops import Slice
from rethought.exec.reductions import SKIP
from rethought.exec.table import bound_is_open
from rethought.exec.values import (
    Generated,
    Rows,
    SingleSelection,
    Stream,
    is_array,
    is_datum,
    need_sequence,
    wrong_datum,
)
from rethought.reql.checks import narrow, within_array_limit
from rethought.reql.runtime import per_group
from rethought.reql.spec import Arg, Determinism, TermSpec, between, exactly

# ---- one row


def nth_(env: Env, value: Any, position: Any) -> Any:
    """SEQUENCE, NUMBER -> row"""
    if isinstance(value, SingleSelection):
        _place(position)
        raise wrong_datum("ARRAY", value.datum())
    return nth(env, need_sequence(env, value, 0), position)


def nth(env: Env, sequence: Any, position: Any) -> Any:
    index = _place(position)
    if isinstance(sequence, GroupedStream):
        return per_group(env, sequence, lambda group: nth(env, group, position))
    if is_array(sequence):
        rows = sequence if sequence.__class__ is list else sequence.to_list(env)
        try:
            row = rows[index]
        except IndexError:
            raise _out_of_bounds(index) from None
        return row if rows is sequence else _selected(sequence, row)
    stream: Stream = sequence
    if index < -1:
        raise QueryLogicError(f"Cannot use an index < -1 ({index}) on a stream.")
    if index == -1:
        return _selected(stream, _last(env, stream))
    if stream.feed:
        stream.refuse_endless()
    for chunk in stream.through(Slice(index, index + 1)).chunks(env):
        return _selected(stream, chunk.datums()[0])
    raise _out_of_bounds(index)


def _place(position: Any) -> int:
    try:
        return narrow(to_int(position), 1)
    except QueryLogicError as error:
        error.at = (1,)
        raise


def _out_of_bounds(index: int) -> NonExistenceError:
    return NonExistenceError(f"Index out of bounds: {index}")


def _last(env: Env, stream: Stream) -> Any:
    stream.refuse_endless()
    last: Any = SKIP
    for chunk in stream.chunks(env):
        env.tick()
        last = chunk
    if last is SKIP:
        raise _out_of_bounds(-1)
    return last.datums()[-1]


def _selected(stream: Stream, row: Any) -> Any:
    if stream.table is None:
        return row
    return SingleSelection(stream.table, row[stream.table.primary_key], encode(row))


# ---- slices


def slice_(env: Env, value: Any, start: Any, *end: Any, opts: Options) -> Any:
    """ARRAY | STRING | BINARY | SEQUENCE, NUMBER [, NUMBER] -> the same kind"""
    left_open = bound_is_open(_bound(opts, "left_bound", "closed"), "left_bound")
    right_closed = not bound_is_open(_bound(opts, "right_bound", "open"), "right_bound")
    if not end:
        return _slice(env, value, start, -1, left_open=left_open, right_closed=True)
    return _slice(env, value, start, end[0], left_open=left_open, right_closed=right_closed)


def _bound(opts: Options, name: str, default: str) -> Any:
    return opts.value(name) if opts.has(name) else default


def skip(env: Env, value: Any, count: Any) -> Any:
    return _slice(env, value, count, -1, left_open=False, right_closed=True)


def _slice(
    env: Env, value: Any, start: int, end: int, *, left_open: bool, right_closed: bool
) -> Any:
    if isinstance(value, SingleSelection):
        value = value.datum()
    if value.__class__ is list or value.__class__ is str:
        low, high = _positions(len(value), start, end, left_open, right_closed)
        if value.__class__ is list:
            within_array_limit(env, high - low)
            return env.made(value[low:high])
        return value[low:high]
    if isinstance(value, Stream):
        if value.array:
            size = len(value.to_list(env))
            low, high = _positions(size, start, end, left_open, right_closed)
            return value.through(Slice(low, high))
        return _slice_stream(value, start, end, left_open, right_closed)
    if value.__class__ is dict and value.get("$reql_type$") == "BINARY":
        data = binary_bytes(value)
        low, high = _positions(len(data), start, end, left_open, right_closed)
        return binary(data[low:high])
    if not is_datum(value):
        raise QueryLogicError("Cannot slice non-sequences.", 0)
    raise QueryLogicError(f"Expected ARRAY, BINARY, or STRING, but found {type_name(value)}.", 0)


def _positions(
    size: int, start: int, end: int, left_open: bool, right_closed: bool
) -> tuple[int, int]:
    low = start + size if start < 0 else start
    high = end + size if end < 0 else end
    if low < 0:
        low = 0
    elif left_open:
        low += 1
    if high < 0:
        return 0, 0
    if right_closed:
        high += 1
    return min(low, size), max(min(low, size), min(high, size))


def _slice_stream(
    stream: Stream, start: int, end: int, left_open: bool, right_closed: bool
) -> Stream:
    if start < 0:
        raise QueryLogicError("Cannot use a negative left index on a stream.")
    if left_open:
        start += 1
    if end < -1:
        raise QueryLogicError("Cannot use a right index < -1 on a stream.")
    if end == -1:
        if not right_closed:
            raise QueryLogicError("Cannot slice to an open right index of -1 on a stream.")
        return stream.through(Slice(start, None)) if start else stream
    return stream.through(Slice(start, end + 1 if right_closed else end))


def limit(env: Env, value: Any, count: Any) -> Any:
    """SEQUENCE, NUMBER -> the same kind"""
    narrow(count, 1)
    if count < 0:
        raise QueryLogicError(f"LIMIT takes a non-negative argument (got {count})")
    if value.__class__ is list:
        within_array_limit(env, min(count, len(value)))
        return value[:count]
    return value.through(Slice(0, count))


def is_empty(env: Env, value: Any) -> bool:
    """SEQUENCE -> BOOL"""
    if value.__class__ is list:
        return not value
    if value.feed:
        value.refuse_endless()
    return all(not chunk.count for chunk in value.through(Slice(0, 1)).chunks(env))


# ---- chance


FEW: Final = 500
"""So many rows are drawn before others may have their turn."""


def sample(env: Env, value: Any, count: int) -> Any:
    """SEQUENCE, NUMBER -> ARRAY of that many rows, each equally likely"""
    if count < 0:
        raise QueryLogicError(f"Number of items to sample must be non-negative, got `{count}`.")
    if count > env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    value = need_sequence(env, value, 0)
    if value.__class__ is list:
        if count < FEW:
            return env.chance.sample(value, min(count, len(value)))
        return _drawn(env, value.copy(), min(count, len(value)))
    value.refuse_endless()
    chosen: list[Any] = []
    for seen, row in enumerate(value.rows(env), 1):
        if len(chosen) < count:
            chosen.append(row)
        elif (place := env.chance.randrange(seen)) < count:
            chosen[place] = row
    chosen = _drawn(env, chosen, len(chosen))
    if value.table is not None:
        return Stream(Rows(chosen), table=value.table, array=True)
    return chosen


def _drawn(env: Env, rows: list[Any], count: int) -> list[Any]:
    """So many of the rows, each equally likely, in any order."""
    for at in range(count):
        place = at + env.chance.randrange(len(rows) - at)
        rows[at], rows[place] = rows[place], rows[at]
        if at % FEW == 0:
            env.tick()
    del rows[count:]
    drawn: list[Any] = env.made(rows)
    return drawn


# ---- range


RANGE_MAX: Final = 2**53


def range_(env: Env, *bounds: Any) -> Stream:
    """[NUMBER [, NUMBER]] -> STREAM"""
    start, end = 0, None
    if len(bounds) == 1:
        end = bounds[0]
    elif bounds:
        start, end = bounds

    def chunks(env: Env) -> Iterator[Chunk]:
        position = start
        size = 200
        while end is None or position < end:
            if position > RANGE_MAX:
                raise QueryLogicError("`range` out of safe double bounds.").by_stream()
            env.tick()
            stop = position + size if end is None else min(end, position + size)
            yield Chunk(stop - position, rows=list(range(position, stop)))
            position = stop
            size = 1000

    return Stream(Generated(chunks, infinite=end is None))


_SEQUENCE_AND_INT: Final = (Arg.SEQUENCE, Arg.INT)

TERMS: Final = (
    TermSpec(
        30,
        "slice",
        between(2, 3),
        run=slice_,
        args=(Arg.ANY, Arg.INT, Arg.INT),
        optargs=("left_bound", "right_bound"),
        datum=False,
    ),
    TermSpec(70, "skip", exactly(2), run=skip, args=(Arg.ANY, Arg.INT), datum=False),
    TermSpec(71, "limit", exactly(2), run=limit, args=_SEQUENCE_AND_INT, datum=False),
    TermSpec(45, "nth", exactly(2), run=nth_, args=(Arg.ANY, Arg.NUMBER), datum=False),
    TermSpec(
        81,
        "sample",
        exactly(2),
        run=sample,
        args=(Arg.ANY, Arg.INT),
        determinism=Determinism.NEVER,
        datum=False,
    ),
    TermSpec(86, "is_empty", exactly(1), run=is_empty, args=(Arg.SEQUENCE,), boolean=True),
    TermSpec(173, "range", between(0, 2), run=range_, args=(Arg.INT, Arg.INT), datum=False),
)
