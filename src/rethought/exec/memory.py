"""How much memory queries take.

The growth of the process while a query has its slice is that query's: sorting, grouping, strings, whatever it is, none
of it needs counting of its own. What always holds: pages that the store caches are nobody's; what a query allocates
and frees again is counted once, because the process keeps it for whoever comes next. `exec.schedule` asks at both ends
of a slice, `Env` when something large was made.
"""

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rethought.store.memory import cache_bytes

MEASURE_EVERY_BYTES: Final = 16 << 20
"""Large values a query makes between two looks at the process."""

CEILING_SHARE: Final = 0.85

Read = Callable[[], int]


def reader() -> Read:
    """A function that gives the bytes this process holds, without files and the store's cache."""
    try:
        fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024

        def peak() -> int:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - cache_bytes()

        return peak
    page = resource.getpagesize()

    def held() -> int:
        fields = os.pread(fd, 64, 0).split()
        return (int(fields[1]) - int(fields[2])) * page - cache_bytes()

    return held


def ceiling() -> int:
    """What all queries together may make of this process, by the memory there is."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            sizes.append(int(Path("/sys/fs/cgroup", name).read_text()))
        except (OSError, ValueError):
            continue  # no such limit
    return int(min(sizes) * CEILING_SHARE)
