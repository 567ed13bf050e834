"""Rows on their way through a stream, a chunk at a time.

A chunk holds its rows in whichever forms it already has: `raw` (canonical JSON documents joined by commas), `docs` (a
list of encoded rows) or `rows` (data); or it holds what its rows are made of (`Later`, see `exec.derived`). The others
are made when asked for, so that bytes that nobody looks into go from the page to the socket, and of rows that are only
counted, or of which only a field is read, no more is made than that. What always holds: encoded rows are objects, and
a chunk's rows never change. Everything in `exec` may use this.
"""

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, Final

import msgspec

from rethought.datum.jsonbytes import encode
from rethought.exec.projection import Projection

_decode: Final = msgspec.json.Decoder().decode
_decode_rows: Final = msgspec.json.Decoder(list[Any]).decode
_decode_raw: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_parts: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode

ROWS_AT_FIRST: Final = 4
PIECE_BYTES: Final = 1 << 17

Encoded = bytes | msgspec.Raw


TYPE_KEY: Final = b'"$reql_type$"'
"""What every pseudotype has in its bytes."""


class Later:
    """What rows are made of: the base of the forms in `exec.derived`."""

    def datums(self) -> list[Any]:
        raise NotImplementedError

    def documents(self) -> Sequence[Encoded]:
        return list(map(encode, self.parts()))

    def parts(self) -> list[dict[str, Any]]:
        """See `Chunk.parts`."""
        raise NotImplementedError

    def read(self, projection: Projection) -> list[Any] | None:
        """See `Chunk.read`."""
        raise NotImplementedError

    def keep(self, mask: list[Any], count: int) -> "Later":
        raise NotImplementedError

    def slice(self, start: int, end: int) -> "Later":
        raise NotImplementedError

    def plain(self) -> bool:
        """See `Chunk.plain`."""
        return False


