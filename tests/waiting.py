"""Waiting for what another process, thread or turn of a loop is about to do.

What always holds: a test waits for a state, never for a while; how long that may take is `PATIENCE_S`, far more than it
takes, since a busy machine may give a process nothing for seconds. Between two looks the machine is left to those who
are waited for.
"""

import time
from collections.abc import Callable
from typing import Any, Final

PATIENCE_S: Final = 60
LOOK_S: Final = 0.005


def until(condition: Callable[[], Any]) -> None:
    """Looks again and again until `condition` gives something true; fails when it does not."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(LOOK_S)
