"""ORDER_BY, UNION and the ASC / DESC that only they take."""

import ast
import heapq
from collections.abc import Iterator, Sequence
from functools import cmp_to_key
from typing import Any, Final

from rethought.datum.order import compare, order_key
from rethought.datum.text import pretty
from rethought.errors import (
    Frame,
    NonExistenceError,
    QueryLogicError,
    ReqlError,
    ResourceLimitError,
)
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.env import Env, too_many
from rethought.exec.functions import Function, share
from rethought.exec.reductions import SKIP, keys_of
from rethought.exec.sorting import SLOW_LOT, lots, picked, sort_positions
from rethought.exec.table import Selection
from rethought.exec.values import (
    Encoded,
    Generated,
    Ordering,
    Rows,
    Source,
    Stream,
    as_stream,
    finish,
    is_array,
    need_sequence,
    need_string,
)
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.runtime import as_function
from rethought.reql.spec import (
    ANY_NUMBER,
    Arg,
    Determinism,
    Grouped,
    TermSpec,
    at_least,
    exactly,
)
from rethought.reql.terms.selecting import table_frames
from rethought.reql.terms.sequences import sequence_node
from rethought.reql.tree import ARGS, ASC, DATUM, DESC, FUNC, MAKE_ARRAY, Term, datum

_NUMBERS: Final = ({int}, {float}, {int, float})

# ---- order_by


def order_by(c: Compiler, term: Term) -> Node:
    """SEQUENCE, (field | FUNCTION, perhaps in ASC / DESC)... [, index] -> SELECTION | ARRAY"""
    node = c.compile(term.args[0])
    keys = [_key(c, arg) for arg in term.args[1:]]
    if any(key.determinism is Determinism.NEVER for key in keys):
        keys = [Node(c.call("unsortable", [], c.line(term)), Kind.VALUE)]
    line = c.line(term)
    index = c.constant(None, line)
    if "index" in term.optargs:
        optarg = term.optargs["index"]
        value = c.compile(optarg)
        index = value.code  # type: ignore[assignment]

    def build(first: Node) -> Node:
        code = c.call(
            "order_by_",
            [c.name("env", line), first.code, index, *(key.code for key in keys)],
            line,
        )
        return c.node(term, code, [first, *keys], Kind.VALUE)

    return c.grouped(term, node, build)


def unsortable() -> Any:
    raise QueryLogicError("Sorting by a non-deterministic function is not supported.")


def _key(c: Compiler, arg: Term) -> Node:
    descending = arg.type == DESC
    inner = arg
    if arg.type in (ASC, DESC):
        assert arg.spec is not None
        c.check_arity(arg, arg.spec)
        inner = arg.args[0]
    function = c.function(inner, shortcut="field", project=True)
    line = c.line(arg)
    code = c.call("sort_key", [function.code, c.constant(descending, line)], line)
    return Node(code, Kind.VALUE, function.determinism, function.closes)


class SortKey:
    """One key of an order."""

    __slots__ = ("descending", "function")

    def __init__(self, function: Function, descending: bool) -> None:
        self.function = function
        self.descending = descending


def order_by_(env: Env, value: Any, index: Any, *keys: SortKey) -> Any:
    if index is None and env.defaults.has("index"):
        index = env.defaults.whatever("index")
    sequence = need_sequence(env, value, 0)
    if index is None:
        if not keys:
            raise QueryLogicError("Must specify something to order by.")
        return sort_sequence(env, sequence, list(keys))
    descending = False
    if isinstance(index, Ordering):
        descending, index = index.descending, index.key
    if not isinstance(sequence, Selection) or sequence.range.keys is not None:
        if sequence.__class__ is list and not sequence:
            return sequence
        raise QueryLogicError(
            "Indexed order_by can only be performed on a TABLE or TABLE_SLICE. Make sure "
            "order_by comes before any transformations (such as map) or filters."
        )
    index = need_string(env, index, "index")
    ordered = by_index(env, sequence, index, descending=descending)
    return ordered if not keys else _break_ties(ordered, SortedBy(index, descending), list(keys))


