"""Paths into documents: what `pluck`, `without`, `has_fields` and `with_fields` are told to look at.

A specification is a field name, an array of specifications (all of them), or an object `{field: specification}` that
descends; `{field: true}` is that field as a whole. What always holds: `parse_paths` turns specifications into a tree
of fields, a leaf being `None`; the functions on documents take that tree or the bare specifications and never change
the document. Only `pluck` and `without` look into the elements of arrays. Where a path
leads on but the value there is no object (and no array of nothing but objects), `pluck` drops the field, `without`
leaves it as it is and `has_fields` is false.
Callers: the terms of that name.
"""

from collections.abc import Sequence
from operator import is_
from typing import TypeAlias, cast

from rethought.datum.kinds import BINARY, TYPE_KEY, Datum
from rethought.datum.text import truncated
from rethought.datum.values import from_json
from rethought.errors import QueryLogicError

Paths: TypeAlias = "dict[str, Paths | None]"


def parse_paths(specs: Sequence[Datum], *, deepest: bool = False) -> Paths:
    """Specifications as one tree. A field named both as a whole and in parts is a whole one, or with `deepest` one
    of which the parts are asked for.

    Raises ``Invalid path argument `{v}`.``
    """
    global _last
    before, how, paths = _last
    if how is deepest and len(before) == len(specs) and all(map(is_, before, specs)):
        return paths
    paths = {}
    for spec in specs:
        _add(paths, spec, deepest)
    _last = (tuple(specs), deepest, paths)
    return paths


_last: tuple[tuple[Datum, ...], bool, Paths] = ((), False, {})
"""What was asked for last, which the next row mostly comes with again. Neither it nor the tree ever changes."""


def _add(paths: Paths, spec: Datum, deepest: bool) -> None:
    if isinstance(spec, str):
        if not deepest:
            paths[spec] = None
        else:
            paths.setdefault(spec, None)
        return
    if isinstance(spec, list):
        for part in spec:
            _add(paths, part, deepest)
        return
    if not isinstance(spec, dict) or spec.get(TYPE_KEY) == BINARY:
        raise QueryLogicError(f"Invalid path argument `{truncated(spec)}`.")
    for field in sorted(spec):  # of two that are none, the first in this order is refused
        part = spec[field]
        if part is True:
            _add(paths, field, deepest)
            continue
        below: Paths = {}
        _add(below, part, deepest)
        if field not in paths:
            paths[field] = below
            continue
        present = paths[field]
        if present is not None:
            _join(present, below, deepest)
        elif deepest:
            paths[field] = below


def _join(paths: Paths, others: Paths, deepest: bool) -> None:
    for field, below in others.items():
        present = paths.get(field)
        if field not in paths or (present is None and deepest):
            paths[field] = below
        elif present is not None and below is not None:
            _join(present, below, deepest)
        elif not deepest:
            paths[field] = None


def pluck(document: dict[str, Datum], specs: Sequence[Datum]) -> Datum:
    """Only the fields that are named."""
    found: dict[str, Datum] = {}
    for spec in specs:
        if spec.__class__ is not str:
            return pluck_paths(document, parse_paths(specs))
        if spec in document:
            found[spec] = document[spec]
    return found


def pluck_paths(document: dict[str, Datum], paths: Paths) -> Datum:
    found: dict[str, Datum] = {}
    for field, below in paths.items():
        if field not in document:
            continue
        value = document[field]
        if below is None:
            found[field] = value
        elif _is_object(value):
            found[field] = pluck_paths(cast(dict[str, Datum], value), below)
        elif value.__class__ is list and all(map(_is_object, value)):
            found[field] = [pluck_paths(cast(dict[str, Datum], item), below) for item in value]
    return from_json(found) if TYPE_KEY in found else found


def without(document: dict[str, Datum], specs: Sequence[Datum]) -> Datum:
    """All fields but those that are named."""
    left = document.copy()
    for spec in specs:
        if spec.__class__ is not str:
            return without_paths(document, parse_paths(specs))
        left.pop(spec, None)
    return left


def without_paths(document: dict[str, Datum], paths: Paths) -> Datum:
    left = document.copy()
    for field, below in paths.items():
        if field not in left:
            continue
        if below is None:
            del left[field]
            continue
        value = left[field]
        if _is_object(value):
            left[field] = without_paths(cast(dict[str, Datum], value), below)
        elif value.__class__ is list and all(map(_is_object, value)):
            left[field] = [without_paths(cast(dict[str, Datum], item), below) for item in value]
    return from_json(left) if TYPE_KEY in left else left


def has_fields(document: dict[str, Datum], specs: Sequence[Datum]) -> bool:
    """Whether every field that is named is there and not null."""
    has_all = True
    for spec in specs:  # to the end, because a specification that is none is an error in any case
        if spec.__class__ is not str:
            return has_paths(document, parse_paths(specs, deepest=True))
        if document.get(spec) is None:
            has_all = False
    return has_all


def has_paths(document: dict[str, Datum], paths: Paths) -> bool:
    for field, below in paths.items():
        value = document.get(field)
        if value is None:
            return False
        if below is not None and not (
            _is_object(value) and has_paths(cast(dict[str, Datum], value), below)
        ):
            return False
    return True


def _is_object(value: Datum) -> bool:
    return isinstance(value, dict) and value.get(TYPE_KEY) != BINARY
