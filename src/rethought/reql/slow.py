"""Tells the log of queries that took long: what they asked, how they reached their rows, how long they took.

Purpose: an engine that measures, used instead of the plain one when an operator asked for it (`--slow-query-seconds`);
so measuring costs nothing where nobody asked. What always holds: every batch of an answer is measured by itself, from
the moment it was asked for to the moment it is ready, waiting included; a feed is not slow for having nothing to
say, so feeds are left out; passwords in a query are not written. Built by `server.py`.
"""

import logging
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Final

import msgspec

from rethought.conversation import Cursor, Pledge, Reply, Running
from rethought.errors import ReqlError
from rethought.reql.engine import Client, Engine
from rethought.reql.printing import print_term
from rethought.reql.query import Done
from rethought.reql.responses import failed

log = logging.getLogger("rethought.query")

TEXT_MAX: Final = 2_000
ANSWER_BYTES_MAX: Final = 8 << 20
"""Rows of larger answers are not counted."""

SECRETS: Final = frozenset({"password", "pass"})
HIDDEN: Final = "***"

_DB: Final = 14
_TABLE: Final = 15
_ACCESS: Final = {16: "get", 78: "get_all", 182: "between", 41: "order_by"}
"""Terms that say how the rows of a table are reached."""

_NAMES_OF_NOTHING: Final = (None, "id")


class _Answer(msgspec.Struct):
    """What of a response is of interest here."""

    t: int
    r: list[msgspec.Raw] = []
    n: list[int] = []


_answer: Final = msgspec.json.Decoder(_Answer).decode


class WatchedEngine(Engine):
    """An engine that logs what takes `slow_seconds` or more."""

    slow_seconds: float = 1.0

    def start(self, client: Client, body: bytes, done: Done) -> Reply | Pledge | Running | None:
        watch = Watch(self, client, body)
        began = perf_counter()
        answer: Reply | Pledge | Running | None

        def finished(reply: Reply | None) -> None:
            query = getattr(getattr(answer, "env", None), "id", None)
            done(watch.seen(reply, perf_counter() - began, query))

        answer = super().start(client, body, finished)
        if answer is None or isinstance(answer, Reply):
            return watch.seen(answer, perf_counter() - began, None)
        if isinstance(answer, Pledge):
            reply = Reply(answer.body)

            def committed(error: ReqlError | None) -> None:
                watch.seen(reply if error is None else failed(error), perf_counter() - began, None)

            answer.ticket.add(committed)
        return answer


class Watch:
    """One query that is measured."""

    __slots__ = ("body", "client", "engine")

    def __init__(self, engine: WatchedEngine, client: Client, body: bytes) -> None:
        self.engine = engine
        self.client = client
        self.body = body

    def seen(self, reply: Reply | None, spent: float, query: str | None) -> Reply | None:
        """Called with each batch; returns what goes on to the client."""
        if spent >= self.engine.slow_seconds and not is_feed(reply):
            self.report(reply, spent, query)
        if reply is not None and reply.cursor is not None and not is_feed(reply):
            return Reply(reply.body, WatchedCursor(self, reply.cursor, query))
        return reply

    def report(self, reply: Reply | None, spent: float, query: str | None) -> None:
        client = self.client
        fields = {
            "event": "slow_query",
            "seconds": round(spent, 6),
            "outcome": outcome(reply),
            "plan": plan_of(self.body),
            "user": client.user,
            "address": client.address,
            "port": client.port,
            "reql": text_of(self.body),
        }
        log.warning(
            "slow query: %.3f s, %s, %s, user %s at %s:%d: %s",
            spent,
            *list(fields.values())[2:],
            extra={"query": query, "fields": fields},
        )


class WatchedCursor:
    """A cursor whose batches are measured."""

    __slots__ = ("cursor", "query", "watch")

    def __init__(self, watch: Watch, cursor: Cursor, query: str | None) -> None:
        self.watch = watch
        self.cursor = cursor
        self.query = query

    def more(self, done: Callable[[Reply], None]) -> Reply | Running:
        began = perf_counter()
        answer = self.cursor.more(lambda reply: done(self._seen(reply, began)))
        return self._seen(answer, began) if isinstance(answer, Reply) else answer

    def _seen(self, reply: Reply, began: float) -> Reply:
        spent = perf_counter() - began
        if spent >= self.watch.engine.slow_seconds:
            self.watch.report(reply, spent, self.query)
        return Reply(reply.body, None if reply.cursor is None else self)

    def close(self) -> None:
        self.cursor.close()


