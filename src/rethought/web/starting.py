"""Answers health probes while the server is still opening its files.

Opening is synchronous and may take a while (a log to carry over, counters to add up), so this runs in a thread of its
own, on the bound sockets, until the real server takes them over. What always holds: one request a connection, each with
a short deadline; nothing is told but that the server starts. Used by `server.py`.
"""

import contextlib
import json
import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Final

from rethought.web.http import BadRequestError, Response, encoded, parse_head, text

DEADLINE_SECONDS: Final = 0.5
HEAD_BYTES_MAX: Final = 8_192
STATE: Final = "starting"


@contextlib.contextmanager
def answering(sockets: list[socket.socket] | None, tls: ssl.SSLContext | None) -> Iterator[None]:
    """Probes are answered for the length of a `with` block."""
    if not sockets:
        yield
        return
    wake, woken = socket.socketpair()
    probes = Probes(sockets, woken, tls)
    thread = threading.Thread(target=probes.serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        wake.close()
        probes.interrupt()
        thread.join()
        woken.close()


class Probes:
    """What runs in the thread; `interrupt` is called from outside, so that nobody who is slow keeps the server."""

    def __init__(
        self, sockets: list[socket.socket], woken: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        self._sockets = sockets
        self._woken = woken
        self._tls = tls
        self._current: socket.socket | None = None
        self._ended = False

    def serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (*self._sockets, self._woken):
                selector.register(each, selectors.EVENT_READ)
            while not self._ended:
                for key, _ in selector.select():
                    if key.fileobj is not self._woken:
                        assert isinstance(key.fileobj, socket.socket)
                        with contextlib.suppress(OSError):
                            self._answer(key.fileobj.accept()[0])

    def interrupt(self) -> None:
        self._ended = True
        current = self._current
        if current is not None:
            with contextlib.suppress(OSError):
                current.shutdown(socket.SHUT_RDWR)

    def _answer(self, plain: socket.socket) -> None:
        plain.settimeout(DEADLINE_SECONDS)
        connection = plain
        if self._tls is not None:
            connection = self._tls.wrap_socket(
                plain, server_side=True, do_handshake_on_connect=False
            )
        self._current = connection
        with connection:
            if self._ended:
                return
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            head = b""
            while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES_MAX:
                piece = connection.recv(HEAD_BYTES_MAX)
                if not piece:
                    return
                head += piece
            connection.sendall(encoded(answer(head), close=True))


def answer(head: bytes) -> Response:
    try:
        _, target, _ = parse_head(head.partition(b"\r\n\r\n")[0])
    except BadRequestError as error:
        return error.response
    match target.partition("?")[0]:
        case "/healthz":
            return text(200, "ok\n")
        case "/readyz":
            body = {"ready": False, "state": STATE, "writable": False, "issues": []}
            return Response(503, json.dumps(body).encode() + b"\n", "application/json")
        case _:
            return text(503, "The server is starting.\n")
