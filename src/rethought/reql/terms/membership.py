"""What is in a sequence: contains, offsets_of, difference, distinct.

What always holds: equality is `datum.order`'s; `distinct` of an index reads the index only.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from rethought.datum.order import compare, equal, hash_keys
from rethought.errors import NonExistenceError, QueryLogicError, ReqlError, ResourceLimitError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.env import Env, Options, too_many
from rethought.exec.functions import Function, RowFunction
from rethought.exec.ops import Filter, MapSkip, transform
from rethought.exec.reductions import SKIP
from rethought.exec.sorting import sorted_values
from rethought.exec.table import Selection
from rethought.exec.values import (
    Generated,
    Stream,
    as_stream,
    finish,
    need_sequence,
    need_string,
)
from rethought.reql.compiler import PLAIN, Compiler, Kind, Node
from rethought.reql.expressions import is_simple
from rethought.reql.nodes import Known
from rethought.reql.spec import Arg, TermSpec, at_least, exactly
from rethought.reql.terms.sequences import call_term, sequence_node
from rethought.reql.tree import DATUM, FUNC, Term

# ---- contains


def contains(c: Compiler, term: Term) -> Node:
    """SEQUENCE, (value | FUNCTION)... -> BOOL"""
    short = len(term.args) == 2 and term.args[1].type == DATUM
    node = c.operand(term.args[0]) if short else c.compile(term.args[0])
    wanted = [_function_or_datum(c, term, arg, at) for at, arg in enumerate(term.args[1:], 1)]

    def build(first: Node) -> Node:
        plain = first.kind in PLAIN and all(part.kind in PLAIN for part in wanted)
        if plain and short:
            return _contains_literal(c, term, first, wanted[0])
        if plain and len(wanted) == 1 and c.is_literal(term.args[0], list):
            return _in_literal(c, term, first, wanted[0])
        if plain and len(wanted) == 1 and is_simple(wanted[0].code):
            quick = call_term(c, term, "contains_one", [first, *wanted])
            return Node(quick.code, Kind.BOOL, quick.determinism, quick.closes)
        result = call_term(c, term, "contains_", [sequence_node(c, term, first), *wanted])
        return Node(result.code, Kind.BOOL, result.determinism, result.closes)

    return c.grouped(term, node, build)


_FOUND: Final = {Known.STRING: "b in a", Known.NUMBER: "b in a and slow"}


def _contains_literal(c: Compiler, term: Term, first: Node, wanted: Node) -> Node:
    """Strings are equal where Python says so; numbers only if it is not a bool that was found."""
    line = c.line(term)
    found = _FOUND.get(wanted.known or Known.NULL, "slow")
    code = c.inline(
        f"{found} if a.__class__ is list else slow",
        {
            "a": first.code,
            "b": wanted.code,
            "slow": c.call("contains_one", [c.name("env", line)], line),
        },
        line,
        unset=("a",) if first.unset else (),
    )
    return c.node(term, code, [first, wanted], Kind.BOOL)


def _in_literal(c: Compiler, term: Term, first: Node, wanted: Node) -> Node:
    """Whether a literal array holds a value: that it is an array needs no check before the value is evaluated."""
    line = c.line(term)
    code = c.inline(
        "b in a if b.__class__ is str else slow",
        {
            "a": first.code,
            "b": wanted.code,
            "slow": c.call("contains_one", [c.name("env", line)], line),
        },
        line,
    )
    return c.node(term, code, [first, wanted], Kind.BOOL)


def _function_or_datum(c: Compiler, term: Term, arg: Term, at: int) -> Node:
    if arg.type == FUNC:
        return c.function(arg, project=True)
    node = c.compile(arg)
    if node.kind in PLAIN:
        return node
    line = c.line(term)
    code = c.call("function_or_datum", [c.name("env", line), node.code, c.constant(at, line)], line)
    return Node(code, Kind.VALUE, node.determinism, node.closes)


def contains_one(env: Env, sequence: Any, wanted: Any) -> bool:
    """`contains` of a single datum in a sequence that mostly is a short array."""
    if sequence.__class__ is list and wanted.__class__ is str:
        return wanted in sequence
    return contains_(env, need_sequence(env, sequence, 0), wanted)


def contains_(env: Env, sequence: Any, *wanted: Any) -> bool:
    functions = [part for part in wanted if isinstance(part, Function)]
    values = [part for part in wanted if not isinstance(part, Function)]
    stream = as_stream(sequence)
    if stream.feed:
        stream.refuse_endless()
    if len(functions) == 1 and not values:
        return _any(env, stream, functions[0])
    for row in stream.rows(env, settled=bool(functions)):
        for at, part in enumerate(values):
            if equal(row, part):
                del values[at]
                break
        for at, function in enumerate(functions):
            found = function.invoke(row)
            if found is not None and found is not False:
                del functions[at]
                break
        if not values and not functions:
            return True
    return False


def _any(env: Env, stream: Stream, function: Function) -> bool:
    """Whether the function holds for a row; those after the first such one are not its business."""
    for chunk in stream.chunks(env, settled=True):
        env.tick()
        found: Iterable[Any]
        try:
            found = function.over_chunk(chunk)
        except ReqlError:
            found = (function.invoke(row) for row in chunk.datums())
        if any(value is not None and value is not False for value in found):
            return True
    return False


# ---- offsets_of


def offsets_of(c: Compiler, term: Term) -> Node:
    """SEQUENCE, (value | FUNCTION) -> SEQUENCE of positions"""
    node = c.compile(term.args[0])
    wanted = _function_or_datum(c, term, term.args[1], 1)
    return c.grouped(term, node, lambda first: call_term(c, term, "offsets_of_", [first, wanted]))


def offsets_of_(env: Env, value: Any, wanted: Any) -> Any:
    sequence = need_sequence(env, value, 0)
    stream = as_stream(sequence)

    def test(row: Any) -> bool:
        if not isinstance(wanted, Function):
            return compare(row, wanted) == 0
        try:
            found = wanted.invoke(row)
        except NonExistenceError:
            return False
        return found is not None and found is not False

    def chunks(env: Env) -> Iterator[Chunk]:
        position = 0
        for chunk in stream.chunks(env, settled=True):
            env.tick()
            found = [position + at for at, row in enumerate(chunk.datums()) if test(row)]
            position += chunk.count
            if found:
                yield of_rows(found)

    found = Stream(Generated(chunks, infinite=stream.infinite, feed=stream.feed))
    return finish(env, sequence, found)


# ---- difference


def difference(c: Compiler, term: Term) -> Node:
    """SEQUENCE, SEQUENCE -> SEQUENCE: the rows that the other does not contain"""
    node = c.compile(term.args[0])
    other = c.compile(term.args[1])
    line = c.line(term)
    removed = c.call("need_sequence", [c.name("env", line), other.code, c.constant(1, line)], line)
    evaluate = Node(c.lambda_([], removed, line), Kind.VALUE, other.determinism, True)
    return c.grouped(term, node, lambda first: call_term(c, term, "difference_", [first, evaluate]))


def difference_(env: Env, left: Any, right: Callable[[], Any]) -> Any:
    """The other side is evaluated when there is a row to look for, once for every chunk of rows."""

    def kept(rows: list[Any]) -> list[bool]:
        stream = as_stream(right(), 1)
        stream.refuse_endless()
        removed: set[Any] = set()
        for chunk in stream.chunks(env):
            env.tick()
            removed.update(hash_keys(chunk.datums()))
        return [key not in removed for key in hash_keys(rows)]

    rest = Filter(RowFunction(kept, None, _BOOLEAN, None))
    return transform(env, need_sequence(env, left, 0), rest)


_BOOLEAN: Final = 8


# ---- distinct


def distinct(env: Env, value: Any, opts: Options) -> Any:
    """SEQUENCE -> ARRAY | TABLE [index] -> STREAM"""
    if opts.has("index"):
        index = opts.value("index")
        if not isinstance(value, Selection) or value.range.keys is not None:
            raise QueryLogicError("Can only perform an indexed distinct on a TABLE.")
        return _distinct_index(env, value, index)
    if isinstance(value, Selection) and value.range.keys is None and value.range.index is None:
        return Stream(value.source)  # rows of a table differ in their keys
    stream = as_stream(value)
    stream.refuse_endless()
    seen: dict[Any, Any] = {}
    for chunk in stream.chunks(env):
        env.tick()
        rows = chunk.datums()
        for key, row in zip(hash_keys(rows), rows, strict=True):
            seen.setdefault(key, row)
        if len(seen) > env.array_limit:
            raise ResourceLimitError(too_many(env.array_limit))
    env.made(seen)
    return env.made(sorted_values(env, list(seen.values())))


def _distinct_index(env: Env, value: Selection, index: Any) -> Stream:
    index = need_string(env, index, "index")
    table = value.table
    assert table is not None
    if index == table.primary_key:
        pkey = table.primary_key
        function = RowFunction(lambda rows: [row[pkey] for row in rows], None, 0, None)
        return Stream(value.source).through(MapSkip(function))
    current = value.range
    if current.index != index and (
        current.index is not None or current.bounded or current.descending is not None
    ):
        raise QueryLogicError("Can only perform an indexed distinct on a TABLE.")
    selected = value.narrowed(index=index) if current.index is None else value

    def chunks(env: Env) -> Iterator[Chunk]:
        last: Any = SKIP
        for counts in table.key_counts(env, selected.range):
            fresh = []
            for key, _ in counts:
                if last is SKIP or not equal(key, last):
                    fresh.append(key)
                    last = key
            if fresh:
                yield of_rows(fresh)

    return Stream(Generated(chunks))


TERMS: Final = (
    TermSpec(
        93,
        "contains",
        at_least(1),
        compile=contains,
        names={"contains_": contains_, "contains_one": contains_one},
    ),
    TermSpec(
        87,
        "offsets_of",
        exactly(2),
        compile=offsets_of,
        datum=False,
        names={"offsets_of_": offsets_of_},
    ),
    TermSpec(
        95,
        "difference",
        exactly(2),
        compile=difference,
        datum=False,
        names={"difference_": difference_},
    ),
    TermSpec(
        42,
        "distinct",
        exactly(1),
        run=distinct,
        args=(Arg.SEQUENCE,),
        optargs=("index",),
        datum=False,
    ),
)
