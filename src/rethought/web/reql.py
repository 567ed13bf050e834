"""Queries over HTTP: the endpoint of the original's console, `/ajax/reql`.

A client opens a connection (an id that only it knows), posts queries to it (a token and the query, as on the driver
port without the length) and closes it. What always holds: an id is 128 random bits and ends with
`http_query_seconds` without a query; a query that takes longer than that is cut; every answer carries a profile, as the
console expects. Unlike the original a connection is not `admin`'s for the asking: see `web.door`. Used by `web.server`.
"""

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Collection
from time import monotonic, perf_counter
from typing import Final

import msgspec

from rethought.conversation import Engine
from rethought.errors import OpIndeterminateError
from rethought.limits import Limits
from rethought.web.door import Failed, MayGuess, RefusedError, authenticate, check_site
from rethought.web.http import Request, Response
from rethought.wire import envelope
from rethought.wire.session import HEADER, HEADER_BYTES, Session

PATH: Final = "/ajax/reql"
SWEEP_SECONDS: Final = 10.0
TOKEN_BYTES: Final = 8

NOT_OPEN: Final = "This HTTP connection is not open."
TERMINATED: Final = "This ReQL connection has been terminated."
TIMED_OUT: Final = "HTTP ReQL query timed out after {seconds:g} seconds."
NO_ID: Final = 'Required parameter "conn_id" missing\n'
NO_NOREPLY: Final = "noreply queries are not supported over HTTP\n"
TOO_SMALL: Final = "Client is buggy (request too small)."

ANSWER: Final = "application/octet-stream"
REFUSAL: Final = "application/text"


class _Profiled(msgspec.Struct):
    """Whether a response has a profile already."""

    p: msgspec.Raw = msgspec.Raw()


_profiled: Final = msgspec.json.Decoder(_Profiled).decode


class Conversation:
    """An open connection: a session whose replies go to those who wait for them."""

    def __init__(self, engine: Engine, user: str, peer: tuple[str, int], limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        self.used = monotonic()
        self._waiting: dict[int, deque[asyncio.Future[bytes]]] = {}
        self._engine = engine
        self._client = engine.client(user, *peer)
        self._closed = False
        self._seconds = limits.http_query_seconds
        self._session = Session(
            engine,
            self._client,
            limits,
            wake=self._deliver,
            serial=True,
            call_later=loop.call_later,
        )

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def ask(self, token: int, body: bytes) -> bytes:
        """The response to a query."""
        self.used = monotonic()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(token, deque()).append(answer)
        self._session.query(token, body)
        self._deliver()
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:  # the connection ends with it, at the next sweep at the latest
            self.close()
            return envelope.error_response(
                OpIndeterminateError(TIMED_OUT.format(seconds=self._seconds))
            )
        finally:
            self.used = monotonic()

    def _deliver(self) -> None:
        out = self._session.take_out()
        for at in range(0, len(out), 2):
            token = HEADER.unpack(out[at])[0]
            waiting = self._waiting.get(token)
            while waiting:
                answer = waiting.popleft()
                if not waiting:
                    del self._waiting[token]
                if not answer.done():
                    answer.set_result(out[at + 1])
                    break

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._session.close()
        self._engine.gone(self._client)
        ended = envelope.error_response(OpIndeterminateError(TERMINATED))
        for waiting in self._waiting.values():
            for answer in waiting:
                if not answer.done():
                    answer.set_result(ended)
        self._waiting.clear()


class ReqlEndpoint:
    """All open connections. `names` are the host names under which this server may be asked."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        *,
        names: Collection[str],
        failed: Failed,
        may_guess: MayGuess,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._names = frozenset(name.lower() for name in names)
        self._failed = failed
        self._may_guess = may_guess
        self._random_bytes = random_bytes
        self._open: dict[str, Conversation] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def handle(self, request: Request) -> Response:
        try:
            check_site(request, self._names)
            if request.method == "POST" and "open-new-connection" in request.path:
                return await self._begin(request)
        except RefusedError as error:
            return error.response
        id_ = conn_id(request.query)
        if id_ is None or request.method != "POST":
            return Response(400, NO_ID.encode(), REFUSAL)
        if "close-connection" in request.path:
            self._end(id_)
            return Response(200, b"")
        return await self._query(id_, request.body)

    async def _begin(self, request: Request) -> Response:
        user = await authenticate(request, self._engine, self._failed, self._may_guess)
        if len(self._open) >= self._limits.http_sessions_max:
            return Response(503, b"Too many connections.\n")
        id_ = base64.b64encode(self._random_bytes(16)).decode()
        self._open[id_] = Conversation(self._engine, user, request.peer, self._limits)
        if self._sweeper is None:
            self._sweep()
        return Response(200, id_.encode())

    async def _query(self, id_: str, data: bytes) -> Response:
        if len(data) < TOKEN_BYTES:
            return Response(400, TOO_SMALL.encode(), REFUSAL)
        token = int.from_bytes(data[:TOKEN_BYTES], "little", signed=True)
        body = data[TOKEN_BYTES:]
        conversation = self._open.get(id_)
        began = perf_counter()
        if conversation is None or conversation.closed:
            answer = envelope.client_error(NOT_OPEN)
        elif envelope.asks_noreply(body):
            return Response(400, NO_NOREPLY.encode(), REFUSAL)
        elif conversation.waiting >= self._limits.queries_max:
            return Response(503, b"Too many queries under way.\n")
        else:
            answer = with_profile(await conversation.ask(token, body), began)
        return Response(200, HEADER.pack(token, len(answer)) + answer, ANSWER)

    def _end(self, id_: str) -> None:
        conversation = self._open.pop(id_, None)
        if conversation is not None:
            conversation.close()

    def _sweep(self) -> None:
        self.expire(monotonic())
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep) if self._open else None

    def expire(self, now: float) -> None:
        """Closes what nobody has used for long."""
        most = self._limits.http_query_seconds
        for id_, conversation in list(self._open.items()):
            idle = not conversation.waiting and now - conversation.used > most
            if idle or conversation.closed:
                self._end(id_)

    def close(self) -> None:
        for id_ in list(self._open):
            self._end(id_)
        if self._sweeper is not None:
            self._sweeper.cancel()


def conn_id(query: str) -> str | None:
    """The parameter as it was sent: the console does not escape it."""
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == "conn_id" and value:
            return value
    return None


def with_profile(body: bytes, began: float) -> bytes:
    """The response with the time it took, unless it says so already."""
    if bytes(_profiled(body).p):
        return body
    spent = (perf_counter() - began) * 1000
    return b'%b,"p":[{"duration(ms)":%.6f}]}' % (body[:-1], spent)


assert HEADER_BYTES == TOKEN_BYTES + 4
