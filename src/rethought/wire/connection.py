"""An authenticated connection: its socket on one side, its session on the other.

What always holds: the replies to everything one read brought leave in one write; what the session may not handle yet is
held, up to `limits.read_ahead_bytes`, then the socket waits; a client that does not read its replies gets no further
query looked at, and is cut off past `limits.write_backlog_bytes`. Made by `wire.greeting` when a handshake is through;
belongs to a `wire.listener.Listener`. Runs on the loop.
"""

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING, Final

from rethought.wire import envelope
from rethought.wire.session import CONTINUE, HEADER, HEADER_BYTES, Session

if TYPE_CHECKING:
    from rethought.wire.listener import Listener

log = logging.getLogger("rethought.wire")

JOIN_BYTES: Final = 1 << 16
JOIN_AVERAGE_BYTES: Final = 1 << 12
"""Many or large replies are handed over one by one: copying them costs more than another buffer."""

CONTINUE_BYTES: Final = HEADER_BYTES + len(CONTINUE)
"""Of a read that brings nothing but one CONTINUE."""

TURN_SHARE: Final = 0.5
"""Of what a connection may do in one go: while others are there whom it must not hold up."""

LOGIN_SECONDS: Final = 0.0003
DRAIN_SECONDS_PER_BYTE: Final = 0.5e-9
"""What it costs, nearly, to let somebody in, and to read what is thrown away."""


