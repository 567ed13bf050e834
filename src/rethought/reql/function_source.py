"""Functions as they are kept: back from a compiled function to the JSON a driver would send.

What always holds: compiling `source_of(f)` again gives a function equal to `f`; what `f` uses from outside itself is
built in. Used where a function outlives its query: indexes and write hooks, and by INFO.
"""

from collections.abc import Mapping
from typing import Any, Final

from rethought.catalog.records import FunctionRecord
from rethought.datum.values import MAXVAL, MINVAL
from rethought.exec.functions import Function
from rethought.reql.tree import DATUM, FUNC, MAKE_ARRAY, MAKE_OBJ, VAR, Term

FIELD_PARAM: Final = -19
"""The variable of an index on a field: what the original calls it."""

Captured = Mapping[int, Any]
"""The values of variables that a function uses from outside itself."""

NOTHING_CAPTURED: Final[Captured] = {}

_GET_FIELD: Final = 31
_MINVAL: Final = 180
_MAXVAL: Final = 181


def field_source(name: str) -> FunctionRecord:
    """The function of `index_create(name)`: the row's field of that name."""
    return FunctionRecord([FIELD_PARAM], [_GET_FIELD, [[VAR, [FIELD_PARAM]], name]])


def source_of(function: Function, captured: Captured = NOTHING_CAPTURED) -> FunctionRecord:
    """The source of a function that was sent as one, with the values of variables outside it built in."""
    term = function.term
    assert term is not None, "only functions that were sent have a source"
    assert term.type == FUNC
    params = parameters(term)
    return FunctionRecord(params, term_json(term.args[1], _without(captured, params)))


def free_variables(term: Term, bound: frozenset[int] = frozenset()) -> set[int]:
    """The variables a term uses, but does not bind."""
    if term.type == VAR:
        return {term.args[0].value} - bound
    if term.type == FUNC:
        bound = bound | frozenset(parameters(term))
    found: set[int] = set()
    for part in (*term.args, *term.optargs.values()):
        found |= free_variables(part, bound)
    return found


def parameters(function: Term) -> list[int]:
    """The variables of a FUNC term: an array, which is a literal or not when arrays have a limit."""
    names = function.args[0]
    found = names.value if names.type == DATUM else [each.value for each in names.args]
    return [int(number) for number in found]


def function_json(source: FunctionRecord) -> Any:
    """The FUNC term a driver would send."""
    return [FUNC, [[MAKE_ARRAY, list(source.params)], source.body]]


def term_json(term: Term, captured: Captured = NOTHING_CAPTURED) -> Any:
    """A term as a driver would send it, with the values of captured variables in their place."""
    if term.type == DATUM:
        return literal_json(term.value)
    if term.type == VAR and term.args[0].value in captured:
        return literal_json(captured[term.args[0].value])
    if term.type == FUNC:
        captured = _without(captured, parameters(term))
    optargs = {name: term_json(value, captured) for name, value in term.optargs.items()}
    if term.type == MAKE_OBJ:
        return optargs
    args = [term_json(arg, captured) for arg in term.args]
    return [term.type, args, optargs] if optargs else [term.type, args]


def _without(captured: Captured, params: list[int]) -> Captured:
    if captured.keys().isdisjoint(params):
        return captured
    return {number: value for number, value in captured.items() if number not in params}


def literal_json(value: Any) -> Any:
    """A datum as a driver would send it: an array is a term of its own."""
    if isinstance(value, list):
        return [MAKE_ARRAY, [literal_json(item) for item in value]]
    if isinstance(value, dict):
        return {key: literal_json(item) for key, item in value.items()}
    if value is MINVAL or value is MAXVAL:
        return [_MINVAL if value is MINVAL else _MAXVAL, []]
    return value
