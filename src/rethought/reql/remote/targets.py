"""Guards whom the server talks to on a query's behalf.

A user who may send HTTP requests must not reach what only this machine or its network can reach. What always holds:
the address that is connected to is the one that was checked (a name is resolved once, here), for each redirect
again; unless the operator allows it, it is a public address and not the server's own. Reads and writes on a guarded
connection end with the transfer's deadline. Callers: `transfer`.
"""

import socket
import ssl
import threading
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import Any, Final, TypeAlias

import httpcore

Address: TypeAlias = IPv4Address | IPv6Address

_NAT64: Final = IPv6Network("64:ff9b::/96")


class RefusedTargetError(Exception):
    """The target is not one that queries may reach; the argument says why."""


class Control:
    """The time that a transfer has left; `stop` takes it all, from whatever thread."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._end = monotonic()

    def allow(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    def stop(self) -> None:
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def left(self) -> float:
        """Seconds; raises when there are none."""
        seconds = 0.0 if self._stopped.is_set() else self._end - monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("the time is up")
        return seconds

    def pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet, not to this machine or a private network."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address.teredo is not None:
            inner = address.teredo[1]
        elif address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (
        address.is_multicast or address.is_unspecified or address.is_reserved
    )


def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host, in the system's order. Raises httpcore.ConnectError when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpcore.ConnectError("could not resolve host name") from None
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


class GuardedBackend(httpcore.NetworkBackend):
    """Opens connections to allowed targets only, each bound to a transfer's time."""

    def __init__(self, control: Control, *, private_allowed: bool) -> None:
        self._control = control
        self._private_allowed = private_allowed
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = resolve(host, port)
        if not self._private_allowed:
            for address in addresses:
                if not is_public(address):
                    raise RefusedTargetError(
                        f"`{host}` is {address}, which is not a public address"
                    )
        failure: Exception | None = None
        for address in addresses:
            try:
                stream = self._network.connect_tcp(
                    str(address), port, self._control.left(), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            if not self._private_allowed and _is_own(stream):
                stream.close()
                raise RefusedTargetError(f"`{host}` is {address}, the server's own address")
            return _BoundStream(stream, self._control)
        raise httpcore.ConnectError("could not connect to server") from failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        raise RefusedTargetError("local sockets are out of reach")

    def sleep(self, seconds: float) -> None:
        self._control.pause(seconds)


def _is_own(stream: httpcore.NetworkStream) -> bool:
    """Whether both ends of a connection are on this machine."""
    here, there = stream.get_extra_info("client_addr"), stream.get_extra_info("server_addr")
    return bool(here and there and here[0] == there[0])


class _BoundStream(httpcore.NetworkStream):
    """A connection whose every step ends with the transfer's time."""

    def __init__(self, stream: httpcore.NetworkStream, control: Control) -> None:
        self._stream = stream
        self._control = control

    def _time(self, timeout: float | None) -> float:
        left = self._control.left()
        return left if timeout is None else min(timeout, left)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._time(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._time(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._stream.start_tls(ssl_context, server_hostname, self._time(timeout))
        return _BoundStream(inner, self._control)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
