"""Terms over sequences: transformations, ordering of rows, parts of sequences."""

import random
from collections.abc import Iterator
from typing import Any, Final

from rethought.datum.order import compare, equal, hash_key, order_key
from rethought.datum.text import pretty
from rethought.datum.values import to_int, type_name
from rethought.errors import NonExistenceError, QueryLogicError, ResourceLimitError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.env import Env, Options, too_many
from rethought.exec.functions import Function
from rethought.exec.grouping import GroupedStream
from rethought.exec.ops import ConcatMap, Filter, Map, MapSkip, Operator, Slice, Zip, transform
from rethought.exec.reductions import SKIP
from rethought.exec.table import Selection, bound_is_open
from rethought.exec.values import (
    Generated,
    SingleSelection,
    Stream,
    as_stream,
    finish,
    need_datum,
    need_sequence,
    wrong_value,
)
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.spec import (
    ANY_NUMBER,
    Arg,
    Determinism,
    Effect,
    Grouped,
    TermSpec,
    at_least,
    between,
    exactly,
)
from rethought.reql.tree import FUNC, MAKE_OBJ, VAR, Term, datum

# ---- map, filter, concat_map


def map_term(c: Compiler, term: Term) -> Node:
    """SEQUENCE..., FUNCTION -> SEQUENCE"""
    if len(term.args) == 2:
        node = c.compile(term.args[0])
        function = c.function(term.args[1], project=True)
        line = c.line(term)
        code = c.call("map_", [c.name("env", line), node.code, function.code], line)
        return c.node(term, code, [node, function], _sequence_kind(node))
    nodes = [c.compile(arg) for arg in term.args[:-1]]
    function = c.function(term.args[-1])
    return c.grouped(
        term, nodes[0], lambda first: _call(c, term, "map_many", [function, first, *nodes[1:]])
    )


def _call(c: Compiler, term: Term, name: str, nodes: list[Node]) -> Node:
    line = c.line(term)
    code = c.call(name, [c.name("env", line), *(node.code for node in nodes)], line)
    return c.node(term, code, nodes, Kind.VALUE)


def _sequence_kind(node: Node) -> Kind:
    if node.kind is Kind.ANY:
        return Kind.ANY
    return Kind.VALUE


def streaming(env: Env, value: Any, op: Operator) -> Any:
    """A sequence (or every group's) through an operator."""
    if isinstance(value, GroupedStream):
        return value.through(op)
    from rethought.exec.values import Grouped as GroupedData

    if isinstance(value, GroupedData):
        from rethought.reql.runtime import per_group

        return per_group(env, value, lambda group: streaming(env, group, op))
    return transform(env, need_sequence(env, value, 0), op)


def map_(env: Env, value: Any, function: Function) -> Any:
    if function.arity > 1:
        raise map_arity(function.arity, 1)
    return streaming(env, value, Map(function))


def map_arity(taken: int, given: int) -> QueryLogicError:
    return QueryLogicError(
        f"The function passed to `map` expects {taken} argument{'' if taken == 1 else 's'}, "
        f"but {given} sequence{' was' if given == 1 else 's were'} found."
    )


def map_many(env: Env, function: Function, *sequences: Any) -> Any:
    if function.arity and function.arity != len(sequences):
        raise map_arity(function.arity, len(sequences))
    checked = [need_sequence(env, value, at) for at, value in enumerate(sequences)]
    streams = [as_stream(value) for value in checked]

    def chunks(env: Env) -> Iterator[Chunk]:
        iterators = [stream.rows(env) for stream in streams]
        out: list[Any] = []
        for rows in zip(*iterators, strict=False):
            out.append(function.invoke(*rows))
            if len(out) >= 500:
                yield of_rows(out)
                out = []
        if out:
            yield of_rows(out)

    infinite = all(stream.infinite for stream in streams)
    feed = any(stream.feed for stream in streams)
    result = Stream(Generated(chunks, infinite=infinite, feed=feed))
    if all(value.__class__ is list for value in checked):
        return result.to_list(env)
    return result


