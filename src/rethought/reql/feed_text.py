"""What the text of a query says about the feed it makes, beyond what evaluation shows.

What always holds: everything here is found when a query is compiled, and only makes feeds cheaper or refusals exact; a
feed about which nothing is found works all the same. Used by `reql.terms.changes`.
"""

from dataclasses import dataclass
from typing import Any, Final

from rethought.datum.jsonbytes import encode
from rethought.feed.conditions import Condition, place
from rethought.feed.view import EMPTY, View
from rethought.reql.compiler import Compiler
from rethought.reql.feed_frames import Frames, eager_at, random_at
from rethought.reql.nodes import known_of
from rethought.reql.spec import Determinism
from rethought.reql.tree import ARGS, DATUM, FUNC, IMPLICIT_VAR, MAKE_OBJ, VAR, Term

_EQ: Final = 17
_LT: Final = 19
_LE: Final = 20
_GT: Final = 21
_GE: Final = 22
_TABLE: Final = 15
_GET_FIELD: Final = 31
_FILTER: Final = 39
_DISTINCT: Final = 42
_UNION: Final = 44
_INNER_JOIN: Final = 48
_OUTER_JOIN: Final = 49
_AND: Final = 67
_BRACKET: Final = 170

_SELECTIONS: Final = frozenset({_TABLE, 41, 78, 182})  # order_by, get_all, between
_TURNED: Final = {_EQ: _EQ, _LT: _GT, _LE: _GE, _GT: _LT, _GE: _LE}
_NUMBERS_RARITY: Final = 20
_UP: Final = {_LT: False, _LE: False, _GT: True, _GE: True}
"""Whether the field's value is above the literal."""

Value = tuple[int | None, Any]
"""A literal: the number of its parameter, or None and the value itself."""


@dataclass(frozen=True, slots=True)
class Test:
    """What a filter demands of every row: `field` compared with a literal (an `_EQ`, `_LT` …). Without a field, the
    literal is an object and rows must have its fields."""

    comparison: int
    value: Value
    field: str | None = None


@dataclass(frozen=True, slots=True)
class SourceText:
    """`hidden`: a term whose result does not show what it is. `shape`: equal for sources that, with equal parameters
    and at one time, transform rows alike; None when that is not known. `varying` are the places of those parameters
    that may differ. `tests`: all of them hold for every row of the feed. `eager` and `random`: where the blame is when
    the source is refused as such."""

    hidden: str
    shape: bytes | None
    eager: Frames
    random: Frames
    varying: tuple[int, ...] = ()
    tests: tuple[Test, ...] = ()


def text_of(c: Compiler, source: Term) -> SourceText:
    """Describes the terms before CHANGES; called after they are compiled."""
    places = {id(term): at for at, term in reversed(list(enumerate(c.params)))}
    shape = _shape(c, source, places) if _shareable(source) else None
    tests = tuple(
        Test(comparison, _value(c, value, places), field)
        for comparison, value, field in _tests(source)
    )
    varying = tuple(at for at, term in enumerate(c.params) if id(term) not in c.pinned)
    return SourceText(_hidden(source), shape, eager_at(source), random_at(source), varying, tests)


def constants_of(text: SourceText, params: Any) -> bytes:
    """The parameters that may differ, as bytes: 1, 1.0 and true are equal to Python."""
    return encode([params[at] for at in text.varying])


def condition(text: SourceText, params: Any) -> Condition | None:
    """Where a field of every row of the feed lies, as far as the text tells; an equality rather than a side."""
    equal: list[tuple[str, bytes]] = []
    sides: dict[str, list[tuple[int, bytes]]] = {}
    for test in text.tests:
        at, value = test.value
        if at is not None:
            value = params[at]
        if test.field is None:
            equal += _fields(value)
        elif test.comparison == _EQ:
            equal.append((test.field, place(value)))
        else:
            sides.setdefault(test.field, []).append((test.comparison, place(value)))
    if equal:
        field, key = max(equal, key=lambda each: _rarity(each[1]))
        return Condition(field, View(keys=(key,)))
    if not sides:
        return None
    field = max(sides, key=lambda name: len({_UP[side] for side, _ in sides[name]}))
    lower = max((at for side, at in sides[field] if _UP[side]), default=None)
    upper = min((at for side, at in sides[field] if not _UP[side]), default=None)
    if lower is not None and upper is not None and lower > upper:
        return Condition(field, EMPTY)
    return Condition(field, View(None, lower, upper))


def _rarity(value: bytes) -> int:
    """Guesses how few rows have a value: long ones are names, short ones states; numbers are between."""
    return _NUMBERS_RARITY if value.startswith(b"N") else len(value)


def _fields(pattern: Any) -> list[tuple[str, bytes]]:
    """What an object as a filter demands of fields."""
    if pattern.__class__ is not dict or "$reql_type$" in pattern:
        return []
    # Of an object in an object not all fields are compared.
    return [
        (field, place(value)) for field, value in pattern.items() if value.__class__ is not dict
    ]


