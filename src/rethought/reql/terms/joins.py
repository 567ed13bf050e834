"""inner_join, outer_join and eq_join."""

from collections.abc import Iterator
from typing import Any, Final

from rethought.datum.keys import index_key
from rethought.datum.order import HASHED_AS_THEMSELVES, hash_key
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.derived import pairs
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function
from rethought.exec.reductions import SKIP, keys_of
from rethought.exec.table import Range, Selection
from rethought.exec.values import (
    Generated,
    Stream,
    as_stream,
    finish,
    need_datum,
    need_sequence,
    need_string,
    wrong_value,
)
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.spec import Effect, Grouped, TermSpec, exactly
from rethought.reql.tree import Term


def _join(name: str) -> Any:
    def compile_(c: Compiler, term: Term) -> Node:
        left = c.compile(term.args[0])
        right = c.compile(term.args[1])
        test = c.function(term.args[2])
        line = c.line(term)

        def build(first: Node) -> Node:
            code = c.call(
                name,
                [c.name("env", line), first.code, c.lambda_([], right.code, line), test.code],
                line,
            )
            return c.node(term, code, [first, right, test], Kind.VALUE)

        return c.grouped(term, left, build)

    return compile_


def inner_join_(env: Env, left: Any, right: Any, test: Function) -> Any:
    return _nested(env, left, right, test, outer=False)


def outer_join_(env: Env, left: Any, right: Any, test: Function) -> Any:
    return _nested(env, left, right, test, outer=True)


def _nested(env: Env, left: Any, right: Any, test: Function, *, outer: bool) -> Any:
    """The right side is evaluated for each row of the left one; an array only once, nobody can tell."""
    sequence = need_sequence(env, left, 0)
    stream = as_stream(sequence)

    def chunks(env: Env) -> Iterator[Chunk]:
        inner: Any = None
        for chunk in stream.chunks(env):
            for row in chunk.datums():
                env.tick()
                if inner is None:
                    inner = need_sequence(env, right(), 1)
                matched = _matches(env, row, as_stream(inner, 1), test)
                if inner.__class__ is not list:
                    inner = None
                if matched:
                    yield of_rows(matched)
                elif outer:
                    yield of_rows([{"left": row}])

    joined = Stream(Generated(chunks, infinite=stream.infinite, feed=stream.feed))
    return finish(env, sequence, joined)


def _matches(env: Env, row: Any, inner: Stream, test: Function) -> list[Any]:
    found = []
    for chunk in inner.chunks(env):
        env.tick()
        for other in chunk.datums():
            env.tick()
            answer = test.invoke(row, other)
            if answer is not None and answer is not False:
                found.append({"left": row, "right": other})
    return found


# ---- eq_join


def eq_join(c: Compiler, term: Term) -> Node:
    """SEQUENCE, (field | FUNCTION), TABLE [, index, ordered] -> SEQUENCE of {left, right}"""
    left = c.compile(term.args[0])
    key = c.function(term.args[1], shortcut="field", project=True)
    table = c.compile(term.args[2])
    line = c.line(term)
    code = c.call(
        "eq_join_",
        [
            c.name("env", line),
            c.call("ungrouped", [c.name("env", line), left.code], line),
            c.call("need_table_value", [table.code], line),
            key.code,
            c.options(term),
        ],
        line,
    )
    return c.node(term, code, [left, key, table], Kind.VALUE)


def need_table_value(right: Any) -> Any:
    """The table of the third argument, which must be all of it."""
    if not isinstance(right, Selection) or right.sliced or right.range.keys is not None:
        raise wrong_value("TABLE", right, 2)
    return right.table


def eq_join_(env: Env, sequence: Any, table: Any, key: Function, opts: Options) -> Any:
    index = opts.value("index") if opts.has("index") else None
    if index is not None:
        index = need_string(env, need_datum(env, index, "index"), None)
    stream = as_stream(sequence)
    lookup = _by_index if index is not None and index != table.primary_key else _by_primary

    def chunks(env: Env) -> Iterator[Chunk]:
        for chunk in stream.chunks(env):
            env.tick()
            yield from lookup(env, table, index, chunk, keys_of(key, chunk))

    joined = Stream(Generated(chunks, infinite=stream.infinite, feed=stream.feed))
    return finish(env, sequence, joined)


def _distinct(keys: list[Any]) -> tuple[dict[Any, Any], list[Any]]:
    """The keys that something may be found for, by what tells them apart; and that of every row."""
    hashes = [None if key is SKIP else key for key in keys] if SKIP in keys else keys
    if not HASHED_AS_THEMSELVES.issuperset(map(type, hashes)):
        hashes = list(map(hash_key, hashes))
    distinct = dict(zip(hashes, keys, strict=True))
    distinct.pop(None, None)
    return distinct, hashes


def _by_primary(env: Env, table: Any, index: Any, chunk: Chunk, keys: list[Any]) -> Iterator[Chunk]:
    distinct, hashes = _distinct(keys)
    docs: list[Any] = []
    found: dict[Any, int] = {}
    for hashed, doc in zip(distinct, table.read_many(env, list(distinct.values())), strict=True):
        if doc is not None:
            found[hashed] = len(docs)
            docs.append(doc)
    places = [found.get(hashed) for hashed in hashes]
    mask = [place is not None for place in places]
    there = [place for place in places if place is not None]
    if there:
        yield pairs(chunk.keep(mask, len(there)), docs, there)


PAIRS_AT_ONCE: Final = 2_000


def _by_index(env: Env, table: Any, index: Any, chunk: Chunk, keys: list[Any]) -> Iterator[Chunk]:
    distinct, hashes = _distinct(keys)
    docs: list[Any] = []
    found: dict[Any, range] = {}
    for hashed, key in distinct.items():
        if index_key(key) is None:
            continue
        env.tick()
        begin = len(docs)
        for part in Selection(table, Range(index=index, keys=(key,))).chunks(env):
            docs.extend(part.documents())
        found[hashed] = range(begin, len(docs))
    nothing = range(0)
    matches = [found.get(hashed, nothing) for hashed in hashes]
    lefts: list[int] = []
    rights: list[int] = []
    for left, places in enumerate(matches):
        for begin in range(0, len(places), PAIRS_AT_ONCE):
            some = places[begin : begin + PAIRS_AT_ONCE]
            lefts += [left] * len(some)
            rights += some
            if len(lefts) >= PAIRS_AT_ONCE:
                yield pairs(chunk.at(lefts), docs, rights)
                env.tick()
                lefts, rights = [], []
    if lefts:
        yield pairs(chunk.at(lefts), docs, rights)


TERMS: Final = (
    TermSpec(
        48,
        "inner_join",
        exactly(3),
        compile=_join("inner_join_"),
        effect=Effect.FORBIDS_WRITES,
        datum=False,
        names={"inner_join_": inner_join_},
    ),
    TermSpec(
        49,
        "outer_join",
        exactly(3),
        compile=_join("outer_join_"),
        effect=Effect.FORBIDS_WRITES,
        datum=False,
        names={"outer_join_": outer_join_},
    ),
    TermSpec(
        50,
        "eqjoin",
        exactly(3),
        compile=eq_join,
        optargs=("index", "ordered"),
        effect=Effect.FORBIDS_WRITES,
        grouped=Grouped.REJECT,
        datum=False,
        names={"eq_join_": eq_join_, "need_table_value": need_table_value},
    ),
)
