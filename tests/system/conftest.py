"""A whole node without sockets: catalog, engine and system database, asked as a driver asks."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rethought.catalog import IndexDefinition, open_catalog
from rethought.catalog.model import Rule
from rethought.conversation import Reply
from rethought.exec.index_rules import rule_for
from rethought.limits import DEFAULT_LIMITS
from rethought.reql.engine import Engine
from rethought.reql.functions import compile_function
from rethought.store import GroupOptions, open_group
from rethought.store.group import Group
from rethought.system import Node, install, kill_query, running_queries
from tests.asking import ask
from tests.waiting import PATIENCE_S


def make_rule(definition: IndexDefinition) -> Rule:
    return rule_for(definition, compile_function)


class Machine:
    """A node in this process. `ask` runs a query to its end and returns the decoded response."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.directory = directory
        self.loop = loop
        self.options = GroupOptions(cache_bytes=1 << 20)
        self.catalog = open_catalog(directory, self._open_group, make_rule, server_name="here")
        self.engine = Engine(self.catalog, DEFAULT_LIMITS, loop)
        self.node = Node(started=1_700_000_000.0, clock=lambda: 1_700_000_100.0)
        self.node.queries = lambda asking: running_queries(self.engine, asking)
        self.node.kill = lambda id_, message: kill_query(self.engine, id_, message)
        install(self.catalog, self.node, loop)
        if "test" not in self.catalog.databases:
            self.catalog.create_database("test")

    def _open_group(self, path: Path) -> Group:
        return open_group(path, loop=self.loop, options=self.options)

    def turn(self, times: int = 3) -> None:
        for _ in range(times):
            self.loop.run_until_complete(asyncio.sleep(0))

    def ask(self, term: Any, user: str = "admin", **options: Any) -> dict[str, Any]:
        body = json.dumps([1, term, options]).encode()
        return self.loop.run_until_complete(asyncio.wait_for(self._ask(body, user), PATIENCE_S))

    async def _ask(self, body: bytes, user: str) -> dict[str, Any]:
        client = self.engine.client(user, "127.0.0.1", 50_000)
        answered = self.loop.create_future()
        reply = ask(self.engine, client, body, answered.set_result)
        if not isinstance(reply, Reply):
            reply = await answered
        response: dict[str, Any] = json.loads(reply.body)
        while reply.cursor is not None:
            answered = self.loop.create_future()
            more = reply.cursor.more(answered.set_result)
            reply = more if isinstance(more, Reply) else await answered
            batch = json.loads(reply.body)
            batch["r"] = response["r"] + batch["r"]
            response = batch
        return response

    def value(self, term: Any, user: str = "admin", **options: Any) -> Any:
        """The result of a query that must succeed: the datum, or the rows of a stream."""
        response = self.ask(term, user, **options)
        assert response["t"] in (1, 2), response
        return response["r"][0] if response["t"] == 1 else response["r"]

    def error(self, term: Any, user: str = "admin", **options: Any) -> str:
        """The message of a query that must fail."""
        response = self.ask(term, user, **options)
        assert response["t"] >= 16, response
        message: str = response["r"][0]
        return message

    def first_error(self, term: Any, user: str = "admin") -> str:
        """The row error of a write."""
        result = self.value(term, user)
        assert result["errors"] == 1, result
        message: str = result["first_error"]
        return message

    def close(self) -> None:
        self.engine.close()
        self.turn()
        self.catalog.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    loop = asyncio.new_event_loop()
    machine = Machine(tmp_path, loop)
    yield machine
    machine.close()
    loop.close()


def array(*items: Any) -> list[Any]:
    return [2, list(items)]


def system(name: str, **options: Any) -> list[Any]:
    return [15, [[14, ["rethinkdb"]], name], options]


def table(name: str) -> list[Any]:
    return [15, [name]]


def get(target: Any, key: Any) -> list[Any]:
    return [16, [target, key]]


def insert(target: Any, row: Any, **options: Any) -> list[Any]:
    return [56, [target, row], options]


def update(target: Any, change: Any) -> list[Any]:
    return [53, [target, change]]


def replace(target: Any, row: Any) -> list[Any]:
    return [55, [target, row]]


def delete(target: Any) -> list[Any]:
    return [54, [target]]


def create(name: str, **options: Any) -> list[Any]:
    return [60, [name], options]


def config(target: Any) -> list[Any]:
    return [174, [target]]