def concat_map(c: Compiler, term: Term) -> Node:
    node = c.compile(term.args[0])
    function = c.function(term.args[1], want=Kind.ANY)
    result = _call(c, term, "concat_map_", [node, function])
    return Node(result.code, _sequence_kind(node), result.determinism, True)


def concat_map_(env: Env, value: Any, function: Function) -> Any:
    return streaming(env, value, ConcatMap(function))


def filter_term(c: Compiler, term: Term) -> Node:
    """SEQUENCE, (FUNCTION | value) [, default] -> SEQUENCE"""
    node = c.compile(term.args[0])
    predicate = c.function(matching(c, term.args[1]), shortcut="constant", project=True)
    line = c.line(term)
    fallback = c.constant(None, line)
    if "default" in term.optargs:
        optarg = term.optargs["default"]
        value = c.compile(optarg)
        fallback = c.lambda_([], c.datum(value, line, "default"), line)  # type: ignore[assignment]
    code = c.call(
        "filter_", [c.name("env", line), node.code, predicate.code, fallback, c.options(term)], line
    )
    return c.node(term, code, [node, predicate], _sequence_kind(node))


def filter_(env: Env, value: Any, predicate: Function, fallback: Any, opts: Options) -> Any:
    if fallback is None and "default" in env.defaults:
        fallback = env.defaults["default"]
    return streaming(env, value, Filter(predicate, fallback))


def matching(c: Compiler, predicate: Term) -> Term:
    """An object given as a predicate, as the function that matches rows against it."""
    if predicate.type == FUNC and len(predicate.args) == 2:
        body = predicate.args[1]
        if _is_object(body):
            numbers = c.parameters(predicate)
            if len(numbers) == 1:
                row = Term(VAR, [datum(numbers[0], body.path)], {}, body.path, c.specs[VAR])
                matched = _match_term(c, row, body)
                return Term(FUNC, [predicate.args[0], matched], {}, predicate.path, predicate.spec)
        return predicate
    if not _is_object(predicate):
        return predicate
    path = predicate.path
    number = -8_000_000
    row = Term(VAR, [datum(number, path)], {}, path, c.specs[VAR])
    return Term(
        FUNC, [datum([number], path), _match_term(c, row, predicate)], {}, path, c.specs[FUNC]
    )


def _is_object(term: Term) -> bool:
    if term.type == MAKE_OBJ:
        return "$reql_type$" not in term.optargs
    return (
        term.type == 1 and term.value.__class__ is dict and "$reql_type$" not in term.value
    )


_AND: Final = 67
_EQ: Final = 17
_GET_FIELD: Final = 31


def _match_term(c: Compiler, row: Term, pattern: Term) -> Term:
    path = pattern.path
    if pattern.type == MAKE_OBJ:
        fields = dict(pattern.optargs)
    else:
        c.pin(pattern)
        fields = {key: datum(value, (*path, key)) for key, value in pattern.value.items()}
    tests = []
    for key, value in fields.items():
        found = Term(_GET_FIELD, [row, datum(key, path)], {}, path, c.specs[_GET_FIELD])
        simple = value.type == 1 and value.value.__class__ is not dict
        spec = c.specs[_EQ] if simple else MATCHES
        tests.append(Term(_EQ, [found, value], {}, path, spec))
    return Term(_AND, tests, {}, path, c.specs[_AND])


def matches(env: Env, value: Any, pattern: Any) -> bool:
    """Whether a value fits the pattern of an object filter."""
    if pattern.__class__ is dict:
        kind = pattern.get("$reql_type$")
        if kind == "LITERAL":
            return "value" in pattern and equal(value, pattern["value"])
        if kind is None:
            if value.__class__ is not dict:
                return False
            for key, part in pattern.items():
                if key not in value:
                    raise NonExistenceError(f"No attribute `{key}` in object:\n{pretty(value)}")
                if not matches(env, value[key], part):
                    return False
            return True
    return equal(value, pattern)


MATCHES: Final = TermSpec(
    -1, "eq", exactly(2), run=matches, args=(Arg.DATUM, Arg.DATUM), boolean=True
)


def zip_(env: Env, value: Any) -> Any:
    return transform(env, value, Zip())


