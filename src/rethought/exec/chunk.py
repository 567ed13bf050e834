"""Rows on their way through a stream, a chunk at a time.

A chunk holds its rows in whichever forms it already has: `raw` (canonical JSON documents joined by commas), `docs` (a
list of encoded rows) or `rows` (data). The others are made when asked for, so that bytes that nobody looks into go
from the page to the socket. Everything in `exec` may use this; a chunk is never changed once it is made.
"""

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, Final

import msgspec

from rethought.datum.jsonbytes import encode

_decode: Final = msgspec.json.Decoder().decode
_decode_rows: Final = msgspec.json.Decoder(list[Any]).decode
_decode_raw: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode

ROWS_AT_FIRST: Final = 4
PIECE_BYTES: Final = 1 << 20

Encoded = bytes | msgspec.Raw


class Chunk:
    """Some rows. `count` is how many."""

    __slots__ = ("_kept", "count", "docs", "raw", "rows")

    def __init__(
        self,
        count: int,
        *,
        raw: bytes | None = None,
        docs: Sequence[Encoded] | None = None,
        rows: list[Any] | None = None,
    ) -> None:
        self.count = count
        self.raw = raw
        self.docs = docs
        self.rows = rows
        self._kept: tuple[Chunk, list[Any]] | None = None

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
            if chunk.rows is not None:
                self.rows = list(compress(chunk.rows, mask))
            else:
                self.docs = list(compress(chunk.documents(), mask))

    @property
    def encoded(self) -> bool:
        """Whether the rows are only there as bytes."""
        self._resolve()
        return self.rows is None

    def datums(self) -> list[Any]:
        self._resolve()
        if self.rows is None:
            self.rows = _decode_rows(b"[" + self.joined() + b"]")
        return self.rows

    def documents(self) -> Sequence[Encoded]:
        self._resolve()
        if self.docs is None:
            if self.raw is not None:
                self.docs = _decode_raw(b"[" + self.raw + b"]")
            else:
                assert self.rows is not None
                self.docs = [encode(row) for row in self.rows]
        return self.docs

    def row(self, at: int) -> Any:
        """One row's datum."""
        self._resolve()
        return self.rows[at] if self.rows is not None else _decode(self.documents()[at])

    def joined(self) -> bytes:
        self._resolve()
        if self.raw is None:
            if self.docs is not None:
                self.raw = b",".join(self.docs)
            else:
                assert self.rows is not None
                self.raw = encode(self.rows)[1:-1]
        return self.raw

    @property
    def written(self) -> bool:
        """Whether the rows are there as bytes."""
        self._resolve()
        return self.raw is not None or self.docs is not None

    def slice(self, start: int, end: int) -> "Chunk":
        if start <= 0 and end >= self.count:
            return self
        self._resolve()
        count = max(0, min(end, self.count) - start)
        if self.rows is not None:
            return Chunk(count, rows=self.rows[start:end])
        return Chunk(count, docs=self.documents()[start:end])


def of_rows(rows: list[Any]) -> Chunk:
    return Chunk(len(rows), rows=rows)


def pieces(chunk: Chunk) -> Iterator[tuple[int, bytes]]:
    """The rows as bytes, joined, in pieces of so many rows: few at first, then as many as give a fair size."""
    if chunk.written or chunk.count <= ROWS_AT_FIRST:
        yield chunk.count, chunk.joined()
        return
    rows = chunk.datums()
    at = 0
    step = ROWS_AT_FIRST
    while at < len(rows):
        lot = rows[at : at + step]
        piece = encode(lot)[1:-1]
        at += step
        step = max(1, min(8 * step, step * PIECE_BYTES // (len(piece) + 1)))
        yield len(lot), piece
