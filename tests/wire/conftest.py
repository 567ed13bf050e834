"""A listener with a scripted engine, on a loop in a thread of its own; tests talk to it over real sockets."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from rethought.limits import Limits
from rethought.wire.listener import Listener
from rethought.wire.sockets import bind
from tests.waiting import PATIENCE_S
from tests.wire.fake_engine import FakeEngine


class WireServer:
    """What a test sees of the server: its port, its engine, and a way to run things on its loop."""

    def __init__(self, engine: FakeEngine, limits: Limits) -> None:
        self.engine = engine
        self.limits = limits
        self.port = 0
        self.loop = uvloop.new_event_loop()
        self.errors: list[dict[str, object]] = []
        self._thread = threading.Thread(target=self.loop.run_forever)

    def start(self) -> None:
        self._thread.start()
        self.on_loop(self._open)

    def on_loop(self, work: Callable[[], object]) -> object:
        """Run `work` on the loop and wait for its result."""

        async def call() -> object:
            result = work()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(PATIENCE_S)

    async def _open(self) -> None:
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self.listener = Listener(self.engine, self.limits, self.loop)
        sockets = bind(["127.0.0.1"], 0)
        self.port = sockets[0].getsockname()[1]
        await self.listener.open(sockets)

    def stop(self) -> None:
        self.on_loop(self.listener.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()
        assert not self.errors


@contextmanager
def wire_server(
    engine: FakeEngine | None = None, limits: Limits | None = None
) -> Iterator[WireServer]:
    server = WireServer(engine or FakeEngine(), limits or Limits(shutdown_seconds=0.05))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server() -> Iterator[WireServer]:
    with wire_server() as running:
        yield running