# ---- parts


def nth(env: Env, sequence: Any, position: Any) -> Any:
    """SEQUENCE, NUMBER -> row"""
    index = to_int(position)
    if not -(2**31) <= index < 2**31:
        raise QueryLogicError(f"Integer too large: {index}", 1)
    if sequence.__class__ is list:
        try:
            return sequence[index]
        except IndexError:
            raise NonExistenceError(f"Index out of bounds: {index}", 1) from None
    if isinstance(sequence, GroupedStream):
        from rethought.reql.runtime import per_group

        return per_group(env, sequence, lambda group: nth(env, group, position))
    stream: Stream = sequence
    if stream.array:
        rows = stream.to_list(env)
        try:
            row = rows[index]
        except IndexError:
            raise NonExistenceError(f"Index out of bounds: {index}", 1) from None
        return _selected(stream, row)
    if index < -1:
        raise QueryLogicError(f"Cannot use an index < -1 ({index}) on a stream.", 1)
    if index == -1:
        stream.refuse_endless()
        last: Any = SKIP
        for chunk in stream.chunks(env):
            env.tick()
            last = chunk
        if last is SKIP:
            raise NonExistenceError(f"Index out of bounds: {index}", 1)
        return _selected(stream, last.datums()[-1])
    if stream.feed:
        stream.refuse_endless()
    for chunk in stream.through(Slice(index, index + 1)).chunks(env):
        return _selected(stream, chunk.datums()[0])
    raise NonExistenceError(f"Index out of bounds: {index}", 1)


def _selected(stream: Stream, row: Any) -> Any:
    if stream.table is None:
        return row
    from rethought.datum.jsonbytes import encode

    return SingleSelection(stream.table, row[stream.table.primary_key], encode(row))


def nth_term(env: Env, value: Any, position: Any) -> Any:
    return nth(env, value, position)


def slice_(env: Env, value: Any, start: Any, *end: Any, opts: Options) -> Any:
    """ARRAY | STRING | BINARY | SEQUENCE, NUMBER [, NUMBER] -> the same kind"""
    left_open = bound_is_open(_text(opts, "left_bound", "closed"), "left_bound")
    right_closed = not bound_is_open(_text(opts, "right_bound", "open"), "right_bound")
    if not end:
        return _slice(env, value, start, -1, left_open=left_open, right_closed=True)
    return _slice(env, value, start, end[0], left_open=left_open, right_closed=right_closed)


def _text(opts: Options, name: str, default: str) -> Any:
    value = opts.value(name)
    return default if value is None else value


def _slice(
    env: Env, value: Any, start: int, end: int, *, left_open: bool, right_closed: bool
) -> Any:
    from rethought.datum.binary import binary, binary_bytes

    if value.__class__ is SingleSelection:
        value = value.datum()
    if value.__class__ is list or value.__class__ is str:
        low, high = _positions(len(value), start, end, left_open, right_closed)
        return value[low:high]
    if isinstance(value, Stream):
        if value.array:
            rows = value.to_list(env)
            low, high = _positions(len(rows), start, end, left_open, right_closed)
            return value.through(Slice(low, high))
        return _slice_stream(value, start, end, left_open, right_closed)
    if value.__class__ is dict and value.get("$reql_type$") == "BINARY":
        data = binary_bytes(value)
        low, high = _positions(len(data), start, end, left_open, right_closed)
        return binary(data[low:high])
    error = NonExistenceError if value is None else QueryLogicError
    raise error(
        f"Expected ARRAY, BINARY, or STRING, but found {type_name(need_datum(env, value, 0))}."
    )


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
        raise QueryLogicError("Cannot use a negative left index on a stream.", 0)
    if left_open:
        start += 1
    if end < -1:
        raise QueryLogicError("Cannot use a right index < -1 on a stream.", 0)
    if end == -1:
        if not right_closed:
            raise QueryLogicError("Cannot slice to an open right index of -1 on a stream.", 0)
        return stream.through(Slice(start, None)) if start else stream
    return stream.through(Slice(start, end + 1 if right_closed else end))