def _value(c: Compiler, term: Term, places: dict[int, int]) -> Value:
    place = None if id(term) in c.pinned else places.get(id(term))
    return (None, term.value) if place is None else (place, None)


def _hidden(source: Term) -> str:
    """Terms whose result does not show what it is."""
    while source.args and source.type != DATUM:
        if source.type == _DISTINCT:
            return "distinct"
        if source.type in (_INNER_JOIN, _OUTER_JOIN):
            return "join"
        source = source.args[0]
    return ""


def _shape(c: Compiler, source: Term, places: dict[int, int]) -> bytes:
    """The terms, whatever their variables are numbered."""

    def described(term: Term, names: dict[int, int]) -> Any:
        if term.type == DATUM:
            place, value = _value(c, term, places)
            if place is None:
                return {"is": value}
            return {"parameter": place, "known": str(known_of(term.value))}  # code depends on it
        if term.type == VAR:
            return {"variable": names.get(term.args[0].value)}
        if term.type == FUNC and term.args and term.args[0].value.__class__ is list:
            numbers = term.args[0].value
            names = {**names, **{number: len(names) + at for at, number in enumerate(numbers)}}
            return [FUNC, len(numbers), described(term.args[1], names)]
        args = [described(arg, names) for arg in term.args]
        optargs = {name: described(optarg, names) for name, optarg in term.optargs.items()}
        return [term.type, args, optargs]

    return encode(described(source, {}))


def _shareable(source: Term) -> bool:
    """Whether the functions before CHANGES depend on nothing but the query's text, parameters and time."""
    spine = [source]
    for term in spine:
        if term.type == DATUM:
            continue
        rest = list(term.optargs.values())
        if term.type == _UNION:
            spine.extend(term.args)
        else:
            spine.extend(term.args[:1])
            rest.extend(term.args[1:])
        if not all(_settled(part, frozenset(), inside=False) for part in rest):
            return False
    return not any(term.type in (VAR, IMPLICIT_VAR, ARGS) for term in spine)


def _settled(term: Term, bound: frozenset[int], *, inside: bool) -> bool:
    if term.type == DATUM:
        return True
    if term.type == VAR:
        return term.args[0].value in bound
    if term.type == IMPLICIT_VAR:
        return inside
    if term.spec is None or term.spec.determinism == Determinism.NEVER:
        return False
    if term.type == FUNC and term.args and term.args[0].value.__class__ is list:
        bound = bound | frozenset(term.args[0].value)
        inside = True
    return all(
        _settled(part, bound, inside=inside) for part in (*term.args, *term.optargs.values())
    )


# ---- comparisons


def _tests(source: Term) -> list[tuple[int, Term, str | None]]:
    """What the first filter after a table or a part of one compares: comparison, literal, and the field on its left."""
    while source.args and source.type != DATUM and source.args[0].type not in _SELECTIONS:
        if source.type == _UNION:
            return []
        source = source.args[0]
    if source.type != _FILTER or "default" in source.optargs or len(source.args) != 2:
        return []
    predicate = source.args[1]
    if predicate.type == DATUM:
        return [(_EQ, predicate, None)] if predicate.value.__class__ is dict else []
    if predicate.type == MAKE_OBJ:
        if "$reql_type$" in predicate.optargs:
            return []
        parts = predicate.optargs.items()
        return [(_EQ, value, name) for name, value in parts if _is_plain(value)]
    if predicate.type != FUNC or len(predicate.args) != 2:
        return []
    numbers, body = predicate.args[0].value, predicate.args[1]
    if numbers.__class__ is not list or len(numbers) != 1:
        return []
    found = []
    conjuncts = [body]
    for test in conjuncts:
        if test.type == _AND:
            conjuncts += test.args
        elif test.type in _TURNED:
            for left, right in zip(test.args, test.args[1:], strict=False):
                found += _comparison(test.type, left, right, numbers[0])
    return found


def _comparison(
    kind: int, left: Term, right: Term, number: int
) -> list[tuple[int, Term, str | None]]:
    """A field against a literal, or the other way round."""
    for field, value, way in ((left, right, kind), (right, left, _TURNED[kind])):
        name = _field_of(field, number)
        if name is not None and _is_plain(value):
            return [(way, value, name)]
    return []


def _is_plain(term: Term) -> bool:
    return term.type == DATUM and term.value.__class__ is not dict


def _field_of(term: Term, number: int) -> str | None:
    if term.type not in (_GET_FIELD, _BRACKET) or len(term.args) != 2:
        return None
    row, name = term.args
    is_row = row.type == IMPLICIT_VAR or (row.type == VAR and row.args[0].value == number)
    if not is_row or name.type != DATUM or name.value.__class__ is not str:
        return None
    field: str = name.value
    return field
