"""Rows that are made of other rows: pairs of a join, rows merged with others or with some fields of their own, or
without some of their fields.

What always holds: a form gives the same rows whichever way it is asked, and making them raises nothing (who builds one
has seen to that: `zipped` and `merged` say when they cannot). Counting them makes none, and who reads some of their
fields gets those out of what the rows are made of. Built by joins and operators; only chunks look inside.
"""

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import or_
from typing import Any, Final

import msgspec

from rethought.datum.jsonbytes import decode, encode
from rethought.datum.merging import merge_objects
from rethought.datum.paths import Paths, pluck_paths, without_paths
from rethought.exec.chunk import TYPE_KEY, Chunk, Encoded, Later
from rethought.exec.functions import FLAT
from rethought.exec.projection import Projection, projection

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

    def chunk(self) -> Chunk:
        return Chunk(len(self.places), docs=self.documents())

    def cut(self, paths: Paths, *, keep: bool) -> "_Rights | None":
        """The same documents with fewer fields."""
        fewer = cut(Chunk(len(self.docs), docs=self.docs), paths, keep=keep)
        return None if fewer is None else _Rights(fewer.documents(), self.places)


def _rights(docs: Sequence[Encoded], places: list[int]) -> _Rights:
    """Without the documents, when most of them belong to no row."""
    if 2 * len(places) < len(docs):
        return _Rights([docs[at] for at in places], list(range(len(places))))
    return _Rights(docs, places)


class Pairs(Later):
    """`{left, right}`: rows, each with one of some documents."""

    __slots__ = ("left", "right")

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

    def parts(self) -> list[dict[str, Any]]:
        lefts = map(msgspec.Raw, map(bytes, self.left.documents()))
        rights = map(msgspec.Raw, map(bytes, self.right.documents()))
        return [{"left": left, "right": right} for left, right in zip(lefts, rights, strict=True)]

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

    def cut(self, paths: Paths, *, keep: bool) -> "Chunk | None":
        """Pairs with fewer fields on their sides, None where less than two sides are left."""
        left: Chunk | None = self.left
        right: _Rights | None = self.right
        if "left" in paths and (below := paths["left"]) is not None:
            left = cut(self.left, below, keep=keep)
        elif ("left" in paths) != keep:
            return None
        if "right" in paths and (below := paths["right"]) is not None:
            right = self.right.cut(below, keep=keep)
        elif ("right" in paths) != keep:
            return None
        if left is None or right is None:
            return None
        return Chunk(left.count, later=Pairs(left, right))


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

    def parts(self) -> list[dict[str, Any]]:
        rows = self.left.parts()
        others = Chunk(len(self.right.docs), docs=self.right.docs).parts()
        places = self.right.places
        both = set().union(*rows) & set().union(*others)
        deep = {key for key in both if any(_is_object(other.get(key)) for other in others)}
        if not deep:
            for row, place in zip(rows, places, strict=True):
                row.update(others[place])
            return rows
        return [_merge_parts(row, others[at], deep) for row, at in zip(rows, places, strict=True)]

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


def _is_object(value: Any) -> bool:
    return value.__class__ is msgspec.Raw and bytes(value).startswith(b"{")


def _merge_parts(left: dict[str, Any], right: dict[str, Any], deep: set[str]) -> dict[str, Any]:
    """As `_merge_plain`, of objects with encoded values; `deep` are the keys where objects may meet."""
    merged = left | right
    for key in deep & left.keys() & right.keys():
        before, value = _decoded(left[key]), _decoded(right[key])
        if before.__class__ is dict and value.__class__ is dict:
            merged[key] = _merge_plain(before, value)
    return merged


def _decoded(value: Any) -> Any:
    return decode(value) if value.__class__ is msgspec.Raw else value


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

    def parts(self) -> list[dict[str, Any]]:
        rows = self.base.parts()
        for row, change in zip(rows, self.changes, strict=True):
            row.update(change)
        return rows

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
        if not self.base.plain():
            return False
        values = (value for change in self.changes for value in change.values())
        return all(value.__class__ in FLAT or TYPE_KEY not in encode(value) for value in values)


