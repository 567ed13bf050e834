"""Runs the example and tells what happens; the exit status is 0 when no change was lost and none came twice."""

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from rethinkdb import r
from rethinkdb.errors import ReqlError

from examples.resume.follow import ORDERS
from tools.serverprocess import start

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / "tests" / "js" / "node_modules"
ROUNDS = 3
CHANGES = 50  # in each file between two kills
WAIT_S = 180.0


class Writer(threading.Thread):
    """Changes orders until it is told to stop; goes on when the server comes back."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.stopped = threading.Event()

    def run(self) -> None:
        dice = random.Random(1)
        numbers = itertools.count(1)
        while not self.stopped.is_set():
            try:
                conn = r.connect(port=self.port)
                while not self.stopped.is_set():
                    id = dice.randrange(20)
                    if dice.random() < 0.1:
                        ORDERS.get(id).delete().run(conn)
                    else:
                        order = {"id": id, "n": next(numbers)}  # no order is ever what it was
                        ORDERS.insert(order, conflict="replace").run(conn)
            except ReqlError:
                time.sleep(0.05)


class Follower:
    """A process that copies the feed, in one of the languages."""

    def __init__(self, name: str, command: list[str], port: int, path: Path) -> None:
        self.name = name
        self.path = path
        self._command = [*command, str(port), str(path)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "NODE_PATH": str(PACKAGES)},
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def lines(self) -> int:
        return self.path.read_bytes().count(b"\n") if self.path.exists() else 0

    def messages(self) -> list[Any]:
        """The complete lines of its file."""
        written = self.path.read_bytes() if self.path.exists() else b""
        lines = written[: written.rfind(b"\n") + 1].splitlines()
        return [message for line in lines if "state" not in (message := json.loads(line))]


def orders_by(messages: list[Any]) -> dict[int, Any]:
    """The table that the messages describe. Raises ValueError when one is missing or came twice."""
    orders: dict[int, Any] = {}
    for message in messages:
        old, new = message.get("old_val"), message.get("new_val")
        id = (old or new)["id"]
        if "old_val" in message and orders.get(id) != old:
            raise ValueError(f"order {id} was {orders.get(id)}, the message says {old}")
        orders[id] = new
    return {id: order for id, order in orders.items() if order is not None}


def wait(what: str, condition: Any) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def play(folder: Path) -> None:
    server = start(folder / "data")
    port = server.port
    conn = r.connect(port=port)
    r.db_create("shop").run(conn)
    r.db("shop").table_create("orders").run(conn)
    ORDERS.insert([{"id": id, "n": 0} for id in range(20)]).run(conn)
    python = [sys.executable, "-m", "examples.resume.follow"]
    followers = [Follower("Python", python, port, folder / "python.jsonl")]
    node = shutil.which("node")
    if node is not None and (PACKAGES / "rethinkdb").exists():
        script = [node, str(HERE / "follow.js")]
        followers.append(Follower("JavaScript", script, port, folder / "javascript.jsonl"))
    writer = Writer(port)
    writer.start()
    try:
        for number in range(ROUNDS):
            for victim in ("followers", "server"):
                counts = [each.lines + CHANGES for each in followers]
                wait("changes arrive", partial(_reached, followers, counts))
                if victim == "server":
                    server.kill()
                    server = start(folder / "data", "--driver-port", str(port))
                else:
                    for each in followers:
                        each.kill()
                        each.start()
            print(f"  round {number + 1}: followers killed, server killed", flush=True)
        writer.stopped.set()
        writer.join()
        orders = {order["id"]: order for order in ORDERS.run(r.connect(port=port))}
        for each in followers:
            wait(f"{each.name} has all", lambda each=each: orders_by(each.messages()) == orders)
            count = len(each.messages())
            print(f"  {each.name}: {count} messages, none is missing, none came twice", flush=True)
    finally:
        for each in followers:
            each.kill()
        server.stop()


def _reached(followers: list[Follower], counts: list[int]) -> bool:
    return all(each.lines >= count for each, count in zip(followers, counts, strict=True))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        play(Path(folder))
    print("Everything was right.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
