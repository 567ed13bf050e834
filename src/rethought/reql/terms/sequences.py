"""Terms that make one sequence of another, row by row: map, filter, concat_map, zip, fold.

What always holds: arrays give arrays at once, streams stay lazy; every group of a grouped stream goes its own way.
"""

from collections.abc import Iterator
from typing import Any, Final

from rethought.errors import Frame, QueryLogicError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.env import Env
from rethought.exec.functions import Function
from rethought.exec.grouping import GroupedStream
from rethought.exec.matching import matches, pattern_function
from rethought.exec.ops import ConcatMap, Filter, Map, Operator, Zip, transform
from rethought.exec.values import (
    Generated,
    SingleSelection,
    Stream,
    as_stream,
    finish,
    groups_are_no_stream,
    is_array,
    is_datum,
    need_datum,
    need_sequence,
    wrong_datum,
    wrong_value,
)
from rethought.exec.values import (
    Grouped as GroupedData,
)
from rethought.exec.weight import weighed
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.runtime import per_group
from rethought.reql.spec import Arg, Effect, Grouped, TermSpec, at_least, exactly
from rethought.reql.tree import DATUM, FUNC, MAKE_OBJ, Term, datum


def call_term(c: Compiler, term: Term, name: str, nodes: list[Node]) -> Node:
    """A call `name(env, *nodes)`."""
    line = c.line(term)
    code = c.call(name, [c.name("env", line), *(node.code for node in nodes)], line)
    return c.node(term, code, nodes, Kind.VALUE)


def sequence_node(c: Compiler, term: Term, node: Node, at: int = 0) -> Node:
    """The node, checked to be a sequence (or grouped) before the next argument is evaluated."""
    line = c.line(term)
    code = c.call(
        "sequence_or_groups", [c.name("env", line), node.code, c.constant(at, line)], line
    )
    return Node(code, node.kind, node.determinism, node.closes)


def sequence_or_groups(env: Env, value: Any, at: int) -> Any:
    if at == 0 and isinstance(value, GroupedStream | GroupedData):
        return value
    return need_sequence(env, value, at)


def _kind_after(node: Node) -> Kind:
    return Kind.ANY if node.kind is Kind.ANY else Kind.VALUE


def streaming(env: Env, value: Any, op: Operator) -> Any:
    """A sequence (or every group's) through an operator."""
    if isinstance(value, GroupedStream):
        return value.through(op)
    if isinstance(value, GroupedData):
        return per_group(env, value, lambda group: streaming(env, group, op))
    return transform(env, need_sequence(env, value, 0), op)


# ---- map


def map_term(c: Compiler, term: Term) -> Node:
    """SEQUENCE..., FUNCTION -> SEQUENCE"""
    if len(term.args) == 2:
        node = sequence_node(c, term, c.compile(term.args[0]))
        function = c.function(term.args[1], project=True)
        result = call_term(c, term, "map_", [node, function])
        return Node(result.code, _kind_after(node), result.determinism, result.closes)
    nodes = [c.compile(arg) for arg in term.args[:-1]]
    checked = [sequence_node(c, term, node, at) for at, node in enumerate(nodes[1:], 1)]
    function = c.function(term.args[-1])

    def build(first: Node) -> Node:
        sequences = [sequence_node(c, term, first), *checked]
        return call_term(c, term, "map_many", [*sequences, function])

    return c.grouped(term, nodes[0], build)


def map_(env: Env, value: Any, function: Function) -> Any:
    if function.arity > 1:
        raise map_arity(function.arity, 1)
    return streaming(env, value, Map(function))


def map_arity(taken: int, given: int) -> QueryLogicError:
    return QueryLogicError(
        f"The function passed to `map` expects {taken} argument{'' if taken == 1 else 's'}, "
        f"but {given} sequence{' was' if given == 1 else 's were'} found."
    )


