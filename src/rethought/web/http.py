"""HTTP/1.1 as far as it is needed here: requests in, responses out, over asyncio streams.

Why by hand: four paths with small answers do not pay for a framework, whose import alone would take longer than the
whole start of the server (decision 0014). What always holds: every read has a limit and a deadline; a request that is
not understood is answered and the connection closed; nothing here knows what a path means. Used by `web.server`.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from rethought.limits import Limits

log = logging.getLogger("rethought.web")

MAKING_ROOM_MAX: Final = 20
"""More, for the moment in which one that only waits goes."""


TEXT: Final = "text/plain; charset=utf-8"
ALWAYS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing here is a page: a browser shall neither keep it, nor run it, nor guess what it is."""


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` by lower-case name; `query` is what follows the question mark, as it was sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


class BadRequestError(Exception):
    """A request that is not understood."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.response = text(status, reason)


Handler = Callable[[Request], Awaitable[Response]]


def text(status: int, body: str) -> Response:
    return Response(status, body.encode())


class HttpServer:
    """Accepts connections and hands each request to the handler, one after another."""

    def __init__(self, handler: Handler, limits: Limits, *, body_bytes_max: int) -> None:
        self._handler = handler
        self._limits = limits
        self._body_bytes_max = body_bytes_max
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        # Those that wait for the head of a request, longest first; they make room for others.
        self._idle: dict[asyncio.Task[None], None] = {}

    async def open(
        self, sockets: list[socket.socket], *, tls: ssl.SSLContext | None = None
    ) -> None:
        for bound in sockets:
            server = await asyncio.start_server(
                self._accepted, sock=bound, ssl=tls, limit=self._limits.http_head_bytes
            )
            self._servers.append(server)

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        if len(self._tasks) > self._limits.http_connections_max and self._idle:
            next(iter(self._idle)).cancel()
        try:
            await self._converse(reader, writer, task)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # the client went away, or never said what it wants
        finally:
            self._tasks.discard(task)
            self._idle.pop(task, None)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _converse(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        task: asyncio.Task[None],
    ) -> None:
        limits = self._limits
        if len(self._tasks) > limits.http_connections_max + MAKING_ROOM_MAX:
            writer.write(encoded(text(503, "Too many connections.\n"), close=True))
            await writer.drain()
            return
        peer = writer.get_extra_info("peername") or ("", 0)
        wait = limits.http_head_seconds
        while True:
            try:
                self._idle[task] = None
                async with asyncio.timeout(wait):
                    head = await reader.readuntil(b"\r\n\r\n")
                del self._idle[task]
                request = await self._request(head, reader, writer, (str(peer[0]), int(peer[1])))
                close = not stays_open(head, request.headers)
            except asyncio.LimitOverrunError:
                response, close, request = (
                    text(431, "The request's head is too long.\n"),
                    True,
                    None,
                )
            except BadRequestError as error:
                response, close, request = error.response, True, None
            if request is not None:
                response = await self._answer(request)
            bodyless = request is not None and request.method == "HEAD"
            writer.write(encoded(response, close=close, bodyless=bodyless))
            async with asyncio.timeout(limits.http_body_seconds):
                await writer.drain()
            if close:
                return
            wait = limits.http_idle_seconds

    async def _request(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: tuple[str, int],
    ) -> Request:
        method, target, headers = parse_head(head)
        size = body_size(headers)
        if size > self._body_bytes_max:
            raise BadRequestError(413, "The request is too large.\n")
        if size and headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        async with asyncio.timeout(self._limits.http_body_seconds):
            body = await reader.readexactly(size) if size else b""
        path, _, query = target.partition("?")
        return Request(method, unquote(path), query, headers, body, peer)

    async def _answer(self, request: Request) -> Response:
        """The one catch-all: what a handler lets through is our bug, logged, and an error for the client."""
        try:
            return await self._handler(request)
        except BadRequestError as error:
            return error.response
        except Exception:
            log.exception("Internal error in an HTTP request")
            return text(500, "Internal error; the log of the server has the details.\n")


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, target and headers of a request; raises `BadRequestError`."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[1].startswith("/"):
        raise BadRequestError(400, "This is not a request of HTTP/1.1.\n")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        if not line:
            continue
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or not name:
            raise BadRequestError(400, "A header is malformed.\n")
        name = name.lower()
        if name in headers and name in ("host", "content-length", "origin", "authorization"):
            raise BadRequestError(400, f"The header {name} comes twice.\n")
        headers[name] = value.strip()
    return parts[0], parts[1], headers


def body_size(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise BadRequestError(411, "A request's length must be given.\n")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(length) > 15:
        raise BadRequestError(400, "The length is not a number.\n")
    return int(length)


def stays_open(head: bytes, headers: Mapping[str, str]) -> bool:
    wish = headers.get("connection", "").lower()
    if b"HTTP/1.0\r\n" in head.split(b"\r\n", 1)[0] + b"\r\n":
        return wish == "keep-alive"
    return wish != "close"


def encoded(response: Response, *, close: bool, bodyless: bool = False) -> bytes:
    status = response.status
    headers = {
        "Content-Type": response.type,
        "Content-Length": str(len(response.body)),
        "Connection": "close" if close else "keep-alive",
        **ALWAYS,
        **response.headers,
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if bodyless else head + response.body