def skip(env: Env, value: Any, count: Any) -> Any:
    return _slice(env, value, count, -1, left_open=False, right_closed=True)


def limit(env: Env, value: Any, count: Any) -> Any:
    """SEQUENCE, NUMBER -> the same kind"""
    if not -(2**31) <= count < 2**31:
        raise QueryLogicError(f"Integer too large: {count}", 1)
    if count < 0:
        raise QueryLogicError(f"LIMIT takes a non-negative argument (got {count})", 1)
    if value.__class__ is list:
        return value[:count]
    return value.through(Slice(0, count))


def is_empty(env: Env, value: Any) -> bool:
    if value.__class__ is list:
        return not value
    if value.feed:
        value.refuse_endless()
    return all(not chunk.count for chunk in value.through(Slice(0, 1)).chunks(env))


def sample(env: Env, value: Any, count: int) -> Any:
    """SEQUENCE, NUMBER -> ARRAY of that many rows, each equally likely"""
    if count < 0:
        raise QueryLogicError(
            f"Number of items to sample must be non-negative, got `{count}`.", 1
        )
    if count > env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    if value.__class__ is list:
        return random.sample(value, min(count, len(value)))
    value.refuse_endless()
    chosen: list[Any] = []
    seen = 0
    for row in value.rows(env):
        seen += 1
        if len(chosen) < count:
            chosen.append(row)
        elif (place := random.randrange(seen)) < count:
            chosen[place] = row
    random.shuffle(chosen)
    return _array_like(value, chosen)


def _array_like(value: Any, rows: list[Any]) -> Any:
    from rethought.exec.values import Rows

    if isinstance(value, Stream) and value.table is not None:
        return Stream(Rows(rows), table=value.table, array=True)
    return rows


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
            if position > 2**53:
                raise QueryLogicError("`range` out of safe double bounds.")
            stop = position + size if end is None else min(end, position + size)
            yield Chunk(stop - position, rows=list(range(position, stop)))
            position = stop
            size = 1000

    return Stream(Generated(chunks, infinite=end is None))


# ---- joining sequences


def difference(env: Env, left: Any, right: Any) -> Any:
    from rethought.exec.functions import RowFunction

    def keep(rows: list[Any]) -> list[Any]:
        removed = {hash_key(row) for row in as_stream(right).rows(env)}
        return [hash_key(row) not in removed for row in rows]

    if not (right.__class__ is list or right.ops or isinstance(right, Selection)):
        right = right.to_list(env)
    return transform(env, left, Filter(RowFunction(keep, None, 8, None)))


def offsets_of(c: Compiler, term: Term) -> Node:
    node = c.compile(term.args[0])
    if term.args[1].type == FUNC:
        wanted = c.function(term.args[1])
    else:
        wanted = c.compile(term.args[1])
        wanted = Node(c.datum(wanted, c.line(term), 1), Kind.DATUM, wanted.determinism)
    return c.grouped(term, node, lambda first: _call(c, term, "offsets_of_", [first, wanted]))


def offsets_of_(env: Env, value: Any, wanted: Any) -> Any:
    sequence = need_sequence(env, value, 0)

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
        for chunk in as_stream(sequence).chunks(env):
            found = [position + at for at, row in enumerate(chunk.datums()) if test(row)]
            position += chunk.count
            if found:
                yield of_rows(found)

    stream = as_stream(sequence)
    return finish(
        env, sequence, Stream(Generated(chunks, infinite=stream.infinite, feed=stream.feed))
    )


def contains(c: Compiler, term: Term) -> Node:
    """SEQUENCE, (value | FUNCTION)... -> BOOL"""
    node = c.compile(term.args[0])
    wanted = []
    for at, arg in enumerate(term.args[1:], 1):
        if arg.type == FUNC:
            wanted.append(c.function(arg))
        else:
            part = c.compile(arg)
            if part.kind in (Kind.DATUM, Kind.BOOL):
                wanted.append(part)
            else:
                code = c.call(
                    "function_or_datum",
                    [c.name("env", c.line(term)), part.code, c.constant(at, c.line(term))],
                    c.line(term),
                )
                wanted.append(Node(code, Kind.VALUE, part.determinism, part.closes))

    def build(first: Node) -> Node:
        result = _call(c, term, "contains_", [first, *wanted])
        return Node(result.code, Kind.BOOL, result.determinism, result.closes)

    return c.grouped(term, node, build)


