"""Slows down whoever guesses passwords, and remembers it for the operator.

What always holds: only refusals are delayed, so nobody can lock others out by failing in their name, but for a user who
comes from a new address while very many guess at once; names that nobody has count like those of users; the memory is
bounded. An address stands for its network of 64 bits where it is one of IPv6: whoever has one of those has all.
Owned by `wire.listener`; `wire.greeting` asks before it looks at a password, and before it refuses one.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
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


def place(address: str) -> str:
    """What counts as one address."""
    if ":" not in address:
        return address
    try:
        found = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return address if found.is_loopback else str(IPv6Network((int(found) >> 64 << 64, 64)))


class Throttle:
    """Failed logins by address and by user. The delay doubles with each failure up to `delay_seconds_max`."""

    def __init__(self, delay_seconds_max: float, guesses_max: int) -> None:
        self._delay_seconds_max = delay_seconds_max
        self._guesses_max = guesses_max
        self._under_way: Counter[tuple[str, str]] = Counter()  # refusals that are being delayed
        self._known: OrderedDict[tuple[str, str], None] = (
            OrderedDict()
        )  # who logged in, and from where
        self._failures: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    def failed(self, address: str, user: str, now: float) -> float:
        """Seconds to let pass before a client at `address` hears that it failed once more to be `user`."""
        by_address = self._failed(("address", place(address)), now)
        return max(by_address, self._failed(("user", user), now))

    def may_guess(self, address: str, user: str) -> bool:
        """Whether a password is looked at. While so many refusals for a user are delayed, no more are: else guessing on
        many connections at once would not be slow. Where that user has logged in from before, only refusals from there
        count."""
        return self._under_way[self._key(address, user)] < self._guesses_max

    def begin(self, address: str, user: str) -> Callable[[], None]:
        """A refusal is delayed from now on; call what this returns when it is over."""
        key = self._key(address, user)
        self._under_way[key] += 1

        def over() -> None:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

        return over

    def _key(self, address: str, user: str) -> tuple[str, str]:
        known = (place(address), user)
        return known if known in self._known else ("", user)

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
        where = place(address)
        self._failures.pop(("address", where), None)
        self._failures.pop(("user", user), None)
        self._known[where, user] = None
        self._known.move_to_end((where, user))
        if len(self._known) > ADDRESSES_MAX:
            self._known.popitem(last=False)

    def guessing(self, now: float) -> list[Guessing]:
        """Whom it slows down, the latest first."""
        found = []
        for (kind, name), (count, last) in reversed(self._failures.items()):
            if count > FREE_FAILURES and now - last <= FORGET_SECONDS:
                found.append(Guessing(kind, name, count, self._delay(count)))
                if len(found) == SHOWN_MAX:
                    break
        return found
