"""What a secondary index holds of a document.

What always holds: a rule never raises for a document; a document that its function fails for, or whose value cannot be
an index key, is simply not in the index. The common forms (a field, an array of fields) read only those fields, out of
a whole chunk in one decoding. Made by the server for the catalog (`rule_for`), called by the store for every write and
by index builds; the store knows only the three methods.
"""

from collections.abc import Callable, Set
from operator import attrgetter
from typing import Any, Final

import msgspec

from rethought.catalog.model import IndexDefinition, Rule
from rethought.datum.keys import index_key
from rethought.errors import ReqlError
from rethought.exec.functions import Function
from rethought.exec.projection import Projection, attribute

CompileFunction = Callable[[Any], Function]
"""From a FUNC term as a driver sends it to the function; raises ReqlError."""

Entries = Callable[[Any], list[bytes]]
"""The index keys of one value of the index function."""

_MAKE_ARRAY: Final = 2
_VAR: Final = 10
_IMPLICIT_VAR: Final = 13
_GET_FIELD: Final = 31
_FUNC: Final = 69
_BRACKET: Final = 170
_MISSING: Final = object()

_decode_chunk: Final = msgspec.json.Decoder(list[Any]).decode


def rule_for(definition: IndexDefinition, compile_function: CompileFunction) -> Rule:
    """The rule of an index."""
    function = definition.function
    entries = _entries(multi=definition.multi, geo=definition.geo)
    if len(function.params) == 1:
        field = _field(function.params[0], function.body)
        if field is not None:
            return FieldRule(field, entries)
        fields = _fields(function.params[0], function.body)
        if fields is not None:
            return FieldsRule(fields, entries)
    term = [_FUNC, [[_MAKE_ARRAY, list(function.params)], function.body]]
    return FunctionRule(compile_function(term), entries)


class FieldRule:
    """`row => row[field]`."""

    __slots__ = ("_decode", "_entries", "_field", "_value")

    def __init__(self, field: str, entries: Entries) -> None:
        self._field = field
        self._entries = entries
        self._decode = Projection((field,)).decode
        self._value = attrgetter(attribute(field))

    def keys(self, doc: dict[str, Any]) -> list[bytes]:
        value = doc.get(self._field, _MISSING)
        return [] if value is _MISSING else self._entries(value)

    def same(self, old: dict[str, Any], new: dict[str, Any]) -> bool:
        """What an update leaves alone is the same object afterwards."""
        field = self._field
        return old.get(field, _MISSING) is new.get(field, _MISSING)

    def reads(self, fields: Set[str]) -> bool:
        return self._field in fields

    def keys_of_chunk(self, chunk: bytes) -> list[list[bytes]]:
        entries = self._entries
        unset = msgspec.UNSET
        values = map(self._value, self._decode(b"[" + chunk + b"]"))
        return [[] if value is unset else entries(value) for value in values]


class FieldsRule:
    """`row => [row[a], row[b], ...]`."""

    __slots__ = ("_decode", "_entries", "_fields", "_names")

    def __init__(self, fields: list[str], entries: Entries) -> None:
        self._fields = fields
        self._entries = entries
        self._decode = Projection(tuple(dict.fromkeys(fields))).decode
        self._names = [attribute(field) for field in fields]

    def keys(self, doc: dict[str, Any]) -> list[bytes]:
        try:
            value = [doc[field] for field in self._fields]
        except KeyError:
            return []
        return self._entries(value)

    def same(self, old: dict[str, Any], new: dict[str, Any]) -> bool:
        fields = self._fields
        return all([old.get(field, _MISSING) is new.get(field, _MISSING) for field in fields])

    def reads(self, fields: Set[str]) -> bool:
        return not fields.isdisjoint(self._fields)

    def keys_of_chunk(self, chunk: bytes) -> list[list[bytes]]:
        names = self._names
        entries = self._entries
        unset = msgspec.UNSET
        result = []
        for row in self._decode(b"[" + chunk + b"]"):
            value = [getattr(row, name) for name in names]
            result.append([] if unset in value else entries(value))
        return result


class FunctionRule:
    """Any other function."""

    __slots__ = ("_entries", "_function")

    def __init__(self, function: Function, entries: Entries) -> None:
        self._function = function
        self._entries = entries

    def keys(self, doc: dict[str, Any]) -> list[bytes]:
        try:
            value = self._function.invoke(doc)
        except ReqlError:
            return []
        return self._entries(value)

    def same(self, old: dict[str, Any], new: dict[str, Any]) -> bool:
        return False

    def reads(self, fields: Set[str]) -> bool:
        return True

    def keys_of_chunk(self, chunk: bytes) -> list[list[bytes]]:
        docs = _decode_chunk(b"[" + chunk + b"]")
        try:
            values = self._function.over(docs)
        except ReqlError:  # it fails for some of them
            return [self.keys(doc) for doc in docs]
        return [self._entries(value) for value in values]


# ---- from a value to entries


def _entries(*, multi: bool, geo: bool) -> Entries:
    one = _geo_entries if geo else _plain_entries
    if not multi:
        return one

    def many(value: Any) -> list[bytes]:
        if value.__class__ is not list:
            return one(value)
        return [key for element in value for key in one(element)]

    return many


def _plain_entries(value: Any) -> list[bytes]:
    key = index_key(value)
    return [] if key is None else [key]


def _geo_entries(value: Any) -> list[bytes]:
    if value.__class__ is not dict or value.get("$reql_type$") != "GEOMETRY":
        return []
    from rethought.datum.geo import index_cells  # heavy, and most indexes are not geospatial

    try:
        return list(index_cells(value))
    except ReqlError:
        return []


# ---- the common forms


def _field(param: int, body: Any) -> str | None:
    """The field when `body` is just that field of the row."""
    if not isinstance(body, list) or len(body) != 2 or body[0] not in (_GET_FIELD, _BRACKET):
        return None
    args = body[1]
    if not isinstance(args, list) or len(args) != 2 or not isinstance(args[1], str):
        return None
    row, field = args
    return field if _is_row(param, row) else None


def _fields(param: int, body: Any) -> list[str] | None:
    """The fields when `body` is an array of fields of the row."""
    if not isinstance(body, list) or len(body) != 2 or body[0] != _MAKE_ARRAY or not body[1]:
        return None
    fields = [_field(param, part) for part in body[1]]
    found = [field for field in fields if field is not None]
    return found if len(found) == len(fields) else None


def _is_row(param: int, term: Any) -> bool:
    if not isinstance(term, list) or not term:
        return False
    if term[0] == _IMPLICIT_VAR:
        return True
    return bool(term[0] == _VAR and len(term) > 1 and term[1] == [param])
