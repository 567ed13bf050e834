"""One client's queries: frames in, replies out, and the table of live tokens between them.

Invariants:
  1. A token is in `_live` from its START until its last reply; only then may the client use it again.
  2. Every query gets exactly one reply, save noreply ones; a cursor has at most one batch under way.
  3. `full` is true while the client may not start more (`limits.queries_max`); `receive` stops there.
  4. After `close` nothing is sent and everything the client had is cancelled.
Replies collect in `out`; whoever owns the session writes them in one go, after `receive`, when `wake` is called, or at
once when `send` is.
Callers: `wire.connection` (sockets) and `web` (HTTP and WebSocket). Runs on the loop; never blocks.
"""

import logging
import struct
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from rethought.conversation import Client, Cursor, Engine, Pledge, Refusal, Reply, Running, Ticket
from rethought.errors import ReqlError, ResourceLimitError
from rethought.limits import Limits
from rethought.wire import envelope
from rethought.wire.envelope import QueryType

log = logging.getLogger("rethought.wire")

HEADER: Final = struct.Struct("<qI")
HEADER_BYTES: Final = HEADER.size

CONTINUE: Final = b"[2]"
"""As drivers send it."""

OUT_BYTES_TURN: Final = 1 << 18
"""Replies of one turn before they are handed to the socket and its high-water mark is asked."""


REFUSAL_SECONDS: Final = 10e-6
"""What refusing a query costs at least."""


