"""The handshakes, from the magic number to "queries may follow", without a socket.

What always holds: bytes may arrive split or joined anywhere; what follows the handshake comes back untouched in
`Accepted.rest`; after a refusal nothing more is read. Callers: `wire.greeting` only.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import msgspec

from rethought.auth.verifier import Verifier
from rethought.wire.scram import AuthenticationError, Scram, wrong_password

V0_1: Final = 0x3F61BA36
V0_2: Final = 0x723081E1
V0_3: Final = 0x5F75E83E
V0_4: Final = 0x400C2D20
V1_0: Final = 0x34C2BDC3
PROTOBUF: Final = 0x271FFC41
JSON: Final = 0x7E6970C7

# What drivers compare against is the protocol they know, so this names the version the protocol is that of.
PROTOCOL_SERVER_VERSION: Final = "2.4.4"
LEGACY_KEY_BYTES: Final = 2_048
LEGACY_USER: Final = "admin"
WRONG_PASSWORD: Final = 12

PROTOBUF_TEXT: Final = "The PROTOBUF client protocol is no longer supported"
VERSION_TEXT: Final = (
    "Received an unsupported protocol version. This port is for RethinkDB queries. "
    "Does your client driver version not match the server?"
)

_WORD = struct.Struct("<I")


@dataclass(slots=True, frozen=True)
class Send:
    """Send this and go on."""

    data: bytes


@dataclass(slots=True, frozen=True)
class Refused:
    """Send this, then close. `reason` is for the log. `failed_login`: somebody may be guessing passwords."""

    data: bytes
    reason: str
    failed_login: bool = False
    user: str = ""
    unheard: bool = False  # the password was not looked at


@dataclass(slots=True, frozen=True)
class CheckKey:
    """Find out whether `key` is the password behind `verifier`, then call `key_checked`."""

    verifier: Verifier | None
    key: str


@dataclass(slots=True, frozen=True)
class Accepted:
    """Send `data`; `user` may query. `serial` clients expect one answer at a time, in order."""

    data: bytes
    user: str
    serial: bool
    rest: bytes


Step = Send | Refused | CheckKey | Accepted


class _At(Enum):
    MAGIC = auto()
    KEY_SIZE = auto()
    KEY = auto()
    KEY_CHECK = auto()
    FIRST = auto()
    FINAL = auto()
    OVER = auto()


class Handshake:
    """Feed it what arrives; do the steps it returns, in order. `turn_away` refuses everybody with that text."""

    def __init__(
        self,
        *,
        lookup: Callable[[str], Verifier | None],
        decoy: Callable[[str], Verifier],
        random_bytes: Callable[[int], bytes],
        message_bytes_max: int,
        turn_away: str | None = None,
        refusal: Callable[[str], str | None] = lambda user: None,
        unheard: Callable[[str], bool] = lambda user: False,
    ) -> None:
        self._lookup = lookup
        self._scram = Scram(lookup, decoy, random_bytes)
        self._message_bytes_max = message_bytes_max
        self._turn_away = turn_away
        self._unheard = (
            unheard  # whether too many guess to be that user for one more to be looked at
        )
        self._refusal = refusal  # why a user who proved who it is may not come in
        self._buffer = bytearray()
        self._at = _At.MAGIC
        self._key_size = 0
        self._serial = False

    def receive(self, data: bytes) -> list[Step]:
        self._buffer += data
        steps: list[Step] = []
        while (step := self._advance()) is not None:
            steps.append(step)
        return steps

    def key_checked(self, correct: bool) -> Step:
        assert self._at is _At.KEY_CHECK
        self._at = _At.OVER
        if not correct:
            return _legacy_refusal("Incorrect authorization key.", failed_login=True)
        refusal = self._refusal(LEGACY_USER)
        if refusal is not None:
            return _legacy_refusal(refusal)
        return Accepted(b"SUCCESS\0", LEGACY_USER, self._serial, self._take_rest())

    def _advance(self) -> Step | None:
        """One step as far as the buffer reaches, or None to wait for more."""
        match self._at:
            case _At.MAGIC:
                return self._magic()
            case _At.KEY_SIZE:
                return self._legacy_key_size()
            case _At.KEY:
                return self._legacy_key()
            case _At.FIRST | _At.FINAL:
                return self._message()
            case _At.KEY_CHECK | _At.OVER:
                return None

    def _magic(self) -> Step | None:
        if len(self._buffer) < 4:
            return None
        (magic,) = _WORD.unpack(self._take(4))
        match magic:
            case 0x34C2BDC3:  # V1_0
                if self._turn_away is not None:
                    return self._refuse(AuthenticationError(20, self._turn_away))
                self._at = _At.FIRST
                return Send(
                    _message(
                        {
                            "max_protocol_version": 0,
                            "min_protocol_version": 0,
                            "server_version": PROTOCOL_SERVER_VERSION,
                            "success": True,
                        }
                    )
                )
            case 0x400C2D20 | 0x5F75E83E:  # V0_4, V0_3
                if self._turn_away is not None:
                    return self._refuse_legacy(self._turn_away)
                self._serial = magic == V0_3
                self._at = _At.KEY_SIZE
                return self._legacy_key_size()
            case 0x3F61BA36 | 0x723081E1:  # V0_1, V0_2
                return self._refuse_legacy(PROTOBUF_TEXT)
            case _:
                return self._refuse_legacy(VERSION_TEXT)

    def _legacy_key_size(self) -> Step | None:
        if len(self._buffer) < 4:
            return None
        (self._key_size,) = _WORD.unpack(self._take(4))
        if self._key_size > LEGACY_KEY_BYTES:
            return self._refuse_legacy("Client provided an authorization key that is too long.")
        self._at = _At.KEY
        return self._legacy_key()

    def _legacy_key(self) -> Step | None:
        if len(self._buffer) < self._key_size + 4:
            return None
        key = self._take(self._key_size)
        protocol = self._take(4)
        (number,) = _WORD.unpack(protocol)
        if number == PROTOBUF:
            return self._refuse_legacy(PROTOBUF_TEXT)
        if number != JSON:
            signed = int.from_bytes(protocol, "little", signed=True)
            return self._refuse_legacy(f"Unrecognized protocol specified: '{signed}'")
        try:
            text = key.decode()
        except UnicodeDecodeError:
            return self._refuse_legacy("Incorrect authorization key.")
        if self._unheard(LEGACY_USER):
            self._at = _At.OVER
            return _legacy_refusal("Incorrect authorization key.", unheard=True)
        self._at = _At.KEY_CHECK
        return CheckKey(self._lookup(LEGACY_USER), text)

    def _message(self) -> Step | None:
        """A JSON message of V1_0, ended by a NUL byte."""
        nul = self._buffer.find(0, 0, self._message_bytes_max)
        if nul < 0:
            if len(self._buffer) < self._message_bytes_max:
                return None
            return self._refuse(AuthenticationError(7, "Limited read buffer size."))
        raw = self._take(nul + 1)[:-1]
        try:
            message = _decode(raw)
            if not isinstance(message, dict):
                self._at = _At.OVER
                return Refused(b"", "a handshake message that is not an object")
            return self._first(message) if self._at is _At.FIRST else self._final(message)
        except AuthenticationError as error:
            return self._refuse(error)

    def _first(self, message: dict[str, Any]) -> Step:
        version = message.get("protocol_version")
        if isinstance(version, bool) or not isinstance(version, int | float):
            raise AuthenticationError(1, "Expected a number for `protocol_version`.")
        if version != 0:
            raise AuthenticationError(2, "Unsupported `protocol_version`.")
        method = message.get("authentication_method")
        if not isinstance(method, str):
            raise AuthenticationError(3, "Expected a string for `authentication_method`.")
        if method != "SCRAM-SHA-256":
            raise AuthenticationError(4, "Unsupported `authentication_method`.")
        answer = self._scram.first(_authentication(message))
        self._at = _At.FINAL
        return Send(_message({"authentication": answer, "success": True}))

    def _final(self, message: dict[str, Any]) -> Step:
        final = _authentication(message)
        if self._unheard(self._scram.user):
            return self._refuse(wrong_password(), unheard=True)
        answer = self._scram.final(final)
        refusal = self._refusal(self._scram.user)
        if refusal is not None:
            raise AuthenticationError(20, refusal)
        self._at = _At.OVER
        data = _message({"authentication": answer, "success": True})
        return Accepted(data, self._scram.user, False, self._take_rest())

    def _refuse(self, error: AuthenticationError, *, unheard: bool = False) -> Refused:
        self._at = _At.OVER
        user = f" for user `{self._scram.user}`" if self._scram.user else ""
        return Refused(
            _message({"error": error.message, "error_code": error.code, "success": False}),
            f"{error.message}{user}",
            failed_login=error.code == WRONG_PASSWORD and not unheard,
            user=self._scram.user,
            unheard=unheard,
        )

    def _refuse_legacy(self, text: str) -> Refused:
        self._at = _At.OVER
        return _legacy_refusal(text)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _take_rest(self) -> bytes:
        return self._take(len(self._buffer))


def _legacy_refusal(text: str, *, failed_login: bool = False, unheard: bool = False) -> Refused:
    return Refused(f"ERROR: {text}\n\0".encode(), text, failed_login, LEGACY_USER, unheard)


def _message(content: dict[str, object]) -> bytes:
    return msgspec.json.encode(content) + b"\0"


def _decode(raw: bytes) -> object:
    try:
        return msgspec.json.decode(raw)
    except RecursionError as error:
        raise AuthenticationError(9, "Failed to convert JSON to datum.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AuthenticationError(8, "Invalid JSON object.") from error


def _authentication(message: dict[str, Any]) -> str:
    text = message.get("authentication")
    if not isinstance(text, str):
        raise AuthenticationError(5, "Expected a string for `authentication`.")
    return text
