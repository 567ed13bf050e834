"""When the interpreter looks for garbage that counting references does not find: objects that refer to each other.

Left alone, Python looks whenever so many containers were made. Here those are rows that queries decode: looking at them
finds nothing and holds up everybody for as long as a hundred slices. What always holds: the interpreter never looks by
itself; it looks when no query is under way, or when the process has been so large for a while that it must; what the
server was built of it never looks at. Queries leave no such garbage (a test sees to it), connections leave a little
each. Started by `server.py`.
"""

import gc
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from enum import Enum
from time import perf_counter
from typing import Final

EVERY_S: Final = 1.0

NEW_MIN: Final = 2_000
"""Containers that are new since the last look; with fewer it is not worth one."""

NEW_EASY: Final = 25_000
"""So many take a few milliseconds. More are most likely rows that somebody still needs, and will be gone soon."""

PATIENCE_S: Final = 30.0
"""When more than that stay, as those of feeds do, they are looked at all the same."""

OLD_SHARE: Final = 0.25
OLD_MIN: Final = 25_000
"""All are looked at when so many, and this part of all, came through a look at the new ones."""

GROWTH: Final = 2.0
GROWTH_BYTES: Final = 256 << 20
"""When the process has grown by both since the last look, all are looked at: what a large query holds would take half a
second to look at, so not before it is over, unless that lasts."""


class Look(Enum):
    """What to do now."""

    NOT = "not now"
    NEW = "at what is new"
    ALL = "at all"


class State:
    """What a decision needs to know."""

    __slots__ = ("grown_from", "grown_s", "held", "new", "old", "passed", "quiet", "waited_s")

    def __init__(self) -> None:
        self.new = 0  # containers made and still there, since the last look
        self.quiet = True  # no query is under way
        self.waited_s = 0.0  # since there was a reason to look
        self.old = 0  # containers there were when all were last looked at
        self.passed = 0  # containers that came through a look at new ones since
        self.grown_s = 0.0  # since the process has grown
        self.held = 0  # bytes of the process, now
        self.grown_from = 0  # and after the last look


def has_grown(state: State) -> bool:
    return state.held > max(state.grown_from * GROWTH, state.grown_from + GROWTH_BYTES)


def decide(state: State) -> Look:
    """See the constants."""
    if state.new < NEW_MIN:
        return Look.NOT
    if has_grown(state):
        return Look.ALL if state.quiet or state.grown_s >= PATIENCE_S else Look.NOT
    if not state.quiet or (state.new > NEW_EASY and state.waited_s < PATIENCE_S):
        return Look.NOT
    passed = state.passed + state.new
    return Look.ALL if passed > max(OLD_MIN, state.old * OLD_SHARE) else Look.NEW


class Collector:
    """One per process."""

    def __init__(
        self, loop: AbstractEventLoop, *, quiet: Callable[[], bool], held: Callable[[], int]
    ) -> None:
        self.state = State()
        self._loop = loop
        self._quiet = quiet
        self._held = held
        self._timer: TimerHandle | None = None
        self._reason_since = 0.0
        self._grown_since = 0.0

    def start(self) -> None:
        """From here on looking is done here only."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self.state.grown_from = self._held()
        self._timer = self._loop.call_later(EVERY_S, self._again)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gc.enable()

    def _again(self) -> None:
        self.look()
        self._timer = self._loop.call_later(EVERY_S, self._again)

    def look(self) -> Look:
        """Looks if it is time to."""
        state = self.state
        state.new = gc.get_count()[0]
        if state.new < NEW_MIN:
            self._reason_since = 0.0
            return Look.NOT
        now = perf_counter()
        self._reason_since = self._reason_since or now
        state.waited_s = now - self._reason_since
        state.quiet = self._quiet()
        state.held = self._held()
        self._grown_since = (self._grown_since or now) if has_grown(state) else 0.0
        state.grown_s = now - self._grown_since
        what = decide(state)
        if what is Look.NOT:
            return what
        self._reason_since = self._grown_since = 0.0
        if what is Look.NEW:
            state.passed += max(0, state.new - gc.collect(1))
        else:
            gc.collect()
            state.passed = 0
            state.old = len(gc.get_objects())
        state.grown_from = self._held()
        return what
