"""Runs queries that may take long or must wait, so that none of them holds the loop.

Evaluation is plain synchronous Python in a greenlet; `pause` and `wait` switch back to the loop from any depth. What
always holds: a turn of the loop has a few slices for queries that begin and one for a query that was paused, so that
however many long queries there are, a short one waits for these few at most; those that begin come first, in their
order. Engine and feeds spawn; `Env` pauses and waits.
"""

from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from greenlet import getcurrent, greenlet

from rethought.exec import memory
from rethought.exec.env import Env
from rethought.limits import DEFAULT_LIMITS

IDLE_MAX: Final = 64
BEGINNERS_SLICES: Final = 3
"""Slices of a turn for queries that begin. With one, pipelined short streams spend a quarter more on turns."""
MEMORY_FRESH_S: Final = 0.05


class Scheduler:
    """One per node."""

    def __init__(
        self, loop: AbstractEventLoop, slice_seconds: float = DEFAULT_LIMITS.work_slice_seconds
    ) -> None:
        self.loop = loop
        self.slice_seconds = slice_seconds
        self._beginners = BEGINNERS_SLICES * slice_seconds
        self._idle: list[greenlet] = []
        self._new: deque[Callable[[], None]] = deque()
        self._paused: deque[greenlet] = deque()
        self._scheduled = False
        self._used = 0.0  # seconds of work since the last turn
        self.memory = memory.reader()
        self.memory_most = memory.ceiling()
        self.memory_seen = self.memory()
        self._memory_looked = 0.0

    def memory_at(self, now: float) -> int:
        """What the process holds, as of a moment ago."""
        if now - self._memory_looked > MEMORY_FRESH_S:
            self._memory_looked = now
            self.memory_seen = self.memory()
        return self.memory_seen

    @property
    def idle(self) -> int:
        """Greenlets kept for the next queries."""
        return len(self._idle)

    @property
    def busy(self) -> bool:
        """Whether work that is spawned now waits for its turn."""
        return self._used > self._beginners

    @property
    def quiet(self) -> bool:
        """Whether no query is under way, but for those that wait for something."""
        return not self._paused and not self._new

    def spawn(self, work: Callable[[], None]) -> None:
        """Runs `work` until it ends, pauses or waits for the first time: now, or when it is its turn. `work` never
        raises."""
        if self.busy:
            self._new.append(work)
            self._schedule()
            return
        began = perf_counter()
        worker = self._idle.pop() if self._idle else greenlet(self._worker)
        worker.parent = getcurrent()
        worker.switch(work)
        self._used += perf_counter() - began

    def _worker(self, work: Callable[[], None]) -> None:
        me = getcurrent()
        while True:
            work()
            del work  # an idle worker holds nothing of its last query, least of all its answer
            if len(self._idle) >= IDLE_MAX:
                return
            self._idle.append(me)
            assert me.parent is not None
            work = me.parent.switch()

    def pause(self, env: Env) -> None:
        """Lets the loop and other queries run; raises when the query is to end."""
        me = getcurrent()
        parent = me.parent
        if parent is None:  # evaluated in place: nothing to switch to
            return
        env.measure()
        env.note_rights()
        self._paused.append(me)
        self._schedule()
        parent.switch()
        env.pauses += 1
        env.check_alive()
        env.memory_seen = self.memory()
        env.new_slice()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._used = 0.0
        while self._new and not self.busy:
            self.spawn(self._new.popleft())
        if self._paused:
            began = perf_counter()
            worker = self._paused.popleft()
            worker.parent = getcurrent()
            worker.switch()
            self._used += perf_counter() - began
        if self._paused or self._new:
            self._schedule()

    def wait(self, env: Env, future: "Future[Any]") -> Any:
        """Waits for a future; raises what it raises, or ends the query when its client goes."""
        if future.done():
            return future.result()
        me = getcurrent()
        parent = me.parent
        assert parent is not None, "a query evaluated in place must not wait"

        def wake(_: "Future[Any] | None" = None) -> None:
            if env.wake is wake:
                env.wake = None
                me.parent = getcurrent()
                me.switch()

        env.end_batch()  # whoever waits holds no snapshot
        env.note_rights()
        env.measure()
        env.wake = wake
        future.add_done_callback(wake)
        parent.switch()
        env.pauses += 1
        if env.deadline:  # waiting does not count
            env.deadline += perf_counter() - env.slice_end + self.slice_seconds
        env.check_alive()
        env.memory_seen = self.memory()
        env.new_slice()
        return future.result()
