"""Runs queries that may take long or must wait, so that none of them holds the loop.

Evaluation is plain synchronous Python in a greenlet; `pause` and `wait` switch back to the loop from any depth. What
always holds: between two looks at its sockets the loop runs queries for about one slice, however many there are;
clients that used little lately come first, with what they begin and with what they go on with, and every other turn
at the latest comes one of those that used much; a client has one turn while the others have one each, however many
queries it has. While somebody is there who uses little, the slices of all others are short, and what those who used
much send is looked at in their turns. Engine and feeds spawn; `Env` pauses and waits; connections line up.
"""

import logging
from asyncio import AbstractEventLoop, Future
from collections import OrderedDict, deque
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from greenlet import getcurrent, greenlet

from rethought.exec import memory
from rethought.exec.env import Env
from rethought.exec.freeing import LOT, free_some
from rethought.limits import DEFAULT_LIMITS

IDLE_MAX: Final = 64
MEMORY_FRESH_S: Final = 0.05

ROUND_S: Final = 0.25
"""What a client used counts half as much with each round."""
LITTLE_S: Final = 0.01
"""Who used less, counted like that, comes before the others."""

SHORT: Final = 8
"""So many times shorter is a slice while somebody else is there who uses little."""
NEAR_S: Final = 0.5
"""So long after a query such a client is still there."""
NEAR_MAX: Final = 32
"""So many of them are known; of more, those that asked last."""

Work = Callable[[], None]

log = logging.getLogger("rethought.exec")


class Usage:
    """How much of the loop's time a client's queries used lately."""

    __slots__ = ("round", "seconds")

    def __init__(self) -> None:
        self.round = 0
        self.seconds = 0.0


NOBODY: Final = Usage()
"""Whose work is nobody's."""


class Errand:
    """Work of the loop itself for a client: it neither pauses nor waits."""

    __slots__ = ("call",)

    def __init__(self, call: Work) -> None:
        self.call = call


def usage_of(env: Env) -> Usage:
    """Whose turns a query takes."""
    usage: Usage = NOBODY if env.client is None else env.client.usage
    return usage


Task = Work | greenlet | Errand


class Line:
    """Work that waits for its turn: each client's in order, the clients by turns."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: OrderedDict[Usage, deque[Task]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __bool__(self) -> bool:
        return bool(self._of)

    def add(self, usage: Usage, work: Task) -> None:
        waiting = self._of.get(usage)
        if waiting is None:
            waiting = self._of[usage] = deque()
        waiting.append(work)

    def of_others(self, usage: Usage) -> bool:
        """Whether another client's work waits."""
        return len(self._of) > (usage in self._of)

    def next(self) -> tuple[Usage, Task]:
        usage, waiting = next(iter(self._of.items()))
        work = waiting.popleft()
        if waiting:
            self._of.move_to_end(usage)
        else:
            del self._of[usage]
        return usage, work