def function_or_datum(env: Env, value: Any, at: int) -> Any:
    return value if isinstance(value, Function) else need_datum(env, value, at)


def contains_(env: Env, value: Any, *wanted: Any) -> bool:
    sequence = need_sequence(env, value, 0)
    functions = [part for part in wanted if isinstance(part, Function)]
    values = [part for part in wanted if not isinstance(part, Function)]
    if not wanted:
        return not is_empty(env, sequence)
    if isinstance(sequence, Stream):
        sequence.refuse_endless()
    for row in as_stream(sequence).rows(env):
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


def distinct(env: Env, value: Any, opts: Options) -> Any:
    """SEQUENCE -> ARRAY | TABLE [index] -> STREAM"""
    index = opts.value("index")
    if index is not None:
        if not isinstance(value, Selection):
            raise QueryLogicError("Can only perform an indexed distinct on a TABLE.", 0)
        return _distinct_index(env, value, index)
    if isinstance(value, Selection) and value.range.keys is None:
        return value if not value.sliced else _distinct_stream(value)
    if isinstance(value, Stream):
        value.refuse_endless()
    seen: dict[Any, Any] = {}
    for row in as_stream(value).rows(env):
        seen.setdefault(hash_key(row), row)
        if len(seen) > env.array_limit:
            raise ResourceLimitError(too_many(env.array_limit))
    return sorted(seen.values(), key=order_key)


def _distinct_stream(value: Stream) -> Stream:
    def chunks(env: Env) -> Iterator[Chunk]:
        seen: set[Any] = set()
        for chunk in value.chunks(env):
            fresh = []
            for row in chunk.datums():
                hashed = hash_key(row)
                if hashed not in seen:
                    seen.add(hashed)
                    fresh.append(row)
            if fresh:
                yield of_rows(fresh)

    return Stream(Generated(chunks))


def _distinct_index(env: Env, value: Selection, index: Any) -> Stream:
    from rethought.exec.values import wrong_datum

    if index.__class__ is not str:
        raise wrong_datum("STRING", index, "index")
    table = value.table
    assert table is not None
    if index == table.primary_key:
        from rethought.exec.functions import RowFunction

        pkey = table.primary_key
        function = RowFunction(lambda rows: [row[pkey] for row in rows], None, 0, None)
        return Stream(value.source).through(MapSkip(function))
    table.index(index)
    selected = value.narrowed(index=index) if value.range.index is None else value

    def chunks(env: Env) -> Iterator[Chunk]:
        last: Any = SKIP
        for _chunk, keys in table.keyed_chunks(env, selected.range):
            fresh = []
            for key in keys:
                if last is SKIP or not equal(key, last):
                    fresh.append(key)
                    last = key
            if fresh:
                yield of_rows(fresh)

    return Stream(Generated(chunks))


# ---- fold


def fold(c: Compiler, term: Term) -> Node:
    """SEQUENCE, base, FUNCTION(acc, row) [, emit, final_emit] -> datum | SEQUENCE"""
    node = c.compile(term.args[0])
    base = c.compile(term.args[1])
    step = c.function(term.args[2])
    line = c.line(term)
    emits = []
    for name in ("emit", "final_emit"):
        optarg = term.optargs.get(name)
        emits.append(
            Node(c.constant(None, line), Kind.VALUE) if optarg is None else c.function(optarg)
        )
    start = Node(c.datum(base, line, 1), Kind.DATUM, base.determinism, base.closes)
    return _call(c, term, "fold_", [node, start, step, *emits])


