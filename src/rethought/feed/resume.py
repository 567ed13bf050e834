"""Resume tokens: where in the journals a subscriber stands.

A token is the `Mark` of each part of a feed (a union has several), packed, checked and opaque to clients.
What always holds:
  1. A token names the last message its holder has; going on after it gives every later message once.
  2. A mark is followed only in the history it is of: of another table, of another index, of a commit that is not (or no
     longer) in this history, or behind what the journal keeps, it is refused with an error that says so.
  3. A mark within the messages of one commit, or of several that were merged, counts them; the feed makes the same
     messages again and leaves those out.
Pure but for `Origin`, which asks its group for epochs.
"""

import base64
import binascii
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zlib import crc32

from rethought.errors import OpFailedError, QueryLogicError

_VERSION: Final = 2
_MARK: Final = struct.Struct(">16sQQIIII")
_HEAD: Final = struct.Struct(
    ">BH"
)  # version, and for how many parts; 0 for one part's mark on its way
_PART: Final = struct.Struct(">H")
_CHECK_BYTES: Final = 4

WHOLE: Final = 0xFFFFFFFF
"""As `change`: everything the commit meant for this view was sent."""


class Mark(NamedTuple):
    """After message number `copy` of change number `change` of commit `seq`; or, with a `span`, after the first
    `change` messages that say what the `span` commits up to `seq` changed together (`copy` is then what the feed
    looks like, since another feed has other messages). `index_id` is that of the index that is followed."""

    table: bytes
    epoch: int
    seq: int
    index_id: int = 0
    change: int = WHOLE
    copy: int = 0
    span: int = 0

    @property
    def before(self) -> int:
        """The commit whose state is the last one that was told completely."""
        if self.change == WHOLE:
            return self.seq
        return self.seq - (self.span or 1)


def form_of(*looks: object) -> int:
    """What a feed looks like whose tokens may stand within what commits mean together: such a token is only good for
    feeds that mean the same."""
    return crc32(repr(looks).encode())


@dataclass(frozen=True, slots=True)
class Origin:
    """What the tokens of one part have in common, whatever it selects."""

    table: bytes
    index: str | None = None
    part: int | None = None  # among several: its tokens are local, see `Marks`
    epoch_of: Callable[[int], int] = field(compare=False, kw_only=True)
    index_number: Callable[[], int] = field(compare=False, kw_only=True)

    def mark(self, seq: int, change: int = WHOLE, copy: int = 0, span: int = 0) -> Mark:
        index = 0 if self.index is None else self.index_number()
        return Mark(self.table, self.epoch_of(seq), seq, index, change, copy, span)

    def token(self, seq: int, change: int = WHOLE, copy: int = 0) -> bytes:
        return self._text(self.mark(seq, change, copy))

    def merged(self, before: int, seq: int, sent: int, count: int, form: int) -> bytes:
        """After `sent` of the `count` messages that say what the commits after `before` up to `seq` changed in a feed
        of this form."""
        if sent == count:
            return self.token(seq)
        return self._text(self.mark(seq, sent, form, seq - before))

    def _text(self, mark: Mark) -> bytes:
        if self.part is None:
            return text_of([mark])
        return base64.urlsafe_b64encode(
            _HEAD.pack(_VERSION, 0) + _PART.pack(self.part) + _MARK.pack(*mark)
        )


def text_of(marks: list[Mark]) -> bytes:
    packed = _HEAD.pack(_VERSION, len(marks)) + b"".join([_MARK.pack(*each) for each in marks])
    return base64.urlsafe_b64encode(packed + crc32(packed).to_bytes(_CHECK_BYTES))


def parse(text: str) -> list[Mark]:
    """Raises QueryLogicError for what is no token."""
    try:
        packed = base64.urlsafe_b64decode(text.encode("ascii"))
        body, check = packed[:-_CHECK_BYTES], packed[-_CHECK_BYTES:]
        version, count = _HEAD.unpack_from(body)
        if version != _VERSION or crc32(body).to_bytes(_CHECK_BYTES) != check:
            raise _unknown()
        marks = [Mark(*fields) for fields in _MARK.iter_unpack(body[_HEAD.size :])]
    except (ValueError, binascii.Error, struct.error):
        raise _unknown() from None
    if not marks or len(marks) != count:
        raise _unknown()
    return marks


def _unknown() -> QueryLogicError:
    return QueryLogicError("The value of `resume_after` is not a resume token of this server.")


# ---- several parts


class Marks:
    """Where a subscriber of several parts stands in each. Its channels make messages whose tokens are of one part
    (they do not know the subscriber); here they become tokens of all, when the messages leave."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: list[Mark] = []  # none while a part has nothing to go on from yet

    def start(self, marks: list[Mark]) -> None:
        """From now on messages have tokens."""
        self._marks = list(marks)

    def told(self, token: bytes) -> bytes | None:
        """The token of all parts in place of the one in a message that leaves now."""
        if not self._marks:
            return None
        packed = base64.urlsafe_b64decode(token)
        _, count = _HEAD.unpack_from(packed)
        if count:  # of all parts already
            self._marks = parse(token.decode())
            return token
        (part,) = _PART.unpack_from(packed, _HEAD.size)
        self._marks[part] = Mark(*_MARK.unpack_from(packed, _HEAD.size + _PART.size))
        return text_of(self._marks)


# ---- whether it can be followed


def check_parts(marks: list[Mark], count: int) -> None:
    """Raises OpFailedError when a token is not of a feed of so many parts."""
    if len(marks) != count:
        raise OpFailedError("Cannot resume: the token is of another query.")


def check(mark: Mark, origin: Origin, first: int, newest: int, form: int = 0) -> None:
    """Raises OpFailedError when a journal of the commits `first` to `newest` cannot be followed from here, by a feed of
    this form."""
    if mark.table != origin.table:
        raise OpFailedError("Cannot resume: the token is of another table.")
    if mark.index_id and origin.index is not None and mark.index_id != origin.index_number():
        raise OpFailedError(
            f"Cannot resume: the token is of another index than `{origin.index}` is now."
        )
    if mark.change != WHOLE and mark.span and mark.copy != form:
        raise OpFailedError("Cannot resume: the token is of another query.")
    check_reach(mark.before, first, newest)
    if mark.seq > newest or origin.epoch_of(mark.seq) != mark.epoch:
        raise OpFailedError(
            "Cannot resume: the change of this token is not in the database's history."
        )


def check_reach(before: int, first: int, newest: int) -> None:
    """Raises OpFailedError when the journal does not have every commit after `before`."""
    if before < newest and (not first or first > before + 1):
        raise OpFailedError(
            "Cannot resume: the changes after this token are no longer in the journal."
        )