class Connection(asyncio.Protocol):
    """Receives, sends, and holds back."""

    def __init__(
        self, listener: "Listener", transport: asyncio.Transport, user: str, *, serial: bool
    ) -> None:
        self.peer = listener.peer_of(transport)
        self.user = user
        self.partial_since = 0.0  # when the query that is still incomplete began; 0 when none is
        self._listener = listener
        self._transport = transport
        self._limits = listener.limits
        self._loop = listener.loop
        self._client = listener.engine.client(user, *self.peer)
        self._usage = self._client.usage
        self._turns = listener.engine.scheduler
        self.session = Session(
            listener.engine,
            self._client,
            listener.limits,
            wake=self._wake,
            send=self._send,
            serial=serial,
            call_later=listener.loop.call_later,
        )
        self.held_bytes = 0  # of what is not handled yet
        self._held: list[bytes] = []
        self._needed_bytes = 0  # of `_held`, before handling it can get on
        self._must_wait = False  # the session, the clock or the client's reading says so
        self._handling = False
        self._lined_up = False  # what is held is looked at when it is its turn
        self._wake_due = False
        self._reading = True
        self._client_reads = True
        self._closing = False
        self._held_back: asyncio.TimerHandle | None = None  # for running into limits
        self._ended = False  # the client sends no more
        self._stopping = False  # the server is going down
        self._drain_bytes = 0  # of a query that was refused for its size, still to come
        transport.set_write_buffer_limits(high=listener.limits.write_high_water_bytes)

    # From the socket

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._drain_bytes:
            return self._drain(len(data))
        if self._held:
            if not self._hold(data):
                return
            if self._must_wait:
                return self._pause_reading_if_enough()
            if self.held_bytes < self._needed_bytes:
                return
            data = self._take_held()
        elif self._must_wait:
            self._hold(data)
            return self._pause_reading_if_enough()
        now = perf_counter()
        asks = len(data) != CONTINUE_BYTES or not data.endswith(CONTINUE)
        if self._turns.heard(self._usage, now, asks=asks):
            return self._handle(data, now)
        if self._hold(data):
            self._line_up()
            self._pause_reading_if_enough()
        return None

    def _line_up(self, *, first: bool | None = None) -> None:
        self._must_wait = self._lined_up = True
        self._turns.line_up(self._usage, self._have_turn, first=first)

    def _have_turn(self) -> None:
        self._lined_up = False
        self._resume(TURN_SHARE)

    def _hold(self, data: bytes) -> bool:
        """False when it was too much and the connection is cut."""
        self._held.append(data)
        self.held_bytes += len(data)
        self._listener.count_inbound(len(data))
        return not self._closing

    def _take_held(self) -> bytes:
        held = b"".join(self._held)
        self._held.clear()
        self._listener.count_inbound(-self.held_bytes)
        self.held_bytes = 0
        return held

    def eof_received(self) -> bool:
        """The client has sent all it will: what it sent is still done, then the connection closes."""
        self._ended = True
        goes_on = self._may_resume() or self._lined_up or self._held_back
        if self._held and self._must_wait and goes_on:
            return self._transport.get_extra_info("ssl_object") is None  # TLS cannot be half open
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._held_back is not None:
            self._held_back.cancel()
        self._take_held()
        self.session.close()
        self._turns.left(self._usage)
        self._listener.engine.gone(self._client)
        self._listener.forget(self)

    def pause_writing(self) -> None:
        self._client_reads = False
        self._must_wait = True

    def resume_writing(self) -> None:
        self._client_reads = True
        self._flush()
        self._loop.call_soon(self._resume)

    # To the session and back

    def _handle(self, data: bytes, began: float, share: float = 1.0) -> None:
        """Hand the frames of `data` to the session, keep the rest, write what was answered."""
        session, usage = self.session, self._usage
        before = usage.seconds
        self._handling = True
        try:
            at, only_bytes_missing = session.receive(data, 0, share)
        finally:
            self._handling = False
        self._flush()
        if at and at > HEADER_BYTES + HEADER.unpack_from(data)[1]:  # several queries
            self._turns.answered(usage, before, perf_counter() - began)
        if session.too_large is not None:
            return self._refuse_too_large(len(data) - at)
        if session.refused_seconds:
            self._hold_back()
        self._must_wait = not only_bytes_missing or not self._client_reads
        left = len(data) - at
        if not left:
            self.partial_since = 0.0
            return self.close() if self._ended else self._resume_reading()
        self._hold(data[at:] if at else data)
        if only_bytes_missing:
            self._await_bytes(data, at, left)
            return self._resume_reading()
        self._pause_reading_if_enough()
        if self._may_resume():  # its turn was over
            if self._turns.heard(usage, began):
                self._loop.call_soon(self._resume)
            else:
                self._line_up()
        return None

    def _hold_back(self) -> None:
        """The client ran into a limit: nothing of it is looked at until that is paid for."""
        seconds, self.session.refused_seconds = self.session.refused_seconds, 0.0
        wait = self._listener.turnstile.wait(self._loop.time(), seconds)
        self._must_wait = True
        if self._held_back is None and wait:
            self._held_back = self._loop.call_later(wait, self._let_go)

    def _let_go(self) -> None:
        self._held_back = None
        if self._held and not self._lined_up:
            self._line_up(first=False)
        else:
            self._resume()

    def _await_bytes(self, data: bytes, at: int, left: int) -> None:
        self.partial_since = self.partial_since or self._loop.time()
        if left >= HEADER_BYTES:
            self._needed_bytes = HEADER_BYTES + HEADER.unpack_from(data, at)[1]
        else:
            self._needed_bytes = HEADER_BYTES

    def _resume(self, share: float = 1.0) -> None:
        """Go on with what was held back, if that is possible now."""
        if not self._may_resume():
            return
        self._must_wait = False
        if not self._held:
            return self._resume_reading()
        self._handle(self._take_held(), perf_counter(), share)

    def _may_resume(self) -> bool:
        if self._closing or self._stopping or not self._client_reads:
            return False
        return self._held_back is None and not self._lined_up and not self.session.full

    def _wake(self) -> None:
        """The session has replies outside of `receive`: they leave at the end of this turn of the loop."""
        if not self._handling and not self._wake_due:
            self._wake_due = True
            self._listener.wake_later(self)

    def _send(self) -> None:
        """Writers hear of their commit at once, and can go on while feeds are told of it."""
        if not self._handling:
            self._flush()
            if self._must_wait:
                self._wake()

    def woken(self) -> None:
        self._wake_due = False
        if self._closing:
            return
        self._flush()
        if self.session.refused_seconds:
            self._hold_back()
        if self._must_wait:
            self._resume()

    def _flush(self) -> None:
        session = self.session
        if not session.out or self._closing:
            return
        if not self._client_reads and self._backlog_too_long():
            return
        out_bytes = session.out_bytes
        out = session.take_out()
        if out_bytes < JOIN_BYTES or out_bytes < len(out) * JOIN_AVERAGE_BYTES:
            self._transport.write(b"".join(out))
        else:
            self._transport.writelines(out)

    def _backlog_too_long(self) -> bool:
        """A client that lets its replies pile up is cut off."""
        backlog = self._transport.get_write_buffer_size()
        if backlog <= self._limits.write_backlog_bytes:
            return False
        log.warning("%s:%d does not read its replies (%d bytes), closing", *self.peer, backlog)
        self.abort()
        return True

    def _pause_reading_if_enough(self) -> None:
        if self.held_bytes > self._limits.read_ahead_bytes:
            self._pause_reading()

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._transport.resume_reading()

    # Ends

    def _refuse_too_large(self, left: int) -> None:
        """Read a query that is too large to its end, so that the client gets to read the refusal."""
        assert self.session.too_large is not None
        _, size = self.session.too_large
        if size > self._limits.query_drain_bytes or left >= size:
            return self._drained()
        self._drain_bytes = size
        self.partial_since = self._loop.time()
        return self._drain(left)

    def _drain(self, got: int) -> None:
        """Reading is work, too: the next bytes are read when that is paid for."""
        self._drain_bytes -= got
        if self._drain_bytes <= 0:
            self._drain_bytes = 0
            return self._drained()
        cost = got * DRAIN_SECONDS_PER_BYTE
        wait = self._listener.reading.wait(self._loop.time(), cost)
        if not wait:
            return self._resume_reading()
        self._pause_reading()
        if self._held_back is None:
            self._held_back = self._loop.call_later(wait, self._drain_on)
        return None

    def _drain_on(self) -> None:
        self._held_back = None
        if not self._stopping:
            self._resume_reading()

    def _drained(self) -> None:
        """Whoever sends queries that are too large waits for the answer, as others do for their next query."""
        if self._held_back is not None:
            self._held_back.cancel()
        wait = self._listener.turnstile.wait(self._loop.time(), LOGIN_SECONDS)
        self._must_wait = True
        self.partial_since = 0.0
        self._held_back = self._loop.call_later(wait, self._send_too_large)

    def _send_too_large(self) -> None:
        assert self.session.too_large is not None
        token, size = self.session.too_large
        body = envelope.query_too_large(size, self._limits.query_bytes)
        self._transport.write(HEADER.pack(token, len(body)) + body)
        self.close()

    def close(self) -> None:
        """Close once what was written has left; cancel the rest."""
        self._flush()
        self._closing = True
        self.session.close()
        self._transport.close()

    def abort(self) -> None:
        """Close without waiting for the client to read anything."""
        self._closing = True
        self._take_held()
        self.session.close()
        self._transport.abort()

    @property
    def held_back(self) -> bool:
        """Whether the client has to wait because it ran into a limit."""
        return self._held_back is not None

    def overdue(self, now: float) -> bool:
        """True when a query has been arriving for too long."""
        return bool(self.partial_since) and now - self.partial_since > self._limits.frame_seconds

    def stop_receiving(self) -> None:
        """The server is going down: start nothing new, let what is under way finish."""
        if self._closing:
            return
        self._must_wait = self._stopping = True
        self._drain_bytes = 0
        self._pause_reading()
