r"""Keys as bytes: an encoding whose byte order is the order of values.

A key is a letter and a body: `A` array, `Bf`/`Bt` bool, `N` number, `PB` binary, `PT` time, `S` string; the letters
stand in the order of the types' names. Numbers are the eight bytes of the double with its sign bit flipped (all bits
of a negative one). In strings and binary the bytes 00 and 01 become 01 01 and 01 02, so each element of an array can
end with 00, which is below everything that could follow instead. `@` and `[` are r.minval and r.maxval, in bounds.

What always holds: for values that can be keys, bytes compare as `order.compare` says; equal values have equal keys.
The encoding is on disk: it never changes. Limits are those of the original's longer encoding, so that the same keys
are refused.
Callers: writes, reads by key, bounds of ranges, secondary indexes.
"""

from struct import Struct
from typing import Final, cast

from rethought.datum.binary import binary, binary_bytes
from rethought.datum.kinds import (
    BINARY,
    GEOMETRY,
    MINVAL,
    TIME,
    TYPE_KEY,
    Bound,
    Datum,
    Number,
    number,
    type_name,
)
from rethought.datum.text import number_text, pretty
from rethought.datum.time import make_time
from rethought.errors import NonExistenceError, QueryLogicError

PRIMARY_KEY_MAX: Final = 128
"""Bytes of the original's encoding of a primary key (its message speaks of 127)."""

MIN_KEY: Final = b"@"
MAX_KEY: Final = b"["
"""Below and above every key."""

_END: Final = b"\0"
_FALSE: Final = b"Bf"
_TRUE: Final = b"Bt"
_DOUBLE: Final = Struct(">d")
_SIGNED: Final = Struct(">q")
_pack_number: Final = Struct(">cd").pack
_pack_inverted: Final = Struct(">cq").pack
_pack_double: Final = _DOUBLE.pack
_unpack_signed: Final = _SIGNED.unpack

# The original writes a number as `N`, 16 hexadecimal digits, `#` and the number's text of at most 25 characters or
# so, where we need 9 bytes: keys this short need no second look.
_SURELY_SHORT: Final = PRIMARY_KEY_MAX // 5


class _NotAKey(Exception):
    """A part that no key may hold; `index_key` leaves such rows out of the index, the others word an error."""

    def __init__(self, part: Datum) -> None:
        self.part = part


def number_key(value: Number) -> bytes:
    """The key of a number; -0.0 has that of 0."""
    if value >= 0:
        # Negating sets the sign bit and leaves all others.
        return _pack_number(b"N", -(value + 0.0))
    return _pack_inverted(b"N", ~_unpack_signed(_pack_double(value))[0])


def string_key(value: str) -> bytes:
    data = value.encode()
    if "\0" in value or "\1" in value:
        return b"S" + _escaped(data)
    return b"S" + data


def _escaped(data: bytes) -> bytes:
    return data.replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")


def _key(value: Datum, bounds: bool) -> bytes:
    """The key of `value`; `bounds`: whether r.minval and r.maxval may stand in it. Raises `_NotAKey`."""
    kind = value.__class__
    if kind is str:
        return string_key(cast(str, value))
    if kind is int or kind is float:
        return number_key(cast(Number, value))
    if kind is list:
        return b"A" + b"".join([_key(item, bounds) + _END for item in cast(list[Datum], value)])
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is dict:
        pseudotype = cast(dict[str, Datum], value).get(TYPE_KEY)
        if pseudotype == TIME:
            return b"PT" + number_key(cast(dict[str, Number], value)["epoch_time"])[1:]
        if pseudotype == BINARY:
            return b"PB" + _escaped(binary_bytes(value))
    if kind is Bound and bounds:
        return MIN_KEY if value is MINVAL else MAX_KEY
    raise _NotAKey(value)


# Primary keys


def primary_key(value: Datum) -> bytes:
    """The key of a document. Raises the protocol's error for what cannot be one.

    r.minval and r.maxval have keys too, which no document has: reading them is legal and finds nothing, and writing
    them is refused by `values.check_storable`.
    """
    kind = value.__class__
    if kind is str:
        data = cast(str, value).encode()
        if b"\0" in data:
            raise _null_byte(data)
        if len(data) >= PRIMARY_KEY_MAX:
            raise _too_long(value)
        return b"S" + data if b"\1" not in data else b"S" + _escaped(data)
    if kind is int or kind is float:
        return number_key(cast(Number, value))
    try:
        key = _key(value, True)
    except _NotAKey as problem:
        raise _no_primary_key(value, problem.part) from None
    if kind is list:
        _refuse_null_bytes(cast(list[Datum], value))
    if len(key) > _SURELY_SHORT and _original_length(value) > PRIMARY_KEY_MAX:
        raise _too_long(value)
    return key


def primary_bound(value: Datum) -> bytes:
    """One end of a range of primary keys: like `primary_key`, r.minval and r.maxval at either depth."""
    return primary_key(value)


