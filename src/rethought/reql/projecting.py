"""Functions of a row that read only some of its fields, so that only those need be decoded. Called by the compiler."""

import re
from collections.abc import Container
from typing import Final

from rethought.datum.paths import Paths, parse_paths
from rethought.errors import QueryLogicError
from rethought.reql.runtime import Rewritten
from rethought.reql.spec import TermSpec
from rethought.reql.tree import (
    ARGS,
    DATUM,
    FUNC,
    IMPLICIT_VAR,
    INTERNAL_VARS,
    VAR,
    Term,
    datum,
)

PROJECTED_FIELDS_MAX: Final = 12
_PLAIN_NAME: Final = re.compile(
    r"[^\x00-\x1f\"\\\x7f]*\Z"
)  # the projecting decoder takes no others
FIELD_TERMS: Final = (31, 170)
"""get_field and bracket."""
HAS_FIELDS: Final = 32
_PICKING_TERMS: Final = (HAS_FIELDS, 33)
"""has_fields and pluck."""


def projected_fields(number: int, body: Term) -> set[str] | None:
    """The top-level fields of the variable that a body reads, None when it needs the whole row."""
    fields = fields_read({number}, body)
    return fields if fields and are_plain(fields) else None


def are_plain(fields: set[str]) -> bool:
    """Whether these fields can be decoded on their own."""
    return len(fields) <= PROJECTED_FIELDS_MAX and all(map(_PLAIN_NAME.match, fields))


def fields_read(numbers: Container[int], body: Term) -> set[str] | None:
    """The top-level fields that a body reads of the row that these variables stand for, None when it needs all."""
    fields: set[str] = set()
    pending = [body]
    while pending:
        term = pending.pop()
        if term.type in FIELD_TERMS and len(term.args) == 2 and not term.optargs:
            row, field = term.args
            if is_row(row, numbers) and field.type == DATUM and field.value.__class__ is str:
                fields.add(field.value)
                continue
        if term.type in _PICKING_TERMS and term.args and is_row(term.args[0], numbers):
            paths = literal_paths(term)
            if paths:
                fields.update(paths)
                continue
        if is_row(term, numbers) or term.type in (FUNC, ARGS):
            return None
        pending.extend(term.args)
        pending.extend(term.optargs.values())
    return fields


def literal_paths(term: Term) -> "Paths | None":
    """What a term that picks fields is told to look at, None where that is no literal or refused."""
    names = [arg.value for arg in term.args[1:] if arg.type == DATUM]
    if len(names) < len(term.args) - 1:
        return None
    try:
        return parse_paths(names, deepest=term.type == HAS_FIELDS)
    except QueryLogicError:
        return None


_IN_ORDER: Final = frozenset(range(17, 29)) | {65, 66, 67, 97, 141, 142, 149}
"""Terms that evaluate their first argument first and hand on its error: comparisons, arithmetic, branch, or, text."""


def first_field(number: int, body: Term) -> str | None:
    """The top-level field of the variable that a body reads before anything else: without it the body finds nothing."""
    term = body
    while term.args and not term.optargs:
        if term.type in FIELD_TERMS and len(term.args) == 2 and is_row(term.args[0], (number,)):
            name = term.args[1]
            return name.value if name.type == DATUM and name.value.__class__ is str else None
        if term.type not in _IN_ORDER and term.type not in FIELD_TERMS:
            return None
        term = term.args[0]
    return None


def is_row(term: Term, numbers: Container[int]) -> bool:
    """Whether a term is the row that these variables stand for."""
    if term.type == IMPLICIT_VAR:
        return True
    return term.type == VAR and len(term.args) == 1 and term.args[0].value in numbers


def field_function(specs: dict[int, TermSpec], field: Term) -> Term:
    """`row -> row.get_field(field)`, every part of it standing where the field name stands."""
    path = Rewritten(field.path)
    number = INTERNAL_VARS - 2
    row = Term(VAR, [datum(number, path)], {}, path, specs[VAR])
    body = Term(31, [row, field], {}, path, specs[31])
    return Term(FUNC, [datum([number], path), body], {}, path, specs[FUNC])
