"""Profiles: what a query spent its time on, as the protocol reports it.

A query with `profile` is compiled with its terms wrapped: a term that is evaluated once becomes an event with those
below it; what a function does for every row is measured by term, as a mean and a number. Plans of other queries know
nothing of it. What always holds: an event is listed where it was evaluated, in order; lists have an end. The compiler
wraps, the engine makes a `Recorder` for the query and takes its events with every response.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rethought.exec.env import Env

EVENTS_MAX: Final = 1_000
"""Events below one other; further ones are only counted."""


class Event:
    """A piece of work and what it consisted of."""

    __slots__ = ("began", "description", "samples", "spent", "tasks")

    def __init__(self, description: str, began: float) -> None:
        self.description = description
        self.began = began
        self.spent = 0.0
        self.tasks: list[Event] = []
        self.samples: dict[str, list[float]] = {}  # description: seconds and how often

    def tasks_json(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        pending = [(events, self)]
        while pending:
            out, event = pending.pop()
            for task in event.tasks:
                below: list[dict[str, Any]] = []
                out.append(
                    {
                        "description": task.description,
                        "duration(ms)": task.spent * 1000,
                        "sub_tasks": below,
                    }
                )
                pending.append((below, task))
            for description, (seconds, count) in event.samples.items():
                mean = seconds * 1000 / count
                out.append(
                    {
                        "description": description,
                        "mean_duration(ms)": mean,
                        "n_samples": int(count),
                    }
                )
        return events


class Recorder:
    """The events of one query since the last response."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._open = [Event("", 0.0)]

    def once(self, description: str, work: Callable[[], Any]) -> Any:
        """Does the work, as an event below the one it is part of."""
        parent = self._open[-1]
        if len(parent.tasks) >= EVENTS_MAX:
            return self.often(description, work)
        event = Event(description, self._clock())
        parent.tasks.append(event)
        self._open.append(event)
        try:
            return work()
        finally:
            event.spent = self._clock() - event.began
            while self._open.pop() is not event:  # what an error left open
                pass

    def often(self, description: str, work: Callable[[], Any]) -> Any:
        """Does the work, as one of many samples."""
        samples = self._open[-1].samples
        began = self._clock()
        try:
            return work()
        finally:
            sample = samples.setdefault(description, [0.0, 0])
            sample[0] += self._clock() - began
            sample[1] += 1

    def take(self) -> list[dict[str, Any]]:
        """The events so far, which then begin anew."""
        root, self._open = self._open[0], [Event("", 0.0)]
        return root.tasks_json()


def traced(env: "Env", description: str, work: Callable[[], Any]) -> Any:
    """A term that is evaluated once."""
    return work() if env.profile is None else env.profile.once(description, work)


def sampled(env: "Env", description: str, work: Callable[[], Any]) -> Any:
    """A term within a function, which may be evaluated for every row."""
    return work() if env.profile is None else env.profile.often(description, work)
