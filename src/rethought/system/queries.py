"""The queries under way, as `jobs` shows them, and how one is ended.

What always holds: the list contains the query that asks for it; a query keeps its id as long as it runs; its text is
printed only when somebody looks. Reads the engine's lists of running queries and open cursors; `server.py` puts the
two functions into the `Node`.
"""

import heapq
from collections.abc import Callable
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rethought.reql.feed_sources import feeds_of
from rethought.reql.feeds import FeedCursor
from rethought.reql.printing import print_term
from rethought.reql.slow import without_secrets
from rethought.system.node import RunningQuery

if TYPE_CHECKING:
    from rethought.exec.env import Env
    from rethought.reql.engine import Engine
    from rethought.reql.query import OpenQuery

POLLED_MAX: Final = 1_000

TEXT_MAX: Final = 100_000
"""Longer queries are shown cut off: somebody's bulk insert must not fill the screen of who looks at the jobs."""


def running_queries(engine: "Engine", asking: "Env | None" = None) -> list[RunningQuery]:
    """Every query under way, open cursors and feeds included; `asking` is the one that wants to know.

    Without one a feed of `jobs` looks, each second and in one go: it gets the newest cursors only.
    """
    found: list[Env | OpenQuery | FeedCursor] = [query.env for query in engine.running]
    cursors = [known for _, known in _cursors(engine)]
    if asking is not None:
        found += cursors
        found.append(asking)
    else:
        found += heapq.nlargest(POLLED_MAX, cursors, key=lambda each: each.started)
    queries = [_described(each) for each in {each.id: each for each in found}.values()]
    queries.sort(key=lambda query: query.started)
    return queries


def kill_query(engine: "Engine", id_: str, message: str) -> bool:
    """Ends a query with an error to its client; False when there is none of this id."""
    for query in engine.running:
        if query.env.id == id_:
            query.env.kill_message = message
            if query.env.wake is not None:
                engine.loop.call_soon(query.env.wake)
            return True
    for cursor, known in _cursors(engine):
        if known.id == id_:
            cursor.kill(message)
            return True
    return False


def _cursors(engine: "Engine") -> list[tuple[Any, "OpenQuery | FeedCursor"]]:
    """The open cursors and their queries. There may be very many feeds, so each is its query itself."""
    found: list[tuple[Any, OpenQuery | FeedCursor]] = list(engine.cursors.items())
    for feed in feeds_of(engine).subscriptions():
        if isinstance(feed, FeedCursor) and feed.body is not None:
            found.append((feed, feed))
    for _, known in found:
        if known.id is None:
            known.id = engine.chance.uuid()
    return found


def _described(env: "Env | OpenQuery | FeedCursor") -> RunningQuery:
    client = env.client
    spent = perf_counter() - env.started if env.started else 0.0
    return RunningQuery(
        id=env.id or "",
        user=client.user,
        address=client.address,
        port=client.port,
        started=time() - spent,
        text=_printer(env.body or b""),
    )


def _printer(body: bytes) -> Callable[[], str]:
    def text() -> str:
        if not body:
            return ""
        query: Any = msgspec.json.decode(body)
        try:
            printed = print_term(without_secrets(query[1]))
        except RecursionError:
            return "..."
        return printed if len(printed) <= TEXT_MAX else f"{printed[:TEXT_MAX]}..."

    return text
