"""Which history a commit is of: the epochs of a group's journal (decision 0015).

Every opening of a group is an epoch of its own, with a random number; it begins with the first commit that is written
then. What always holds: the record of an epoch is written in the transaction of its first commit, so one is never
there without the other; a sequence number together with the epoch of its commit names one commit for good, also after
commits were lost with power, or a copy of the file went its own way. Plain data; `journal` keeps it in the file.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import msgspec

NONE: Final = 0
"""Of commits that were written before there were epochs."""

RandomBytes = Callable[[int], bytes]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode


def new_epoch(random_bytes: RandomBytes) -> int:
    return int.from_bytes(random_bytes(8)) | 1  # never `NONE`


class Epochs:
    """The epochs of the commits that a journal may be asked for, oldest first, each with its first commit."""

    __slots__ = ("_began", "_numbers", "newest")

    def __init__(self, record: bytes | None = None) -> None:
        rows = [] if record is None else _decode(record)
        self._began = [seq for seq, _ in rows]
        self._numbers = [number for _, number in rows]
        self.newest = self._numbers[-1] if rows else NONE

    def of(self, seq: int) -> int:
        """The epoch of a commit."""
        at = bisect_right(self._began, seq)
        return self._numbers[at - 1] if at else NONE

    def begin(self, number: int, seq: int) -> None:
        """An epoch begins with a commit."""
        self._began.append(seq)
        self._numbers.append(number)
        self.newest = number

    def forget(self, first: int) -> None:
        """Leaves out epochs that ended before the commit in front of `first`: nobody can go on from there."""
        ended = bisect_right(self._began, first - 1) - 1
        if ended > 0:
            del self._began[:ended], self._numbers[:ended]

    def record(self) -> bytes:
        return _encode(list(zip(self._began, self._numbers, strict=True)))
