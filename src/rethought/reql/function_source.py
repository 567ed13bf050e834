"""Functions as they are kept: back from a compiled function to the JSON a driver would send.

What always holds: compiling `source_of(f)` again gives a function equal to `f`, as long as `f` uses no variable from
outside itself. Used where a function outlives its query: indexes and write hooks, and by INFO.
"""

from typing import Any, Final

from rethought.catalog.records import FunctionRecord
from rethought.errors import QueryLogicError
from rethought.exec.functions import Function
from rethought.reql.tree import DATUM, FUNC, MAKE_ARRAY, MAKE_OBJ, VAR, Term

FIELD_PARAM: Final = -19
"""The variable of an index on a field: what the original calls it."""

_GET_FIELD: Final = 31


def field_source(name: str) -> FunctionRecord:
    """The function of `index_create(name)`: the row's field of that name."""
    return FunctionRecord([FIELD_PARAM], [_GET_FIELD, [[VAR, [FIELD_PARAM]], name]])


def source_of(function: Function) -> FunctionRecord:
    """The source of a function that was sent as one. Raises when it refers to variables outside."""
    term = function.term
    assert term is not None, "only functions that were sent have a source"
    assert term.type == FUNC
    params = [int(number) for number in term.args[0].value]
    body = term.args[1]
    _refuse_captures(body, frozenset(params))
    return FunctionRecord(params, term_json(body))


def function_json(source: FunctionRecord) -> Any:
    """The FUNC term a driver would send."""
    return [FUNC, [[MAKE_ARRAY, list(source.params)], source.body]]


def term_json(term: Term) -> Any:
    """A term as a driver would send it."""
    if term.type == DATUM:
        return _literal_json(term.value)
    optargs = {name: term_json(value) for name, value in term.optargs.items()}
    if term.type == MAKE_OBJ:
        return optargs
    args = [term_json(arg) for arg in term.args]
    return [term.type, args, optargs] if optargs else [term.type, args]


def _literal_json(value: Any) -> Any:
    if isinstance(value, list):
        return [MAKE_ARRAY, [_literal_json(item) for item in value]]
    if isinstance(value, dict):
        return {key: _literal_json(item) for key, item in value.items()}
    return value


def _refuse_captures(term: Term, bound: frozenset[int]) -> None:
    if term.type == VAR and term.args[0].value not in bound:
        raise QueryLogicError(
            "A stored function must not use variables from outside; build the value into it."
        )
    if term.type == FUNC:
        bound = bound | frozenset(term.args[0].value)
    for part in (*term.args, *term.optargs.values()):
        _refuse_captures(part, bound)
