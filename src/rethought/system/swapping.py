"""Whether the process has been fetching memory back from swap, which makes everything slow.

What always holds: it is an issue while in the last ten minutes more pages were fetched from the disk than a start or a
rare moment explains, and part of the process is in swap; where the system does not tell, there is no issue. Looked at
now and then by `server.py`; asked by `reporting`.
"""

import resource
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rethought.system.node import Issue

WINDOW_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 30.0
FAULTS_MAX: Final = 10_000
"""Pages fetched from the disk in the window; at 4 kB each a minute of a slow disk."""

MESSAGE: Final = (
    "RethinkDB has been accessing a lot of swap memory in the past ten minutes. "
    "This may impact performance."
)


def major_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def swapped_bytes() -> int:
    """How much of the process is in swap; 0 where the system does not say."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmSwap:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return 0


class Swapping:
    """See the module."""

    def __init__(
        self,
        *,
        faults: Callable[[], int] = major_faults,
        swapped: Callable[[], int] = swapped_bytes,
    ) -> None:
        self._faults = faults
        self._swapped = swapped
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now: float) -> None:
        """Called every `LOOK_SECONDS`."""
        self._seen.append((now, self._faults()))
        while now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()

    def issues(self) -> list[Issue]:
        seen = self._seen
        if not seen or seen[-1][1] - seen[0][1] <= FAULTS_MAX or not self._swapped():
            return []
        return [
            Issue(
                type="memory_error",
                subject="swap",
                critical=False,
                info={"message": MESSAGE},
                description=MESSAGE,
            )
        ]