def by_index(env: Env, selection: Selection, index: str, *, descending: bool) -> Selection:
    """The selection in the order of an index."""
    table = selection.table
    assert table is not None
    current = selection.range
    if current.descending is not None:
        raise QueryLogicError(
            "Cannot perform multiple indexed ORDER_BYs on the same table.", *table_frames(current)
        )
    primary = index == table.primary_key
    if current.bounded:
        between_on = current.index or table.primary_key
        if between_on != index:
            raise QueryLogicError(
                f"Cannot order by index `{index}` after calling BETWEEN on index `{between_on}`.",
                *table_frames(current),
            )
    return selection.narrowed(index=None if primary else index, descending=descending)


class SortedBy:
    """An order that rows already have."""

    __slots__ = ("descending", "index")

    def __init__(self, index: str, descending: bool) -> None:
        self.index = index
        self.descending = descending


def _break_ties(ordered: Selection, by: SortedBy, keys: list[SortKey]) -> Stream:
    """Rows with equal index values in the order of the keys."""
    table = ordered.table
    assert table is not None

    def chunks(env: Env) -> Iterator[Chunk]:
        run: list[Any] = []
        last: Any = SKIP
        for chunk, values in _with_values(env, ordered):
            env.tick()
            for row, value in zip(chunk.datums(), values, strict=True):
                if last is not SKIP and compare(value, last) != 0:
                    yield of_rows(sort_rows(env, run, keys))
                    run = []
                last = value
                run.append(row)
                if len(run) > env.array_limit:
                    raise ResourceLimitError(
                        f"Too many rows (> {env.array_limit}) with the same value for index "
                        f"`{by.index}`:\n{pretty(value)}"
                    )
        if run:
            yield of_rows(sort_rows(env, run, keys))

    return Stream(Generated(chunks), table=table)


def _with_values(env: Env, ordered: Selection) -> Iterator[tuple[Chunk, list[Any]]]:
    table = ordered.table
    assert table is not None
    if ordered.range.index is not None:
        yield from table.keyed_chunks(env, ordered.range)
        return
    for chunk in ordered.chunks(env):
        yield chunk, [row[table.primary_key] for row in chunk.datums()]


# ---- sorting at hand


def sort_sequence(env: Env, sequence: Any, keys: list[SortKey]) -> Any:
    """Everything in memory, in order: an array, or a selection of a table's rows."""
    stream = as_stream(sequence)
    stream.refuse_endless()
    limit = env.array_limit
    chunks: list[Chunk] = []
    items: list[Any] = []
    try:
        count = 0
        for chunk in stream.chunks(env, settled=True):
            env.tick()
            chunks.append(chunk)
            count += chunk.count
            if count > limit:
                raise ResourceLimitError(too_many(limit))
        encoded = stream.table is not None and all(chunk.encoded for chunk in chunks)
        order = _order_of(env, chunks, count, keys)
        for chunk in chunks:
            env.tick()
            items.extend(chunk.documents() if encoded else chunk.datums())
        rows = env.made(picked(env, items, order))
    finally:
        env.discard(items)
        env.discard(chunks, 1)
    if stream.table is None:
        return rows
    source = Encoded(rows) if encoded else Rows(rows)
    return Stream(source, table=stream.table, array=True)


def sort_rows(env: Env, rows: list[Any], keys: list[SortKey]) -> list[Any]:
    return env.made(picked(env, rows, _order_of(env, [of_rows(rows)], len(rows), keys)))


def _order_of(env: Env, chunks: list[Chunk], count: int, keys: list[SortKey]) -> Sequence[int]:
    """The positions of the rows in order. Keys are evaluated when there is something to compare."""
    if count < 2:
        return range(count)
    columns: list[list[Any]] = [[] for _ in keys]
    functions = [key.function for key in keys]
    try:
        try:
            for chunk in chunks:
                env.tick()
                share(chunk, functions)
                for column, key in zip(columns, keys, strict=True):
                    env.tick()
                    column.extend(keys_of(key.function, chunk))
        except ReqlError:
            return _careful_order([row for chunk in chunks for row in chunk.datums()], keys)
        return _order(env, columns, keys)
    finally:
        for column in columns:
            env.discard(column)


INSERTION_MAX: Final = 14


