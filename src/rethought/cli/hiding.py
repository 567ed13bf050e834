"""Takes a password that was given on the command line out of what others on the machine see of this process.

What always holds: never fails; where the system does not let a process change its own arguments they stay as they are.
A moment remains in which they can be seen, so a file is the better place for a password. `serve` calls this.
"""

import contextlib
import re
from pathlib import Path
from typing import Final

SECRET: Final = re.compile(rb"--initial-password(?:=|\0)([^\0]+)")
ARG_START: Final = 45
"""Of the fields of /proc/self/stat that follow the name of the process; the end is the next one."""


def hide_password(process: Path = Path("/proc/self")) -> None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
        start, end = int(fields[ARG_START]), int(fields[ARG_START + 1])
        with (process / "mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            arguments = memory.read(end - start)
            for found in SECRET.finditer(arguments):
                memory.seek(start + found.start(1))
                memory.write(b"*" * len(found[1]))
