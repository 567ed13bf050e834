"""A whole server in this process, on a thread of its own: asked over real sockets, and looked into from outside.

What always holds: everything a node holds for its clients is in `held`; when the last client is gone that is empty.
"""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import uvloop
from greenlet import greenlet

from bench.terms import Term, term
from rethought.catalog import Catalog, open_catalog
from rethought.exec.schedule import Scheduler
from rethought.feed.hub import Hub
from rethought.limits import Limits
from rethought.reql.engine import Engine
from rethought.server import make_index_rule
from rethought.store import GroupOptions, Snapshot, open_group
from rethought.system import Node, install
from rethought.wire.listener import Listener
from rethought.wire.sockets import bind
from tests.waiting import LOOK_S, PATIENCE_S

TABLE: Term = term("table", term("db", "test"), "things")


class Inside:
    """A running node."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        self.directory = directory
        self.limits = limits
        self.loop = uvloop.new_event_loop()
        self.errors: list[dict[str, object]] = []
        self._thread = threading.Thread(target=self.loop.run_forever)
        self.port = 0
        self.catalog: Catalog
        self.engine: Engine
        self.listener: Listener

    def start(self) -> None:
        self._thread.start()
        self.on_loop(self._open)

    def on_loop(self, work: Callable[[], Any]) -> Any:
        """Runs `work` on the loop and waits for its result."""

        async def call() -> Any:
            result = work()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(PATIENCE_S)

    async def _open(self) -> None:
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        options = GroupOptions(cache_bytes=8 << 20)
        self.catalog = open_catalog(
            self.directory,
            lambda path: open_group(path, loop=self.loop, options=options),
            make_index_rule,
            server_name="inside",
        )
        self.engine = Engine(self.catalog, self.limits, self.loop)
        install(self.catalog, Node(), self.loop)
        if "test" not in self.catalog.databases:
            self.catalog.create_database("test")
        self.listener = Listener(self.engine, self.limits, self.loop)
        sockets = bind(["127.0.0.1"], 0)
        self.port = sockets[0].getsockname()[1]
        await self.listener.open(sockets)

    def stop(self) -> None:
        if self.port:
            self.on_loop(self.listener.close)
            self.on_loop(self.engine.close)
            self.on_loop(self.catalog.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()
        assert not self.errors

    # ---- what it holds

    def held(self) -> dict[str, int]:
        """Everything that is there for some client; what is not there is left out."""
        found: dict[str, int] = self.on_loop(self._held)
        return {name: count for name, count in found.items() if count}

    def _counted(self) -> dict[str, int]:
        listener, scheduler = self.listener, self.engine.scheduler
        return {
            "connections": len(listener._members),
            "logins": len(listener._greetings),
            "bytes of queries": listener._inbound_bytes,
            "queries": len(self.engine.running),
            "cursors": len(self.engine.cursors),
            "clients": len(self.engine.accounts._clients),
            "paused": scheduler.waiting,
        }

    def _held(self) -> dict[str, int]:
        gc.collect()
        objects = gc.get_objects()
        hubs = [each for each in objects if isinstance(each, Hub)]
        return self._counted() | {
            "workers": sum(self._at_work(each) for each in objects if isinstance(each, greenlet)),
            "feeds": sum(len(hub._tables) for hub in hubs if hub.group in self._groups()),
            "snapshots": sum(
                each.held for each in objects if isinstance(each, Snapshot) and self._ours(each)
            ),
        }

    def _groups(self) -> list[Any]:
        groups: list[Any] = [self.catalog.group]
        groups += [database.group for database in self.catalog.user_databases()]
        return groups

    def _ours(self, snapshot: Snapshot) -> bool:
        return any(snapshot._writer is group._writer for group in self._groups())

    def _at_work(self, worker: greenlet) -> bool:
        """Whether a greenlet of this node's scheduler is in the middle of a query."""
        idle = self.engine.scheduler._idle
        frame = getattr(worker, "gr_frame", None)
        if not worker or worker in idle:
            return False
        while frame is not None and frame.f_code is not Scheduler._worker.__code__:
            frame = frame.f_back
        return frame is not None and frame.f_locals.get("self") is self.engine.scheduler

    def settled(self) -> dict[str, int]:
        """What it still holds after all that is under way has come to its end."""
        end = monotonic() + PATIENCE_S
        # A look at all objects takes long where there are many.
        while any(self.on_loop(self._counted).values()) and monotonic() < end:
            sleep(LOOK_S)
        while (found := self.held()) and monotonic() < end:
            sleep(LOOK_S)
        return found


@contextmanager
def inside(directory: Path, limits: Limits) -> Iterator[Inside]:
    node = Inside(directory, limits)
    try:
        node.start()
        yield node
    finally:
        node.stop()