def _careful_order(rows: list[Any], keys: list[SortKey]) -> list[int]:
    """As `_order`, when evaluating a key failed: a further key is only looked at where the keys before are equal, and
    of several errors the one the original's sort meets first counts. It sorts few rows by insertion, comparing the
    later row with the earlier ones."""
    order: list[int] = []
    if len(rows) > INSERTION_MAX:
        keys_of(keys[0].function, of_rows(rows))

        def compare_rows(left: int, right: int) -> int:
            if precedes(rows[left], rows[right], keys):
                return -1
            return int(precedes(rows[right], rows[left], keys))

        return sorted(range(len(rows)), key=cmp_to_key(compare_rows))
    for position, row in enumerate(rows):
        at = position
        if order and precedes(row, rows[order[0]], keys):
            at = 0
        while at > 1 and precedes(row, rows[order[at - 1]], keys):
            at -= 1
        order.insert(at, position)
    return order


def precedes(left: Any, right: Any, keys: list[SortKey]) -> bool:
    """Whether one row comes before another."""
    for key in keys:
        values = []
        for row in (left, right):
            try:
                values.append(key.function.over([row])[0])
            except NonExistenceError:
                values.append(SKIP)
        first, second = values
        if first is SKIP or second is SKIP:
            order = (first is not SKIP) - (second is not SKIP)
        else:
            order = compare(first, second)
        if order:
            return (order > 0) if key.descending else (order < 0)
    return False


def _order(env: Env, columns: list[list[Any]], keys: list[SortKey]) -> list[int]:
    """The positions of the rows in order; stable, the last key first."""
    order: list[int] = []
    for lot in lots(env, range(len(columns[0]))):
        order += lot
    for column, key in zip(reversed(columns), reversed(keys), strict=True):
        kinds: set[type] = set()
        for lot in lots(env, column):
            kinds.update(map(type, lot))
        plain = kinds in _NUMBERS or kinds == {str}
        if not plain:
            column = _comparable(env, column)
        order = sort_positions(
            env, order, column.__getitem__, descending=key.descending, plain=plain
        )
    return order


def _comparable(env: Env, column: list[Any]) -> list[Any]:
    """Keys of any kind as values that Python compares as the protocol does; those that are missing come first."""
    keys: list[Any] = []
    for lot in lots(env, column, SLOW_LOT):
        keys += [(0,) if part is SKIP else (1, order_key(part)) for part in lot]
    return keys


# ---- union


def union(c: Compiler, term: Term) -> Node:
    """SEQUENCE... [, interleave] -> SEQUENCE"""
    nodes = [c.compile(arg) for arg in term.args]
    rest = [sequence_node(c, term, node, at) for at, node in enumerate(nodes[1:], 1)]
    line = c.line(term)
    keys: ast.expr = c.constant(None, line)
    interleave = term.optargs.get("interleave")
    if interleave is not None:
        keys = _interleave(c, interleave)

    def build(first: list[Node]) -> Node:
        code = c.call("union_", [c.name("env", line), keys, *(node.code for node in first)], line)
        return c.node(term, code, first, Kind.VALUE)

    if not nodes:
        return build([])
    return c.grouped(term, nodes[0], lambda first: build([sequence_node(c, term, first), *rest]))


def _interleave(c: Compiler, optarg: Term) -> ast.expr:
    line = c.line(optarg)
    if optarg.type == MAKE_ARRAY:
        parts = optarg.args
    elif optarg.type == DATUM and optarg.value.__class__ is list:
        parts = [datum(part, optarg.path) for part in c.pin(optarg)]
    elif optarg.type in (FUNC, ASC, DESC, ARGS) or c.is_literal(optarg, str):
        parts = [optarg]
    else:
        place = c.keep(optarg.path, line)
        return c.call("interleaved", [c.name("env", line), c.compile(optarg).code, place], line)
    if any(part.type == ARGS for part in parts):
        return c.call("not_spliced", [], line)
    elements = [_key(c, part).code for part in parts]
    code = ast.Tuple(
        elements, ast.Load(), lineno=line, col_offset=0, end_lineno=line, end_col_offset=0
    )
    return code


