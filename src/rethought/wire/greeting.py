"""A connection until it is authenticated: drives a `Handshake` over a socket.

What always holds: it ends within `limits.handshake_seconds`, one way or the other; checking a password that takes time
happens on a thread. Made by `wire.listener` for every accepted socket. Runs on the loop.
"""

import asyncio
import logging
import os
import socket
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

from rethought.auth.verifier import check_password
from rethought.wire.connection import LOGIN_SECONDS, Connection
from rethought.wire.handshake import (
    Accepted,
    CheckKey,
    Handshake,
    Refused,
    Send,
    Step,
)

if TYPE_CHECKING:
    from rethought.wire.listener import Listener

log = logging.getLogger("rethought.wire")

UNHEARD_BYTES_MAX: Final = 1 << 16
"""Somebody who says so much before it is heard is heard at once, and refused for it."""


class Greeting(asyncio.Protocol):
    """Stands at the door; hands its transport to a `Connection` when the client is let in."""

    def __init__(self, listener: "Listener", until: float | None = None) -> None:
        """`until` is when the login must be through, for one that began before."""
        self._listener = listener
        self._until = until
        self._certified: frozenset[str] | None = (
            None  # the users its certificate is for, where that counts
        )
        self.address = ""
        self._unheard = b""  # what is looked at when it is its turn
        self._handshake: Handshake
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's, but behave like them.
        self._transport = cast(asyncio.Transport, transport)
        listener = self._listener
        self.address, _ = listener.peer_of(self._transport)
        turn_away = listener.reason_to_turn_away(self.address)
        self._handshake = Handshake(
            lookup=listener.engine.verifier,
            decoy=listener.engine.decoy,
            random_bytes=os.urandom,
            message_bytes_max=listener.limits.handshake_message_bytes,
            turn_away=turn_away,
            refusal=self._reason_to_refuse,
            unheard=lambda user: not listener.may_guess(self.address, user),
        )
        self._certified = listener.certified(self._transport)
        listener.greet(self)
        until = self._until or listener.loop.time() + listener.limits.handshake_seconds
        self._timer = listener.loop.call_at(until, self._too_slow)
        if turn_away is not None and listener.crowded(self.address):
            self._transport.abort()  # not even worth a word

    def data_received(self, data: bytes) -> None:
        if self._unheard:
            self._unheard += data
            if len(self._unheard) > UNHEARD_BYTES_MAX:
                self._have_turn()
            return
        turns = self._listener.engine.scheduler
        if turns.near(perf_counter()) and len(data) <= UNHEARD_BYTES_MAX:
            self._unheard = data
            turns.line_up(turns.strangers, self._have_turn, first=True)
        else:
            self._hear(data)

    def _have_turn(self) -> None:
        data, self._unheard = self._unheard, b""
        if data:
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        if self._transport is None:
            return
        try:
            steps = self._handshake.receive(data)
        except Exception:
            log.exception("Internal error in a handshake")
            return self._transport.abort()
        for step in steps:
            self._do(step)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._leave()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    close = abort

    def _do(self, step: Step) -> None:
        transport = self._transport
        if transport is None:
            return
        match step:
            case Send():
                transport.write(step.data)
            case Refused():
                self._refuse(step)
            case CheckKey():
                self._check(step)
            case Accepted():
                self._accept(step, transport)

    def _reason_to_refuse(self, user: str) -> str | None:
        if self._transport is None:
            return None
        engine = self._listener.engine
        if self._certified is not None and user not in self._certified:
            refusal: str | None = f"The client's certificate is not for the user `{user}`."
        else:
            refusal = engine.refusal(user, self.address)
        engine.login(user, self.address, refusal or "accepted")
        return refusal

    def _refuse(self, step: Refused) -> None:
        self._log_refusal(step.reason)
        assert self._transport is not None
        listener = self._listener
        delay = 0.0
        if step.failed_login:
            listener.engine.login(step.user, self.address, "wrong password")
            delay = listener.failed(self.address, step.user)
        elif step.unheard:
            listener.engine.login(step.user, self.address, "too many guesses")
            delay = listener.turnstile.wait(listener.loop.time(), LOGIN_SECONDS)
        elif step.user:  # proved who it is, and is one too many
            delay = listener.turnstile.wait(listener.loop.time(), LOGIN_SECONDS)
        if delay:
            listener.loop.call_later(delay, self._part, step.data)
        else:
            self._part(step.data)

    def _part(self, last_words: bytes) -> None:
        if self._transport is not None:
            self._transport.write(last_words)
            self._transport.close()

    def _check(self, step: CheckKey) -> None:
        """V0_3 and V0_4 send the password itself, so the derivation is ours to do."""
        if step.verifier is None:
            return self._do(self._handshake.key_checked(False))
        if not step.verifier.slow():
            return self._do(self._handshake.key_checked(key_is_right(step)))
        checked = self._listener.loop.run_in_executor(None, key_is_right, step)
        checked.add_done_callback(
            lambda result: self._do(self._handshake.key_checked(result.result()))
        )
        return None

    def _accept(self, step: Accepted, transport: asyncio.Transport) -> None:
        transport.write(step.data)
        keep_alive(transport)
        connection = Connection(self._listener, transport, step.user, serial=step.serial)
        transport.set_protocol(connection)
        self._transport = None
        self._leave()
        self._listener.throttle.succeeded(self.address, step.user)
        self._listener.admit(connection)
        if step.rest:
            connection.data_received(step.rest)

    def _log_refusal(self, reason: str) -> None:
        if self._transport is not None and reason:
            address, port = self._listener.peer_of(self._transport)
            self._listener.log_refusal(f"Client {address}:{port} was refused: {reason}")

    def _too_slow(self) -> None:
        if self._transport is not None:
            self._log_refusal("the handshake took too long")
            self._transport.abort()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._listener.part(self)


def key_is_right(step: CheckKey) -> bool:
    """Costs the verifier's iterations."""
    try:
        return step.verifier is not None and check_password(step.verifier, step.key)
    except ValueError:  # text that no password can be
        return False


def keep_alive(transport: asyncio.Transport) -> None:
    """Have the system notice, within minutes, a client whose machine is gone."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
