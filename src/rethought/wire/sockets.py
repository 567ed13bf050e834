"""Bound sockets for the addresses an operator named.

What always holds: all sockets of one port have the same number, also when the system chose it (port 0); either all of
them are bound or none is left open. Only `server.py` calls this.
"""

import contextlib
import errno
import ipaddress
import os
import socket


class BindError(Exception):
    """An address or a port cannot be used; the text is for the operator."""


def bind(addresses: list[str], port: int) -> list[socket.socket]:
    """Bind `port` on every address (`["all"]`: on the whole machine). They do not accept anything yet."""
    optional: set[str] = set()
    if addresses == ["all"]:
        addresses, optional = ["0.0.0.0", "::"], {"::"}
    elif "127.0.0.1" in addresses:
        optional = {"::1"}  # a machine without IPv6 has no such address
    bound: list[socket.socket] = []
    try:
        for address in addresses:
            try:
                sock = _bind_one(parse(address), port)
            except OSError as error:
                if address in optional:
                    continue
                raise BindError(_explain(address, port, error)) from error
            bound.append(sock)
            port = sock.getsockname()[1]
    except BindError:
        for sock in bound:
            sock.close()
        raise
    return bound


def parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(address)
    except ValueError as error:
        raise BindError(f"bind ip address '{address}' could not be parsed: {error}") from error


def addresses_of(sockets: list[socket.socket]) -> str:
    """For people: `127.0.0.1, ::1`."""
    return ", ".join(str(sock.getsockname()[0]) for sock in sockets)


def _bind_one(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # Without it a restarted server would have to wait for its old connections to time out.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((str(address), port))
        # SO_REUSEADDR lets two processes bind the same port as long as neither listens.
        sock.listen(1)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _explain(address: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"Could not find bind ip address '{address}'"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"TCP socket creation failed for port {port}: {reason}."
