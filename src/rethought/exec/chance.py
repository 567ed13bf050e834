"""Chance: what `random`, `sample`, `uuid` and generated primary keys draw from.

Purpose: all of it comes out of one source of bytes, which is passed in, so a run can be done again from a seed. What
always holds: the same bytes give the same numbers; with the system's source nobody can tell the next identifier from
those before. One per node, made by the engine; terms reach it through their `Env`.
"""

import os
from collections.abc import Callable
from random import Random
from typing import Final

RandomBytes = Callable[[int], bytes]

AHEAD_BYTES: Final = 4096
"""Asking the system costs more than the bytes do."""


class Chance(Random):
    """Python's algorithms over a source of bytes."""

    def __init__(self, random_bytes: RandomBytes = os.urandom) -> None:
        self._random_bytes = random_bytes
        self._ahead = b""
        self._at = 0

    def _take(self, count: int) -> bytes:
        at = self._at
        end = at + count
        if end > len(self._ahead):
            self._ahead = self._random_bytes(max(AHEAD_BYTES, count))
            at, end = 0, count
        self._at = end
        return self._ahead[at:end]

    def random(self) -> float:
        """A number in [0, 1) of 53 bits."""
        return (int.from_bytes(self._take(7)) >> 3) / (1 << 53)

    def getrandbits(self, k: int, /) -> int:
        count = (k + 7) // 8
        return int.from_bytes(self._take(count)) >> (count * 8 - k)

    def uuid(self) -> str:
        """A random identifier: a UUID of version 4."""
        text = self._take(16).hex()
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
