"""TLS for the driver port.

What always holds: plain clients of a TLS port are cut off; with a certificate authority every client must show a
certificate it signed, and still authenticates afterwards, as one of the users the certificate is for where the operator
wants that. `server.py` makes contexts, `wire.listener` asks for users.
"""

import ssl
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from rethought.auth.saslprep import saslprep

MINIMUM: Final = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


class TlsError(Exception):
    """The settings or the files cannot be used; the text is for the operator."""


def make_context(
    *,
    certificate: Path,
    key: Path,
    authority: Path | None,
    min_protocol: str,
    ciphers: str,
    curve: str,
    dh_params: Path | None,
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        # Choosing an old version is the operator's decision.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = MINIMUM[min_protocol]
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError as error:
        raise TlsError("No secure cipher suites available.") from error
    try:
        context.set_ecdh_curve(curve)
    except ValueError as error:
        raise TlsError(f"No elliptic curve found corresponding to name '{curve}'.") from error
    load_certificate(context, certificate, key)
    if dh_params is not None:
        load_parameters(context, dh_params)
    if authority is not None:
        with _readable(authority):
            context.load_verify_locations(str(authority))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def users_of(certificate: Mapping[str, Any], where: str) -> frozenset[str]:
    """The user names in a certificate of a client: the common name of its subject (`cn`), or its alternative names
    (`san`: DNS names and mail addresses)."""
    if where == "cn":
        parts = (part for group in certificate.get("subject", ()) for part in group)
        names = [value for name, value in parts if name == "commonName"]
    else:
        parts = certificate.get("subjectAltName", ())
        names = [value for name, value in parts if name in ("DNS", "email")]
    users = set()
    for name in names:
        with suppress(ValueError):  # text that no name can be
            users.add(saslprep(name))
    return frozenset(users)


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Put a certificate chain and its key into use; new connections get it at once."""
    for path in (certificate, key):
        if not path.is_file():
            raise TlsError(f"Could not read {path}: no such file")
    try:
        context.load_cert_chain(str(certificate), str(key), password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError("The private key and certificate do not match.") from error
        raise TlsError(f"Could not use {certificate} with {key}: {error}") from error
    except OSError as error:
        raise TlsError(f"Could not read {certificate} or {key}: {error}") from error


def load_parameters(context: ssl.SSLContext, dh_params: Path) -> None:
    with _readable(dh_params):
        context.load_dh_params(str(dh_params))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what goes wrong while loading a file into a `TlsError` that names it."""
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise TlsError(f"Could not read {path}: {error}") from error
