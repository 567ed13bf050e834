"""Values and errors as the responses that clients get.

What always holds: what leaves here is a complete response (the envelope and all), but for the rows of a stream, which
`query` puts between a start and `NO_NOTES`. Errors get their backtrace here and nowhere else.
Callers: `query`, `engine`, and feeds for their errors.
"""

import logging
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from rethought.conversation import Refusal, Reply
from rethought.datum.jsonbytes import encode
from rethought.errors import InternalError, QueryLogicError, ReqlError, ResourceLimitError
from rethought.exec.chunk import PIECE_BYTES, ROWS_AT_FIRST, Chunk, of_rows, pieces
from rethought.exec.cursor import LARGE_BYTES
from rethought.exec.env import Env
from rethought.exec.grouping import GroupedStream, sorted_groups
from rethought.exec.values import DATUM_CLASSES, Grouped, SingleSelection, Stream, value_type
from rethought.reql.runtime import backtrace

log = logging.getLogger("rethought.query")

GROUPS_LOT: Final = 200

ATOM: Final = b'{"t":1,"r":['
GROUPED: Final = ATOM + b'{"$reql_type$":"GROUPED_DATA","data":['
SEQUENCE: Final = b'{"t":2,"r":['
PARTIAL: Final = b'{"t":3,"r":['
NO_NOTES: Final = b'],"n":[]}'


def respond(env: Env, value: Any) -> bytes:
    """A complete response for anything but a lazy stream."""
    kind = value.__class__
    if kind is bytes:  # the answer of a write, encoded already
        return ATOM + value + b"]}"  # type: ignore[no-any-return]
    if kind is SingleSelection or isinstance(value, SingleSelection):
        document = value.document
        return ATOM + (b"null" if document is None else bytes(document)) + b"]}"
    if kind in DATUM_CLASSES:
        check_answer(value)
        if kind is list and len(value) > ROWS_AT_FIRST:
            return enclosed(ATOM + b"[", list(written(env, of_rows(value))), b"]]}")
        return ATOM + encode(value) + b"]}"
    if isinstance(value, Stream):
        limit = env.array_limit
        parts: list[bytes] = []
        count = 0
        for chunk in value.chunks(env):
            count += chunk.count
            if chunk.count:
                parts.extend(written(env, chunk))
        if count > limit:
            value.to_list(env)
        return enclosed(ATOM + b"[", parts, b"]]}")
    if isinstance(value, GroupedStream):
        value = value.collect(env, ())  # no term asked for it
    if isinstance(value, Grouped):
        return enclosed(GROUPED, list(_groups(env, value)), b"]}]}")
    raise QueryLogicError(
        f"Query result must be of type DATUM, GROUPED_DATA, or STREAM (got {value_type(value)}).",
        frames=(),
    )


def enclosed(start: bytes, parts: list[bytes], end: bytes) -> bytes:
    """The parts, joined by commas, between start and end. What is long is copied once."""
    if not parts:
        return start + end
    parts[0] = start + parts[0]
    parts[-1] += end
    return b",".join(parts)


def written(env: Env, chunk: Chunk) -> Iterator[bytes]:
    """The rows of a chunk as bytes, in pieces; others have their turn between them."""
    for _, piece in pieces(chunk, env.lot(PIECE_BYTES)):
        if len(piece) > env.lot(LARGE_BYTES):
            env.making(len(piece))
        yield piece


def _groups(env: Env, value: Grouped) -> Iterator[bytes]:
    """The same with groups; each may be long."""
    lot: list[Any] = []
    for group, reduction in sorted_groups(env, value):
        if reduction.__class__ is list and len(reduction) > GROUPS_LOT:
            if lot:
                yield encode(lot)[1:-1]
                lot = []
            rows = b",".join(written(env, of_rows(reduction)))
            yield b"[%b,[%b]]" % (encode(group), rows)
            continue
        lot.append([group, reduction])
        if len(lot) == GROUPS_LOT:
            yield encode(lot)[1:-1]
            lot = []
            env.tick()
    if lot:
        yield encode(lot)[1:-1]


def check_answer(value: Any) -> None:
    """Refuses what must not leave: a stray literal."""
    if value.__class__ is dict and value.get("$reql_type$") == "LITERAL":
        raise QueryLogicError(
            "Stray literal keyword found: literal is only legal inside of the object passed to "
            "merge or update and cannot nest inside other literals."
        )


def failure(error: ReqlError) -> bytes:
    """The response for an error."""
    body: dict[str, Any] = {"t": error.response_type}
    if error.error_type is not None:
        body["e"] = error.error_type
    body["r"] = [error.message]
    body["b"] = list(backtrace(error))
    return msgspec.json.encode(body)


def failed(error: ReqlError, seconds: float = 0.0) -> Reply:
    """The reply for an error of a query that was worked on for `seconds`."""
    if not error.is_limit:
        return Reply(failure(error))
    refusal = Refusal(failure(error))
    refusal.seconds = seconds
    return refusal


def internal(error: Exception, env: Env) -> bytes:
    """The response for a bug of ours, which goes to the log."""
    if isinstance(error, RecursionError | MemoryError):
        return failure(too_much(error))
    log.error("a query failed inside", exc_info=error, extra={"query": env.id})
    return failure(InternalError(f"Unexpected exception: {error}", frames=()))


def too_much(error: Exception) -> ResourceLimitError:
    """What to say where the interpreter itself came to its limits."""
    if isinstance(error, RecursionError):
        return ResourceLimitError("The query is nested too deep.", frames=())
    return ResourceLimitError("The server has no memory left for this query.", frames=())


def profiled(env: Env, body: bytes) -> bytes:
    """A response with what was done for it; errors have no such thing."""
    if body.startswith(b'{"t":18'):
        return body
    return body[:-1] + b',"p":' + msgspec.json.encode(env.profile.take()) + b"}"
