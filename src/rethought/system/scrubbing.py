"""Searches every database for damage, slowly, again and again, while the server serves.

What always holds: at most `bytes_per_second` are read, in a thread of low priority; between two pieces everybody else
has a turn. Each file is looked through once in `every_seconds`; when that was, and what was found, is kept in the file
itself, so that neither a restart forgets it. What is found becomes the group's `damage`: a row of `current_issues` and
a line of the log. Made and ended by `server.py`; `stats` and the metrics show how far it is.
"""

import asyncio
import contextlib
import logging
import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import time
from typing import TYPE_CHECKING, Final

import msgspec

from rethought.errors import ReqlError
from rethought.store import place_of_index, scrub
from rethought.system.node import ScrubState

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.store import Group

log = logging.getLogger("rethought.scrub")

RECORD: Final = "scrub"
LOOK_SECONDS: Final = 60.0
"""How often it is looked whether a file is due; also how long a server is left in peace after its start."""
SAMPLES: Final = 16
SAMPLE_ROWS: Final = 8
SAMPLE_PAUSE_SECONDS: Final = 0.02
NICENESS: Final = 10

SYSTEM: Final = "rethinkdb"


class Record(msgspec.Struct, frozen=True):
    """What a pass left: when it ended, seconds since 1970, and what is damaged, by place."""

    finished: float
    damage: dict[str, str] = {}


class Scrubbing:
    """See the module. `start`, then `stop`."""

    def __init__(
        self,
        catalog: "Catalog",
        *,
        every_seconds: float,
        bytes_per_second: float,
        clock: Callable[[], float] = time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._catalog = catalog
        self._every_seconds = every_seconds
        self._bytes_per_second = bytes_per_second
        self._clock = clock
        self._chance = chance
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "scrub", initializer=_give_way)
        self._finished: dict[Group, float] = {}
        self._database: str | None = None
        self._progress = 0.0
        self._read_bytes = 0

    def start(self) -> None:
        for _, group in self._groups():
            self._remember(group)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=True)

    def state(self) -> ScrubState:
        times = [self._finished.get(group, 0.0) for _, group in self._groups()]
        return ScrubState(self._database, self._progress, min(times) or None, self._read_bytes)

    # ---- which file is next

    def _groups(self) -> "Iterator[tuple[str, Group]]":
        yield SYSTEM, self._catalog.group
        for database in self._catalog.user_databases():
            if database.group is not None:
                yield database.name, database.group

    def _remember(self, group: "Group") -> None:
        """What an earlier process found."""
        value = group.meta_get(RECORD)
        if value is not None:
            record = msgspec.json.decode(value, type=Record)
            self._finished[group] = record.finished
            for place, finding in record.damage.items():
                group.damage.note(place, finding)

    def _due(self) -> "tuple[str, Group] | None":
        """The file that was looked through longest ago, if that is long enough ago."""
        groups = list(self._groups())
        known = {group for _, group in groups}
        self._finished = {group: at for group, at in self._finished.items() if group in known}
        name, group = min(groups, key=lambda each: self._finished.get(each[1], 0.0))
        ago = self._clock() - self._finished.get(group, 0.0)
        return (name, group) if ago >= self._every_seconds else None

    async def _run(self) -> None:
        wait = min(LOOK_SECONDS, self._every_seconds / 2)
        while True:
            await asyncio.sleep(wait)
            while (due := self._due()) is not None:
                await self._pass(*due)

    async def _pass(self, name: str, group: "Group") -> None:
        """One pass; whatever becomes of it, the other files have their turn."""
        try:
            await self._look_through(name, group)
        except ReqlError as error:  # it was dropped meanwhile, or cannot be written to
            log.info("The search for damage in %s was given up: %s", name, error.message)
        except Exception:  # a bug of ours
            log.exception("The search for damage in %s failed", name)
        finally:
            self._finished[group] = self._clock()
            self._database = None

    # ---- one pass

    async def _look_through(self, name: str, group: "Group") -> None:
        self._database, self._progress = name, 0.0
        known = set(group.damage.places)
        seen = await self._read(group)
        differ = await self._compare(name, group)
        for place in known - seen - differ:
            group.damage.places.pop(place, None)
        self._finished[group] = now = self._clock()
        group.meta_put(RECORD, msgspec.json.encode(Record(now, group.damage.places)))
        group.retry_jobs()
        self._progress = 1.0

    async def _read(self, group: "Group") -> set[str]:
        """Reads the whole file; the places where there is damage."""
        loop = asyncio.get_running_loop()
        total = max(1, group.usage().file_bytes)
        damaged: set[str] = set()
        read = 0
        steps = scrub(group.path, group.options)
        try:
            while True:
                step = await loop.run_in_executor(self._thread, next, steps, None)
                if step is None:
                    return damaged
                if step.finding is not None:
                    damaged.add(step.place)
                    group.damage.note(step.place, step.finding)
                read += step.read_bytes
                self._read_bytes += step.read_bytes
                self._progress = min(0.99, read / total)
                await asyncio.sleep(step.read_bytes / self._bytes_per_second)
        finally:
            # The thread is at no step of it now, or will not come back to this one before it is closed.
            await asyncio.shield(loop.run_in_executor(self._thread, steps.close))

    async def _compare(self, name: str, group: "Group") -> set[str]:
        """Compares samples of each table with its indexes, a turn of the loop for each; the places that differ."""
        differ: set[str] = set()
        database = self._catalog.databases.get(name)
        if database is None or database.system:
            return differ
        for table in list(database.tables.values()):
            for index in list(table.indexes.values()):
                for _ in range(SAMPLES):
                    if table.dropped or index.name not in table.indexes:
                        break
                    part = self._chance()
                    if not group.sample_index(table.number, index.number, part, SAMPLE_ROWS):
                        differ.add(place_of_index(index.number))
                    await asyncio.sleep(SAMPLE_PAUSE_SECONDS)
        return differ


def _give_way() -> None:
    """The thread gets what others leave."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
