"""What the running process tells about itself: its log, its counters, its issues.

What always holds: looking costs some microseconds per table, whatever the size of the data; nothing is read from disk;
no secret and no document is in what is told. `server.py` makes a `Reporter` of the process's parts and puts it into the
`Node`; `metrics` asks it too.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from rethought import log as server_log
from rethought.errors import ReqlError
from rethought.system.counting import Traffic
from rethought.system.damage import damage_issues
from rethought.system.lockouts import Guessing, lockout_issues
from rethought.system.node import Clients, Issue, LogEntry, Node
from rethought.system.swapping import LOOK_SECONDS, Swapping

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from rethought.catalog import Catalog
    from rethought.exec.env import Env
    from rethought.store import Group

PROBE_RECORD: Final = "probe"
PROBE_BYTES: Final = 128 << 10
"""A few bytes find a place on a disk that is as good as full."""

SPACE_LOW_BYTES: Final = 256 << 20
"""Less free space than this on the disk is an issue before it is an error."""


class Connections(Protocol):
    """What is asked of the wire's listener."""

    tls_failures: int

    @property
    def connections(self) -> list[Any]: ...

    def guessing(self) -> Iterable[Guessing]:
        """Who keeps failing to log in."""


class EngineCounts(Protocol):
    """What is asked of the engine."""

    queries: int
    logins: int
    logins_refused: int
    running: set[Any]
    cursors: Any
    plans: Any


class Reporter:
    """See the module. `listener` is None before the port is open."""

    def __init__(
        self,
        catalog: "Catalog",
        engine: EngineCounts,
        *,
        lockouts: Callable[[], list[Issue]] = list,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        log: server_log.Log = server_log.LOG,
    ) -> None:
        self.catalog = catalog
        self.engine = engine
        self.listener: Connections | None = None
        self._lockouts = lockouts
        self._free_bytes = free_bytes
        self._log = log
        self.traffic = Traffic(catalog)
        self.swapping = Swapping()

    def fill(self, node: Node) -> None:
        """Gives the system tables what they ask of the process."""
        node.clients = self.clients
        node.queries_started = lambda: self.engine.queries
        node.traffic = self.traffic
        node.logs = self.logs
        node.issues = self.issues

    def watch(self, loop: "AbstractEventLoop") -> None:
        """Looks at what only shows over time, from now on."""
        self.swapping.look(loop.time())
        loop.call_later(LOOK_SECONDS, self.watch, loop)

    # ---- for the system tables

    def clients(self, asking: "Env | None" = None) -> Clients:
        """`asking` is the query that wants to know, if there is one: whoever asks is active."""
        listener = self.listener
        connections = [] if listener is None else listener.connections
        return Clients(
            client_connections=len(connections),
            clients_active=sum(not connection.session.idle for connection in connections)
            + (
                asking is not None and all(query.env is not asking for query in self.engine.running)
            ),
        )

    def logs(self) -> list[LogEntry]:
        """Oldest first."""
        return [
            LogEntry(entry.time_ns, entry.uptime, entry.level, entry.full_message)
            for entry in tuple(self._log.recent)
        ]

    def issues(self) -> list[Issue]:
        found = [*self._write_issues(), *self._damage(), *self._lockouts(), *self._guessing()]
        found += self._log_issue()
        found += self.swapping.issues()
        found += self._space_issue()
        return found

    def writable(self, *, probe: bool) -> bool:
        """Whether the last write to every file succeeded; with `probe` one is tried where it did not."""
        groups = [self.catalog.group, *(each.group for each in self.catalog.user_databases())]
        return all(group is None or works(group, probe=probe) for group in groups)

    def _write_issues(self) -> list[Issue]:
        groups = [("the system database", self.catalog.group)]
        groups += [
            (f"database `{database.name}`", database.group)
            for database in self.catalog.user_databases()
            if database.group is not None
        ]
        return [
            Issue(
                type="write_error",
                subject=str(group.path),
                critical=True,
                info={"file": group.path.name, "message": group.trouble},
                description=f"Writing to {name} fails: {group.trouble} Reads go on.",
            )
            for name, group in groups
            if group.trouble is not None
        ]

    @property
    def tls_failures(self) -> int:
        return 0 if self.listener is None else self.listener.tls_failures

    def _guessing(self) -> list[Issue]:
        return [] if self.listener is None else lockout_issues(self.listener.guessing())

    def _damage(self) -> list[Issue]:
        found = damage_issues(self.catalog)
        found += [
            Issue(
                type="unknown_file",
                subject=id_,
                critical=False,
                info={"file": f"{id_}.db"},
                description=(
                    f"The file `{id_}.db` in the data directory belongs to no database. It is left "
                    "alone; remove it, or move it away, when you know what it is."
                ),
            )
            for id_ in self.catalog.unknown_files
        ]
        return found

    def _log_issue(self) -> list[Issue]:
        message = self._log.trouble
        if message is None:
            return []
        return [
            Issue(
                type="log_write_error",
                subject="log",
                critical=False,
                info={"message": message},
                description=f"The following error occurred while writing the log file: {message}",
            )
        ]

    def free_bytes(self) -> int:
        """Free space for the data; -1 when it cannot be told."""
        try:
            return self._free_bytes(self.catalog.files.directory)
        except OSError:
            return -1

    def _space_issue(self) -> list[Issue]:
        free = self.free_bytes()
        if free < 0 or free >= SPACE_LOW_BYTES:
            return []
        return [
            Issue(
                type="disk_space_low",
                subject="disk",
                critical=False,
                info={"free_bytes": free},
                description=(
                    f"Only {free >> 20} MB are free on the disk of the data directory. When there "
                    "is no space left, writes fail and reads go on."
                ),
            )
        ]


def works(group: "Group", *, probe: bool) -> bool:
    """Whether a file can be written. Without a probe the trouble would last until somebody writes again."""
    if probe and in_trouble(group):
        with contextlib.suppress(ReqlError):
            group.meta_put(PROBE_RECORD, bytes(PROBE_BYTES))
            group.flush()
            if not in_trouble(group):
                group.meta_delete(PROBE_RECORD)
    return not in_trouble(group)


def in_trouble(group: "Group") -> bool:
    return group.trouble is not None
