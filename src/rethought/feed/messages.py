"""The messages of a feed as bytes.

What always holds: keys stand in byte order (new_offset, new_val, old_offset, old_val, resume_token, state, type), as in
every object that leaves the server. `None` stands for null, `ABSENT` for a key that is not there. Pure.
"""

import re
from functools import lru_cache
from typing import Final

from rethought.feed.documents import Encoded


class _Absent:
    __slots__ = ()


ABSENT: Final = _Absent()
Side = Encoded | _Absent | None

BODY_START: Final = b'{"t":3,"r":['
RANGE, POINT, LIMIT, UNION, STATES = 1, 2, 3, 4, 5
"""Notes of a response: what kind of feed, and whether it tells states."""


@lru_cache(maxsize=16)
def body_end(kind: int, *, states: bool) -> bytes:
    return b'],"n":[%d,5]}' % kind if states else b'],"n":[%d]}' % kind


def message(new: Side, old: Side, *, types: bool, token: bytes | None = None) -> bytes:
    """A change; what is absent makes it an initial value or one that is taken back."""
    parts = []
    if new is not ABSENT:
        parts.append(b'"new_val":' + _text(new))
    if old is not ABSENT:
        parts.append(b'"old_val":' + _text(old))
    if token is not None:
        parts.append(b'"resume_token":"' + token + b'"')
    if types:
        parts.append(b'"type":"' + type_of(new, old) + b'"')
    return b"{" + b",".join(parts) + b"}"


def placed(
    new: Side, old: Side, new_offset: int | None, old_offset: int | None, *, types: bool
) -> bytes:
    """A change in an ordered set, with the places."""
    parts = []
    if new is not ABSENT:
        parts.append(b'"new_offset":%b' % _number(new_offset))
        parts.append(b'"new_val":' + _text(new))
    if old is not ABSENT:
        parts.append(b'"old_offset":%b' % _number(old_offset))
        parts.append(b'"old_val":' + _text(old))
    if types:
        parts.append(b'"type":"' + type_of(new, old) + b'"')
    return b"{" + b",".join(parts) + b"}"


def type_of(new: Side, old: Side) -> bytes:
    if old is ABSENT:
        return b"initial"
    if new is ABSENT:
        return b"uninitial"
    if old is None:
        return b"add"
    return b"remove" if new is None else b"change"


def with_token(text: bytes, token: bytes, *, types: bool) -> bytes:
    """A change's message with a resume token in its place."""
    at = text.rfind(b',"type":"') if types else len(text) - 1
    return b'%b,"resume_token":"%b"%b' % (text[:at], token, text[at:])


def state(name: bytes, *, types: bool, token: bytes | None = None) -> bytes:
    middle = b"" if token is None else b'"resume_token":"%b",' % token
    return b'{%b"state":"%b"%b}' % (middle, name, b',"type":"state"' if types else b"")


def overflow(skipped: int, token: bytes | None = None) -> bytes:
    end = b"" if token is None else b',"resume_token":"%b"' % token
    return b'{"error":"Changefeed cache over array size limit, skipped %d elements."%b}' % (
        skipped,
        end,
    )


_TOKEN: Final = re.compile(
    rb',?"resume_token":"([-_=0-9A-Za-z]*)"(?:,"state":"\w+")?(?:,"type":"\w+")?\}\Z'
)
"""At the end of a message; what a document calls so is followed by the end of the document."""


def _token_of(text: bytes) -> re.Match[bytes] | None:
    at = text.rfind(b'"resume_token":"')
    return None if at < 0 else _TOKEN.search(text, at - 1)


def token_in(text: bytes) -> bytes | None:
    """The resume token of a message that was made with one."""
    found = _token_of(text)
    return None if found is None else shared(found[1])


@lru_cache(maxsize=64)
def shared(token: bytes) -> bytes:
    """One object for equal tokens: of subscribers that wait, most stand at the same commit."""
    return token


def with_other_token(text: bytes, token: bytes | None) -> bytes:
    """The message with a token in place of its own, or without."""
    found = _token_of(text)
    assert found is not None
    if token is not None:
        return text[: found.start(1)] + token + text[found.end(1) :]
    start, end = found.start(), found.end(1) + 1
    if text[start : start + 1] != b",":  # the first key of the message
        end += 1
    return text[:start] + text[end:]


def _text(side: Side) -> bytes:
    if side is None:
        return b"null"
    assert not isinstance(side, _Absent)
    return bytes(side)


def _number(place: int | None) -> bytes:
    return b"null" if place is None else b"%d" % place
