"""Documents of one turn, decoded at most once however many look into them.

Plain data. Made by the hub for what changed and by `opening` for pages of initial values; channels and the
transformations they were given read them.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

_decode: Final = msgspec.json.Decoder(list[Any]).decode
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode

Encoded = bytes | msgspec.Raw


class Documents:
    """Encoded documents; `data()` are the same decoded. Nobody changes either."""

    __slots__ = ("_all", "_at", "_data", "docs")

    def __init__(self, docs: Sequence[Encoded]) -> None:
        self.docs = docs
        self._data: list[Any] | None = None
        self._all: Documents | None = None
        self._at: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.docs)

    def data(self) -> list[Any]:
        if self._data is None:
            if self._all is not None:
                every = self._all.data()
                self._data = [every[at] for at in self._at]
            else:
                self._data = _decode(b"[" + b",".join(self.docs) + b"]")
        return self._data

    def some(self, at: Sequence[int]) -> "Documents":
        """Those at these places, which ascend; they share the decoded form."""
        if len(at) == len(self.docs):
            return self
        part = Documents([self.docs[each] for each in at])
        part._all = self
        part._at = at
        return part


def of_page(docs: bytes) -> Documents:
    """The documents of a page of the store."""
    return Documents(_split(b"[" + docs + b"]"))
