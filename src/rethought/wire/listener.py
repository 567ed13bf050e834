"""The open port and everybody connected to it.

What always holds: every connection is in `_members` from accept to close; all replies that become ready in one turn of
the loop leave in one pass at its end. Only `server.py` builds a `Listener`.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

from rethought.conversation import Engine
from rethought.limits import Limits
from rethought.wire.connection import Connection
from rethought.wire.encrypting import Encrypting, TlsDoor
from rethought.wire.greeting import Greeting
from rethought.wire.throttle import Guessing, Throttle, place
from rethought.wire.tls import users_of
from rethought.wire.turnstile import Turnstile

log = logging.getLogger("rethought.wire")

SWEEP_SECONDS: Final = 5.0
FAREWELL_SECONDS: Final = 1.0
"""For the last replies to leave, when the server goes down."""

REFUSALS_LOGGED_MAX: Final = 10
"""Refused clients logged between two sweeps; someone who keeps trying shall not fill the log."""


class Listener:
    """Accepts driver connections and owns them."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        *,
        tls: ssl.SSLContext | None = None,
        users_in_certificates: str | None = None,
    ) -> None:
        self.engine = engine
        self.limits = limits
        self.loop = loop
        self.throttle = Throttle(limits.login_delay_seconds, limits.guesses_per_user)
        self.turnstile = Turnstile(limits.refused_share, limits.refused_wait_seconds)
        # Reading what is thrown away has a share of its own: it is done a piece at a time, and each would wait anew.
        self.reading = Turnstile(limits.refused_share, limits.refused_wait_seconds)
        self.tls = tls  # for new connections; may be replaced by another one
        self.tls_failures = 0
        self._users_in_certificates = users_in_certificates
        self._servers: list[asyncio.Server | TlsDoor] = []
        self._members: set[Encrypting | Greeting | Connection] = set()
        self._greetings: Counter[str] = Counter()  # by address
        self._awake: list[Connection] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._refusals = 0
        self._inbound_bytes = 0
        self._reached: Callable[[], bool] | None = None  # what `close` is waiting for
        self._at_goal: asyncio.Future[None] = loop.create_future()

    async def open(self, sockets: list[socket.socket]) -> None:
        """Accept on these bound sockets."""
        for bound in sockets:
            if self.tls is not None:
                door = TlsDoor(self, bound)
                door.open()
                self._servers.append(door)
                continue
            server = await self.loop.create_server(
                lambda: Greeting(self), sock=bound, backlog=self.limits.listen_backlog_max
            )
            self._servers.append(server)
        self._sweep()

    def stop_accepting(self) -> None:
        for server in self._servers:
            server.close()

    async def close(self) -> None:
        """Let queries under way finish (`limits.shutdown_seconds`), then close everybody."""
        self.stop_accepting()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for member in list(self._members):
            if isinstance(member, Connection):
                member.stop_receiving()
            else:
                member.abort()
        await self._wait_until(self._all_idle, self.limits.shutdown_seconds)
        for member in list(self._members):
            member.close()
        await self._wait_until(lambda: not self._members, FAREWELL_SECONDS)
        for member in list(self._members):
            member.abort()
        await self._wait_until(lambda: not self._members, FAREWELL_SECONDS)

    @property
    def connections(self) -> list[Connection]:
        """Those past their handshake."""
        return [member for member in self._members if isinstance(member, Connection)]

    def guessing(self) -> list[Guessing]:
        """Who keeps failing to log in."""
        return self.throttle.guessing(self.loop.time())

    # For greetings and connections

    def greet(self, greeting: Greeting | Encrypting) -> None:
        self._members.add(greeting)
        self._greetings[place(greeting.address)] += 1

    def part(self, greeting: Greeting | Encrypting) -> None:
        """It is a connection now, or gone. May be called twice."""
        if greeting not in self._members:
            return
        where = place(greeting.address)
        self._greetings[where] -= 1
        if not self._greetings[where]:
            del self._greetings[where]
        self.forget(greeting)

    def may_guess(self, address: str, user: str) -> bool:
        """Whether a password from there is looked at."""
        return self.throttle.may_guess(address, user)

    def failed(self, address: str, user: str) -> float:
        """Notes a wrong password; the seconds to wait before saying so."""
        delay = self.throttle.failed(address, user, self.loop.time())
        if delay:
            self.loop.call_later(delay, self.throttle.begin(address, user))
        return delay

    def admit(self, member: Greeting | Connection) -> None:
        self._members.add(member)

    def forget(self, member: Encrypting | Greeting | Connection) -> None:
        self._members.discard(member)
        self._notice()

    def reason_to_turn_away(self, address: str) -> str | None:
        if len(self._members) >= self.limits.connections_max:
            return f"Too many connections (limit {self.limits.connections_max})."
        most = self.limits.handshakes_per_address
        if self._greetings[place(address)] >= most:
            return f"Too many logins under way from this address (limit {most})."
        return None

    def crowded(self, address: str) -> bool:
        """Whether so many are turned away that it costs too much to tell them."""
        too_many = len(self._members) > 2 * self.limits.connections_max
        return too_many or self._greetings[place(address)] > 2 * self.limits.handshakes_per_address

    def wake_later(self, connection: Connection) -> None:
        """Write its replies at the end of this turn: one callback serves all connections."""
        if not self._awake:
            self.loop.call_soon(self._wake_all)
        self._awake.append(connection)

    def count_inbound(self, change: int) -> None:
        """Keeps count of what incomplete queries hold, all connections together."""
        self._inbound_bytes += change
        if self._inbound_bytes > self.limits.inbound_bytes:
            greediest = max(self.connections, key=lambda connection: connection.held_bytes)
            log.warning("Too many bytes of incomplete queries, closing %s:%d", *greediest.peer)
            greediest.abort()

    def peer_of(self, transport: asyncio.Transport) -> tuple[str, int]:
        peer = transport.get_extra_info("peername")
        return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else ("", 0)

    def certified(self, transport: asyncio.Transport) -> frozenset[str] | None:
        """The users that a client's certificate is for; None where certificates do not say."""
        if self._users_in_certificates is None:
            return None
        certificate = transport.get_extra_info("peercert") or {}
        return users_of(certificate, self._users_in_certificates)

    def tls_failed(self, peer: tuple[str, int], error: Exception) -> None:
        self.tls_failures += 1
        address, port = peer
        reason = str(error) or type(error).__name__
        self.log_refusal(f"Driver connection TLS handshake failed: {address}:{port}: {reason}")

    def log_refusal(self, text: str) -> None:
        self._refusals += 1
        if self._refusals <= REFUSALS_LOGGED_MAX:
            log.warning("%s", text)

    def _wake_all(self) -> None:
        awake, self._awake = self._awake, []
        for connection in awake:
            connection.woken()
        self._notice()

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in self.connections:
            if connection.overdue(now):
                log.warning("%s:%d is too slow sending a query, closing", *connection.peer)
                connection.abort()
        if self._refusals > REFUSALS_LOGGED_MAX:
            log.warning("%d more clients were refused", self._refusals - REFUSALS_LOGGED_MAX)
        self._refusals = 0
        seconds = min(SWEEP_SECONDS, self.limits.frame_seconds / 2)
        self._sweeper = self.loop.call_later(seconds, self._sweep)

    def _all_idle(self) -> bool:
        return all(connection.session.idle for connection in self.connections)

    async def _wait_until(self, reached: Callable[[], bool], seconds: float) -> None:
        """Wait for a state that only a leaving member or a finished query can bring about."""
        self._reached = reached
        self._at_goal = self.loop.create_future()
        self._notice()
        await asyncio.wait([self._at_goal], timeout=seconds)
        self._reached = None

    def _notice(self) -> None:
        if self._reached is not None and not self._at_goal.done() and self._reached():
            self._at_goal.set_result(None)
