"""Runs queries in-process over tables: an engine with a data directory of its own, and the loop it needs."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rethought.catalog import open_catalog
from rethought.conversation import Reply, Running
from rethought.exec.index_rules import rule_for
from rethought.limits import Limits
from rethought.reql.compiler import Compiler
from rethought.reql.engine import Engine
from rethought.reql.functions import compile_function
from rethought.store import GroupOptions, open_group
from rethought.store.group import Group
from rethought.system import Node, system_tables
from tests.asking import ask
from tests.waiting import PATIENCE_S

START = 1
PARTIAL = 3
ERRORS = (16, 17, 18)


class Database:
    """Queries are term trees as JSON; cursors are read to their end."""

    def __init__(self, directory: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.random_bytes = random_bytes
        self.loop = asyncio.new_event_loop()
        self.catalog = open_catalog(
            directory,
            self._open_group,
            lambda definition: rule_for(definition, compile_function),
            server_name="here",
        )
        self.catalog.add_system_database(system_tables(self.catalog, Node(), self.loop))
        self.catalog.create_database("test")
        self.restart_engine()

    def _open_group(self, path: Path) -> Group:
        return open_group(path, loop=self.loop, options=GroupOptions(cache_bytes=1 << 20))

    def restart_engine(self) -> None:
        """A new engine, which knows no plans."""
        self.engine = Engine(self.catalog, Limits(), self.loop, random_bytes=self.random_bytes)
        self.client = self.engine.client("admin", "127.0.0.1", 0)

    def response(self, query: Any, **options: Any) -> dict[str, Any]:
        """The whole response, decoded; that of an error when one comes later."""
        body = json.dumps([START, query, options], separators=(",", ":")).encode()  # as drivers do
        return self.loop.run_until_complete(self._run(body))

    async def _run(self, body: bytes) -> dict[str, Any]:
        reply = await self._reply(lambda done: ask(self.engine, self.client, body, done))
        whole: dict[str, Any] = json.loads(reply.body)
        while reply.cursor is not None and whole["t"] == PARTIAL:
            reply = await self._reply(reply.cursor.more)
            part = json.loads(reply.body)
            if part["t"] in ERRORS:
                return dict(part)
            whole["r"] += part["r"]
            whole["t"] = part["t"]
        whole.pop("n", None)
        return whole

    async def _reply(self, ask: Any) -> Reply:
        later: asyncio.Future[Reply] = self.loop.create_future()
        found: Reply | Running = ask(later.set_result)
        if isinstance(found, Reply):
            return found
        return await asyncio.wait_for(later, PATIENCE_S)

    def value(self, query: Any, **options: Any) -> Any:
        """The result of a query that succeeds: its value, or the rows of a stream."""
        response = self.response(query, **options)
        assert response["t"] in (1, 2), response
        return response["r"][0] if response["t"] == 1 else response["r"]

    def close(self) -> None:
        self.engine.close()
        self.catalog.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


def both_ways(database: Database, query: Any) -> tuple[Any, Any]:
    """The answers with all shortcuts and without any."""
    assert Compiler.shortcuts
    quickly = database.response(query)
    Compiler.shortcuts = False
    database.restart_engine()
    try:
        slowly = database.response(query)
    finally:
        Compiler.shortcuts = True
        database.restart_engine()
    return exact(quickly), exact(slowly)


def exact(response: dict[str, Any]) -> str:
    """A response as text, which tells 1 from true and 0 from -0.0."""
    return repr(sorted(response.items()))
