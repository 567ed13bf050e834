"""Slows down whoever guesses passwords, and remembers it for the operator.

What always holds: only refusals are delayed, so nobody can lock others out by failing in their name; names that nobody
has count like those of users; the memory is bounded. Owned by `wire.listener`; `wire.greeting` asks before it refuses a
login.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

FREE_FAILURES: Final = 3
"""A mistyped password costs nothing."""

FIRST_DELAY_SECONDS: Final = 0.1
FORGET_SECONDS: Final = 900.0
ADDRESSES_MAX: Final = 10_000
SHOWN_MAX: Final = 100

Key = tuple[str, str]
"""`address` or `user`, and which."""


class Guessing(NamedTuple):
    """Somebody whose refusals are delayed: an address, or whoever tries to be a user."""

    kind: str
    name: str
    failures: int
    delay_seconds: float


class Throttle:
    """Failed logins by address and by user. The delay doubles with each failure up to `delay_seconds_max`."""

    def __init__(self, delay_seconds_max: float) -> None:
        self._delay_seconds_max = delay_seconds_max
        self._failures: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    def failed(self, address: str, user: str, now: float) -> float:
        """Seconds to let pass before a client at `address` hears that it failed once more to be `user`."""
        return max(self._failed(("address", address), now), self._failed(("user", user), now))

    def _failed(self, key: Key, now: float) -> float:
        count, last = self._failures.pop(key, (0, now))
        count = 1 if now - last > FORGET_SECONDS else count + 1
        self._failures[key] = (count, now)
        if len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)
        return self._delay(count)

    def _delay(self, count: int) -> float:
        if count <= FREE_FAILURES:
            return 0.0
        doublings = min(count - FREE_FAILURES - 1, 20)
        return float(min(FIRST_DELAY_SECONDS * 2**doublings, self._delay_seconds_max))

    def succeeded(self, address: str, user: str) -> None:
        self._failures.pop(("address", address), None)
        self._failures.pop(("user", user), None)

    def guessing(self, now: float) -> list[Guessing]:
        """Whom it slows down, the latest first."""
        found = []
        for (kind, name), (count, last) in reversed(self._failures.items()):
            if count > FREE_FAILURES and now - last <= FORGET_SECONDS:
                found.append(Guessing(kind, name, count, self._delay(count)))
                if len(found) == SHOWN_MAX:
                    break
        return found
