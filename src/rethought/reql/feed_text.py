"""What the text of a query says about the feed it makes, beyond what evaluation shows.

What always holds: everything here is found when a query is compiled, and only makes feeds cheaper or refusals exact; a
feed about which nothing is found works all the same. Used by `reql.terms.changes`.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

from rethought.datum.jsonbytes import encode
from rethought.datum.order import hash_key
from rethought.reql.compiler import Compiler
from rethought.reql.feed_frames import Frames, eager_at, random_at
from rethought.reql.spec import Determinism
from rethought.reql.tree import ARGS, DATUM, FUNC, IMPLICIT_VAR, MAKE_OBJ, VAR, Term

_EQ: Final = 17
_TABLE: Final = 15
_GET_FIELD: Final = 31
_FILTER: Final = 39
_DISTINCT: Final = 42
_UNION: Final = 44
_INNER_JOIN: Final = 48
_OUTER_JOIN: Final = 49
_AND: Final = 67
_BRACKET: Final = 170

Value = tuple[int | None, Any]
"""A literal: the number of its parameter, or None and the value itself."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """`hidden`: a term whose result does not show what it is. `shape`: equal for sources that, with equal parameters,
    transform rows alike; None when that is not known. `field` and `value`: rows must have this value there; without a
    field, the value is an object and rows must have its fields. `eager` and `random`: where the blame is when the
    source is refused as such."""

    hidden: str
    shape: bytes | None
    eager: Frames
    random: Frames
    field: str | None = None
    value: Value | None = None


def text_of(c: Compiler, source: Term) -> SourceText:
    """Describes the terms before CHANGES; called after they are compiled."""
    places = {id(term): at for at, term in reversed(list(enumerate(c.params)))}
    shape = _shape(c, source, places) if _shareable(source) else None
    field, value = _equality(source)
    wanted = None if value is None else _value(c, value, places)
    return SourceText(_hidden(source), shape, eager_at(source), random_at(source), field, wanted)


def wanted(text: SourceText, params: Any) -> tuple[str, Hashable] | None:
    """The field that rows of the feed must have, and its value as `hash_key` gives it."""
    if text.value is None:
        return None
    place, value = text.value
    if place is not None:
        value = params[place]
    if text.field is not None:
        return text.field, hash_key(value)
    for field, part in value.items():
        if part.__class__ is not dict:  # of an object in an object not all fields are compared
            return field, hash_key(part)
    return None


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
            return {"is": value} if place is None else {"parameter": place}
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
    """Whether the functions before CHANGES depend on nothing but the query's text and parameters."""
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
    if term.type == ARGS or term.spec is None:
        return False
    if term.spec.determinism in (Determinism.NOW, Determinism.NEVER):
        return False
    if term.type == FUNC and term.args and term.args[0].value.__class__ is list:
        bound = bound | frozenset(term.args[0].value)
        inside = True
    return all(
        _settled(part, bound, inside=inside) for part in (*term.args, *term.optargs.values())
    )


# ---- equality


def _equality(source: Term) -> tuple[str | None, Term | None]:
    """A field and the literal that the first filter after a whole table wants there; or None and an object."""
    while source.args and source.type != DATUM and source.args[0].type != _TABLE:
        if source.type == _UNION:
            return None, None
        source = source.args[0]
    if source.type != _FILTER or "default" in source.optargs or len(source.args) != 2:
        return None, None
    return _wanted_by(source.args[1])


def _wanted_by(predicate: Term) -> tuple[str | None, Term | None]:
    if predicate.type == DATUM:
        return None, predicate if predicate.value.__class__ is dict else None
    if predicate.type == MAKE_OBJ:
        for name, value in predicate.optargs.items():
            if name != "$reql_type$" and _is_plain(value):
                return name, value
        return None, None
    if predicate.type != FUNC or len(predicate.args) != 2:
        return None, None
    numbers, body = predicate.args[0].value, predicate.args[1]
    if numbers.__class__ is not list or len(numbers) != 1:
        return None, None
    for test in body.args if body.type == _AND else [body]:
        if test.type == _EQ and len(test.args) == 2:
            for row, value in (test.args, test.args[::-1]):
                field = _field_of(row, numbers[0])
                if field is not None and _is_plain(value):
                    return field, value
    return None, None


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
