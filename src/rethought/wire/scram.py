"""The server's side of one SCRAM-SHA-256 exchange (RFC 5802), as text in and text out.

What always holds: an exchange with an unknown user looks like any other up to its last message. Message texts and codes
are those of the protocol. Callers: `wire.handshake` only. No input or output here; randomness is passed in.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rethought.auth.saslprep import saslprep
from rethought.auth.verifier import Verifier, proof_matches, server_signature

NONCE_BYTES: Final = 18

Lookup = Callable[[str], Verifier | None]


class AuthenticationError(Exception):
    """A handshake that failed: the code and the text the client gets."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid_encoding() -> AuthenticationError:
    return AuthenticationError(10, "Invalid encoding")


def extensions() -> AuthenticationError:
    return AuthenticationError(11, "Extensions not supported")


def wrong_password() -> AuthenticationError:
    return AuthenticationError(12, "Wrong password")


def channel_binding() -> AuthenticationError:
    return AuthenticationError(15, "Channel binding is not supported")


def invalid_username() -> AuthenticationError:
    return AuthenticationError(18, "Invalid username encoding")


def other_error() -> AuthenticationError:
    return AuthenticationError(20, "Other error")


@dataclass(slots=True)
class Scram:
    """One exchange: `first` answers the client's first message, `final` its second. Raises `AuthenticationError`."""

    lookup: Lookup
    decoy: Callable[[str], Verifier]  # for users that do not exist
    random_bytes: Callable[[int], bytes]
    user: str = ""
    _nonce: str = ""
    _transcript: str = ""
    _verifier: Verifier | None = None
    _known: bool = field(default=False)

    def first(self, message: str) -> str:
        if not message.startswith("n,"):
            raise channel_binding()
        # The authorization identity between the commas has no meaning here.
        _, comma, bare = message[2:].partition(",")
        if not comma:
            raise invalid_encoding()
        attributes = parse_attributes(bare)
        if "n" not in attributes or not attributes.get("r"):
            raise invalid_encoding()
        self.user = decode_username(attributes["n"])
        verifier = self.lookup(self.user)
        self._known = verifier is not None
        self._verifier = verifier or self.decoy(self.user)
        self._nonce = attributes["r"] + base64.b64encode(self.random_bytes(NONCE_BYTES)).decode()
        salt = base64.b64encode(self._verifier.salt).decode()
        reply = f"r={self._nonce},s={salt},i={self._verifier.iterations}"
        self._transcript = f"{bare},{reply}"
        return reply

    def final(self, message: str) -> str:
        assert self._verifier is not None, "final() follows first()"
        attributes = parse_attributes(message)
        if attributes.get("c") != "biws" or "r" not in attributes or "p" not in attributes:
            raise invalid_encoding()
        if attributes["r"] != self._nonce:
            raise other_error()
        without_proof, _, proof = message.rpartition(",p=")
        auth_message = f"{self._transcript},{without_proof}".encode()
        matches = proof_matches(self._verifier, auth_message, decode_base64(proof))
        # The original tells who does not exist, which is more than somebody without a password should know.
        if not (matches and self._known):
            raise wrong_password()
        return "v=" + server_signature(self._verifier, auth_message)


def parse_attributes(message: str) -> dict[str, str]:
    """`a=1,b=2` as a dictionary; a name is one letter and comes once."""
    attributes: dict[str, str] = {}
    for part in message.split(","):
        name, equals, value = part.partition("=")
        if not equals or len(name) != 1 or not name.isascii() or not name.isalpha():
            raise invalid_encoding()
        if name == "m":
            raise extensions()
        if name in attributes:
            raise invalid_encoding()
        attributes[name] = value
    return attributes


def decode_username(text: str) -> str:
    """Undo `=2C` and `=3D` (the only escapes there are) and bring the name to its one spelling."""
    pieces = text.split("=")
    name = pieces[0]
    for piece in pieces[1:]:
        match piece[:2]:
            case "2C":
                name += "," + piece[2:]
            case "3D":
                name += "=" + piece[2:]
            case _:
                raise invalid_username()
    try:
        name = saslprep(name)
    except ValueError as error:
        raise invalid_username() from error
    if not name:
        raise invalid_username()
    return name


def decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_encoding() from error