def interleaved(env: Env, value: Any, path: tuple[Frame, ...]) -> Any:
    """A computed ordering: a truth value asks for none, whatever its value."""
    if value is True or value is False:
        return None
    return (SortKey(as_function(env, value, "field", path), False),)


def union_(env: Env, interleave: Any, *values: Any) -> Any:
    sequences: list[Any] = []
    for lot in lots(env, values, SLOW_LOT):
        sequences += [need_sequence(env, value, at) for at, value in enumerate(lot, len(sequences))]
    if not sequences:
        return []
    if isinstance(interleave, tuple) and interleave:
        return _merged(env, sequences, list(interleave))
    if all(map(is_array, sequences)):
        return _joined(env, sequences)
    return Stream(Union([as_stream(part, at) for at, part in enumerate(sequences)]))


def _joined(env: Env, arrays: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for number, array in enumerate(arrays):
        if array.__class__ is list:
            joined += array
            if number % SLOW_LOT == 0:
                env.tick()
        else:
            joined += as_stream(array).rows(env)
        if len(joined) > env.array_limit:
            raise ResourceLimitError(too_many(env.array_limit))
    return joined


class Union(Source):
    """Streams one after the other; feeds among them last."""

    def __init__(self, parts: list[Stream]) -> None:
        self.parts = sorted(parts, key=lambda part: part.feed or part.infinite)
        self.infinite = any(part.infinite for part in parts)
        self.feed = any(part.feed for part in parts)

    def chunks(self, env: Env, want: int) -> Iterator[Chunk]:
        for part in self.parts:
            yield from part.chunks(env)


def _merged(env: Env, sequences: list[Any], keys: list[SortKey]) -> Any:
    streams = [as_stream(sequence, at) for at, sequence in enumerate(sequences)]

    def key_of(row: Any) -> list[Any]:
        out = []
        for key in keys:
            try:
                out.append(key.function.over([row])[0])
            except NonExistenceError:
                out.append(SKIP)
        return out

    def compare_keys(left: list[Any], right: list[Any]) -> int:
        for key, a, b in zip(keys, left, right, strict=True):
            if a is SKIP or b is SKIP:
                found = (a is not SKIP) - (b is not SKIP)
            else:
                found = compare(a, b)
            if found:
                return -found if key.descending else found
        return 0

    def checked(stream: Stream) -> Iterator[tuple[Any, Any]]:
        last = None
        for row in stream.rows(env):
            key = key_of(row)
            if last is not None and compare_keys(last, key) > 0:
                raise QueryLogicError(
                    "The streams given as arguments are not ordered by given ordering."
                ).by_stream()
            last = key
            yield (key, row)

    def chunks(env: Env) -> Iterator[Chunk]:
        by_key = cmp_to_key(compare_keys)
        out = []
        for _, row in heapq.merge(
            *(checked(stream) for stream in streams), key=lambda pair: by_key(pair[0])
        ):
            out.append(row)
            if len(out) >= 500:
                yield of_rows(out)
                out = []
        if out:
            yield of_rows(out)

    first: Any = next((sequence for sequence in sequences if not is_array(sequence)), [])
    infinite = any(stream.infinite for stream in streams)
    feed = any(stream.feed for stream in streams)
    return finish(env, first, Stream(Generated(chunks, infinite=infinite, feed=feed)))


def asc(env: Env, key: Any) -> Ordering:
    return Ordering(key, descending=False)


def desc(env: Env, key: Any) -> Ordering:
    return Ordering(key, descending=True)


TERMS: Final = (
    TermSpec(
        41,
        "orderby",
        at_least(1),
        compile=order_by,
        optargs=("index",),
        datum=False,
        names={"order_by_": order_by_, "sort_key": SortKey, "unsortable": unsortable},
    ),
    TermSpec(
        44,
        "union",
        ANY_NUMBER,
        compile=union,
        optargs=("interleave",),
        datum=False,
        names={"union_": union_, "interleaved": interleaved},
    ),
    TermSpec(73, "asc", exactly(1), run=asc, args=(Arg.ANY,), grouped=Grouped.WHOLE, datum=False),
    TermSpec(74, "desc", exactly(1), run=desc, args=(Arg.ANY,), grouped=Grouped.WHOLE, datum=False),
)
