"""Terms that reduce a sequence to one value, and grouping."""

from collections import Counter
from dataclasses import replace
from typing import Any, Final

from rethought.datum.jsonbytes import decode
from rethought.datum.order import equal
from rethought.errors import QueryLogicError
from rethought.exec.chunk import Chunk
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function, RowFunction
from rethought.exec.grouping import GroupedStream, Groups, check_groups, sorted_groups
from rethought.exec.ops import Filter
from rethought.exec.reductions import (
    Average,
    Count,
    Extreme,
    Reduce,
    Reduction,
    Sum,
    reduce_stream,
)
from rethought.exec.sorting import SLOW_LOT, lots
from rethought.exec.table import Selection, need_whole
from rethought.exec.values import (
    Grouped,
    SingleSelection,
    as_stream,
    need_sequence,
    need_string,
    wrong_value,
)
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.runtime import per_group
from rethought.reql.spec import (
    Arg,
    Effect,
    TermSpec,
    at_least,
    between,
    exactly,
)
from rethought.reql.spec import (
    Grouped as OnGroups,
)
from rethought.reql.terms.sequences import predicate_node, sequence_node, streaming
from rethought.reql.tree import Term


def terminal(env: Env, value: Any, reduction: Reduction) -> Any:
    """A reduction over a sequence, or over every group."""
    if isinstance(value, GroupedStream):
        return value.reduce(env, reduction)
    if isinstance(value, Grouped):
        return per_group(env, value, lambda group: terminal(env, group, reduction))
    return reduce_stream(env, as_stream(need_sequence(env, value, 0)), reduction)


def _result(c: Compiler, term: Term, name: str, nodes: list[Node]) -> Node:
    line = c.line(term)
    code = c.call(name, [c.name("env", line), *(node.code for node in nodes)], line)
    kind = Kind.ANY if nodes[0].kind is Kind.ANY else Kind.VALUE
    return c.node(term, code, nodes, kind)


# ---- count


def count(c: Compiler, term: Term) -> Node:
    """SEQUENCE | STRING | BINARY | OBJECT [, value | FUNCTION] -> NUMBER"""
    node = c.compile(term.args[0])
    if len(term.args) == 1:
        return _result(c, term, "count_", [node])
    return _result(c, term, "count_of", [node, predicate_node(c, term.args[1])])


def count_(env: Env, value: Any) -> Any:
    if isinstance(value, SingleSelection):
        row = value.datum()
        return terminal(env, value, Count()) if row is None else len(row)
    kind = value.__class__
    if kind is str or kind is list:
        return len(value)
    if isinstance(value, Selection):
        assert value.table is not None
        known = value.table.count(env, value.range)
        if known is not None:
            return known
    if kind is dict:
        if value.get("$reql_type$") == "BINARY":
            from rethought.datum.binary import binary_bytes

            return len(binary_bytes(value))
        if "$reql_type$" not in value:
            return len(value)
    return terminal(env, value, Count())


def count_of(env: Env, value: Any, wanted: Any) -> Any:
    if isinstance(wanted, Function):
        predicate = wanted
    else:
        predicate = RowFunction(lambda rows: [equal(row, wanted) for row in rows], None, 8, None)
    return count_(env, streaming(env, value, Filter(predicate)))


# ---- sum, avg, min, max, reduce


def _keyed(name: str) -> Any:
    def compile_(c: Compiler, term: Term) -> Node:
        node = c.compile(term.args[0])
        line = c.line(term)
        function = Node(c.constant(None, line), Kind.VALUE)
        if len(term.args) > 1:
            function = c.function(term.args[1], shortcut="field", project=True)
        options = Node(c.options(term), Kind.VALUE)
        return _result(c, term, f"{name}_", [node, function, options])

    return compile_


def sum_(env: Env, value: Any, function: Function | None, opts: Options) -> Any:
    _refuse_index(env, value, function, opts, "sum")
    return terminal(env, value, Sum(function))


def avg_(env: Env, value: Any, function: Function | None, opts: Options) -> Any:
    _refuse_index(env, value, function, opts, "avg")
    return terminal(env, value, Average(function))


def _refuse_index(
    env: Env, value: Any, function: Function | None, opts: Options, name: str
) -> None:
    if not opts.has("index"):
        return
    if function is not None:
        raise _both(name)
    need_whole(env, value, 0)
    raise QueryLogicError(f"Cannot call {name} on an index.")


