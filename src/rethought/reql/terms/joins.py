"""inner_join, outer_join and eq_join."""

from collections.abc import Iterator
from typing import Any, Final

from rethought.datum.keys import index_key
from rethought.datum.order import hash_key
from rethought.exec.chunk import Chunk, of_rows
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
            keys = keys_of(key, chunk)
            docs = lookup(env, table, index, chunk, keys)
            if docs:
                yield Chunk(len(docs), docs=docs)

    joined = Stream(Generated(chunks, infinite=stream.infinite, feed=stream.feed))
    return finish(env, sequence, joined)


def _pair(left: Any, right: Any) -> bytes:
    return b'{"left":%b,"right":%b}' % (bytes(left), bytes(right))


def _by_primary(env: Env, table: Any, index: Any, chunk: Chunk, keys: list[Any]) -> list[bytes]:
    distinct: dict[Any, Any] = {}
    hashes: list[Any] = []
    plain = set(map(type, keys)) in ({int}, {str})
    for key in keys:
        if key is SKIP or key is None:
            hashes.append(SKIP)
            continue
        hashed = key if plain else hash_key(key)
        hashes.append(hashed)
        distinct.setdefault(hashed, key)
    wanted = list(distinct.values())
    found = dict(zip(distinct, table.read_many(env, wanted), strict=True))
    found[SKIP] = None
    return [
        _pair(doc, right)
        for doc, hashed in zip(chunk.documents(), hashes, strict=True)
        if (right := found[hashed]) is not None
    ]


def _by_index(env: Env, table: Any, index: Any, chunk: Chunk, keys: list[Any]) -> list[bytes]:
    found: dict[Any, list[Any]] = {}
    out: list[bytes] = []
    for doc, key in zip(chunk.documents(), keys, strict=True):
        if key is SKIP or key is None or index_key(key) is None:
            continue
        hashed = hash_key(key)
        rights = found.get(hashed)
        if rights is None:
            selected = Selection(table, Range(index=index, keys=(key,)))
            rights = [right for part in selected.chunks(env) for right in part.documents()]
            found[hashed] = rights
        out.extend(_pair(doc, right) for right in rights)
    return out


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
