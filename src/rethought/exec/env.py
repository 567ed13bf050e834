"""What one running query carries with it.

Purpose: every function that evaluates something gets the query's `Env`: its settings, the snapshots it reads, the
writes it waits for, and the points where it gives way to others. One per query, made by the engine, used by nobody
else. What always holds: all reads between two `end_batch` see one snapshot of each group (unless the query itself
wrote there); whatever the query holds is given back in `end_batch`.
"""

from collections.abc import Callable, Mapping
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.values import from_json
from rethought.errors import OpIndeterminateError
from rethought.limits import Limits

if TYPE_CHECKING:
    from asyncio import Future

    from rethought.exec.schedule import Scheduler

SLICE_S: Final = 0.005


class Options(dict[str, Callable[[], Any]]):
    """Optional arguments of one term, by name; each is evaluated when asked for. Global ones stand in for absent ones."""

    __slots__ = ("env",)

    def __init__(self, env: "Env", given: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__(given)
        self.env = env

    def value(self, name: str) -> Any:
        """The value, None when absent (null counts as given only through `has`)."""
        call = self.get(name)
        if call is None:
            call = self.env.defaults.get(name)
        return None if call is None else call()

    def has(self, name: str) -> bool:
        return name in self or name in self.env.defaults


class Killed(BaseException):
    """Ends a query whose client went away. Not an error: nobody is there to get it."""


class Env:
    """See the module."""

    __slots__ = (
        "array_limit",
        "awaited",
        "batch_seconds",
        "cancelled",
        "catalog",
        "client",
        "defaults",
        "engine",
        "kill_message",
        "limits",
        "params",
        "plan",
        "scheduler",
        "slice_end",
        "snapshots",
        "started",
        "tickets",
        "transaction",
        "wake",
        "_now",
    )

    def __init__(
        self,
        engine: Any,
        client: Any,
        catalog: Any,
        limits: Limits,
        scheduler: Any,
    ) -> None:
        self.engine = engine
        self.client = client
        self.catalog = catalog
        self.limits = limits
        self.scheduler: Scheduler = scheduler
        self.array_limit = limits.array_limit
        self.defaults = Options(self, {})
        self.plan: Any = None
        self.params: tuple[Any, ...] = ()
        self.snapshots: dict[Any, Any] = {}
        self.tickets: list[Any] = []
        self.awaited: tuple[Any, bool] | None = None
        self.transaction: Any = None
        self.cancelled = False
        self.kill_message: str | None = None
        self.wake: Callable[[], None] | None = None
        self.slice_end = 0.0
        self.started = 0.0
        self._now: Any = None

    # ---- settings

    @property
    def now(self) -> Any:
        """The query's own point in time, as a TIME."""
        if self._now is None:
            self._now = from_json(
                {
                    "$reql_type$": "TIME",
                    "epoch_time": round(time(), 3),
                    "timezone": "+00:00",
                }
            )
        return self._now

    def database(self) -> Any:
        """The database that tables without one belong to."""
        if "db" in self.defaults:
            from rethought.exec.values import need_database

            return need_database(self, self.defaults["db"](), None)
        return self.catalog.database("test")

    # ---- giving way

    def tick(self) -> None:
        """Called between pieces of work: gives way to others when this query's slice is used up."""
        if perf_counter() > self.slice_end:
            self.scheduler.pause(self)

    def check_alive(self) -> None:
        if self.kill_message is not None:
            raise OpIndeterminateError(self.kill_message)
        if self.cancelled:
            raise Killed

    def cancel(self) -> None:
        """Ends the query at its next `tick` or `wait`."""
        self.cancelled = True
        if self.wake is not None:
            self.scheduler.loop.call_soon(self.wake)

    def wait(self, future: "Future[Any]") -> Any:
        """The result of a future; other queries run meanwhile."""
        return self.scheduler.wait(self, future)

    # ---- reads and writes

    def snapshot(self, group: Any) -> Any:
        """The state of a group that this batch of the query reads."""
        snapshot = self.snapshots.get(group)
        if snapshot is None:
            if self.transaction is not None:
                return self.transaction.snapshot(group)
            group.flush()
            snapshot = self.snapshots[group] = group.snapshot()
            snapshot.acquire()
        return snapshot

    def writing(self, group: Any) -> Any:
        """The open write batch of a group; what this query read there before is out of date afterwards."""
        snapshot = self.snapshots.pop(group, None)
        if snapshot is not None:
            snapshot.release()
        if not group.writable:
            self.wait(group.when_writable())
        if self.transaction is not None:
            self.transaction.join(group)
        return group.write()

    def wrote(self, batch: Any, hard: bool) -> None:
        """Notes that the answer must wait for this batch's commit (hard: for its sync)."""
        wanted = (batch, hard)
        if self.awaited != wanted:
            self.awaited = wanted
            self.tickets.append(batch.ticket(hard))

    def end_batch(self) -> None:
        """Gives back the snapshots."""
        if self.snapshots:
            for snapshot in self.snapshots.values():
                snapshot.release()
            self.snapshots = {}

    def require(self, permission: str, target: Any) -> None:
        """Refuses what the user may not do."""
        self.client.require(permission, target)


def too_many(limit: int) -> str:
    return (
        f"Array over size limit `{limit}`.  To raise the number of allowed elements, modify the "
        "`array_limit` option to `.run` (not available in the Data Explorer), or use an index."
    )

