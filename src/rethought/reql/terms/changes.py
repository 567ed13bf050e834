"""CHANGES: what a sequence becomes as a feed, and what cannot be one."""

from typing import Any, Final

from rethought.datum.keys import index_bound, index_key, primary_bound, primary_key
from rethought.datum.values import MAXVAL, MINVAL, to_int, type_name
from rethought.errors import (
    NonExistenceError,
    OpFailedError,
    QueryLogicError,
    ResourceLimitError,
)
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function
from rethought.exec.grouping import GroupedStream
from rethought.exec.ops import ConcatMap, Filter, Map, Operator, Slice, Zip
from rethought.exec.reductions import Average, Count, Extreme, Reduction, Sum
from rethought.exec.table import Range, TableSource
from rethought.exec.values import (
    DATUM_CLASSES,
    SingleSelection,
    Stream,
    need_number,
    need_sequence,
    wrong_datum,
)
from rethought.feed import resume
from rethought.feed.messages import LIMIT, POINT, RANGE
from rethought.feed.view import EMPTY, View, view_of_keys
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.feed_geo import Intersecting, followed_intersecting, followed_tree
from rethought.reql.feed_text import SourceText, text_of
from rethought.reql.feeds import FeedSource, Followed, Settings
from rethought.reql.live import LiveSource
from rethought.reql.spec import Determinism, Effect, Grouped, TermSpec, exactly
from rethought.reql.terms.aggregation import First, followed_extreme, followed_max, followed_min
from rethought.reql.terms.ordering import Union
from rethought.reql.tree import Term

EAGER: Final = "Cannot call `changes` on an eager stream."
RANDOM: Final = "Cannot call `changes` after a non-deterministic function."
AFTER_LIMIT: Final = (
    "Changefeeds are not supported on queries that have a transformation following a `limit` "
    "term.  Transformations include terms such as `filter`, `map`, `pluck`, etc.  Consider moving "
    "the transformation before the `limit` term."
)


class EagerError(QueryLogicError):
    """There is nothing to follow."""

    def __init__(self) -> None:
        super().__init__(EAGER, 0)


class RandomError(QueryLogicError):
    """What rows become cannot be told again."""

    def __init__(self) -> None:
        super().__init__(RANDOM)


def changes(c: Compiler, term: Term) -> Node:
    """SEQUENCE | SELECTION<OBJECT> [, ...] -> STREAM of changes"""
    source = term.args[0]
    if _is_live(c, term):
        return _live(c, term)
    node = c.compile(_followed_tree(source))
    line = c.line(term)
    code = c.call(
        "changes_",
        [
            c.name("env", line),
            node.code,
            c.keep(text_of(c, source), line),
            c.name("p", line),
            c.options(term),
        ],
        line,
    )
    return c.node(term, code, [node], Kind.VALUE)


def _followed_tree(source: Term) -> Term:
    """The terms before CHANGES, which follows places rather than rows: those need not have one yet."""
    tree = followed_tree(source)
    if tree.type not in _EXTREMES:
        return tree
    spec = followed_extreme(_EXTREMES[tree.type])
    return Term(tree.type, tree.args, tree.optargs, tree.path, spec)


_EXTREMES: Final = {147: "min", 148: "max"}

# ---- live aggregates

_GROUP: Final = 144
_COUNT: Final = 43
_AGGREGATES: Final = {_COUNT: "count", 145: "sum", 146: "avg", **_EXTREMES}


def _is_live(c: Compiler, term: Term) -> bool:
    live = term.optargs.get("live")
    return live is not None and c.is_literal(live, bool) and bool(c.pin(live))


def _live(c: Compiler, term: Term) -> Node:
    """CHANGES of an aggregate, by following the rows below it."""
    source = term.args[0]
    line = c.line(term)
    name = _AGGREGATES.get(source.type)
    if name is None or source.optargs or (name == "count" and len(source.args) > 1):
        code = c.call("not_live", [], line)
        return Node(code, Kind.VALUE)
    node = c.compile(followed_tree(source.args[0]))
    function = Node(c.constant(None, line), Kind.VALUE)
    if len(source.args) > 1:
        function = c.function(source.args[1], shortcut="field", project=True)
    code = c.call(
        "live_changes",
        [
            c.name("env", line),
            node.code,
            c.constant(name, line),
            function.code,
            c.options(term),
        ],
        line,
    )
    return c.node(term, code, [node, function], Kind.VALUE)


def not_live() -> Any:
    raise QueryLogicError(
        "`live` needs an aggregate before `changes`: `count`, `sum`, `avg`, `min` or `max`, without "
        "an index."
    )