def fold_(
    env: Env,
    value: Any,
    base: Any,
    step: Function,
    emit: Function | None,
    final_emit: Function | None,
) -> Any:
    from rethought.exec.values import Grouped as GroupedData

    if isinstance(value, GroupedStream | GroupedData):
        raise QueryLogicError(
            "Cannot treat the output of `group` as a stream (did you mean to `ungroup`?).", 0
        )
    sequence = need_sequence(env, value, 0)
    if step.arity not in (0, 2):
        raise QueryLogicError(
            "The accumulator function passed to `fold` should expect 2 arguments", 2
        )
    stream = as_stream(sequence)
    if emit is None:
        stream.refuse_endless()
        state = base
        for row in stream.rows(env):
            state = step.invoke(state, row)
        return state if final_emit is None else final_emit.invoke(state)

    def chunks(env: Env) -> Iterator[Chunk]:
        state = base
        for chunk in stream.chunks(env):
            env.tick()
            out: list[Any] = []
            for row in chunk.datums():
                new = step.invoke(state, row)
                out.extend(_emitted(emit.invoke(state, row, new)))
                state = new
            if out:
                yield of_rows(out)
        if final_emit is not None:
            out = _emitted(final_emit.invoke(state))
            if out:
                yield of_rows(out)

    return finish(
        env, sequence, Stream(Generated(chunks, infinite=stream.infinite, feed=stream.feed))
    )


def _emitted(value: Any) -> list[Any]:
    from rethought.exec.values import wrong_datum

    if value.__class__ is not list:
        raise wrong_datum("ARRAY", value)
    result: list[Any] = value
    return result


_SEQUENCE_FIRST: Final = (Arg.SEQUENCE,)

TERMS: Final = (
    TermSpec(
        38,
        "map",
        at_least(2),
        compile=map_term,
        effect=Effect.FORBIDS_WRITES,
        grouped=Grouped.STREAM,
        datum=False,
        names={"map_": map_, "map_many": map_many},
    ),
    TermSpec(
        39,
        "filter",
        exactly(2),
        compile=filter_term,
        optargs=("default",),
        effect=Effect.FORBIDS_WRITES,
        grouped=Grouped.STREAM,
        datum=False,
        names={"filter_": filter_, f"run_{MATCHES.type}": matches},
    ),
    TermSpec(
        40,
        "concatmap",
        exactly(2),
        compile=concat_map,
        effect=Effect.FORBIDS_WRITES,
        grouped=Grouped.STREAM,
        datum=False,
        names={"concat_map_": concat_map_},
    ),
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
    TermSpec(71, "limit", exactly(2), run=limit, args=(Arg.SEQUENCE, Arg.INT), datum=False),
    TermSpec(72, "zip", exactly(1), run=zip_, args=_SEQUENCE_FIRST, datum=False),
    TermSpec(
        42,
        "distinct",
        exactly(1),
        run=distinct,
        args=_SEQUENCE_FIRST,
        optargs=("index",),
        datum=False,
    ),
    TermSpec(45, "nth", exactly(2), run=nth_term, args=(Arg.SEQUENCE, Arg.NUMBER), datum=False),
    TermSpec(
        81,
        "sample",
        exactly(2),
        run=sample,
        args=(Arg.SEQUENCE, Arg.INT),
        determinism=Determinism.NEVER,
        datum=False,
    ),
    TermSpec(86, "is_empty", exactly(1), run=is_empty, args=_SEQUENCE_FIRST, boolean=True),
    TermSpec(
        87,
        "offsets_of",
        exactly(2),
        compile=offsets_of,
        datum=False,
        names={"offsets_of_": offsets_of_},
    ),
    TermSpec(
        93,
        "contains",
        at_least(1),
        compile=contains,
        names={"contains_": contains_, "function_or_datum": function_or_datum},
    ),
    TermSpec(
        95,
        "difference",
        exactly(2),
        run=difference,
        args=(Arg.SEQUENCE, Arg.SEQUENCE),
        datum=False,
    ),
    TermSpec(173, "range", between(0, 2), run=range_, args=(Arg.INT, Arg.INT), datum=False),
    TermSpec(
        187,
        "fold",
        exactly(3),
        compile=fold,
        optargs=("emit", "final_emit"),
        effect=Effect.FORBIDS_WRITES,
        grouped=Grouped.REJECT,
        datum=False,
        names={"fold_": fold_},
    ),
)

__all__ = ["ANY_NUMBER", "TERMS", "wrong_value"]
