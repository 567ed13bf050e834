"""What a group may be told when it is opened, with every limit of the store.

What always holds: a number that bounds something in this room is a name here, with its unit. Built by `server.py` from
the configuration, by tests as they like.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rethought.store.cache import Cache
from rethought.store.connection import VFS
from rethought.store.disk import Disk


@dataclass(slots=True, frozen=True, kw_only=True)
class GroupOptions:
    """How one group behaves. `key` is 32 bytes, None for the published integrity key."""

    key: bytes | None = None
    vfs: str = VFS  # the file system below the cipher
    cache_bytes: int = 64 << 20  # pages kept in memory by all groups opened with these options
    cache: Cache = field(default_factory=Cache)
    reader_cache_bytes: int = 1 << 20  # pages kept by each connection that serves an older snapshot
    readers_idle_max: int = 4  # connections kept open for the next long read

    page_bytes: int = 1 << 20  # documents of one page of a scan, about
    page_bytes_max: int = (
        4 << 20
    )  # ... beyond which sizes are looked at first (documents of very mixed size)
    transaction_bytes_max: int = 400 << 20  # documents of one transaction, old and new

    journal_seconds: float = 86_400.0  # commits older than this are forgotten
    journal_bytes: int = 64 << 20  # ... and the oldest ones beyond this size
    journal_trim_rows: int = 64  # commits forgotten in one step

    save_commits: int = (
        256  # counters are saved with every so many commits; opening adds up the journal since
    )
    save_bytes: int = 4 << 20  # ... or after so many bytes of journal

    checkpoint_bytes: int = 4 << 20  # new log before a checkpoint round starts
    log_bytes: int = 64 << 20  # log size that makes writers wait for a last round
    log_idle_bytes: int = 8 << 20  # a larger log is given back when nothing was written
    log_idle_seconds: float = 10.0  # ... for so long

    step_seconds: float = (
        0.004  # one step of work in the background (index build, dropping a table)
    )

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.perf_counter
    random_bytes: Callable[[int], bytes] = os.urandom
    disk: Disk = field(default_factory=Disk)


DEFAULT_OPTIONS = GroupOptions()
