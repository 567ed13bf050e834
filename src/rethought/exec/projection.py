"""Documents of which only some top-level fields are decoded.

What always holds: a field has the same attribute in every projection, so functions compiled apart can share rows that
were decoded once with the fields of all of them; a field that a document lacks is `msgspec.UNSET`. Functions name the
attributes in generated code; chunks do the decoding.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import repeat
from typing import Any, Final

import msgspec

_ODD: Final = re.compile(r'[\x00-\x1f"\\]')
"""What the name of a field that is decoded on its own cannot hold."""


def attribute(field: str) -> str:
    """The attribute that holds a field."""
    if field.isascii() and field.isidentifier():
        return f"f_{field}"
    return f"x_{field.encode().hex()}"


class Projection:
    """How to decode only some top-level fields of documents, as attributes of one object for each."""

    __slots__ = ("attributes", "decode", "fields", "make")

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = frozenset(fields)
        self.attributes = {field: attribute(field) for field in fields}
        plain = not any(map(_ODD.search, fields))
        names = list(self.attributes.values())
        struct = msgspec.defstruct(
            "Row",
            [(name, Any, msgspec.UNSET) for name in names],
            rename=dict(zip(names, fields, strict=True)) if plain else None,
            gc=False,
        )
        self.make: Callable[..., Any] = struct
        self.decode: Callable[[bytes], list[Any]]
        if plain:
            self.decode = msgspec.json.Decoder(list[struct]).decode  # type: ignore[valid-type]
        else:
            self.decode = _picked(struct, fields)

    def covers(self, other: "Projection") -> bool:
        return self is other or other.fields <= self.fields

    def of_columns(self, columns: Mapping[str, Iterable[Any]], count: int) -> list[Any]:
        """Rows whose fields are at hand, each as a column of `count` values."""
        unset = msgspec.UNSET
        parts = [columns.get(field) or repeat(unset, count) for field in self.attributes]
        return list(map(self.make, *parts))


def _picked(struct: Callable[..., Any], fields: tuple[str, ...]) -> Callable[[bytes], list[Any]]:
    """Rows of the whole documents, for fields that cannot be decoded on their own."""
    whole = msgspec.json.Decoder(list[dict[str, Any]]).decode
    unset = msgspec.UNSET
    return lambda data: [
        struct(*[document.get(field, unset) for field in fields]) for document in whole(data)
    ]


@lru_cache(maxsize=1024)
def projection(fields: tuple[str, ...]) -> Projection:
    """The projection to these fields, in this order."""
    return Projection(fields)
