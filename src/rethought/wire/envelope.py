"""The query envelope: which kind of query a body is, and the responses that need no engine.

What always holds: a body of the usual form `[1,...` never comes here; the engine reads it itself. Message texts are the
protocol's. Callers: `wire.session`. Pure functions.
"""

from enum import IntEnum
from typing import Final

import msgspec

from rethought.errors import CLIENT_ERROR, RUNTIME_ERROR, InternalError, ReqlError


class QueryType(IntEnum):
    START = 1
    CONTINUE = 2
    STOP = 3
    NOREPLY_WAIT = 4
    SERVER_INFO = 5


START_PREFIX: Final = b"[1,"
"""How a START begins as every driver writes it."""

USUAL: Final = {
    b"[2]": QueryType.CONTINUE,
    b"[3]": QueryType.STOP,
    b"[4]": QueryType.NOREPLY_WAIT,
    b"[5]": QueryType.SERVER_INFO,
    b"[2,null,{}]": QueryType.CONTINUE,
    b"[3,null,{}]": QueryType.STOP,
}
"""Bodies that are recognised without decoding them."""

STREAM_OVER: Final = b'{"t":2,"r":[],"n":[]}'
WAIT_COMPLETE: Final = b'{"t":4,"r":[]}'

NOT_JSON: Final = "Client is buggy (failed to deserialize query)."


class _Noted(msgspec.Struct):
    """The one field of a response that the wire sometimes needs to know."""

    n: list[int] = []


_notes_decoder = msgspec.json.Decoder(_Noted)


def query_type(body: bytes) -> QueryType | bytes:
    """What kind of query `body` is, or the response that refuses it."""
    try:
        query = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return client_error(NOT_JSON)
    if not isinstance(query, list):
        return _unparsable(f"Expected a query to be an array, but found {_type_name(query)}.")
    if not 1 <= len(query) <= 3:
        return _unparsable(
            f"Expected 1 to 3 elements in the top-level query, but found {len(query)}."
        )
    head = query[0]
    if isinstance(head, bool) or not isinstance(head, int | float):
        return _unparsable(f"Expected a query type as a number, but found {_type_name(head)}.")
    # A number with a fraction reads as 0, which no query type is.
    number = int(head) if head == int(head) else 0
    try:
        return QueryType(number)
    except ValueError:
        return _unparsable(f"Unrecognized QueryType: {number}.")


def asks_noreply(body: bytes) -> bool:
    """True for a START whose global option says that nobody waits for its answer."""
    if b"noreply" not in body:
        return False
    try:
        query = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(query, list) or len(query) != 3 or not isinstance(query[2], dict):
        return False
    noreply = query[2].get("noreply")
    return noreply is True or noreply == [1, True]


def notes(body: bytes) -> list[int]:
    """The notes of a response; a feed has some."""
    return _notes_decoder.decode(body).n


def empty_batch(noted: list[int]) -> bytes:
    """A batch of a feed in which nothing has happened."""
    return b'{"t":3,"r":[],"n":%b}' % msgspec.json.encode(noted)


def error_response(error: ReqlError) -> bytes:
    """The response to a query that failed outside the engine: it has no backtrace."""
    text = msgspec.json.encode(error.message)
    if error.error_type is None:
        return b'{"t":%d,"r":[%b],"b":[]}' % (error.response_type, text)
    return b'{"t":%d,"e":%d,"r":[%b],"b":[]}' % (RUNTIME_ERROR, error.error_type, text)


def client_error(message: str) -> bytes:
    return b'{"t":%d,"r":[%b],"b":[]}' % (CLIENT_ERROR, msgspec.json.encode(message))


def internal_error(cause: BaseException) -> bytes:
    """Our own bug, as the client sees it; the log has the stack."""
    return error_response(InternalError(f"Unexpected exception: {type(cause).__name__}"))


def unknown_token(token: int) -> bytes:
    return client_error(f"Token {token} not in stream cache.")


def duplicate_token(token: int) -> bytes:
    return client_error(f"ERROR: duplicate token {token}")


def query_too_large(size: int, most: int) -> bytes:
    return client_error(f"Query size ({size}) greater than maximum ({most}).")


def _unparsable(what: str) -> bytes:
    return client_error(f"Server could not parse query: {what}")


def _type_name(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "BOOL"
        case int() | float():
            return "NUMBER"
        case str():
            return "STRING"
        case list():
            return "ARRAY"
        case _:
            return "OBJECT"
