"""Resume tokens: where in a group's journal a subscriber of one table stands.

What always holds: a token names the last message its holder has; going on after it gives every later message once.
A token is opaque to clients, says which table it is of, and is checked, so that a mangled or foreign one is refused
instead of followed. Pure.
"""

import base64
import binascii
import struct
from typing import Final, NamedTuple
from zlib import crc32

from rethought.errors import OpFailedError, QueryLogicError

_LAYOUT: Final = struct.Struct(">B16sQII")
_VERSION: Final = 1

WHOLE: Final = 0xFFFFFFFF
"""As `change`: everything the commit meant for this view was sent."""


class Token(NamedTuple):
    """After message number `copy` of change number `change` in commit `seq`."""

    table: bytes
    seq: int
    change: int = WHOLE
    copy: int = 0

    def text(self) -> bytes:
        packed = _LAYOUT.pack(_VERSION, *self)
        return base64.urlsafe_b64encode(packed + crc32(packed).to_bytes(4))


def parse(text: str) -> Token:
    """Raises QueryLogicError for what is no token."""
    try:
        packed = base64.urlsafe_b64decode(text.encode("ascii"))
        body, check = packed[:-4], packed[-4:]
        version, *fields = _LAYOUT.unpack(body)
    except (ValueError, binascii.Error, struct.error):
        raise _unknown() from None
    if version != _VERSION or crc32(body).to_bytes(4) != check:
        raise _unknown()
    return Token(*fields)


def _unknown() -> QueryLogicError:
    return QueryLogicError("The value of `resume_after` is not a resume token of this server.")


def check(token: Token, table: bytes, first_seq: int, seq: int) -> None:
    """Raises OpFailedError when the journal (commits `first_seq` to `seq`) cannot be followed from here."""
    if token.table != table:
        raise OpFailedError("Cannot resume: the token is of another table.")
    if token.seq > seq:
        raise OpFailedError("Cannot resume: the token is newer than the table's data.")
    needed = token.seq + 1 if token.change == WHOLE else token.seq
    if needed <= seq and (not first_seq or first_seq > needed):
        raise OpFailedError(
            "Cannot resume: the changes after this token are no longer in the journal."
        )