def _both(name: str) -> QueryLogicError:
    return QueryLogicError(f"Cannot provide both a function and an index to {name}.")


def min_(env: Env, value: Any, function: Function | None, opts: Options) -> Any:
    return _extreme(env, value, function, opts, "min", 1)


def max_(env: Env, value: Any, function: Function | None, opts: Options) -> Any:
    return _extreme(env, value, function, opts, "max", -1)


def _extreme(
    env: Env, value: Any, function: Function | None, opts: Options, name: str, sign: int
) -> Any:
    ordered = _ordered(env, value, function, opts, name, sign)
    if ordered is None:
        return terminal(env, value, Extreme(name, function, sign))
    table = ordered.table
    assert table is not None
    for chunk in ordered.chunks(env, 1):
        document = bytes(chunk.documents()[0])
        row: Any = decode(document)
        return SingleSelection(table, row[table.primary_key], document)
    raise QueryLogicError(f"`{name}` found no entries in the specified index.")


def _ordered(
    env: Env, value: Any, function: Function | None, opts: Options, name: str, sign: int
) -> Selection | None:
    """The selection whose first row it is, in the order of an index; None when there is no such order."""
    from rethought.reql.terms.ordering import by_index

    index = opts.value("index")
    if index is None:
        if function is not None or not isinstance(value, Selection) or not value.whole:
            return None
    elif function is not None:
        raise _both(name)
    whole = need_whole(env, value, 0)
    assert whole.table is not None
    if index is None:
        index = whole.table.primary_key
    else:
        index = need_string(env, index, "index")
    return by_index(env, whole, index, descending=sign < 0)


class First:
    """MIN or MAX in an index as CHANGES sees it: the first row of an order, which need not be there yet."""

    __slots__ = ("ordered",)

    def __init__(self, ordered: Selection) -> None:
        self.ordered = ordered


def followed_min(env: Env, value: Any, function: Function | None, opts: Options) -> Any:
    ordered = _ordered(env, value, function, opts, "min", 1)
    return min_(env, value, function, opts) if ordered is None else First(ordered)


def followed_max(env: Env, value: Any, function: Function | None, opts: Options) -> Any:
    ordered = _ordered(env, value, function, opts, "max", -1)
    return max_(env, value, function, opts) if ordered is None else First(ordered)


def followed_extreme(name: str) -> TermSpec:
    """How MIN or MAX compiles when CHANGES stands right behind."""
    spec = next(spec for spec in TERMS if spec.name == name)
    return replace(spec, compile=_keyed(f"followed_{name}"))


def reduce_term(c: Compiler, term: Term) -> Node:
    """SEQUENCE, FUNCTION(left, right) -> datum"""
    return _result(
        c,
        term,
        "reduce_",
        [sequence_node(c, term, c.compile(term.args[0])), c.function(term.args[1])],
    )


def reduce_(env: Env, value: Any, function: Function) -> Any:
    return terminal(env, value, Reduce(function))


# ---- group


def group(c: Compiler, term: Term) -> Node:
    """SEQUENCE, (FUNCTION | field)... [, index, multi] -> GROUPED_STREAM"""
    node = c.compile(term.args[0])
    keys = [c.function(arg, shortcut="field", project=True) for arg in term.args[1:]]
    line = c.line(term)
    code = c.call(
        "group_",
        [c.name("env", line), node.code, c.options(term), *(key.code for key in keys)],
        line,
    )
    return c.node(term, code, [node, *keys], Kind.ANY)


def group_(env: Env, value: Any, opts: Options, *keys: Function) -> Any:
    if isinstance(value, GroupedStream):
        raise QueryLogicError(
            "Cannot call `group` on the output of `group` (did you mean to `ungroup`?).", 0
        )
    if isinstance(value, Grouped):
        return per_group(env, value, lambda part: group_(env, part, opts, *keys))
    sequence = need_sequence(env, value, 0)
    multi = opts.value("multi")
    index = opts.value("index")
    if index is None and not keys:
        raise QueryLogicError("Cannot group by nothing.")
    fan = multi is not None and multi is not False
    if index is None:
        return GroupedStream(as_stream(sequence), list(keys), multi=fan)
    index = need_string(env, index, "index")
    return _group_index(env, need_whole(env, value, 0), list(keys), index, multi=fan)