class Scheduler:
    """One per node."""

    def __init__(
        self, loop: AbstractEventLoop, slice_seconds: float = DEFAULT_LIMITS.work_slice_seconds
    ) -> None:
        self.loop = loop
        self.slice_seconds = slice_seconds
        self._short_seconds = slice_seconds / SHORT
        self._short_turn_seconds = self._short_seconds / 2  # after which nobody begins any more
        self._idle: list[greenlet] = []
        self._first = Line()  # of clients that used little lately
        self._then = Line()
        self._passed_over = False  # whether those had no turn the last time
        self._discarded: list[tuple[list[Any], int]] = []  # containers, and the size of a lot
        self._scheduled = False
        self._used = 0.0  # seconds of work since the last turn began
        self.strangers = Usage()  # whom nobody knows yet
        self._near: dict[
            Usage, float
        ] = {}  # who uses little, until when: who asked last comes last
        self._allowed = slice_seconds  # of work in a turn
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
        return self._used > self._allowed

    @property
    def waiting(self) -> int:
        """Queries that wait for their turn."""
        return len(self._first) + len(self._then)

    @property
    def quiet(self) -> bool:
        """Whether no query is under way, but for those that wait for something, and what they made is freed."""
        return not self._first and not self._then and not self._discarded

    def spawn(self, work: Work | greenlet, usage: Usage = NOBODY) -> None:
        """Runs `work`, or goes on with what waited, until it ends, pauses or waits: now, or when it is its turn. `work`
        never raises. `usage` is the client's."""
        if self.busy:
            self._line_up(usage, work)
        else:
            self._run(usage, work)

    def slice_of(self, client: Any, now: float) -> float:
        """How long a client works at a stretch: less while somebody is near who uses little, and is not that client."""
        if not self._others_near(NOBODY if client is None else client.usage, now):
            return self.slice_seconds
        return max(self._short_seconds - self._used, self._short_turn_seconds)

    def heard(self, usage: Usage, now: float, *, asks: bool = True) -> bool:
        """A client has sent something: whether that is looked at now, or when it is its turn. Who `asks` for nothing
        new, but for more of what it is told, holds up nobody who tells it."""
        if usage.seconds < LITTLE_S or self._little(usage, now):
            if asks:
                self._make_near(usage, now + NEAR_S)
            return True
        self.left(usage)  # it was one of them, perhaps
        return not self.near(now)

    def _others_near(self, usage: Usage, now: float) -> bool:
        """Whether somebody else is there who uses little."""
        for other, until in reversed(self._near.items()):
            if other is not usage:
                return now < until
        return False

    def _make_near(self, usage: Usage, until: float) -> None:
        near = self._near
        if next(reversed(near), None) is not usage:
            near.pop(usage, None)
            if len(near) == NEAR_MAX:
                del near[next(iter(near))]
            self._allowed = self._short_turn_seconds
        near[usage] = until

    def left(self, usage: Usage) -> None:
        """A client is gone, or uses much: nobody has to make room for it."""
        self._near.pop(usage, None)

    def answered(self, usage: Usage, seconds_before: float, spent: float) -> None:
        """Several queries that it sent have been looked at, when it had used so much. What fits into a short slice does
        not count: it holds up nobody."""
        if spent > self._short_seconds:
            usage.seconds = seconds_before + spent

    def near(self, now: float) -> bool:
        """Whether somebody is there who uses little, so that nobody is to work long at a stretch."""
        return self._others_near(NOBODY, now)

    def line_up(self, usage: Usage, call: Work, *, first: bool | None = None) -> None:
        """Calls when it is the client's turn: `first` among those that use little, or after them, else by its usage."""
        self._line_up(usage, Errand(call), first)

    def _line_up(self, usage: Usage, work: Task, first: bool | None = None) -> None:
        if first is None:
            first = self._little(usage, perf_counter())
        (self._first if first else self._then).add(usage, work)
        self._schedule()

    def _little(self, usage: Usage, now: float) -> bool:
        """Whether a client used little lately."""
        rounds = int(now / ROUND_S)
        if usage.round < rounds:
            usage.seconds /= 1 << min(rounds - usage.round, 30)
            usage.round = rounds
        return usage.seconds < LITTLE_S

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

    def _run(self, usage: Usage, work: Task) -> None:
        began, before, used = perf_counter(), usage.seconds, self._used
        if isinstance(work, greenlet):
            work.parent = getcurrent()
            work.switch()
        elif isinstance(work, Errand):
            try:
                work.call()
            except Exception:  # or nobody had a turn any more
                log.exception("Internal error in a connection")
        else:
            worker = self._idle.pop() if self._idle else self._new_worker()
            worker.parent = getcurrent()
            worker.switch(work)
        spent = perf_counter() - began
        # Set, not added: work that was begun by an errand counts once.
        self._used = used + spent
        usage.seconds = before + spent

    def _new_worker(self) -> greenlet:
        worker = greenlet(self._worker)
        worker.switch()  # what a greenlet begins with it holds to its end
        return worker

    def _worker(self) -> None:
        me = getcurrent()
        while True:
            assert me.parent is not None
            work = me.parent.switch()
            work()
            del work  # an idle worker holds nothing of its last query, least of all its answer
            if len(self._idle) >= IDLE_MAX:
                return
            self._idle.append(me)

    def pause(self, env: Env) -> None:
        """Lets the loop and other queries run; raises when the query is to end."""
        me = getcurrent()
        parent = me.parent
        if parent is None:  # evaluated in place: nothing to switch to
            return
        env.measure()
        env.note_rights()
        env.end_slice()
        self._line_up(usage_of(env), me)
        parent.switch()
        env.pauses += 1
        env.check_alive()
        env.memory_seen = self.memory()
        env.new_slice()

    def _turn(self) -> None:
        self._scheduled = False
        self._used = 0.0
        first, then = self._first, self._then
        self._allowed = allowed = self._turn_seconds()
        owed = self._passed_over
        if owed:
            self._run(*then.next())
        while first and self._used <= allowed:
            self._run(*first.next())
        self._passed_over = bool(then) and not owed and self._used > allowed
        while then and self._used <= allowed:
            self._run(*then.next())
        if self._discarded:
            self._free_some()
        if first or then or self._discarded:
            self._schedule()

    def _turn_seconds(self) -> float:
        """How much work others can wait for, other than those whose turn it is."""
        near = next(reversed(self._near), NOBODY)
        others_wait = self._first.of_others(near) or self._then.of_others(near)
        short = self._others_near(
            NOBODY if others_wait or self._discarded else near, perf_counter()
        )
        return self._short_turn_seconds if short else self.slice_seconds

    def discard(self, things: list[Any], lot: int = LOT) -> None:
        """Takes a list that nobody needs any more, and lets go of so many things at a time: freeing takes time, too."""
        self._discarded.append(([things], lot))
        self._schedule()

    def _free_some(self) -> None:
        end = perf_counter() + self._allowed / 2
        while self._discarded:
            owned, lot = self._discarded[-1]
            free_some(owned, lot)
            if not owned:
                self._discarded.pop()
            if perf_counter() > end:
                return

    def wait(self, env: Env, future: "Future[Any]") -> Any:
        """Waits for a future; raises what it raises, or ends the query when its client goes."""
        if future.done():
            return future.result()
        me = getcurrent()
        parent = me.parent
        assert parent is not None, "a query evaluated in place must not wait"
        usage = usage_of(env)

        def wake(_: "Future[Any] | None" = None) -> None:
            if env.wake is wake:
                env.wake = None
                self.spawn(me, usage)

        env.end_batch()  # whoever waits holds no snapshot
        env.note_rights()
        env.measure()
        env.wake = wake
        future.add_done_callback(wake)
        env.end_slice()
        parent.switch()
        env.pauses += 1
        if env.deadline:  # waiting does not count
            env.deadline += perf_counter() - env.slice_began
        env.check_alive()
        env.memory_seen = self.memory()
        env.new_slice()
        return future.result()
