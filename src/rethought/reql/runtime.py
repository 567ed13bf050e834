"""What generated code calls by name, and how a traceback becomes a backtrace.

What always holds: generated functions carry the number of the term in each line number and their plan's name as file
name, so the deepest generated frame of a traceback names the term that failed. Only the compiler refers to `NAMES`.
"""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final

from msgspec import UNSET

from rethought.errors import Frame, NonExistenceError, QueryLogicError, ReqlError
from rethought.exec import values
from rethought.exec.chunk import Chunk
from rethought.exec.env import Env, Options
from rethought.exec.fetching import fetched
from rethought.exec.fields import MISSING
from rethought.exec.functions import (
    FLAT,
    Function,
    ProjectionMissError,
    RowFunction,
    constant_function,
    flat,
)
from rethought.exec.grouping import GroupedStream, sorted_groups
from rethought.exec.ops import EmptyError, transform
from rethought.exec.reshaping import Changes, Recipe
from rethought.exec.table import need_slice, need_whole
from rethought.exec.values import (
    Grouped,
    SingleSelection,
    Stream,
    is_datum,
    need_datum,
    wrong_value,
)
from rethought.exec.weight import weighed
from rethought.reql.profiling import sampled, traced
from rethought.reql.spec import TermSpec

# ---- backtraces

PATHS: Final = "paths of terms"
"""The name that generated code has where its terms stand by. No code can ask for it."""


class Rewritten(tuple[Frame, ...]):
    """The place of a term that a client's term was rewritten to: all its errors are at the client's term."""

    __slots__ = ()


def backtrace(error: ReqlError) -> tuple[Frame, ...]:
    """The frames of an error that evaluation raised."""
    if error.frames is not None:
        return error.frames
    found: tuple[Frame, ...] = ()
    read = (
        False  # whether the term found is one that reads a sequence, and not the one that makes it
    )
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith("<reql"):
            paths = trace.tb_frame.f_globals.get(PATHS)
            if paths is not None and trace.tb_lineno < len(paths):
                found = paths[trace.tb_lineno]
                read = error.of_stream
        elif code in _AT_ONCE:
            read = False
        trace = trace.tb_next
    if isinstance(found, Rewritten):
        return tuple(found)
    return (*found, 0) if read else (*found, *error.at)


def read_as(chunks: Iterator[Chunk], argument: int) -> Iterator[Chunk]:
    """The rows of a term's argument that is not its first. When what made them is to blame, it stands there."""
    try:
        yield from chunks
    except ReqlError as error:
        if error.of_stream and not _is_generated(error.__traceback__):
            error.of_stream = False
            error.at = (argument,)
        raise


def _is_generated(trace: TracebackType | None) -> bool:
    """Whether generated code was under way."""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith("<reql"):
            return True
        trace = trace.tb_next
    return False


_AT_ONCE: Final = frozenset({transform.__code__, values.finish.__code__})
"""Where terms of arrays make their sequence to the end before anybody reads it."""


# ---- grouped data


def per_group(env: Env, value: Any, term: Callable[[Any], Any]) -> Any:
    """Runs a term on each group's reduction."""
    if isinstance(value, GroupedStream):
        value = value.collect(env)
    if not isinstance(value, Grouped):
        return term(value)
    groups = []
    for group, reduction in sorted_groups(env, value):
        env.tick()
        result = term(reduction)
        if isinstance(result, Stream):
            result = result.to_list(env)
        groups.append((group, need_datum(env, result, None)))
    return Grouped(groups)


# ---- functions


def projection_miss() -> Any:
    raise ProjectionMissError


def present(field: Any) -> Any:
    """A field of a projected row that must be there."""
    if field is UNSET:
        raise ProjectionMissError
    return field


def as_function(env: Env, value: Any, shortcut: str | None, path: tuple[Frame, ...]) -> Function:
    """What stands where a function is wanted; `path` is where."""
    if isinstance(value, Function):
        return value
    if shortcut is None or not (is_datum(value) or isinstance(value, SingleSelection)):
        raise wrong_value("FUNCTION", value)
    if shortcut == "constant":
        constant = need_datum(env, value, None)
        return constant_function(lambda: constant, 0)
    if shortcut == "field":
        from rethought.reql.terms.fields import get_field

        field = need_datum(env, value, None)

        def fields(rows: list[Any]) -> list[Any]:
            try:
                return [get_field(env, row, field) for row in rows]
            except QueryLogicError as error:
                error.frames = path
                raise

        return RowFunction(fields, None, 0, None)
    raise AssertionError(shortcut)


def lot(env: Env, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Some of very many arguments, evaluated."""
    env.tick()
    return values


# ---- default and friends


def default(env: Env, value: Callable[[], Any], fallback: Callable[[], Any]) -> Any:
    """The value, or the fallback where it is null or raises NON_EXISTENCE."""
    try:
        result = value()
        if isinstance(result, SingleSelection) and result.document is None:
            result = None
        if result is not None:
            return result
        failure: NonExistenceError | None = None
    except NonExistenceError as error:
        failure = error
    try:
        other = fallback()
        if isinstance(other, Function):
            message = None if failure is None else failure.message
            other = other.invoke(message) if other.arity else other.invoke()
    except EmptyError:
        if failure is not None:
            raise failure from None
        return None
    return other


NAMES: Final[dict[str, Any]] = {
    "Function": Function,
    "FLAT": FLAT,
    "MISSING": MISSING,
    "Options": Options,
    "RowFunction": RowFunction,
    "Changes": Changes,
    "Recipe": Recipe,
    "fetched": fetched,
    "as_function": as_function,
    "constant_function": constant_function,
    "default_": default,
    "flat": flat,
    "lot": lot,
    "need_array": values.need_array,
    "need_array_datum": values.need_array_datum,
    "need_datum": values.need_datum,
    "need_db": values.need_database,
    "need_function": values.need_function,
    "need_geometry": values.need_geometry,
    "need_int": values.need_int,
    "need_int_datum": values.need_int_datum,
    "need_number": values.need_number,
    "need_object": values.need_object,
    "need_selection": values.need_selection,
    "need_slice": need_slice,
    "need_whole": need_whole,
    "need_sequence": values.need_sequence,
    "need_string": values.need_string,
    "need_table": values.need_table,
    "need_time": values.need_time,
    "per_group": per_group,
    "present": present,
    "projection_miss": projection_miss,
    "sampled": sampled,
    "traced": traced,
    "weighed": weighed,
}

_base: dict[str, Any] = {}


def base_namespace(specs: dict[int, TermSpec]) -> dict[str, Any]:
    """What generated code may name: the run-time helpers and every term's `run`."""
    if not _base:
        _base.update(NAMES)
        for spec in specs.values():
            if spec.run is not None:
                _base[f"run_{spec.type}"] = spec.run
            for name, value in spec.names.items():
                assert _base.setdefault(name, value) is value, name
    return _base


__all__ = ["NAMES", "PATHS", "backtrace"]