class Timer(Protocol):
    """What `call_later` gives back (an asyncio.TimerHandle)."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Timer]


class Token:
    """A live token: a query under way, an open cursor, or a NOREPLY_WAIT.

    It is also what a cursor calls with a batch: there may be very many that wait, so none has a function of its own.
    """

    __slots__ = (
        "continues",
        "cursor",
        "notes",
        "number",
        "ready",
        "running",
        "session",
        "timer",
    )

    def __init__(self, session: "Session", number: int) -> None:
        self.session = session
        self.number = number
        self.running: Running | None = None  # its START or its next batch
        self.cursor: Cursor | None = None
        self.continues = 0  # CONTINUEs that are not answered yet
        # Only for serial clients: the feed's notes, a batch nobody has asked for yet, the timer of an empty batch.
        self.notes: tuple[int, ...] = ()
        self.ready: Reply | None = None
        self.timer: Timer | None = None

    def __call__(self, reply: Reply) -> None:
        """The batch that was asked for."""
        self.session.continued(self, reply)


class Held:
    """Queries whose answers wait for one commit. Nothing of them is under way but that, so they have no tokens of their
    own: this is what their numbers stand for among the live ones."""

    __slots__ = ("answers", "session", "ticket")

    def __init__(self, session: "Session", ticket: Ticket) -> None:
        self.session = session
        self.ticket = ticket
        self.answers: dict[int, bytes] = {}

    def __call__(self, error: ReqlError | None) -> None:
        """The commit is through, or failed."""
        self.session.committed(self, error)


class Session:
    """All there is of a client after its handshake, but for its socket."""

    def __init__(
        self,
        engine: Engine,
        client: Client,
        limits: Limits,
        *,
        wake: Callable[[], None],
        send: Callable[[], None] | None = None,
        serial: bool = False,
        call_later: CallLater | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.out: list[bytes] = []
        self.out_bytes = 0
        # Spent on queries that ended at a limit; whoever makes the client wait sets it back.
        self.refused_seconds = 0.0
        self.too_large: tuple[int, int] | None = None  # token and size of a query past the limit
        self._engine = engine
        self._client = client
        self._limits = limits
        self._wake = wake
        self._send_now = send or wake
        self._serial = serial
        self._call_later = call_later
        self._clock = clock
        self._live: dict[int, Token | Held] = {}
        self._held: Held | None = None  # for the commit that the last write waits for
        self._under_way = 0  # STARTs and waiting CONTINUEs, see `_weight`
        self._under_way_max = 1 if serial else limits.queries_max
        self._cursors = 0
        self._noreplies: set[Token] = set()
        self._waits: list[tuple[Token, set[Token]]] = []
        self._closed = False

    @property
    def full(self) -> bool:
        return self._under_way >= self._under_way_max

    def receive(self, data: bytes, at: int = 0, share: float = 1.0) -> tuple[int, bool]:
        """Handle the frames of `data` from `at` on, for a share of the time that a client has in one go; for all of it
        when it writes, as a commit takes as long as many writes.

        Returns where the first unhandled byte is, and whether only bytes are missing to go on; if not, the turn is
        over (time used up, session full, replies to be written first) and the caller comes back later.
        """
        header = HEADER.unpack_from
        pack = HEADER.pack
        start = self._engine.start
        clock = self._clock
        live = self._live
        out = self.out
        client = self._client
        size_max = self._limits.query_bytes
        response_max = self._limits.response_bytes
        now = clock()
        turn_seconds = self._limits.receive_slice_seconds
        turn_end = now + turn_seconds * share
        turn_end_max = now + turn_seconds
        end = len(data)
        while end - at >= HEADER_BYTES:
            token, size = header(data, at)
            next_at = at + HEADER_BYTES + size
            if next_at > end or size > size_max:
                if size > size_max:
                    self.too_large = (token, size)
                    return at + HEADER_BYTES, True
                return at, True
            if self._under_way >= self._under_way_max:
                return at, False
            body = data[at + HEADER_BYTES : next_at]
            at = next_at
            if body.startswith(b"[1,") and token not in live:
                # The way of nearly every query, so it is spelled out here; `query` is the same for all others.
                try:
                    reply = start(client, body, partial(self._started, token))
                except Exception as error:
                    reply = self._bug(error)
                if type(reply) is Reply and reply.cursor is None:
                    answer = reply.body
                    answer_bytes = len(answer)
                    if answer_bytes > response_max:
                        self._send(token, answer)
                        continue
                    out.append(pack(token, answer_bytes))
                    out.append(answer)
                    self.out_bytes += answer_bytes
                elif isinstance(reply, Pledge):
                    self._hold(token, reply)
                    turn_end = turn_end_max
                elif reply is not None:
                    if isinstance(reply, Reply):
                        self._first_batch(Token(self, token), reply)
                    else:
                        self._begun(token, body, reply)
                    if self.refused_seconds:
                        self.refused_seconds += clock() - now
                        return at, False
                    if self._engine.busy:
                        break
            elif body == CONTINUE:
                self._continue(token)
                if self._engine.busy:
                    break
            else:
                self.query(token, body)
            now = clock()
            if self.out_bytes > OUT_BYTES_TURN or now > turn_end:
                break
        return at, end - at < HEADER_BYTES

    def query(self, token: int, body: bytes) -> None:
        """Handle one query of any type."""
        kind = envelope.USUAL.get(body)
        if kind is None:
            recognised = envelope.query_type(body)
            if isinstance(recognised, bytes):
                return self._send(token, recognised)
            kind = recognised
        match kind:
            case QueryType.START:
                self._start(token, body)
            case QueryType.CONTINUE:
                self._continue(token)
            case QueryType.STOP:
                self._stop(token)
            case QueryType.NOREPLY_WAIT:
                self._noreply_wait(token)
            case QueryType.SERVER_INFO:
                self._send(token, self._engine.server_info(self._client))

    @property
    def idle(self) -> bool:
        """True when no query is under way (open cursors that wait to be asked do not count)."""
        return self._under_way == 0

    def take_out(self) -> list[bytes]:
        """The collected replies, in order; the caller writes them."""
        taken = self.out[:]
        self.out.clear()
        self.out_bytes = 0
        return taken

    def close(self) -> None:
        """Cancel and let go of everything; nothing is sent any more."""
        if self._closed:
            return
        self._closed = True
        tokens = list(self._live.values())
        self._live.clear()
        for token in tokens:
            if isinstance(token, Token):
                self._release(token)
        self._noreplies.clear()
        self._waits.clear()
        self.out.clear()

    # START

    def _start(self, token: int, body: bytes) -> None:
        if token in self._live:
            return self._send(token, envelope.duplicate_token(token))
        try:
            reply = self._engine.start(self._client, body, partial(self._started, token))
        except Exception as error:
            reply = self._bug(error)
        if isinstance(reply, Reply):
            self._first_batch(Token(self, token), reply)
        elif isinstance(reply, Pledge):
            self._hold(token, reply)
        elif reply is not None:
            self._begun(token, body, reply)

    def _hold(self, number: int, pledge: Pledge) -> None:
        """Keeps an answer until its commit is through."""
        held = self._held
        if held is None or held.ticket is not pledge.ticket:
            held = self._held = Held(self, pledge.ticket)
            pledge.ticket.add(held)
        held.answers[number] = pledge.body
        self._live[number] = held
        self._under_way += 1

    def committed(self, held: Held, error: ReqlError | None) -> None:
        """What a commit held back may go, or is told why it failed."""
        if self._held is held:
            self._held = None
        if self._closed:
            return
        refusal = None if error is None else envelope.error_response(error)
        live = self._live
        answers = held.answers
        self._under_way -= len(answers)
        for number, body in answers.items():
            del live[number]
            self._send(number, refusal or body)
        self._send_now()

    def _begun(self, number: int, body: bytes, running: Running) -> None:
        token = Token(self, number)
        token.running = running
        if envelope.asks_noreply(body):
            self._noreplies.add(token)
        self._live[number] = token
        self._under_way += 1

    def _started(self, number: int, reply: Reply | None) -> None:
        """A START that was under way has finished."""
        token = self._live.get(number)
        if not isinstance(token, Token) or self._closed:
            return
        token.running = None
        self._under_way -= 1
        if type(reply) is Reply and reply.cursor is None and not token.continues:
            del self._live[number]
            self._send(number, reply.body)
        else:
            if reply is None:
                del self._live[number]
            else:
                self._first_batch(token, reply)
            self._serve(token)
        if self._noreplies and token in self._noreplies:
            self._noreply_finished(token)
        self._wake()

    def _first_batch(self, token: Token, reply: Reply) -> None:
        if isinstance(reply, Refusal):
            self._note_refusal(reply)
            if not reply.body:
                return
        cursor = reply.cursor
        if cursor is not None and self._cursors >= self._limits.cursors_max:
            cursor.close()
            cursor = None
            error = ResourceLimitError(
                f"Too many open cursors on this connection (limit {self._limits.cursors_max})."
            )
            reply = Reply(envelope.error_response(error))
        if cursor is None:
            self._live.pop(token.number, None)
        else:
            token.cursor = cursor
            self._cursors += 1
            self._live[token.number] = token
            if self._serial:
                token.notes = tuple(envelope.notes(reply.body))
        self._send(token.number, reply.body)

    def _note_refusal(self, refusal: Refusal) -> None:
        self.refused_seconds += refusal.seconds or REFUSAL_SECONDS

    # CONTINUE

    def _continue(self, number: int) -> None:
        token = self._live.get(number)
        if token is None:
            return self._send(number, envelope.unknown_token(number))
        if isinstance(token, Held):
            return self._send(number, envelope.duplicate_token(number))
        if token.continues or self._serial:  # see `_weight`
            self._under_way += 1
        token.continues += 1
        if token.running is None or self._serial:
            self._serve(token)
        return None

    def _weight(self, token: Token) -> int:
        """How much a token's CONTINUEs count as queries under way.

        One that waits for a feed does not, or a client with many feeds could do nothing else. A serial client waits for
        each answer, so there it does.
        """
        return token.continues if self._serial else max(token.continues - 1, 0)

    def _serve(self, token: Token) -> None:
        """Answer the CONTINUEs of a token one after another, as far as that goes at once."""
        while token.continues and token.running is None:
            if token.cursor is None:
                # They waited for more of what turned out to be over.
                self._answer(token, envelope.duplicate_token(token.number))
            elif token.ready is not None:
                reply, token.ready = token.ready, None
                self._batch(token, reply)
            else:
                self._more(token, token.cursor)
        if self._serial and token.notes and token.continues and token.timer is None:
            self._start_timer(token)

    def _more(self, token: Token, cursor: Cursor) -> None:
        try:
            reply = cursor.more(token)
        except Exception as error:
            cursor.close()
            reply = self._bug(error)
        if isinstance(reply, Reply):
            self._batch(token, reply)
        else:
            token.running = reply

    def continued(self, token: Token, reply: Reply) -> None:
        """A batch that was under way has come."""
        if self._closed or self._live.get(token.number) is not token:
            return
        token.running = None
        if not token.continues:  # a serial client got an empty batch meanwhile
            token.ready = reply
            return
        self._batch(token, reply)
        if token.continues:
            self._serve(token)
        self._wake()

    def _batch(self, token: Token, reply: Reply) -> None:
        if isinstance(reply, Refusal):
            self._note_refusal(reply)
        token.cursor = reply.cursor
        if reply.cursor is None:
            self._cursors -= 1
            self._live.pop(token.number, None)
        self._answer(token, reply.body)

    def _answer(self, token: Token, body: bytes) -> None:
        """Send the answer to the oldest CONTINUE of a token."""
        if token.timer is not None:
            token.timer.cancel()
            token.timer = None
        token.continues -= 1
        if token.continues or self._serial:  # see `_weight`
            self._under_way -= 1
        self._send(token.number, body)

    def _start_timer(self, token: Token) -> None:
        """Serial clients cannot wait for a feed: an idle one answers with an empty batch now and then."""
        if self._call_later is not None:
            seconds = self._limits.serial_feed_seconds
            token.timer = self._call_later(seconds, partial(self._empty_batch, token))

    def _empty_batch(self, token: Token) -> None:
        token.timer = None
        if token.continues and not self._closed:
            self._answer(token, envelope.empty_batch(list(token.notes)))
            self._wake()

    # STOP

    def _stop(self, number: int) -> None:
        token = self._live.pop(number, None)
        if token is None:
            return self._send(number, envelope.unknown_token(number))
        if isinstance(token, Held):
            del token.answers[number]
            self._under_way -= 1
            self._send(number, envelope.STREAM_OVER)
            return self._send(number, envelope.STREAM_OVER)
        unanswered = token.continues
        self._under_way -= self._weight(token)
        if token.cursor is not None:
            self._cursors -= 1
        elif token.running is not None:
            self._under_way -= 1
            unanswered += token not in self._noreplies
        else:  # a NOREPLY_WAIT
            unanswered += 1
            self._waits = [wait for wait in self._waits if wait[0] is not token]
        self._release(token)
        for _ in range(unanswered):
            self._send(number, envelope.STREAM_OVER)
        self._send(number, envelope.STREAM_OVER)
        if token in self._noreplies:
            self._noreply_finished(token)
        return None

    def _release(self, token: Token) -> None:
        if token.timer is not None:
            token.timer.cancel()
            token.timer = None
        running, token.running = token.running, None
        cursor, token.cursor = token.cursor, None
        token.continues = 0
        try:
            if running is not None:
                running.cancel()
            if cursor is not None:
                cursor.close()
        except Exception as error:
            self._bug(error)

    # NOREPLY_WAIT

    def _noreply_wait(self, number: int) -> None:
        if number in self._live:
            return self._send(number, envelope.duplicate_token(number))
        if not self._noreplies:
            return self._send(number, envelope.WAIT_COMPLETE)
        token = Token(self, number)
        self._live[number] = token
        self._waits.append((token, set(self._noreplies)))
        return None

    def _noreply_finished(self, finished: Token) -> None:
        self._noreplies.discard(finished)
        still: list[tuple[Token, set[Token]]] = []
        for token, before in self._waits:
            before.discard(finished)
            if before:
                still.append((token, before))
                continue
            self._live.pop(token.number, None)
            self._send(token.number, envelope.WAIT_COMPLETE)
            self._serve(token)
        self._waits = still

    # Replies

    def _send(self, token: int, body: bytes) -> None:
        if len(body) > self._limits.response_bytes:
            body = envelope.error_response(
                ResourceLimitError(
                    f"Response size ({len(body)}) greater than maximum "
                    f"({self._limits.response_bytes})."
                )
            )
        self.out.append(HEADER.pack(token, len(body)))
        self.out.append(body)
        self.out_bytes += len(body)

    def _bug(self, error: Exception) -> Reply:
        """The one catch-all: anything the engine let through is our bug, logged, and an error for the client."""
        log.error("Internal error in a query", exc_info=error)
        return Reply(envelope.internal_error(error))
