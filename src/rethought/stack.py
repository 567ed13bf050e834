"""How deep this process may recurse.

What always holds: the interpreter stops a recursion with a RecursionError, which becomes a typed error of one query,
long before the C stack ends, which would be the end of the process. Called once, by whoever runs the loop.
"""

import resource
import sys
from typing import Final

STACK_BYTES: Final = 64 << 20
BYTES_PER_LEVEL: Final = 3_200
"""What a level of recursion takes of the C stack at most: a Python function called from C (a sort's key) takes 2 kB."""


def prepare() -> None:
    """Takes a larger stack where the system lets its main thread grow, and sets the recursion limit to fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    size = STACK_BYTES if soft == resource.RLIM_INFINITY else soft
    if sys.platform == "linux" and size < STACK_BYTES:
        wanted = STACK_BYTES if hard == resource.RLIM_INFINITY else min(STACK_BYTES, hard)
        try:
            resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))
            size = wanted
        except (OSError, ValueError):
            pass  # it stays as it is
    sys.setrecursionlimit(max(1_000, min(size, STACK_BYTES) // BYTES_PER_LEVEL))
