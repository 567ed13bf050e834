"""A process that writes until it is killed: `python -m tests.store.crashing FILE POINT COUNT`.

It kills itself (SIGKILL) when it comes to a crash point for the COUNTth time. Before, it prints one line for each
promise that was kept: `soft SEQ` or `hard SEQ`, so that the parent can hold the file to it.
"""

import os
import signal
import sys
from pathlib import Path

from rethought.store import CRASH_POINTS, Disk, GroupOptions, open_group
from tests.store.support import FieldRule, ManualLoop, key_of, put


class DeadlyDisk(Disk):
    def __init__(self, point: str, count: int) -> None:
        self.point = point
        self.count = count

    def reached(self, point: str) -> None:
        assert point in CRASH_POINTS
        if point == self.point:
            self.count -= 1
            if self.count == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def promise(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # unbuffered: the next thing may be the end


def main(path: Path, point: str, count: int) -> None:
    loop = ManualLoop()
    options = GroupOptions(
        disk=DeadlyDisk(point, count),
        checkpoint_bytes=1 << 17,
        log_bytes=1 << 18,
        save_commits=5,
        step_seconds=0.0005,
    )
    group = open_group(path, loop=loop, options=options)
    table = group.create_table()
    doomed = group.create_table()
    promise(f"table {table}")
    group.flush()
    for i in range(2_000):
        put(group, doomed, key_of(i), {"id": i, "a": i})
    group.drop_table(doomed)
    for i in range(3_000):
        for j in range(3):
            put(group, table, key_of(i * 3 + j), {"id": i * 3 + j, "a": i, "p": "x" * 300})
        if i == 400:
            index = group.create_index(table, FieldRule("a"))
            promise(f"index {index}")
        ticket = group.write().ticket(i % 4 == 0)
        seq = group.seq + 1
        kind = "hard" if ticket.hard else "soft"
        ticket.add(lambda error, seq=seq, kind=kind: promise(f"{kind} {seq} {error}"))
        loop.turn()
        if not group.writable:
            loop.run_until(group.when_writable().done)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
