"""Who is connected, from where they may be, and how much each may take.

What always holds: a client of a user without limits has no account, so it costs nothing; all connections of a user
share one account; a change of a user's row counts at once, for connections that are open too. Owned by the engine.
"""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from time import monotonic
from typing import Any
from weakref import WeakSet

from msgspec.structs import replace

from rethought.catalog.records import UserLimits
from rethought.errors import ResourceLimitError
from rethought.limits import Limits

Told = Callable[[Any, Any, str], None]
"""Called with a client, a table of the catalog, and `read` or `write`."""


class Account:
    """What a user with limits has left."""

    __slots__ = ("_clock", "_full", "_left", "_seen", "limits", "rows_max", "told", "user")

    def __init__(
        self, user: str, own: UserLimits, limits: Limits, clock: Callable[[], float] = monotonic
    ) -> None:
        self.user = user
        self.told: Told | None = None  # who wants to know which tables are used
        self.rows_max = own.query_rows
        self.limits = replace(
            limits,
            query_seconds=_least(own.query_seconds, limits.query_seconds),
            query_memory_bytes=int(_least(own.query_memory_bytes, limits.query_memory_bytes)),
        )
        # A bucket that holds what one second allows, and fills all the time.
        self._full = own.queries_per_second
        self._left = max(1.0, own.queries_per_second or 0.0)
        self._seen = clock()
        self._clock = clock

    def take(self) -> ResourceLimitError | None:
        """One more query begins; the error of one too many."""
        rate = self._full
        if rate is None:
            return None
        now = self._clock()
        self._left = min(max(1.0, rate), self._left + (now - self._seen) * rate)
        self._seen = now
        if self._left < 1.0:
            return ResourceLimitError(
                f"Too many queries of user `{self.user}` (limit {rate:g} per second).", frames=()
            )
        self._left -= 1.0
        return None


def _least(own: float | None, everybody: float) -> float:
    """The stricter of two limits, where 0 is none."""
    if own is None:
        return everybody
    return min(own, everybody) if everybody else own


class Accounts:
    """See the module."""

    def __init__(self, catalog: Any, limits: Limits) -> None:
        self._catalog = catalog
        self._limits = limits
        self.told: Told | None = None  # set before anybody connects: then everybody has an account
        self._clients: dict[str, WeakSet[Any]] = {}
        self._accounts: dict[str, Account] = {}
        if catalog is not None:
            catalog.watch(self._changed)

    def refusal(self, user: str, address: str) -> str | None:
        """Why somebody who proved to be `user` may not connect from `address` now."""
        settings = self._catalog.users.settings(user)
        if settings.networks and not _within(address, settings.networks):
            return f"User `{user}` may not connect from this address."
        most = settings.limits.connections
        if most is not None and len(self._clients.get(user, ())) >= most:
            return f"Too many connections of user `{user}` (limit {most})."
        return None

    def join(self, client: Any) -> None:
        self._clients.setdefault(client.user, WeakSet()).add(client)
        self._settle(client)

    def _settle(self, client: Any) -> None:
        client.account = self._account(client.user)
        client.narrowed = client.account is not None or bool(client.rules)

    def leave(self, client: Any) -> None:
        clients = self._clients.get(client.user)
        if clients is None:
            return
        clients.discard(client)
        if not clients:
            self._clients.pop(client.user, None)
            self._accounts.pop(client.user, None)

    def _account(self, user: str) -> Account | None:
        own = self._catalog.users.settings(user).limits if self._catalog is not None else None
        if own is None or (own == UserLimits() and self.told is None):
            return None
        account = self._accounts.get(user)
        if account is None:
            account = self._accounts[user] = Account(user, own, self._limits)
            account.told = self.told
        return account

    def _changed(self, topic: str, what: Any) -> None:
        if topic == "user":
            self._accounts.pop(what, None)
            for client in self._clients.get(what, ()):
                self._settle(client)
        elif topic == "permission":
            for client in self._clients.get(what[0], ()):
                self._settle(client)


def _within(address: str, networks: list[str]) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    found = mapped or found
    return any(found in ip_network(network) for network in networks)
