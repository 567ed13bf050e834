"""Accepts the connections of a TLS port, and takes them through the handshake of TLS.

What always holds: a connection counts from the first moment, and its address as one that has not logged in; the
handshake ends within `limits.handshake_seconds`; one that fails is logged and counted. The loop's own way to serve TLS
would do neither. Owned by `wire.listener`; hands over to a `wire.greeting.Greeting`.
"""

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Final

from rethought.wire.greeting import Greeting

if TYPE_CHECKING:
    from rethought.wire.listener import Listener

ACCEPTED_MAX: Final = 100
"""Connections accepted before others have a turn."""

AGAIN_SECONDS: Final = 0.5
"""Before the next attempt, when the process has no descriptor left."""

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class TlsDoor:
    """One listening socket."""

    def __init__(self, listener: "Listener", bound: socket.socket) -> None:
        self._listener = listener
        self._socket = bound
        self._again: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self._socket.listen(self._listener.limits.listen_backlog_max)
        self._socket.setblocking(False)
        self._listen()

    def close(self) -> None:
        if self._again is not None:
            self._again.cancel()
        if self._socket.fileno() >= 0:
            self._listener.loop.remove_reader(self._socket)
            self._socket.close()

    def _listen(self) -> None:
        self._again = None
        self._listener.loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_MAX):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._listener.loop.remove_reader(self._socket)
                self._again = self._listener.loop.call_later(AGAIN_SECONDS, self._listen)
                return
            sock.setblocking(False)
            Encrypting(self._listener, sock, (str(address[0]), int(address[1]))).start()


class Encrypting:
    """A connection that both sides do not yet speak TLS on."""

    def __init__(self, listener: "Listener", sock: socket.socket, peer: tuple[str, int]) -> None:
        self.peer = peer
        self.address = peer[0]
        self._listener = listener
        self._socket = sock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        listener = self._listener
        if listener.crowded(self.address):
            self._socket.close()
            return
        listener.greet(self)
        self._task = listener.loop.create_task(self._encrypt())

    async def _encrypt(self) -> None:
        listener = self._listener
        seconds = listener.limits.handshake_seconds
        until = listener.loop.time() + seconds
        try:
            await listener.loop.connect_accepted_socket(
                lambda: Greeting(listener, until),
                self._socket,
                ssl=listener.tls,
                ssl_handshake_timeout=seconds,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            listener.tls_failed(self.peer, error)  # the loop has closed the socket
        finally:
            listener.part(self)

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()

    close = abort
