"""SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677): made from a password, checked against one.

What always holds: a `Verifier` holds no password and nothing that can stand in for one; every comparison of secrets
takes constant time. Callers: `catalog` (makes and stores them) and `wire` (checks them). Nothing here touches the loop:
deriving a key takes milliseconds for 4,096 iterations, so callers on the loop use a thread when `slow()` says so.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from rethought.auth.saslprep import saslprep

DEFAULT_ITERATIONS: Final = 4_096
EMPTY_PASSWORD_ITERATIONS: Final = 1
SALT_BYTES: Final = 16
SLOW_ITERATIONS: Final = 256


class Verifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the server keeps of a password. Encodes with msgspec as it stands (bytes become base64)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes
    empty: bool = False  # made from the empty password: the user has none

    def slow(self) -> bool:
        """True when deriving a key for this verifier would hold up the loop."""
        return self.iterations > SLOW_ITERATIONS


def make_verifier(
    password: str,
    iterations: int | None = None,
    *,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> Verifier:
    """Derive the verifier of a new password. The empty one takes a single iteration: nothing is being guarded."""
    if iterations is None:
        iterations = DEFAULT_ITERATIONS if password else EMPTY_PASSWORD_ITERATIONS
    salt = random_bytes(SALT_BYTES)
    salted = salted_password(password, salt, iterations)
    return Verifier(
        salt=salt,
        iterations=iterations,
        stored_key=stored_key(salted),
        server_key=server_key(salted),
        empty=not password,
    )


def decoy_verifier(secret: bytes, user: str, counts: Iterable[int]) -> Verifier:
    """A verifier nobody can meet, the same one every time for the same name.

    An unknown user is led through a whole exchange with it, so that the first answers do not tell who exists. Its
    number of iterations is one of `counts`, those that users have; a name keeps its own when another one joins them,
    mostly.
    """
    seed = hmac.digest(secret, user.encode(), "sha256")
    key = hmac.digest(seed, b"key", "sha256")
    iterations = max(counts, key=lambda count: hmac.digest(seed, b"%d" % count, "sha256"))
    return Verifier(salt=seed[:SALT_BYTES], iterations=iterations, stored_key=key, server_key=key)


def check_password(verifier: Verifier, password: str) -> bool:
    """True when `password` is the one the verifier was made from. Costs the verifier's iterations."""
    salted = salted_password(password, verifier.salt, verifier.iterations)
    return hmac.compare_digest(stored_key(salted), verifier.stored_key)


def salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)


def client_key(salted: bytes) -> bytes:
    return hmac.digest(salted, b"Client Key", "sha256")


def stored_key(salted: bytes) -> bytes:
    return hashlib.sha256(client_key(salted)).digest()


def server_key(salted: bytes) -> bytes:
    return hmac.digest(salted, b"Server Key", "sha256")


def proof_matches(verifier: Verifier, auth_message: bytes, proof: bytes) -> bool:
    """True when `proof` was made by somebody who knows the password.

    The client sends ClientKey XOR HMAC(StoredKey, AuthMessage); its hash must be the stored key.
    """
    signature = hmac.digest(verifier.stored_key, auth_message, "sha256")
    if len(proof) != len(signature):
        return False
    key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(key).digest(), verifier.stored_key)


def server_signature(verifier: Verifier, auth_message: bytes) -> str:
    """The server's own proof, as base64 text."""
    return base64.b64encode(hmac.digest(verifier.server_key, auth_message, "sha256")).decode()
