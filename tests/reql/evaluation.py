"""Runs queries in-process: through the engine, without sockets and without tables."""

import asyncio
import json
from typing import Any

from rethought.conversation import Reply
from rethought.limits import Limits
from rethought.reql.engine import Engine
from tests.asking import ask

START = 1


class Evaluator:
    """An engine of its own. Queries are term trees as JSON; nothing they hold may wait."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._engine = Engine(None, Limits(), self._loop)
        self._client = self._engine.client("admin", "127.0.0.1", 0)

    def response_bytes(self, query: Any, **options: Any) -> bytes:
        """The body of the response."""
        body = json.dumps([START, query, options]).encode()
        later: list[Reply | None] = []
        reply = ask(self._engine, self._client, body, later.append)
        if not isinstance(reply, Reply):
            while not later:
                self._loop.run_until_complete(asyncio.sleep(0))
            reply = later[0]
            assert isinstance(reply, Reply)
        return reply.body

    def response(self, query: Any, **options: Any) -> dict[str, Any]:
        """The decoded response."""
        decoded: dict[str, Any] = json.loads(self.response_bytes(query, **options))
        return decoded

    def value(self, query: Any, **options: Any) -> Any:
        """The result of a query that succeeds."""
        response = self.response(query, **options)
        assert response["t"] in (1, 2), response
        return response["r"][0] if response["t"] == 1 else response["r"]

    def message(self, query: Any, **options: Any) -> str:
        """The message of a query that fails."""
        response = self.response(query, **options)
        assert response["t"] >= 16, response
        message: str = response["r"][0]
        return message

    def close(self) -> None:
        self._engine.close()
        self._loop.close()
