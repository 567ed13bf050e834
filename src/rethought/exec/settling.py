"""The order in which the original reads a table, for reads whose order somebody may see.

Reading a table without an order promises none. But which of several smallest rows `min` gives, whose error is met
first, in which order a delete lists its changes: programs' tests see that, and the original answers them the same way
each time, because it divides a table by a hash of the keys into eight parts and reads one after the other, each in
order of the index read. What always holds: a read of up to `SETTLED_MAX` rows can be put in that order; larger ones
stay in the order of storage, as do all whose order nobody can see. Used by streams over tables.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from struct import Struct
from typing import Any, Final

from rethought.datum.binary import binary_bytes
from rethought.datum.order import order_key
from rethought.datum.text import number_text
from rethought.exec.chunk import Chunk
from rethought.exec.projection import projection

SETTLED_MAX: Final = 200

_PARTS_SHIFT: Final = 60  # eight parts of the 63 bits that count
_MASK: Final = (1 << 64) - 1
_START: Final = 0x47A59E381FB2DC06
_SIGN: Final = 1 << 63
_pack_double: Final = Struct(">d").pack

# A byte enters the hash with its bits reversed, at bits 55 to 62, and some of them again below.
_ENTERS: Final = tuple(
    ((byte * 0x80200802 & 0x0884422110) * 0x0101010101 << 23) & _MASK for byte in range(256)
)


def settled(chunks: Iterator[Chunk], primary_key: str, *, by_key: bool) -> Iterator[Chunk]:
    """Documents of a table as the original would read them, if they are few. `by_key`: they come from the primary
    key, not from an index, whose order they keep within a part."""
    few: list[Chunk] = []
    count = 0
    for chunk in chunks:
        few.append(chunk)
        count += chunk.count
        if count > SETTLED_MAX:
            return chain(few, chunks)
    if count < 2:
        return iter(few)
    return iter((_settle(few, count, primary_key, by_key=by_key),))


def _settle(chunks: list[Chunk], count: int, primary_key: str, *, by_key: bool) -> Chunk:
    encoded = all(chunk.encoded for chunk in chunks)
    rows: list[Any] = []
    keys: list[Any] = []
    for chunk in chunks:
        if encoded:
            rows.extend(chunk.documents())
            only = projection((primary_key,))
            found = only.decode(b"[" + chunk.joined() + b"]")
            keys.extend(map(attrgetter(only.attributes[primary_key]), found))
        else:
            rows.extend(chunk.datums())
            keys.extend(row[primary_key] for row in chunk.datums())
    places = [(part_of(key), order_key(key)) if by_key else (part_of(key),) for key in keys]
    ordered = [rows[at] for at in sorted(range(count), key=places.__getitem__)]
    return Chunk(count, docs=ordered) if encoded else Chunk(count, rows=ordered)


def part_of(key: Any) -> int:
    """Which part of a table a primary key belongs to."""
    if key.__class__ is list or key.__class__ is dict:
        return _part(_encoded(key))
    return _part_of_scalar(key)


@lru_cache(maxsize=8192, typed=True)
def _part_of_scalar(key: Any) -> int:
    return _part(_encoded(key))


def _part(encoded: bytes) -> int:
    state = _START
    for byte in encoded:
        state = state + _ENTERS[byte] & _MASK
        state ^= state >> 11 ^ state << 21 & _MASK
    return (state & ~_SIGN) >> _PARTS_SHIFT


def _encoded(key: Any) -> bytes:
    """A primary key in the original's encoding."""
    if key.__class__ is str:
        return b"S" + key.encode()
    if key.__class__ is bool:
        return b"Bt" if key else b"Bf"
    if key.__class__ is list:
        return b"A" + b"".join([_encoded(part) + b"\0" for part in key])
    if key.__class__ is dict:
        if key["$reql_type$"] == "TIME":
            return b"PTIME:" + _number(key["epoch_time"])
        return b"PBINARY:" + binary_bytes(key).replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")
    return _number(key)


def _number(value: int | float) -> bytes:
    bits = int.from_bytes(_pack_double(value + 0.0), "big")
    bits = bits ^ _MASK if bits & _SIGN else bits | _SIGN
    return b"N%016x#%b" % (bits, number_text(value + 0).encode())