class Chunk:
    """Some rows. `count` is how many."""

    __slots__ = ("_kept", "_projected", "count", "docs", "later", "raw", "rows")

    def __init__(
        self,
        count: int,
        *,
        raw: bytes | None = None,
        docs: Sequence[Encoded] | None = None,
        rows: list[Any] | None = None,
        later: Later | None = None,
    ) -> None:
        self.count = count
        self.raw = raw
        self.docs = docs
        self.rows = rows
        self.later = later
        self._kept: tuple[Chunk, list[Any]] | None = None
        self._projected: tuple[Projection, list[Any]] | None = None

    def keep(self, mask: list[Any], count: int) -> "Chunk":
        """The `count` rows whose element of `mask` is true; made when somebody looks at them."""
        if count == self.count:
            return self
        kept = Chunk(count)
        kept._kept = (self, mask)
        return kept

    def _resolve(self) -> None:
        if self._kept is not None:
            chunk, mask = self._kept
            self._kept = None
            chunk._resolve()
            if chunk.rows is not None:
                self.rows = list(compress(chunk.rows, mask))
            elif chunk.later is not None:
                self.later = chunk.later.keep(mask, self.count)
            else:
                self.docs = list(compress(chunk.documents(), mask))

    @property
    def encoded(self) -> bool:
        """Whether the rows are only there as bytes."""
        self._resolve()
        return self.rows is None and self.later is None

    def datums(self) -> list[Any]:
        self._resolve()
        if self.rows is None:
            if self.later is not None:
                self.rows = self.later.datums()
            else:
                self.rows = _decode_rows(b"[" + self.joined() + b"]")
        return self.rows

    def documents(self) -> Sequence[Encoded]:
        self._resolve()
        if self.docs is None:
            if self.raw is not None:
                self.docs = _decode_raw(b"[" + self.raw + b"]")
            elif self.rows is None:
                assert self.later is not None
                self.docs = self.later.documents()
            else:
                self.docs = [encode(row) for row in self.rows]
        return self.docs

    def project(self, projection: Projection) -> list[Any] | None:
        """The rows with only some fields, None where whole rows are at hand. They are shared: not to be changed."""
        if self._projected is None:
            if self._kept is not None:
                chunk, mask = self._kept
                if chunk._projected is not None and chunk._projected[0].covers(projection):
                    return list(compress(chunk._projected[1], mask))
        elif self._projected[0].covers(projection):
            return self._projected[1]
        found = self.read(projection)
        if found is not None:
            self._projected = (projection, found)
        return found

    def read(self, projection: Projection) -> list[Any] | None:
        """As `project`, but nobody else has these rows."""
        self._resolve()
        if self.rows is not None:
            return None
        if not projection.fields:
            return [None] * self.count
        if self.later is not None:
            return self.later.read(projection)
        return projection.decode(b"[" + self.joined() + b"]")

    def parts(self) -> list[dict[str, Any]]:
        """The rows, which are `objects`, with values that nobody has looked into: each is encoded or data, as it is
        easier. Nobody else has these."""
        self._resolve()
        if self.rows is not None:
            return list(map(dict.copy, self.rows))
        if self.later is not None:
            return self.later.parts()
        return _decode_parts(b"[" + self.joined() + b"]")

    def objects(self) -> bool:
        """Whether every row is an object that fields can be taken from."""
        self._resolve()
        if self.rows is None:
            return True
        return all(row.__class__ is dict and "$reql_type$" not in row for row in self.rows)

    def made_of(self) -> Later | None:
        """What the rows are made of, None where they are made."""
        self._resolve()
        return self.later if self.rows is None else None

    def plain(self) -> bool:
        """Whether there is certainly no pseudotype anywhere in the rows."""
        self._resolve()
        if self.rows is not None:
            return False
        return self.later.plain() if self.later is not None else TYPE_KEY not in self.joined()

    def row(self, at: int) -> Any:
        """One row's datum."""
        self._resolve()
        if self.rows is None and self.later is not None:
            return self.later.slice(at, at + 1).datums()[0]
        return self.rows[at] if self.rows is not None else _decode(self.documents()[at])

    def joined(self) -> bytes:
        self._resolve()
        if self.raw is None:
            if self.docs is None and self.later is not None:
                self.docs = self.later.documents()
            if self.docs is not None:
                self.raw = b",".join(self.docs)
            else:
                self.raw = encode(self.datums())[1:-1]
        return self.raw

    def slice(self, start: int, end: int) -> "Chunk":
        if start <= 0 and end >= self.count:
            return self
        self._resolve()
        count = max(0, min(end, self.count) - start)
        if self.rows is not None:
            return Chunk(count, rows=self.rows[start:end])
        if self.later is not None:
            return Chunk(count, later=self.later.slice(start, end))
        return Chunk(count, docs=self.documents()[start:end])

    def at(self, places: list[int]) -> "Chunk":
        """The rows at these places, which may name one more than once."""
        self._resolve()
        if self.encoded:
            docs = self.documents()
            return Chunk(len(places), docs=[docs[at] for at in places])
        rows = self.datums()
        return Chunk(len(places), rows=[rows[at] for at in places])


def of_rows(rows: list[Any]) -> Chunk:
    return Chunk(len(rows), rows=rows)


def pieces(chunk: Chunk, size: int = PIECE_BYTES) -> Iterator[tuple[int, bytes]]:
    """The rows as bytes, joined, in pieces of so many rows: few at first, then as many as give a fair size."""
    if chunk.encoded or chunk.raw or chunk.docs or chunk.count <= ROWS_AT_FIRST:
        yield chunk.count, chunk.joined()
        return
    at = 0
    step = ROWS_AT_FIRST
    while at < chunk.count:
        lot = chunk.slice(at, at + step)
        piece = lot.joined()
        yield lot.count, piece
        at += step
        step = max(1, min(8 * step, step * size // (len(piece) + 1)))