def merged(base: Chunk, changes: list[dict[str, Any]]) -> Chunk | None:
    """Each row of `base` (of which there are some) with new values of the same fields for all, None where `base` has
    its rows at hand or that takes a look at each. Values that are objects hold no literals."""
    deep = [key for key in changes[0] if any(change[key].__class__ is dict for change in changes)]
    if deep:
        before = projection(tuple(deep))
        rows = base.read(before)
        if rows is None:
            return None
        for key, name in before.attributes.items():
            for row, change in zip(rows, changes, strict=True):
                value = getattr(row, name)
                if value.__class__ is dict and change[key].__class__ is dict:
                    change[key] = merge_objects(value, change[key])
    return Chunk(base.count, later=_Merged(base, changes))


class _Cut(Later):
    """Rows with only the fields at some paths, or with all others."""

    __slots__ = ("base", "kept", "paths")

    def __init__(self, base: Chunk, paths: Paths, *, keep: bool) -> None:
        self.base = base
        self.paths = paths
        self.kept = keep

    def datums(self) -> list[Any]:
        cut = pluck_paths if self.kept else without_paths
        return [cut(row, self.paths) for row in self.base.datums()]

    def parts(self) -> list[dict[str, Any]]:
        rows = self.base.parts()
        if self.kept:
            rows = [{name: row[name] for name in self.paths if name in row} for row in rows]
        for name, below in self.paths.items():
            if below is None:
                if not self.kept:
                    for row in rows:
                        row.pop(name, None)
                continue
            for row in rows:
                if name in row:
                    self._shorten(row, name, below)
        return rows

    def _shorten(self, row: dict[str, Any], name: str, below: Paths) -> None:
        cut = pluck_paths if self.kept else without_paths
        found: Any = cut({name: _decoded(row[name])}, {name: below})
        if name in found:
            row[name] = found[name]
        else:
            del row[name]

    def read(self, projection: Projection) -> list[Any] | None:
        rows = self.base.read(projection)
        if rows is None:
            return None
        unset = msgspec.UNSET
        cut = pluck_paths if self.kept else without_paths
        for field, name in projection.attributes.items():
            if field not in self.paths:
                if self.kept:
                    for row in rows:
                        setattr(row, name, unset)
                continue
            below = self.paths[field]
            if below is None and self.kept:
                continue
            for row in rows:
                value = getattr(row, name)
                if value is not unset:
                    found: Any = cut({field: value}, {field: below})
                    setattr(row, name, found.get(field, unset))
        return rows

    def keep(self, mask: list[Any], count: int) -> "_Cut":
        return _Cut(self.base.keep(mask, count), self.paths, keep=self.kept)

    def slice(self, start: int, end: int) -> "_Cut":
        return _Cut(self.base.slice(start, end), self.paths, keep=self.kept)

    def plain(self) -> bool:
        return self.base.plain()


def cut(base: Chunk, paths: Paths, *, keep: bool) -> Chunk | None:
    """Each row with only the fields at these paths (which name no part that makes a pseudotype), or with all others;
    None where that takes a look at each row."""
    sides = base.made_of()
    if isinstance(sides, Pairs):
        return sides.cut(paths, keep=keep)
    if not base.objects():
        return None
    if not keep and any(below is not None for below in paths.values()) and not base.plain():
        return None  # what is left of a pseudotype is refused
    return Chunk(base.count, later=_Cut(base, paths, keep=keep))


def side(chunk: Chunk, name: str) -> Chunk | None:
    """One side of pairs, None where the rows are no pairs."""
    sides = chunk.made_of()
    if not isinstance(sides, Pairs):
        return None
    found = sides.left if name == "left" else sides.right.chunk()
    return found if found.objects() else None
