"""Lines of a log that seal each other: whoever changes, removes or inserts one breaks the seal of all that follow.

What always holds: a line is one JSON object whose last member is `hash`, the HMAC-SHA-256 of the seal before it and of
everything else in the line; without the key no seal can be made. Pure functions: `system.audit` seals,
`maintenance.audit` checks.
"""

import hmac
from typing import Final, NamedTuple

import msgspec

KEY_BYTES: Final = 32
START: Final = "0" * 64
"""What the first line follows."""

KEY_RECORD: Final = "audit/key"
HEAD_RECORD: Final = "audit/head"
BEGAN: Final = "file_began"
"""The event of a file's first line; its `previous` says which seal the file goes on from."""

_MARK: Final = b',"hash":"'
_TAIL_BYTES: Final = len(_MARK) + 64 + len('"}')


class Head(msgspec.Struct, frozen=True):
    """What the server keeps elsewhere about its log: where it is, its newest line, and the oldest that is kept."""

    path: str
    number: int
    hash: str
    kept_from: int = 1


class Line(NamedTuple):
    """A line taken apart: its members without `hash` as they were written, and `hash`."""

    body: bytes
    hash: str


def digest(key: bytes, previous: str, body: bytes) -> str:
    return hmac.new(key, previous.encode() + body, "sha256").hexdigest()


def sealed(key: bytes, previous: str, body: bytes) -> Line:
    """`body` is a JSON object with at least one member."""
    return Line(body, digest(key, previous, body))


def text(line: Line) -> bytes:
    """As in the file, without the end of the line."""
    return line.body[:-1] + _MARK + line.hash.encode() + b'"}'


def apart(written: bytes) -> Line | None:
    """None for what is no sealed line."""
    at = len(written) - _TAIL_BYTES
    if at < 1 or written[at : at + len(_MARK)] != _MARK or not written.endswith(b'"}'):
        return None
    return Line(written[:at] + b"}", written[at + len(_MARK) : -2].decode("latin-1"))


class Told(msgspec.Struct):
    """What the chain needs of an entry."""

    number: int
    event: str = ""
    previous: str | None = None


decode_told = msgspec.json.Decoder(Told).decode


def rotated(path: str, at: int) -> str:
    """The name of an older file: 1 is the newest of them."""
    return f"{path}.{at}"
