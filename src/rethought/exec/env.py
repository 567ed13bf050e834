"""What one running query carries with it.

Purpose: every function that evaluates something gets the query's `Env`: its settings, the snapshots it reads, the
writes it waits for, and the points where it gives way to others. One per query, made by the engine, used by nobody
else. What always holds: all reads between two `end_batch` see one snapshot of each group (unless the query itself
wrote there); whatever the query holds is given back in `end_batch`.
"""

from collections.abc import Callable, Mapping, Sized
from time import perf_counter, thread_time, time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rethought.catalog.permissions import denied
from rethought.datum.values import from_json
from rethought.errors import OpIndeterminateError, ResourceLimitError
from rethought.exec.freeing import LOT, free_in_steps, unused
from rethought.exec.memory import MEASURE_EVERY_BYTES
from rethought.limits import Limits

if TYPE_CHECKING:
    from asyncio import Future

    from rethought.exec.chance import Chance
    from rethought.exec.schedule import Scheduler


Container = TypeVar("Container", bound=Sized)

DEFAULT_DATABASE: Final = "test"
LARGE_MIN: Final = 5_000
"""An array of so many elements is freed in steps."""
SHORT_LOT: Final = 16
"""So many times smaller are the lots of work in a short slice."""


class Options(dict[str, Callable[[], Any]]):
    """Optional arguments of one term, each evaluated when asked for; global ones stand in for absent ones."""

    __slots__ = ("env", "fallback")

    def __init__(
        self,
        env: "Env | None",
        given: Mapping[str, Callable[[], Any]],
        fallback: Mapping[str, Callable[[], Any]] | None = None,
    ) -> None:
        super().__init__(given)
        self.env = env
        if fallback is None:
            fallback = _NONE if env is None else env.defaults.fallback
        self.fallback: Mapping[str, Callable[[], Any]] = fallback

    def value(self, name: str) -> Any:
        """The value, which is data; None when absent (null counts as given only through `has`)."""
        value = self.whatever(name)
        if value.__class__ in _PLAIN or self.env is None:
            return value
        from rethought.exec.values import need_datum

        return need_datum(self.env, value, *(self.blame(name) or (None,)))

    def blame(self, name: str) -> tuple[str, ...]:
        """Where an error about an option stands: nowhere, when it is a global one."""
        return (name,) if name in self else ()

    def whatever(self, name: str) -> Any:
        """The value, which may be a table or a function as well."""
        call = self.get(name) or self.fallback.get(name)
        return None if call is None else call()

    def has(self, name: str) -> bool:
        return name in self or name in self.fallback


_PLAIN: Final = frozenset((type(None), bool, int, float, str))
_NONE: Final[Mapping[str, Callable[[], Any]]] = {}
NO_OPTIONS: Final = Options(None, {})


class Killed(BaseException):
    """Ends a query whose client went away. Not an error: nobody is there to get it."""


class MustWait(Exception):
    """A query that was evaluated in place has to wait after all. Raised before it changed anything."""


