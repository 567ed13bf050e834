"""The board example as a process, for its tests."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rethinkdb import r

from tests.waiting import PATIENCE_S
from tools.serverprocess import TALKATIVE

TOP = Path(__file__).parents[2]


@dataclass
class Board:
    """The example as its users start it. `database` is the process that it says the database is now."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    told: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""
    port: int = 0
    database: int = 0
    database_port: int = 0
    ended: bool = False

    def read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with self.told:
                    self.lines.append(line)
                    if found := re.search(r"http://\S+:(\d+)", line):
                        self.url, self.port = found[0], int(found[1])
                    if found := re.search(r"port (\d+), process", line):
                        self.database_port = int(found[1])
                    if found := re.search(r"process (\d+)", line):
                        self.database = int(found[1])
                    self.told.notify_all()
        with self.told:
            self.ended = True
            self.told.notify_all()

    def wait_for(self, what: Callable[[], Any]) -> None:
        with self.told:
            assert self.told.wait_for(what, 2 * PATIENCE_S), "".join(self.lines)

    def kill_database(self) -> None:
        os.kill(self.database, signal.SIGKILL)

    def wait_for_another_database(self, before: int) -> None:
        self.wait_for(lambda: self.database != before)

    def rows(self, query: Any) -> list[Any]:
        with r.connect("127.0.0.1", self.database_port) as conn:
            return list(query.run(conn))

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(2 * PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # prints where it is
            self.process.wait()
            self.wait_for(lambda: self.ended)
            raise AssertionError("the board did not stop:\n" + "".join(self.lines)) from None


def start(*options: str) -> Board:
    """Start it, and wait until it has said where it is; whoever calls stops it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.board", *options],
        cwd=TOP,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **TALKATIVE},
    )
    board = Board(process)
    threading.Thread(target=board.read, daemon=True).start()
    try:
        board.wait_for(lambda: board.url or board.ended)
        assert board.url, "".join(board.lines)
    except AssertionError:
        board.stop()
        raise
    return board
