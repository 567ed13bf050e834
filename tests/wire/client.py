"""A driver reduced to its socket: sends exactly the bytes a test wants and reads responses one by one."""

import base64
import hashlib
import hmac
import json
import os
import socket
import struct
from types import TracebackType
from typing import Any

from tests.waiting import PATIENCE_S

V0_3, V0_4, V1_0 = 0x5F75E83E, 0x400C2D20, 0x34C2BDC3
JSON = 0x7E6970C7
HEADER = struct.Struct("<qI")


class Raw:
    """A socket with a timeout, closed at the end of its `with` block."""

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self.sock = socket.create_connection((host, port), timeout=PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError(bytes(self.buffer))
            self.buffer += data
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def until_nul(self) -> bytes:
        while b"\0" not in self.buffer:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError(bytes(self.buffer))
            self.buffer += data
        return self.exactly(self.buffer.index(0) + 1)[:-1]

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        try:
            while data := self.sock.recv(1 << 16):
                self.buffer += data
        except ConnectionError:
            pass
        return bytes(self.buffer)


class Client(Raw):
    """Past a V0_4 (or V0_3) handshake."""

    def __init__(self, port: int, *, version: int = V0_4, key: str = "") -> None:
        super().__init__(port)
        encoded = key.encode()
        self.send(struct.pack("<II", version, len(encoded)) + encoded + struct.pack("<I", JSON))
        answer = self.until_nul()
        assert answer == b"SUCCESS", answer

    def query(self, token: int, query: Any) -> None:
        self.send(frame(token, query))

    def response(self) -> tuple[int, dict[str, Any]]:
        token, size = HEADER.unpack(self.exactly(HEADER.size))
        return token, json.loads(self.exactly(size))

    def ask(self, token: int, query: Any) -> dict[str, Any]:
        self.query(token, query)
        answered, response = self.response()
        assert answered == token
        return response


def frame(token: int, query: Any) -> bytes:
    body = query if isinstance(query, bytes) else json.dumps(query, separators=(",", ":")).encode()
    return HEADER.pack(token, len(body)) + body


class Login:
    """The client's side of a V1_0 handshake, message by message, so that a test can spoil any of them."""

    def __init__(self, user: str = "admin", password: str = "") -> None:
        self.password = password
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        name = user.replace("=", "=3D").replace(",", "=2C")
        self.bare = f"n={name},r={self.nonce}"

    def first(self, **changes: Any) -> bytes:
        message = {
            "protocol_version": 0,
            "authentication_method": "SCRAM-SHA-256",
            "authentication": "n,," + self.bare,
        } | changes
        return json.dumps({k: v for k, v in message.items() if v is not None}).encode() + b"\0"

    def final(self, server_first: str) -> bytes:
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac(
            "sha256", self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
        )
        key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c=biws,r={fields['r']}"
        message = f"{self.bare},{server_first},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.expected = "v=" + base64.b64encode(hmac.digest(server_key, message, "sha256")).decode()
        return json.dumps({"authentication": f"{without_proof},p={proof}"}).encode() + b"\0"


def log_in(raw: Raw, login: Login) -> dict[str, Any]:
    """Go through a V1_0 handshake as far as it goes; the last message."""
    raw.send(struct.pack("<I", V1_0) + login.first())
    json.loads(raw.until_nul())
    answer: dict[str, Any] = json.loads(raw.until_nul())
    if answer["success"]:
        raw.send(login.final(answer["authentication"]))
        answer = json.loads(raw.until_nul())
    return answer


def first_answer(port: int, user: str) -> tuple[str, str]:
    """Salt and number of iterations that the server names for a user."""
    with Raw(port) as raw:
        raw.send(struct.pack("<I", V1_0) + Login(user).first())
        raw.until_nul()
        answer = json.loads(raw.until_nul())["authentication"]
    fields = dict(part.split("=", 1) for part in answer.split(","))
    return fields["s"], fields["i"]