class Env:
    """See the module. What most queries never touch has its first value in the class."""

    defaults: Options = NO_OPTIONS  # of a term that is given none: it has the global ones only
    home: Callable[[], Any] | None = None  # the global option `db`
    plan: Any = None
    params: tuple[Any, ...] = ()
    body: bytes = b""
    tickets: tuple[Any, ...] = ()
    awaited: Any = None  # the ticket of its last write
    transaction: Any = None
    cancelled = False
    in_place = False  # evaluated by the loop itself, outside any greenlet
    kill_message: str | None = None
    wake: Callable[[], None] | None = None
    slice_end = 0.0
    slice_began = 0.0
    hurried = False  # whether its slices are short, because somebody is near who uses little
    started = 0.0
    worked_s = 0.0  # on this batch of it, before this slice
    row_s = 0.0  # what a row took of the last page of a table
    rows_read = 0  # counted for users with a limit only
    generated: str | None = None  # the key that was last made up for a row
    undivided = False  # whether it must come to an end in this slice
    worked_before: float | None = None  # of this thread, when half of an undivided slice was over
    deadline = 0.0  # when a query that is still at work is ended, 0 never
    pauses = 0  # how often others had their turn
    memory_seen = 0  # the memory of the process when this slice began or was looked at
    memory_bytes = 0  # its growth in the slices of this query
    large: Any = ()  # a list of the arrays and objects that are to be freed in steps
    unmeasured = 0  # bytes of large values since the last look
    rights = -1  # the version of the permissions when others first had their turn
    rules: Mapping[str, Any] = {}  # this user's, by table, at that time
    profile: Any = None  # the query's Recorder, when it has one
    _now: Any = None
    _id: str | None = None

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
        self.scheduler: Any = scheduler
        self.array_limit = limits.array_limit
        self.snapshots: dict[Any, Any] = {}

    @property
    def id_if_asked(self) -> str | None:
        """The name of this query, if somebody has asked for it."""
        return self._id

    @property
    def id(self) -> str:
        """The name of this query in `jobs` and in the log; made when somebody first asks for it."""
        if self._id is None:
            self._id = self.chance.uuid()
        return self._id

    @property
    def chance(self) -> "Chance":
        """Where random numbers and identifiers come from."""
        chance: Chance = self.engine.chance
        return chance

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

    @now.setter
    def now(self, value: Any) -> None:
        self._now = value

    def database(self) -> Any:
        """The database that tables without one belong to."""
        if self.home is not None:
            from rethought.exec.values import need_database

            return need_database(self, self.home(), None)
        return self.catalog.database(DEFAULT_DATABASE)

    # ---- giving way

    def tick(self) -> None:
        """Called between pieces of work: gives way to others when this query's slice is used up."""
        now = perf_counter()
        if now > self.slice_end:
            if self.undivided:
                self.stay_undivided()
            else:
                self.scheduler.pause(self)

    def discard(self, things: list[Any], lot: int = LOT) -> None:
        """Lets go of very many things that nobody else knows of, a lot at a time, while others have their turns."""
        if self.scheduler is not None and len(things) > lot:
            self.scheduler.discard(things, lot)

    def made(self, value: Container) -> Container:
        """The same array or object. A large one is freed in steps."""
        if len(value) >= LARGE_MIN:
            self.hold(value)
        return value

    def hold(self, value: Any) -> None:
        """Takes something to be freed in steps once nobody needs it: when the next one comes, or after the query."""
        if self.scheduler is None:
            return
        if not self.large:
            self.large = [value]
        elif not any(each is value for each in self.large):  # held twice, it would never be alone
            free_in_steps([unused(self.large)], self.tick)
            self.large.append(value)

    def making(self, size: int) -> None:
        """Called before a value of many bytes is made, which may take long."""
        limit = self.limits.query_memory_bytes // VALUE_SHARE
        if size > limit:
            raise ResourceLimitError(too_large(limit))
        self.unmeasured += size
        if self.unmeasured > MEASURE_EVERY_BYTES:
            self.measure()
        self.tick()

    def measure(self) -> None:
        """Looks at what the process holds; ends a query that made it grow too much."""
        self.unmeasured = 0
        scheduler: Scheduler | None = self.scheduler
        if scheduler is None:  # a function outside any query
            return
        seen = scheduler.memory()
        grown = seen - (self.memory_seen or scheduler.memory_seen)
        self.memory_seen = scheduler.memory_seen = seen
        self.memory_bytes += grown
        limit = self.limits.query_memory_bytes
        if self.memory_bytes > limit:
            raise ResourceLimitError(f"The query needs too much memory (more than {limit} bytes).")
        if grown > 0 and seen > scheduler.memory_most:
            raise ResourceLimitError("The server has no memory left for this query.")

    def check_alive(self) -> None:
        if self.kill_message is not None:
            raise OpIndeterminateError(self.kill_message)
        if self.cancelled:
            raise Killed
        if self.deadline and perf_counter() > self.deadline:
            seconds = self.limits.query_seconds
            raise ResourceLimitError(f"The query ran for more than {seconds:g} seconds.")

    def worked(self) -> float:
        """Seconds of work on this batch of the query."""
        return self.worked_s + perf_counter() - self.slice_began

    def begin(self, now: float) -> None:
        """A slice begins, the first of a query or of a batch of its cursor."""
        self.worked_s = 0.0
        self._begin_slice(now)
        seconds = self.limits.query_seconds
        if seconds:
            self.deadline = now + seconds
        self.memory_seen = self.scheduler.memory_at(now)

    def new_slice(self) -> None:
        """The query has its turn again."""
        self._begin_slice(perf_counter())

    def _begin_slice(self, now: float) -> None:
        scheduler: Scheduler = self.scheduler
        seconds = scheduler.slice_of(self.client, now)
        self.hurried = seconds < scheduler.slice_seconds
        self.slice_began = now
        self.slice_end = now + seconds

    def end_slice(self) -> None:
        """Others have their turn."""
        self.worked_s += perf_counter() - self.slice_began

    def lot(self, size: int) -> int:
        """How many to do at a stretch of what `size` are done of in a slice, or a few."""
        return max(1, size // SHORT_LOT) if self.hurried else size

    def hold_on(self) -> None:
        """From here to `begin` the query keeps its slice, which therefore has an end."""
        self.undivided = True
        self.worked_before = None
        self.slice_end = perf_counter() + self.limits.undivided_seconds / 2

    def stay_undivided(self) -> None:
        """What `tick` comes to when half the time of an undivided slice is over. The other half must be work: what a
        row's index keys are, or whether a feed tells of it, must not depend on the machine having been busy."""
        seconds = self.limits.undivided_seconds
        work = thread_time()
        if self.worked_before is None:
            self.worked_before = work
        left = self.worked_before + seconds / 2 - work
        if left <= 0:
            raise ResourceLimitError(
                f"Evaluation that must not be interrupted took more than {seconds:g} seconds."
            )
        self.slice_end = perf_counter() + left

    def forget_options(self) -> None:
        """The query is over. They refer back to it, and what refers to itself stays until the collector looks."""
        self.home = None
        self.defaults = NO_OPTIONS
        if self.large:
            self.scheduler.discard(self.large)
            self.large = ()

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
        if self.in_place:  # nobody writes before it is used, so nobody need hold it
            return group.snapshot()
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
        if self.snapshots:
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
        ticket = batch.ticket(hard)
        if self.awaited is not ticket:
            self.awaited = ticket
            self.tickets = (*self.tickets, ticket)

    def await_ticket(self, ticket: Any) -> None:
        """Notes that the answer must wait for this ticket."""
        self.tickets = (*self.tickets, ticket)

    def end_batch(self) -> None:
        """Gives back the snapshots."""
        if self.snapshots:
            for snapshot in self.snapshots.values():
                snapshot.release()
            self.snapshots = {}
        if self.large and (alone := unused(self.large)):
            self.scheduler.discard(alone)

    def note_rights(self) -> None:
        """Called before others have their turn: with these rules the query began."""
        if self.rights < 0 and self.client is not None and self.client.user != "admin":
            self.rights = self.catalog.permissions.version
            self.rules = dict(self.client.rules)

    def check_rules(self, handle: Any) -> None:
        """Ends a query that began with another rule for reading a table than there is now."""
        permissions = self.catalog.permissions
        if self.rights == permissions.version:
            return
        if self.rules.get(handle.id) is not permissions.rules_of(self.client.user).get(handle.id):
            raise denied(self.client.user, "read")

    def require(self, permission: str, target: Any) -> None:
        """Refuses what the user may not do."""
        self.client.require(permission, target)


def too_many(limit: int) -> str:
    return (
        f"Array over size limit `{limit}`.  To raise the number of allowed elements, modify the "
        "`array_limit` option to `.run` (not available in the Data Explorer), or use an index."
    )


VALUE_SHARE: Final = 8
"""One value may take this part of what a query may hold: it is written in one go."""


def too_large(limit: int) -> str:
    return f"A value of this query is too large (more than {limit} bytes)."
