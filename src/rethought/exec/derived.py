"""Rows that are made of other rows: pairs of a join, rows merged with others or with some fields of their own.

What always holds: a form gives the same rows whichever way it is asked, and making them raises nothing (who builds one
has seen to that: `zipped` and `merged` say when they cannot). Counting them makes none, and who reads some of their
fields gets those out of what the rows are made of. Built by joins and operators; only chunks look inside.
"""

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import or_
from typing import Any, Final

import msgspec

from rethought.exec.chunk import TYPE_KEY, Chunk, Encoded, Later
from rethought.exec.projection import Projection

SHARED_BYTES_MAX: Final = 512
"""Larger documents are decoded for each row that they are part of: what a query holds may be no small part of what it
gives."""

_decode_rows: Final = msgspec.json.Decoder(list[Any]).decode


class _Rights:
    """The right side of a join: documents, and which of them belongs to each row."""

    __slots__ = ("docs", "places")

    def __init__(self, docs: Sequence[Encoded], places: list[int]) -> None:
        self.docs = docs
        self.places = places

    def _joined(self) -> bytes:
        return b"[%b]" % b",".join(self.docs)

    def datums(self) -> list[Any]:
        docs = self.docs
        if max(map(len, docs), default=0) > SHARED_BYTES_MAX:
            return _decode_rows(b"[%b]" % b",".join([docs[at] for at in self.places]))
        rows = _decode_rows(self._joined())
        return [rows[at] for at in self.places]

    def documents(self) -> list[Encoded]:
        docs = self.docs
        return [docs[at] for at in self.places]

    def read(self, projection: Projection) -> list[Any]:
        """The distinct documents with only some fields."""
        return projection.decode(self._joined())

    def keep(self, mask: list[Any]) -> "_Rights":
        return _rights(self.docs, list(compress(self.places, mask)))

    def slice(self, start: int, end: int) -> "_Rights":
        return _rights(self.docs, self.places[start:end])


def _rights(docs: Sequence[Encoded], places: list[int]) -> _Rights:
    """Without the documents, when most of them belong to no row."""
    if 2 * len(places) < len(docs):
        return _Rights([docs[at] for at in places], list(range(len(places))))
    return _Rights(docs, places)


class Pairs(Later):
    """`{left, right}`: rows, each with one of some documents."""

    __slots__ = ("left", "right")

    written = True

    def __init__(self, left: Chunk, right: _Rights) -> None:
        self.left = left
        self.right = right

    def datums(self) -> list[Any]:
        return [
            {"left": left, "right": right}
            for left, right in zip(self.left.datums(), self.right.datums(), strict=True)
        ]

    def documents(self) -> list[Encoded]:
        return [
            b'{"left":%b,"right":%b}' % (bytes(left), bytes(right))
            for left, right in zip(self.left.documents(), self.right.documents(), strict=True)
        ]

    def read(self, projection: Projection) -> list[Any]:
        sides: dict[str, Iterable[Any]] = {}
        if "left" in projection.fields:
            sides["left"] = self.left.datums()
        if "right" in projection.fields:
            sides["right"] = self.right.datums()
        return projection.of_columns(sides, self.left.count)

    def keep(self, mask: list[Any], count: int) -> "Pairs":
        return Pairs(self.left.keep(mask, count), self.right.keep(mask))

    def slice(self, start: int, end: int) -> "Pairs":
        return Pairs(self.left.slice(start, end), self.right.slice(start, end))

    def plain(self) -> bool:
        return self.left.plain() and TYPE_KEY not in b"".join(self.right.docs)


def pairs(left: Chunk, docs: Sequence[Encoded], places: list[int]) -> Chunk:
    """Each row of `left` with the document at its place among `docs`."""
    return Chunk(left.count, later=Pairs(left, _rights(docs, places)))


def _merge_plain(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """As `datum.merging.merge_objects`, of objects without pseudotypes in them."""
    merged = left | right
    for key, value in right.items():
        if value.__class__ is dict:
            before = left.get(key)
            if before.__class__ is dict:
                merged[key] = _merge_plain(before, value)
    return merged


class _Zipped(Later):
    """The two sides of pairs merged. There are no pseudotypes in them, so nothing can go wrong."""

    __slots__ = ("left", "right")

    def __init__(self, left: Chunk, right: _Rights) -> None:
        self.left = left
        self.right = right

    def datums(self) -> list[Any]:
        return list(map(_merge_plain, self.left.datums(), self.right.datums()))

    def read(self, projection: Projection) -> list[Any] | None:
        rows = self.left.read(projection)
        if rows is None:
            return None
        unset = msgspec.UNSET
        others = self.right.read(projection)
        places = self.right.places
        for name in projection.attributes.values():
            values = [getattr(other, name) for other in others]
            kinds = set(map(type, values))
            if kinds == {msgspec.UnsetType}:
                continue
            if dict not in kinds and msgspec.UnsetType not in kinds:
                for row, place in zip(rows, places, strict=True):
                    setattr(row, name, values[place])
                continue
            for row, place in zip(rows, places, strict=True):
                value = values[place]
                if value.__class__ is dict:
                    before = getattr(row, name)
                    both = before.__class__ is dict
                    setattr(row, name, _merge_plain(before, value) if both else value)
                elif value is not unset:
                    setattr(row, name, value)
        return rows

    def keep(self, mask: list[Any], count: int) -> "_Zipped":
        return _Zipped(self.left.keep(mask, count), self.right.keep(mask))

    def slice(self, start: int, end: int) -> "_Zipped":
        return _Zipped(self.left.slice(start, end), self.right.slice(start, end))

    def plain(self) -> bool:
        return True


def zipped(chunk: Chunk) -> Chunk | None:
    """Pairs merged, None where each must be looked at."""
    sides = chunk.made_of()
    if not isinstance(sides, Pairs) or not sides.plain():
        return None
    return Chunk(chunk.count, later=_Zipped(sides.left, sides.right))


class _Merged(Later):
    """Rows with some fields of their own, which replace what is there."""

    __slots__ = ("base", "changes")

    def __init__(self, base: Chunk, changes: list[dict[str, Any]]) -> None:
        self.base = base
        self.changes = changes

    def datums(self) -> list[Any]:
        return list(map(or_, self.base.datums(), self.changes))

    def read(self, projection: Projection) -> list[Any] | None:
        if not self.changes:
            return []
        changed = projection.fields & self.changes[0].keys()
        if changed == projection.fields:
            columns = {field: [change[field] for change in self.changes] for field in changed}
            return projection.of_columns(columns, len(self.changes))
        rows = self.base.read(projection)
        if rows is not None:
            for field in changed:
                name = projection.attributes[field]
                for row, change in zip(rows, self.changes, strict=True):
                    setattr(row, name, change[field])
        return rows

    def keep(self, mask: list[Any], count: int) -> "_Merged":
        return _Merged(self.base.keep(mask, count), list(compress(self.changes, mask)))

    def slice(self, start: int, end: int) -> "_Merged":
        return _Merged(self.base.slice(start, end), self.changes[start:end])

    def plain(self) -> bool:
        return self.base.plain()


def merged(base: Chunk, changes: list[dict[str, Any]]) -> Chunk:
    """Each row of `base` (of which there are some, not at hand as data) with new values of the same fields for all."""
    return Chunk(base.count, later=_Merged(base, changes))