def is_feed(reply: Reply | None) -> bool:
    """True for a batch of a feed: only those have notes."""
    return reply is not None and reply.cursor is not None and not reply.body.endswith(b',"n":[]}')


def outcome(reply: Reply | None) -> str:
    """`12 rows`, `a value`, `an error`, as far as the answer tells."""
    if reply is None:
        return "no answer wanted"
    if len(reply.body) > ANSWER_BYTES_MAX:
        return f"{len(reply.body)} bytes"
    try:
        answer = _answer(reply.body)
    except msgspec.MsgspecError:
        return "no answer"
    if answer.t >= 16:
        return "an error"
    if answer.t == 1:
        return "a value"
    return f"{len(answer.r)} rows"


def text_of(body: bytes) -> str:
    """The query as one would type it, without secrets, cut off where it is long."""
    query = _decoded(body)
    if query is None:
        return ""
    try:
        printed = print_term(without_secrets(query[1]))
    except RecursionError:
        return "..."
    return printed if len(printed) <= TEXT_MAX else f"{printed[:TEXT_MAX]}..."


def plan_of(body: bytes) -> str:
    """How the tables of a query are reached: `get test.users`, `scan test.users, between test.log by time`."""
    query = _decoded(body)
    if query is None:
        return "no plan"
    options = query[2] if len(query) > 2 and isinstance(query[2], dict) else {}
    return ", ".join(dict.fromkeys(accesses(query[1], _db_of(options.get("db"))))) or "no table"


def accesses(term: Any, db: str = "test") -> Iterator[str]:
    """One text for each table of a term tree."""
    pending: list[tuple[Any, str]] = [(term, "scan")]
    while pending:
        node, how = pending.pop()
        if isinstance(node, dict):
            pending.extend((value, "scan") for value in node.values())
            continue
        if not isinstance(node, list) or not node:
            continue
        kind = node[0]
        args = node[1] if len(node) > 1 and isinstance(node[1], list) else []
        optargs = node[-1] if len(node) > 1 and isinstance(node[-1], dict) else {}
        if kind == _TABLE and args:
            yield _named(how, args, db)
            continue
        for position, arg in enumerate(args):
            inner = _through(kind, optargs, how) if position == 0 else "scan"
            pending.append((arg, inner))
        pending.extend((value, "scan") for value in optargs.values())


def _through(kind: Any, optargs: dict[str, Any], how: str) -> str:
    """How a table below this term is reached, when it was `how` above it."""
    word = _ACCESS.get(kind)
    if word is None:
        return how
    index = optargs.get("index")
    if isinstance(index, list) and len(index) == 2 and isinstance(index[1], list) and index[1]:
        index = index[1][0]  # r.asc(...), r.desc(...)
    if word == "order_by" and index is None:
        return how
    by = "" if index in _NAMES_OF_NOTHING or not isinstance(index, str) else f" by {index}"
    return f"{word}{{}}{by}"


def _named(how: str, args: list[Any], db: str) -> str:
    name = args[-1] if isinstance(args[-1], str) else "?"
    owner = _db_of(args[0]) if len(args) == 2 else db
    word, _, by = how.partition("{}")
    return f"{word} {owner}.{name}{by}"


def _db_of(term: Any) -> str:
    if isinstance(term, list) and len(term) > 1 and term[0] == _DB and term[1]:
        name = term[1][0]
        return name if isinstance(name, str) else "?"
    return "test" if term is None else "?"


def without_secrets(term: Any) -> Any:
    """A term tree whose passwords are hidden."""
    if isinstance(term, dict):
        return {
            name: HIDDEN
            if name in SECRETS and not isinstance(part, bool)
            else without_secrets(part)
            for name, part in term.items()
        }
    if isinstance(term, list):
        return [without_secrets(part) for part in term]
    return term


def _decoded(body: bytes) -> list[Any] | None:
    try:
        query = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return query if isinstance(query, list) and len(query) > 1 else None