def map_many(env: Env, *parts: Any) -> Any:
    *sequences, function = parts
    if function.arity and function.arity != len(sequences):
        raise map_arity(function.arity, len(sequences))
    if isinstance(sequences[0], GroupedData):
        return per_group(env, sequences[0], lambda part: map_many(env, part, *parts[1:]))
    streams = [as_stream(value, at) for at, value in enumerate(sequences)]

    def chunks(env: Env) -> Iterator[Chunk]:
        iterators = [stream.rows(env) for stream in streams]
        out: list[Any] = []
        for rows in zip(*iterators, strict=False):
            env.tick()
            out.append(function.invoke(*rows))
            if len(out) >= 500:
                yield of_rows(out)
                out = []
        if out:
            yield of_rows(out)

    infinite = all(stream.infinite for stream in streams)
    feed = any(stream.feed for stream in streams)
    result = Stream(Generated(chunks, infinite=infinite, feed=feed))
    return result.to_list(env) if all(map(is_array, sequences)) else result


# ---- concat_map


def concat_map(c: Compiler, term: Term) -> Node:
    """SEQUENCE, FUNCTION giving a SEQUENCE -> SEQUENCE"""
    node = sequence_node(c, term, c.compile(term.args[0]))
    function = c.function(term.args[1], project=True, want=Kind.ANY)
    result = call_term(c, term, "concat_map_", [node, function])
    return Node(result.code, _kind_after(node), result.determinism, True)


def concat_map_(env: Env, value: Any, function: Function) -> Any:
    return streaming(env, value, ConcatMap(function))


# ---- filter


def filter_term(c: Compiler, term: Term) -> Node:
    """SEQUENCE, (FUNCTION | value) [, default] -> SEQUENCE"""
    node = c.compile(term.args[0])
    predicate = predicate_node(c, term.args[1], "function_or_constant")
    line = c.line(term)
    fallback = c.constant(None, line)
    if "default" in term.optargs:
        value = c.compile(term.optargs["default"])
        fallback = c.lambda_([], c.datum(value, line, "default"), line)  # type: ignore[assignment]
    place = c.keep(term.args[1].path, line)
    code = c.call(
        "filter_", [c.name("env", line), node.code, predicate.code, fallback, place], line
    )
    return c.node(term, code, [node, predicate], _kind_after(node))


def predicate_node(c: Compiler, predicate: Term, asked: str = "function_or_datum") -> Node:
    """A predicate: a function of a row, or a value (an object is a pattern, others hold or do not). `asked` refuses
    everything else."""
    if predicate.type == FUNC:
        return c.function(_matching(c, predicate), project=True)
    node = c.compile(predicate)
    line = c.line(predicate)
    code = c.call(asked, [c.name("env", line), node.code, c.constant(None, line)], line)
    return Node(code, Kind.VALUE, node.determinism, node.closes)


def _matching(c: Compiler, predicate: Term) -> Term:
    """A function whose body is an object matches its row against that object."""
    if len(predicate.args) != 2 or not _is_object(predicate.args[1]):
        return predicate
    numbers = c.parameters(predicate)
    if len(numbers) != 1:
        return predicate
    body = predicate.args[1]
    row = Term(_VAR, [datum(numbers[0], body.path)], {}, body.path, c.specs[_VAR])
    matched = Term(MATCHES.type, [row, body], {}, body.path, MATCHES)
    return Term(FUNC, [predicate.args[0], matched], {}, predicate.path, predicate.spec)


def _is_object(term: Term) -> bool:
    return term.type == MAKE_OBJ or (term.type == DATUM and term.value.__class__ is dict)


_VAR: Final = 10
MATCHES: Final = TermSpec(
    -1, "matches", exactly(2), run=matches, args=(Arg.DATUM, Arg.DATUM), boolean=True
)


def function_or_datum(env: Env, value: Any, at: int | None) -> Any:
    return value if isinstance(value, Function) else need_datum(env, value, at)


def function_or_constant(env: Env, value: Any, at: int | None) -> Any:
    """The same where a value stands for a function: anything but data is no function either."""
    if isinstance(value, Function):
        return value
    if not is_datum(value) and not isinstance(value, SingleSelection):
        raise wrong_value("FUNCTION", value, *(() if at is None else (at,)))
    return need_datum(env, value, at)


