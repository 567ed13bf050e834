"""Slows down whoever guesses passwords.

What always holds: only refusals are delayed, so nobody can lock others out by failing in their name; the memory is
bounded. Owned by `wire.listener`; `wire.greeting` asks before it refuses a login.
"""

from collections import OrderedDict
from typing import Final

FREE_FAILURES: Final = 3
"""A mistyped password costs nothing."""

FIRST_DELAY_SECONDS: Final = 0.1
FORGET_SECONDS: Final = 900.0
ADDRESSES_MAX: Final = 10_000


class Throttle:
    """Failed logins by address. The delay doubles with each failure up to `delay_seconds_max`."""

    def __init__(self, delay_seconds_max: float) -> None:
        self._delay_seconds_max = delay_seconds_max
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, address: str, now: float) -> float:
        """Seconds to let pass before a client at `address` hears that it failed once more."""
        count, last = self._failures.pop(address, (0, now))
        count = 1 if now - last > FORGET_SECONDS else count + 1
        self._failures[address] = (count, now)
        if len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)
        if count <= FREE_FAILURES:
            return 0.0
        doublings = min(count - FREE_FAILURES - 1, 20)
        return float(min(FIRST_DELAY_SECONDS * 2**doublings, self._delay_seconds_max))

    def succeeded(self, address: str) -> None:
        self._failures.pop(address, None)
