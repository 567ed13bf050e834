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
    """Optional arguments of one term, each evaluated when asked for; global ones stand in for absent ones."""

    __slots__ = ("fallback",)

    def __init__(self, env: "Env | None", given: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__(given)
        self.fallback: Mapping[str, Callable[[], Any]] = _NONE if env is None else env.defaults

    def value(self, name: str) -> Any:
        """The value, None when absent (null counts as given only through `has`)."""
        call = self.get(name) or self.fallback.get(name)
        return None if call is None else call()

    def has(self, name: str) -> bool:
        return name in self or name in self.fallback


_NONE: Final[Mapping[str, Callable[[], Any]]] = {}
NO_OPTIONS: Final = Options(None, {})


class Killed(BaseException):
    """Ends a query whose client went away. Not an error: nobody is there to get it."""


class MustWait(Exception):
    """A query that was evaluated in place has to wait after all. Raised before it changed anything."""


class Env:
    """See the module. What most queries never touch has its first value in the class."""

    defaults: Options = NO_OPTIONS
    plan: Any = None
    params: tuple[Any, ...] = ()
    body: bytes = b""
    tickets: tuple[Any, ...] = ()
    awaited: tuple[Any, bool] | None = None
    transaction: Any = None
    cancelled = False
    in_place = False  # evaluated by the loop itself, outside any greenlet
    kill_message: str | None = None
    wake: Callable[[], None] | None = None
    slice_end = 0.0
    started = 0.0
    _now: Any = None

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
        self.snapshots: dict[Any, Any] = {}

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
        if self.in_place:
            raise MustWait
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
            self.await_ticket(batch.ticket(hard))

    def await_ticket(self, ticket: Any) -> None:
        """Notes that the answer must wait for this ticket."""
        self.tickets = (*self.tickets, ticket)

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
