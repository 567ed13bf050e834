"""What the system tables are told about the running process.

What always holds: everything here is data or a function without side effects, except `kill`; the defaults describe a
process of which nothing is known, so that tests and embedders give only what they need. Filled in by `server.py`.
"""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING, Final

from rethought import VERSION

if TYPE_CHECKING:
    from rethought.exec.env import Env
    from rethought.system.counting import Traffic

COMPATIBLE_VERSION = "2.4.4"
"""The version of the protocol's original that clients are told; tools read it from `server_status`."""


@dataclass(frozen=True, slots=True)
class RunningQuery:
    """A query under way. `text` prints it; that is costly, so it happens only for whoever looks."""

    id: str
    user: str
    address: str
    port: int
    started: float  # seconds since 1970
    text: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Clients:
    """How many there are, and how many of them have a query under way."""

    client_connections: int = 0
    clients_active: int = 0


@dataclass(frozen=True, slots=True)
class ScrubState:
    """The slow search for damage: where it is (None: at rest), when every file had been looked through last."""

    database: str | None
    progress: float
    finished: float | None
    read_bytes: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line of the log."""

    time_ns: int
    uptime_seconds: float
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Issue:
    """Something an operator should know. `subject` makes its id stable; `here`: `info` shall name this server."""

    type: str
    subject: str
    critical: bool
    info: dict[str, object]
    description: str
    here: bool = True


SECRET_OPTIONS: Final = ("--initial-password",)


def redacted(argv: Iterable[str]) -> tuple[str, ...]:
    """The command line without its secrets: whoever reads `server_status` may see it."""
    shown: list[str] = []
    for word in argv:
        option, equals, _ = word.partition("=")
        if option in SECRET_OPTIONS and equals:
            shown.append(f"{option}=***")
        elif shown and shown[-1] in SECRET_OPTIONS:
            shown.append("***")
        else:
            shown.append(word)
    return tuple(shown)


def _version() -> str:
    return f"rethinkdb {COMPATIBLE_VERSION} (rethought {VERSION})"


@dataclass(slots=True)
class Node:
    """The process. Ports are None for what it does not listen on."""

    hostname: str = "localhost"
    addresses: tuple[str, ...] = ("127.0.0.1",)
    driver_port: int = 28015
    http_port: int | None = None
    cluster_port: int = 29015
    pid: int = field(default_factory=os.getpid)
    argv: tuple[str, ...] = field(default_factory=lambda: redacted(sys.argv))
    version: str = field(default_factory=_version)
    started: float = field(default_factory=time)
    cache_mb: Callable[[], float] = lambda: 0.0
    clock: Callable[[], float] = time
    queries: Callable[["Env | None"], list[RunningQuery]] = lambda asking: []
    kill: Callable[[str, str], bool] = lambda id_, message: False
    clients: Callable[["Env | None"], Clients] = lambda asking: Clients()
    queries_started: Callable[[], int] = lambda: 0
    logs: Callable[[], list[LogEntry]] = list
    issues: Callable[[], list[Issue]] = list
    scrub: Callable[[], ScrubState | None] = lambda: None
    traffic: "Traffic | None" = None