def live_changes(
    env: Env, value: Any, name: str, function: Function | None, opts: Options
) -> Stream:
    settings = _settings(env, opts)
    if settings.tokens or settings.resume is not None or settings.offsets:
        raise QueryLogicError("A live aggregate has neither offsets nor resume tokens.")
    keys: tuple[Function, ...] | None = None
    if isinstance(value, GroupedStream):
        if value.multi or value.index is not None or value.ops:
            raise QueryLogicError("A live aggregate groups by functions and nothing else.")
        keys = tuple(value.keys)
        value = value.stream
    followed = _followed(env, value)
    if any(part.kind != RANGE for part in followed):
        raise EagerError
    for each in (function, *(keys or ())):
        if each is not None:
            _refuse_random(each)
    reduction: Reduction
    if name == "count":
        reduction = Count()
    elif name == "sum":
        reduction = Sum(function)
    elif name == "avg":
        reduction = Average(function)
    else:
        reduction = Extreme(name, function, 1 if name == "min" else -1)
    rows = FeedSource(followed, settings)
    return Stream(LiveSource(rows, settings, reduction, keys))


# ---- evaluation


def changes_(env: Env, value: Any, text: SourceText, params: Any, opts: Options) -> Stream:
    settings = _settings(env, opts)
    if text.hidden == "join":
        raise QueryLogicError("Cannot call `changes` after `concat_map`.")
    try:
        if text.hidden:
            raise EagerError
        followed = _followed(env, value)
    except EagerError as error:
        error.at = text.eager
        raise
    except RandomError as error:
        error.at = text.random
        raise
    _check_offsets(followed, settings)
    return Stream(FeedSource(followed, settings, text, params))


def _settings(env: Env, opts: Options) -> Settings:
    return Settings(
        squash=_squash(env, opts),
        queue_max=_queue_max(env, opts),
        initial=_flag(opts, "include_initial"),
        states=_flag(opts, "include_states"),
        types=_flag(opts, "include_types"),
        offsets=_flag(opts, "include_offsets"),
        tokens=_flag(opts, "include_resume_tokens"),
        resume=_resume(opts),
    )


def _flag(opts: Options, name: str) -> bool:
    value = opts.value(name)
    return value is not None and value is not False


def _squash(env: Env, opts: Options) -> bool | float:
    if not opts.has("squash"):
        return False
    value: Any = opts.value("squash")
    if value.__class__ is bool:
        return bool(value)
    if value.__class__ is int or value.__class__ is float:
        if value < 0:
            raise QueryLogicError(
                "Expected BOOL or a positive NUMBER but found a negative NUMBER.", "squash"
            )
        return float(value) or True
    raise QueryLogicError(f"Expected BOOL or NUMBER but found {type_name(value)}.", "squash")


def _queue_max(env: Env, opts: Options) -> int:
    if not opts.has("changefeed_queue_size"):
        return env.limits.changefeed_queue_size
    value = opts.value("changefeed_queue_size")
    size = to_int(need_number(env, value, "changefeed_queue_size"))
    if size < 1:
        raise QueryLogicError(f"Illegal changefeed queue size `{size}`.  (Must be >= 1.)")
    return size


def _resume(opts: Options) -> list[resume.Mark] | None:
    value = opts.value("resume_after")
    if value is None:
        return None
    if value.__class__ is not str:
        raise wrong_datum("STRING", value, "resume_after")
    return resume.parse(value)


def _check_offsets(followed: list[Followed], settings: Settings) -> None:
    if not settings.offsets:
        return
    for part in followed:
        if part.view.empty:
            raise QueryLogicError("Cannot include offsets for empty subs.")
        if part.kind == POINT:
            raise QueryLogicError("Cannot include offsets for point subs.")
        if part.kind == RANGE:
            raise QueryLogicError("Cannot include offsets for range subs.")


def _followed(env: Env, value: Any) -> list[Followed]:
    """The parts a feed follows. Raises for what cannot be followed."""
    if isinstance(value, First):
        source: Any = value.ordered.source
        return [_part(env, source.table, source.range, (), 1)]
    if isinstance(value, SingleSelection):
        return [_point(value)]
    kind = value.__class__
    if kind in DATUM_CLASSES and kind is not list:
        error = NonExistenceError if value is None else QueryLogicError
        raise error(f"Cannot convert {type_name(value)} to SEQUENCE")
    sequence = need_sequence(env, value, 0)
    if not isinstance(sequence, Stream) or sequence.array or sequence.feed:
        raise EagerError
    ops, limit = _transformations(sequence.ops)
    return _sourced(env, sequence.source, ops, limit)


def _sourced(env: Env, source: Any, ops: tuple[Operator, ...], limit: int | None) -> list[Followed]:
    if isinstance(source, TableSource):
        return [_part(env, source.table, source.range, ops, limit)]
    if isinstance(source, Intersecting):
        if limit is not None:
            return [_part(env, source.table, Range(), ops, limit)]  # refuses it
        _check_index(source.table, Range(index=source.index))
        return [Followed(RANGE, source.table, source.view(), ops)]
    if not isinstance(source, Union):
        raise EagerError
    if limit is not None:
        raise QueryLogicError("Cannot call `changes` on a slice of a union.")
    parts = []
    for stream in source.parts:
        if stream.array or stream.feed:
            raise EagerError
        inner, inner_limit = _transformations(stream.ops)
        if inner_limit is not None and any(isinstance(_bare(op), Map) for op in ops):
            raise QueryLogicError(AFTER_LIMIT)
        parts.extend(_sourced(env, stream.source, (*inner, *ops), inner_limit))
    return parts