def _group_index(
    env: Env, selection: Selection, keys: list[Function], index: Any, *, multi: bool
) -> GroupedStream:
    table = selection.table
    assert table is not None
    if index == table.primary_key:
        pkey = table.primary_key
        function = RowFunction(lambda rows: [row[pkey] for row in rows], None, 0, None)
        return GroupedStream(selection, [*keys, function], multi=multi)
    indexed = selection.narrowed(index=index) if selection.range.index is None else selection
    return IndexGroupedStream(indexed, keys, multi=multi)


class IndexGroupedStream(GroupedStream):
    """Groups by the entries of an index: every entry is a row of its own."""

    def __init__(
        self,
        selection: Selection,
        keys: list[Function],
        *,
        multi: bool,
        ops: Any = (),
    ) -> None:
        from rethought.exec.values import Generated, Stream

        entries: dict[int, list[Any]] = {}

        def chunks(env: Env) -> Any:
            assert selection.table is not None
            for chunk, values in selection.table.keyed_chunks(env, selection.range):
                entries[id(chunk)] = values
                yield chunk
                entries.pop(id(chunk), None)

        def entry_keys(chunk: Chunk) -> list[Any]:
            return entries[id(chunk)]

        self.selection = selection
        super().__init__(Stream(Generated(chunks)), keys, multi=multi, index=entry_keys, ops=ops)

    def reduce(self, env: Env, reduction: Reduction) -> Grouped:
        if not reduction.counts or self.keys or self.ops:
            return super().reduce(env, reduction)
        counts: Counter[Any] = Counter()
        groups = Groups()
        assert self.selection.table is not None
        for tally in self.selection.table.key_counts(env, self.selection.range):
            for name, count in tally:
                counts[groups.hash(name)] += count
            check_groups(env, len(counts))
        return Grouped([(groups.names[hashed], count) for hashed, count in counts.items()])

    def through(self, op: Any) -> GroupedStream:
        return IndexGroupedStream(self.selection, self.keys, multi=self.multi, ops=(*self.ops, op))


def ungroup(env: Env, value: Any) -> list[Any]:
    """GROUPED_DATA -> ARRAY of {group, reduction}"""
    if isinstance(value, GroupedStream):
        value = value.collect(env)
    if not isinstance(value, Grouped):
        raise wrong_value("GROUPED_DATA", value, 0)
    rows: list[Any] = []
    for lot in lots(env, sorted_groups(env, value), SLOW_LOT):
        rows += [{"group": name, "reduction": part} for name, part in lot]
    return env.made(rows)


TERMS: Final = (
    TermSpec(
        37,
        "reduce",
        exactly(2),
        compile=reduce_term,
        optargs=("base",),
        effect=Effect.FORBIDS_WRITES,
        grouped=OnGroups.STREAM,
        datum=False,
        names={"reduce_": reduce_},
    ),
    TermSpec(
        43,
        "count",
        between(1, 2),
        compile=count,
        effect=Effect.FORBIDS_WRITES,
        grouped=OnGroups.STREAM,
        datum=False,
        names={"count_": count_, "count_of": count_of},
    ),
    TermSpec(
        144,
        "group",
        at_least(1),
        compile=group,
        optargs=("index", "multi"),
        effect=Effect.FORBIDS_WRITES,
        grouped=OnGroups.WHOLE,
        datum=False,
        names={"group_": group_},
    ),
    TermSpec(
        145,
        "sum",
        between(1, 2),
        compile=_keyed("sum"),
        optargs=("index",),
        effect=Effect.FORBIDS_WRITES,
        grouped=OnGroups.STREAM,
        datum=False,
        names={"sum_": sum_},
    ),
    TermSpec(
        146,
        "avg",
        between(1, 2),
        compile=_keyed("avg"),
        optargs=("index",),
        effect=Effect.FORBIDS_WRITES,
        grouped=OnGroups.STREAM,
        datum=False,
        names={"avg_": avg_},
    ),
    TermSpec(
        147,
        "min",
        between(1, 2),
        compile=_keyed("min"),
        optargs=("index",),
        effect=Effect.FORBIDS_WRITES,
        grouped=OnGroups.STREAM,
        datum=False,
        names={"min_": min_},
    ),
    TermSpec(
        148,
        "max",
        between(1, 2),
        compile=_keyed("max"),
        optargs=("index",),
        effect=Effect.FORBIDS_WRITES,
        grouped=OnGroups.STREAM,
        datum=False,
        names={"max_": max_},
    ),
    TermSpec(
        150,
        "ungroup",
        exactly(1),
        run=ungroup,
        args=(Arg.ANY,),
        grouped=OnGroups.WHOLE,
    ),
)
