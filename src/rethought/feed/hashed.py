"""Items by the hash of a key, for very many of them.

What always holds: an item takes some fourteen bytes here, as neither keys nor empty places are kept; items that were
added with a hash are found by it, in the order in which they came; those of other keys with the same hash are found
with them, so whoever looks something up checks what it is. Hashes stand in order, in lots that are split when they
grow. Used by `tables`, and by families of channels.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

LOT: Final = 512
"""Hashes that stand together: moving half of them costs less than looking for one."""
_HASH: Final = 0xFFFFFFFF


def hash_of(key: Hashable) -> int:
    return hash(key) & _HASH


class _Several(Generic[Item]):
    """The items of one hash, when there are two or more."""

    __slots__ = ("items",)

    def __init__(self, *items: Item) -> None:
        self.items = dict.fromkeys(items)


class Hashed(Generic[Item]):
    """See the module. Hashes are those of `hash_of`. An item may be added with several, but with each only once."""

    __slots__ = ("_firsts", "_hashes", "_items")

    def __init__(self) -> None:
        self._firsts = [0]  # of each lot the least hash that belongs there
        self._hashes = [array("I")]
        self._items: list[list[Item | _Several[Item]]] = [[]]

    def __bool__(self) -> bool:
        return bool(self._items[0]) or len(self._items) > 1

    def __iter__(self) -> Iterator[Item]:
        """Every item, once for each of its hashes."""
        for lot in self._items:
            for each in lot:
                if each.__class__ is _Several:
                    assert isinstance(each, _Several)
                    yield from each.items
                else:
                    yield each  # type: ignore[misc]

    def of(self, hash_: int) -> tuple[Item, ...]:
        lot = bisect_right(self._firsts, hash_) - 1
        hashes = self._hashes[lot]
        at = bisect_left(hashes, hash_)
        if at == len(hashes) or hashes[at] != hash_:
            return ()
        found = self._items[lot][at]
        return tuple(found.items) if isinstance(found, _Several) else (found,)

    def add(self, hash_: int, item: Item) -> None:
        lot = bisect_right(self._firsts, hash_) - 1
        hashes, items = self._hashes[lot], self._items[lot]
        at = bisect_left(hashes, hash_)
        if at < len(hashes) and hashes[at] == hash_:
            there = items[at]
            if isinstance(there, _Several):
                there.items[item] = None
            else:
                items[at] = _Several(there, item)
            return
        hashes.insert(at, hash_)
        items.insert(at, item)
        if len(hashes) > LOT:
            middle = len(hashes) // 2
            self._firsts.insert(lot + 1, hashes[middle])
            self._hashes[lot : lot + 1] = hashes[:middle], hashes[middle:]
            self._items[lot : lot + 1] = items[:middle], items[middle:]

    def remove(self, hash_: int, item: Item) -> None:
        lot = bisect_right(self._firsts, hash_) - 1
        hashes, items = self._hashes[lot], self._items[lot]
        at = bisect_left(hashes, hash_)
        there = items[at]
        if isinstance(there, _Several):
            del there.items[item]
            if len(there.items) == 1:
                items[at] = next(iter(there.items))
            return
        assert there is item
        del hashes[at], items[at]
        if not hashes and lot:
            del self._firsts[lot], self._hashes[lot], self._items[lot]
