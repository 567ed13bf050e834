"""Intervals of keys, and finding those that hold a key.

What always holds: adding, removing and finding cost the logarithm of the number of intervals (and what is found); an
interval is half open, from `low` up to but without `high`, None being the end of everything. A tree ordered by `low`,
kept in balance by priorities that are as good as random, in which every node knows how far the intervals below it
reach. Mostly an interval has one item, which stands there itself. Used by `tables`.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

Bounds = tuple[bytes, bytes | None]


class _Node(Generic[Item]):
    """One interval and whatever has it; `reach` is the largest `high` of the node and all below it."""

    __slots__ = ("_items", "high", "left", "low", "reach", "right")

    def __init__(self, low: bytes, high: bytes | None, item: Item) -> None:
        self.low = low
        self.high = high
        self._items: Item | list[Item] = item
        self.left: _Node[Item] | None = None
        self.right: _Node[Item] | None = None
        self.reach = high

    @property
    def priority(self) -> int:
        """Nobody can choose it: the seed of hashes is the process's own."""
        return hash((self.low, self.high))

    @property
    def items(self) -> list[Item]:
        items = self._items
        return items if isinstance(items, list) else [items]

    def add(self, item: Item) -> None:
        if isinstance(self._items, list):
            self._items.append(item)
        else:
            self._items = [self._items, item]

    def remove(self, item: Item) -> bool:
        """Whether others are left."""
        items = self._items
        if not isinstance(items, list):
            return False
        items.remove(item)  # mostly the first: whoever came first goes first
        if len(items) == 1:
            self._items = items[0]
        return True

    def precedes(self, low: bytes, high: bytes | None) -> bool:
        if self.low != low:
            return self.low < low
        return self.high is not None and (high is None or self.high < high)

    def look_below(self) -> None:
        """Knows again how far it reaches."""
        reach = self.high
        for child in (self.left, self.right):
            if child is not None and reach is not None:
                reach = None if child.reach is None else max(reach, child.reach)
        self.reach = reach


class Intervals(Generic[Item]):
    """See the module. An item may be added with several intervals, but with each only once."""

    __slots__ = ("_root", "looked_at")

    def __init__(self) -> None:
        self._root: _Node[Item] | None = None
        self.looked_at = 0  # nodes, by all calls of `holding`

    def __bool__(self) -> bool:
        return self._root is not None

    def add(self, bounds: Bounds, item: Item) -> None:
        node = self._find(bounds)
        if node is None:
            self._root = _inserted(self._root, _Node(*bounds, item))
        else:
            node.add(item)

    def remove(self, bounds: Bounds, item: Item) -> None:
        node = self._find(bounds)
        assert node is not None
        if not node.remove(item):
            self._root = _removed(self._root, node)

    def __iter__(self) -> Iterator[Item]:
        """Everything, once for each of its intervals."""
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if node is not None:
                yield from node.items
                waiting += (node.left, node.right)

    def holding(self, key: bytes) -> list[Item]:
        """Whatever has an interval that holds the key."""
        found: list[Item] = []
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if node is None:
                continue
            self.looked_at += 1
            if node.reach is not None and key >= node.reach:
                continue
            waiting.append(node.left)
            if key >= node.low:
                if node.high is None or key < node.high:
                    found += node.items
                waiting.append(node.right)
        return found

    def _find(self, bounds: Bounds) -> _Node[Item] | None:
        node = self._root
        while node is not None and (node.low, node.high) != bounds:
            node = node.right if node.precedes(*bounds) else node.left
        return node


def _inserted(root: _Node[Item] | None, new: _Node[Item]) -> _Node[Item]:
    if root is None:
        return new
    if new.priority > root.priority:
        new.left, new.right = _split(root, new)
        new.look_below()
        return new
    if root.precedes(new.low, new.high):
        root.right = _inserted(root.right, new)
    else:
        root.left = _inserted(root.left, new)
    root.look_below()
    return root


def _split(
    root: _Node[Item] | None, at: _Node[Item]
) -> tuple[_Node[Item] | None, _Node[Item] | None]:
    """The nodes before `at` and those behind it."""
    if root is None:
        return None, None
    if root.precedes(at.low, at.high):
        root.right, behind = _split(root.right, at)
        root.look_below()
        return root, behind
    before, root.left = _split(root.left, at)
    root.look_below()
    return before, root


def _removed(root: _Node[Item] | None, gone: _Node[Item]) -> _Node[Item] | None:
    assert root is not None
    if root is gone:
        return _joined(root.left, root.right)
    if root.precedes(gone.low, gone.high):
        root.right = _removed(root.right, gone)
    else:
        root.left = _removed(root.left, gone)
    root.look_below()
    return root


def _joined(before: _Node[Item] | None, behind: _Node[Item] | None) -> _Node[Item] | None:
    if before is None or behind is None:
        return before or behind
    if before.priority > behind.priority:
        before.right = _joined(before.right, behind)
        before.look_below()
        return before
    behind.left = _joined(before, behind.left)
    behind.look_below()
    return behind