def _bare(op: Operator) -> Operator:
    """Without what only checks its rows."""
    inner: Operator = getattr(op, "op", op)
    return inner


def _transformations(
    ops: tuple[Operator, ...],
) -> tuple[tuple[Operator, ...], int | None]:
    """The operators that act on single rows, and a limit. A filter behind the limit counts as before it."""
    found: list[Operator] = []
    limit: int | None = None
    for op in ops:
        inner = _bare(op)
        if isinstance(inner, Slice):
            if inner.start or inner.end is None:
                raise EagerError
            limit = inner.end if limit is None else min(limit, inner.end)
        elif isinstance(inner, Filter):
            _refuse_random(inner.predicate)
            found.append(op)
        elif isinstance(inner, Map):
            _refuse_random(inner.function)
            if limit is not None:
                raise QueryLogicError(AFTER_LIMIT)
            found.append(op)
        elif isinstance(inner, ConcatMap):
            raise QueryLogicError("Cannot call `changes` after `concat_map`.")
        elif isinstance(inner, Zip):
            raise QueryLogicError("Cannot call `changes` after `zip`.")
        else:
            raise EagerError
    return tuple(found), limit


def _refuse_random(function: Any) -> None:
    if function.determinism >= Determinism.NEVER:
        raise RandomError


def _point(value: SingleSelection) -> Followed:
    key = value.key
    if key is None and value.document is not None:
        key = value.datum()[value.table.primary_key]
    if key is MINVAL or key is MAXVAL:
        return Followed(POINT, value.table, EMPTY)
    return Followed(POINT, value.table, View(keys=(primary_key(key),)))


def _check_index(table: Any, selected: Range) -> None:
    """Refuses an index that is not ready. One that is not there is silence, but not in a system table."""
    name = selected.index
    if name is not None and (table.handle.system or name in table.handle.indexes):
        table.index(name)


def _ordered(table: Any, selected: Range) -> None:
    """Refuses an order by an index that is not there, not ready, or of another kind."""
    if selected.index is not None and table.index(selected.index).geo:
        raise QueryLogicError(
            f"Index `{selected.index}` is a geospatial index.  Only get_nearest and "
            "get_intersecting can use a geospatial index."
        )


def _part(
    env: Env, table: Any, selected: Range, ops: tuple[Operator, ...], limit: int | None
) -> Followed:
    view = view_of(selected)
    if limit is None:
        _check_index(table, selected)
        return Followed(RANGE, table, view, ops)
    if selected.descending is None:
        raise QueryLogicError("Cannot get changes on the first elements of an unordered stream.")
    if limit > env.array_limit:
        raise ResourceLimitError(
            f"Array size limit `{env.array_limit}` exceeded.  (`.limit(X).changes()` is illegal if "
            "X is larger than the array size limit.)"
        )
    if table.handle.system:
        raise OpFailedError("System tables don't support changefeeds on `.limit()`.")
    _ordered(table, selected)
    return Followed(LIMIT, table, view, ops, limit=limit, descending=selected.descending)


def view_of(selected: Range) -> View:
    """A part of a table in the feed room's terms."""
    index = selected.index
    if selected.keys is not None:
        keys = [primary_key(key) if index is None else index_key(key) for key in selected.keys]
        return view_of_keys(index, tuple([key for key in keys if key is not None]))
    lower, upper = selected.lower, selected.upper
    if lower is MAXVAL or upper is MINVAL:
        return EMPTY
    bound = primary_bound if index is None else index_bound
    low = None if lower is MINVAL else bound(lower)
    high = None if upper is MAXVAL else bound(upper)
    if low is not None and high is not None and low > high:
        return EMPTY
    return View(index, low, high, selected.lower_open, selected.upper_open)


TERMS: Final = (
    TermSpec(
        152,
        "changes",
        exactly(1),
        compile=changes,
        optargs=(
            "squash",
            "changefeed_queue_size",
            "include_initial",
            "include_offsets",
            "include_states",
            "include_types",
            "include_resume_tokens",
            "resume_after",
            "live",
        ),
        effect=Effect.READ,
        determinism=Determinism.NEVER,
        grouped=Grouped.WHOLE,
        datum=False,
        names={
            "changes_": changes_,
            "followed_intersecting": followed_intersecting,
            "followed_max_": followed_max,
            "followed_min_": followed_min,
            "live_changes": live_changes,
            "not_live": not_live,
        },
    ),
)