def filter_(env: Env, value: Any, predicate: Any, fallback: Any, place: tuple[Frame, ...]) -> Any:
    if fallback is None:
        fallback = env.defaults.fallback.get("default")
    if not isinstance(predicate, Function):
        predicate = pattern_function(predicate, place, strict=fallback is not None)
    return streaming(env, value, Filter(predicate, fallback))


# ---- zip


def zip_(env: Env, value: Any) -> Any:
    return transform(env, value, Zip())


# ---- fold


def fold(c: Compiler, term: Term) -> Node:
    """SEQUENCE, base, FUNCTION(acc, row) [, emit, final_emit] -> datum | SEQUENCE"""
    line = c.line(term)
    first = c.compile(term.args[0])
    node = Node(
        c.call("ungrouped", [c.name("env", line), first.code], line),
        Kind.VALUE,
        first.determinism,
        first.closes,
    )
    base = c.compile(term.args[1])
    step = c.function(term.args[2])
    emits = []
    for name in ("emit", "final_emit"):
        optarg = term.optargs.get(name)
        emits.append(
            Node(c.constant(None, line), Kind.VALUE) if optarg is None else c.function(optarg)
        )
    start = Node(c.datum(base, line, 1), Kind.DATUM, base.determinism, base.closes)
    return call_term(c, term, "fold_", [node, start, step, *emits])


def ungrouped(env: Env, value: Any) -> Any:
    """A sequence that must not be grouped."""
    if isinstance(value, GroupedStream | GroupedData):
        raise groups_are_no_stream(0)
    return need_sequence(env, value, 0)


def fold_(
    env: Env,
    sequence: Any,
    base: Any,
    step: Function,
    emit: Function | None,
    final_emit: Function | None,
) -> Any:
    if step.arity not in (0, 2):
        raise QueryLogicError("The accumulator function passed to `fold` should expect 2 arguments")
    stream = as_stream(sequence)
    if emit is None:
        stream.refuse_endless()
        state = base
        for row in stream.rows(env, settled=True):
            env.tick()
            state = step.invoke(state, row)
        weighed(env, state)
        return state if final_emit is None else final_emit.invoke(state)

    def chunks(env: Env) -> Iterator[Chunk]:
        state = base
        for chunk in stream.chunks(env, settled=True):
            env.tick()
            out: list[Any] = []
            for row in chunk.datums():
                env.tick()
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
    if value.__class__ is not list:
        raise wrong_datum("ARRAY", value)
    result: list[Any] = value
    return result


_NO_WRITES_BELOW: Final = Effect.FORBIDS_WRITES

TERMS: Final = (
    TermSpec(
        38,
        "map",
        at_least(2),
        compile=map_term,
        effect=_NO_WRITES_BELOW,
        grouped=Grouped.STREAM,
        datum=False,
        names={
            "map_": map_,
            "map_many": map_many,
            "sequence_or_groups": sequence_or_groups,
            "function_or_datum": function_or_datum,
        },
    ),
    TermSpec(
        39,
        "filter",
        exactly(2),
        compile=filter_term,
        optargs=("default",),
        effect=_NO_WRITES_BELOW,
        grouped=Grouped.STREAM,
        datum=False,
        names={
            "filter_": filter_,
            "function_or_constant": function_or_constant,
            f"run_{MATCHES.type}": matches,
        },
    ),
    TermSpec(
        40,
        "concatmap",
        exactly(2),
        compile=concat_map,
        effect=_NO_WRITES_BELOW,
        grouped=Grouped.STREAM,
        datum=False,
        names={"concat_map_": concat_map_},
    ),
    TermSpec(72, "zip", exactly(1), run=zip_, args=(Arg.SEQUENCE,), datum=False),
    TermSpec(
        187,
        "fold",
        exactly(3),
        compile=fold,
        optargs=("emit", "final_emit"),
        effect=_NO_WRITES_BELOW,
        grouped=Grouped.REJECT,
        datum=False,
        names={"fold_": fold_, "ungrouped": ungrouped},
    ),
)
