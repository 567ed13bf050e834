"""A small driver, for commands that ask a running server.

What always holds: the password never leaves this process (SCRAM-SHA-256) and the server proves that it knows it too;
every wait has a deadline. Blocking; for the command line only.
"""

import base64
import hmac
import os
import socket
import ssl
import struct
from typing import Any, Final

import msgspec

from rethought.auth.verifier import client_key, salted_password, server_key, stored_key

V1_0: Final = struct.pack("<I", 0x34C2BDC3)
HEADER: Final = struct.Struct("<qI")
DEADLINE_SECONDS: Final = 20.0


class DriverError(Exception):
    """The server cannot be reached, or refuses; the text is for the operator."""


def reason(error: OSError) -> str:
    """Without the number of the error."""
    return error.strerror or str(error)


class Driver:
    """A connection. `run` sends one term tree and returns its rows, or its value."""

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        try:
            plain = socket.create_connection((host, port), timeout=DEADLINE_SECONDS)
        except ConnectionRefusedError as error:
            raise DriverError(
                f"Could not connect to {host}:{port}: nothing listens there. Is a server running?"
            ) from error
        except OSError as error:
            raise DriverError(f"Could not connect to {host}:{port}: {reason(error)}.") from error
        try:
            self._socket = plain if tls is None else tls.wrap_socket(plain, server_hostname=host)
        except OSError as error:
            plain.close()
            raise DriverError(
                f"Could not speak TLS with {host}:{port}: {reason(error)}. Does the server speak "
                "TLS there, with a certificate for this name from an authority that is trusted?"
            ) from error
        self._tls = tls is not None
        self._buffer = b""
        self._token = 0

    def close(self) -> None:
        self._socket.close()

    def login(self, user: str, password: str) -> None:
        try:
            self._login(user, password)
        except (OSError, msgspec.MsgspecError) as error:
            hint = "" if self._tls else " If it speaks TLS, give --tls or --tls-ca."
            raise DriverError(f"The server did not answer as one: {error}.{hint}") from error

    def _login(self, user: str, password: str) -> None:
        self._socket.sendall(V1_0)
        self._step(None)
        nonce = base64.b64encode(os.urandom(18)).decode()
        name = user.replace("=", "=3D").replace(",", "=2C")
        bare = f"n={name},r={nonce}"
        first = self._step(
            {
                "protocol_version": 0,
                "authentication_method": "SCRAM-SHA-256",
                "authentication": f"n,,{bare}",
            }
        )
        fields = dict(part.split("=", 1) for part in first.split(","))
        if not fields["r"].startswith(nonce):
            raise DriverError("The server's answer belongs to another login.")
        salted = salted_password(password, base64.b64decode(fields["s"]), int(fields["i"]))
        without_proof = f"c=biws,r={fields['r']}"
        message = f"{bare},{first},{without_proof}".encode()
        signature = hmac.digest(stored_key(salted), message, "sha256")
        pairs = zip(client_key(salted), signature, strict=True)
        proof = base64.b64encode(bytes(a ^ b for a, b in pairs)).decode()
        last = self._step({"authentication": f"{without_proof},p={proof}"})
        expected = base64.b64encode(hmac.digest(server_key(salted), message, "sha256")).decode()
        if not hmac.compare_digest(last, f"v={expected}"):
            raise DriverError("The server does not know the password: it is another one.")

    def _step(self, message: dict[str, Any] | None) -> str:
        if message is not None:
            self._socket.sendall(msgspec.json.encode(message) + b"\0")
        text = self._until_nul()
        if text.startswith(b"ERROR"):
            raise DriverError(text.decode(errors="replace").strip())
        answer: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        if not answer.get("success"):
            raise DriverError(f"The server refused: {answer.get('error')}.")
        return str(answer.get("authentication", ""))

    def run(self, term: Any) -> Any:
        self._token += 1
        body = msgspec.json.encode([1, term, {}])
        try:
            self._socket.sendall(HEADER.pack(self._token, len(body)) + body)
            _, size = HEADER.unpack(self._exactly(HEADER.size))
            response = msgspec.json.decode(self._exactly(size), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError) as error:
            raise DriverError(f"The server did not answer: {error}.") from error
        if response["t"] >= 16:
            raise DriverError(str(response["r"][0]))
        return response["r"][0] if response["t"] == 1 else response["r"]

    def _until_nul(self) -> bytes:
        while b"\0" not in self._buffer:
            self._receive()
        text, _, self._buffer = self._buffer.partition(b"\0")
        return text

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _receive(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise OSError("the connection was closed")
        self._buffer += data