def _no_primary_key(value: Datum, part: Datum) -> QueryLogicError:
    if type_name(part) == f"PTYPE<{GEOMETRY}>":
        return _geometry_key()
    if value.__class__ is list:
        return _array_key(part)
    message = (
        "Primary keys must be either a number, string, bool, pseudotype or array "
        f"(got type {type_name(value)}):\n{pretty(value)}"
    )
    return NonExistenceError(message) if value is None else QueryLogicError(message)


def _array_key(part: Datum) -> QueryLogicError:
    message = (
        "Array keys can only contain numbers, strings, bools,  pseudotypes, or arrays "
        f"(got {pretty(part)} of type {type_name(part)})."
    )
    return NonExistenceError(message) if part is None else QueryLogicError(message)


def _geometry_key() -> QueryLogicError:
    return QueryLogicError(
        "Cannot use a geometry value as a key value in a primary or non-geospatial secondary index."
    )


def _refuse_null_bytes(value: list[Datum]) -> None:
    for item in value:
        if isinstance(item, str):
            if "\0" in item:
                raise _null_byte(item.encode())
        elif isinstance(item, list):
            _refuse_null_bytes(item)


def _null_byte(data: bytes) -> QueryLogicError:
    shown = "".join([_visible(byte) for byte in data[:20]])
    return QueryLogicError(
        f'String "{shown}" (truncated) contains NULL byte at offset {data.index(0)} in index key.'
    )


def _visible(byte: int) -> str:
    if byte == 0x22 or byte == 0x5C:
        return "\\" + chr(byte)
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def _too_long(value: Datum) -> QueryLogicError:
    return QueryLogicError(f"Primary key too long (max 127 characters): {pretty(value)}")


def _original_length(value: Datum) -> int:
    """How many bytes the original's encoding of a primary key takes."""
    if isinstance(value, str):
        return 1 + len(value.encode())
    if isinstance(value, bool):
        return 2
    if isinstance(value, int | float):
        return 18 + len(number_text(value + 0.0))
    if isinstance(value, list):
        return 1 + sum([_original_length(item) + 1 for item in value])
    if isinstance(value, dict) and value[TYPE_KEY] == TIME:
        return len("PTIME:") + _original_length(value["epoch_time"])
    if isinstance(value, dict):
        return len("PBINARY:") + len(_escaped(binary_bytes(value)))
    return 1


# Secondary keys


def index_key(value: Datum) -> bytes | None:
    """The key of a value in a secondary index, or None: the row is not in the index.

    So it is for null, objects, geometry, bounds, and arrays that hold one of these.
    """
    kind = value.__class__
    if kind is str:
        return string_key(cast(str, value))
    if kind is int or kind is float:
        return number_key(cast(Number, value))
    try:
        return _key(value, False)
    except _NotAKey:
        return None


def index_bound(value: Datum) -> bytes:
    """The key to look a value up by, or one end of a range. Raises the protocol's error for what cannot be one."""
    try:
        return _key(value, True)
    except _NotAKey as problem:
        part = problem.part
    if type_name(part) == f"PTYPE<{GEOMETRY}>":
        raise _geometry_key()
    if value is None:
        raise NonExistenceError("Keys cannot be NULL.")
    if value.__class__ is list:
        raise _array_key(part)
    raise QueryLogicError(
        "Secondary keys must be a number, string, bool, pseudotype, or array "
        f"(got {pretty(value)} of type {type_name(value)})."
    )


# Back again


def decode_key(key: bytes) -> Datum:
    """The value of a key. A time comes back in UTC: its zone is no part of the key."""
    value, end = _decode(key, 0)
    assert end == len(key), "bytes after the end of a key"
    return value


def _decode(key: bytes, at: int) -> tuple[Datum, int]:
    letter = key[at : at + 1]
    at += 1
    if letter == b"S":
        data, at = _unescaped(key, at)
        return data.decode(), at
    if letter == b"N":
        return _decode_number(key, at), at + 8
    if letter == b"A":
        return _decode_array(key, at)
    if letter == b"B":
        return key[at : at + 1] == b"t", at + 1
    if letter == b"P" and key[at : at + 1] == b"T":
        return make_time(_decode_number(key, at + 1)), at + 9
    assert letter == b"P", "not a key"
    data, at = _unescaped(key, at + 1)
    return binary(data), at


def _decode_number(key: bytes, at: int) -> Number:
    bits: int = _SIGNED.unpack_from(key, at)[0]
    if bits < 0:
        return number(-cast(float, _DOUBLE.unpack_from(key, at)[0]) + 0.0)
    return number(cast(float, _DOUBLE.unpack(_SIGNED.pack(~bits))[0]))


def _decode_array(key: bytes, at: int) -> tuple[list[Datum], int]:
    items: list[Datum] = []
    while at < len(key) and key[at] != 0:
        item, at = _decode(key, at)
        items.append(item)
        at += 1
    return items, at


def _unescaped(key: bytes, at: int) -> tuple[bytes, int]:
    """The bytes up to the element's end."""
    end = key.find(_END, at)
    if end < 0:
        end = len(key)
    return key[at:end].replace(b"\1\1", b"\0").replace(b"\1\2", b"\1"), end
