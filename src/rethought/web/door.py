"""Who may send queries over HTTP: checks of where a request comes from and of whom it is.

What always holds: a page of another site cannot make a visitor's browser send queries here, neither directly (Origin)
nor under a name of its own that points here (Host); a user with a password must show it; refusals after wrong passwords
come later and later, as on the driver port, and an unknown user takes as long as a wrong password. Used by `web.reql`.
"""

import asyncio
import base64
import binascii
import ipaddress
from collections.abc import Callable, Collection
from typing import Final

from rethought.auth.saslprep import saslprep
from rethought.auth.verifier import Verifier, check_password
from rethought.conversation import Engine
from rethought.web.http import Request, Response

ADMIN: Final = "admin"
FOREIGN_SITES: Final = ("cross-site", "same-site")
LOGIN: Final = {"WWW-Authenticate": 'Basic realm="Rethought", charset="UTF-8"'}

Failed = Callable[[str, str], float]
"""Notes a wrong password from an address for a user; gives the seconds to wait before saying so."""


MayGuess = Callable[[str, str], bool]
"""Whether a password from an address for a user is looked at."""


class RefusedError(Exception):
    """Somebody is not let in; `response` says why."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.body)
        self.response = response


def refuse(status: int, reason: str, headers: dict[str, str] | None = None) -> RefusedError:
    return RefusedError(Response(status, reason.encode(), headers=headers or {}))


def check_site(request: Request, names: Collection[str]) -> None:
    """Raises for a request that somebody else's web page caused. `names` are this machine's own."""
    host = request.headers.get("host", "")
    if host_name(host) not in names and not is_address(host_name(host)):
        raise refuse(
            403,
            f"This server is not known as '{host_name(host)[:100]}'; "
            "the option --http-host adds a name.\n",
        )
    origin = request.headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
    if foreign or request.headers.get("sec-fetch-site") in FOREIGN_SITES:
        raise refuse(403, "Requests from pages of other sites are refused.\n")


def host_name(host: str) -> str:
    """`localhost` of `LOCALHOST:8080`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def is_address(name: str) -> bool:
    """An address cannot be made to point elsewhere, so it is always a good name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def authenticate(
    request: Request, engine: Engine, failed: Failed, may_guess: MayGuess
) -> str:
    """The user a request comes from; raises `RefusedError`. Without credentials: `admin`, if it has no password."""
    address = request.peer[0]
    given = credentials(request.headers.get("authorization"))
    if given is None:
        verifier = engine.verifier(ADMIN)
        if verifier is None or not verifier.empty:
            raise refuse(401, "The user admin has a password: send it (HTTP Basic).\n", LOGIN)
        user = ADMIN
    else:
        user = given[0]
        if not may_guess(address, user):
            engine.login(user, address, "too many guesses")
            raise refuse(401, "Wrong user or password.\n", LOGIN)
        if not await is_user(engine, *given):
            engine.login(user, address, "wrong password")
            await asyncio.sleep(failed(address, user))
            raise refuse(401, "Wrong user or password.\n", LOGIN)
    refusal = engine.refusal(user, address)
    engine.login(user, address, refusal or "accepted")
    if refusal is not None:
        raise refuse(403, f"{refusal}\n")
    return user


async def is_user(engine: Engine, user: str, password: str) -> bool:
    """Takes as long for a user who does not exist."""
    found = engine.verifier(user)
    verifier = found or engine.decoy(user)
    loop = asyncio.get_running_loop()
    right = await loop.run_in_executor(None, password_is_right, verifier, password)
    return right and found is not None


def password_is_right(verifier: Verifier, password: str) -> bool:
    try:
        return check_password(verifier, password)
    except ValueError:  # text that no password can be
        return False


def credentials(header: str | None) -> tuple[str, str] | None:
    """User and password of an Authorization header; None when there is none. Raises `RefusedError`."""
    if header is None:
        return None
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        raise refuse(401, "Only HTTP Basic authentication is supported.\n", LOGIN)
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        user = saslprep(user)
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise refuse(401, "The credentials are malformed.\n", LOGIN)
    return user, password
