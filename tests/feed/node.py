"""A node in the test's own process: a catalog in a temporary directory and an engine, without sockets.

Queries are written with the Python driver and run to their end by turning the loop; `settle` lets everything happen
that is due, so that "nothing comes" can be told without waiting.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rethinkdb import r

from rethought import system
from rethought.catalog import open_catalog
from rethought.conversation import Cursor, Reply
from rethought.limits import Limits
from rethought.reql.engine import Engine
from rethought.reql.feed_sources import feeds_of
from rethought.server import make_index_rule
from rethought.store import GroupOptions, open_group
from rethought.system.registry import install
from tests.asking import ask
from tests.waiting import PATIENCE_S

START = 1
TURNS = 12


class QueryError(Exception):
    """The server answered with an error; the text is its message."""


class Node:
    """See the module."""

    def __init__(self, directory: Path, *, limits: Limits | None = None, **options: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.options = GroupOptions(**options)
        self.limits = limits or Limits()
        self.loop = asyncio.new_event_loop()
        self._open()

    def _open(self) -> None:
        self.catalog = open_catalog(
            self.directory,
            lambda path: open_group(path, loop=self.loop, options=self.options),
            make_index_rule,
        )
        install(self.catalog, system.Node(), self.loop)
        if "test" not in self.catalog.databases:
            self.catalog.create_database("test")
        self.engine = Engine(self.catalog, self.limits, self.loop)

    def restart(self) -> None:
        self.engine.close()
        self.catalog.close()
        self._open()

    def close(self) -> None:
        self.engine.close()
        self.catalog.close()
        self.settle()
        self.loop.close()

    @property
    def followed(self) -> bool:
        """Whether anything is left of any feed."""
        feeds = feeds_of(self.engine)
        return bool(feeds._hubs or feeds._system or feeds.cursors)

    def end_queries(self) -> None:
        feeds = feeds_of(self.engine)
        for cursor in (*self.engine.cursors, *feeds.cursors.values(), *feeds.subscriptions()):
            cursor.close()
        self.settle()

    # ---- the loop

    def settle(self) -> None:
        """Turns the loop until everything that is due has happened."""

        async def turn() -> None:
            quiet = 0
            while quiet < TURNS:
                await asyncio.sleep(0)
                # A query that has used up its slice comes back in a later turn, and again.
                quiet = 0 if self.loop._ready else quiet + 1  # type: ignore[attr-defined]

        self.loop.run_until_complete(turn())

    def until(self, condition: Callable[[], bool]) -> None:
        """Turns the loop until something holds that needs time or another thread."""

        async def turn() -> None:
            while not condition():  # noqa: ASYNC110 what it waits for is not ours to set an event
                await asyncio.sleep(0)

        self.loop.run_until_complete(asyncio.wait_for(turn(), PATIENCE_S))

    # ---- queries

    def start(self, query: Any, user: str = "admin", **options: Any) -> Reply:
        """The first answer to a query."""
        body = json.dumps([START, query, options], default=lambda part: part.build()).encode()
        client = self.engine.client(user, "127.0.0.1", 0)
        replies: list[Reply | None] = []
        reply = ask(self.engine, client, body, replies.append)
        if isinstance(reply, Reply):
            return reply
        self.until(lambda: bool(replies))
        assert replies[0] is not None
        return replies[0]

    def run(self, query: Any, **options: Any) -> Any:
        """The whole result of a query."""
        reply = self.start(query, **options)
        answer = json.loads(reply.body)
        rows = answer["r"]
        while answer["t"] == 3:
            assert reply.cursor is not None
            reply = self.more(reply.cursor)
            answer = json.loads(reply.body)
            rows += answer["r"]
        if answer["t"] >= 16:
            raise QueryError(rows[0])
        return rows[0] if answer["t"] == 1 else rows

    def more(self, cursor: Cursor) -> Reply:
        replies: list[Reply] = []
        reply = cursor.more(replies.append)
        if isinstance(reply, Reply):
            return reply
        self.until(lambda: bool(replies))
        return replies[0]

    def table(self, name: str, *indexes: str, multi: bool = False) -> Any:
        """A new, empty table with indexes on fields of their names."""
        self.run(r.table_create(name, durability="soft"))
        table = r.db("test").table(name)
        for index in indexes:
            self.run(table.index_create(index, multi=multi))
        if indexes:
            self.run(table.index_wait())
        return table

    def feed(self, query: Any, **options: Any) -> "Feed":
        return Feed(self, self.start(query, **options))


class Feed:
    """An open feed with a CONTINUE outstanding whenever it is not at its end."""

    def __init__(self, node: Node, first: Reply, *, reading: bool = True) -> None:
        self.node = node
        self.rows: list[Any] = []
        self.bodies: list[bytes] = []
        self.notes: list[int] = []
        self.error: str | None = None
        self.ended = False
        self.cursor: Cursor | None = None
        self.asking = False
        self.reading = reading
        self._got(first)
        self.ask()

    def _got(self, reply: Reply) -> None:
        self.asking = False
        answer = json.loads(reply.body)
        self.bodies.append(reply.body)
        self.cursor = reply.cursor
        self.ended = answer["t"] != 3
        if answer["t"] >= 16:
            self.error = answer["r"][0]
            return
        assert answer["t"] in (2, 3), answer
        self.notes = answer["n"]
        self.rows += answer["r"]

    def ask(self) -> None:
        """Sends CONTINUE as a driver that always wants more."""
        while self.reading and not self.asking and not self.ended and self.cursor is not None:
            self.asking = True
            reply = self.cursor.more(self._later)
            if isinstance(reply, Reply):
                self._got(reply)

    def _later(self, reply: Reply) -> None:
        self._got(reply)
        self.ask()

    def pause(self) -> None:
        """No further CONTINUE after the one that is outstanding."""
        self.reading = False

    def go_on(self) -> None:
        self.reading = True
        self.ask()

    def take(self) -> list[Any]:
        """What has come since the last call, and everything that is due."""
        self.node.settle()
        rows, self.rows = self.rows, []
        return rows

    def close(self) -> None:
        if self.cursor is not None:
            self.cursor.close()
