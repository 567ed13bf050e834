"""Kills the server in the middle of writing and shows what is left: everything that was acknowledged.

What always holds: soft writes count as well as hard ones, because a killed process takes nothing with it that the
operating system already had. The one write per writer that was under way may be there or not.
Callers: `examples.flights.__main__`.
"""

import math
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from rethinkdb import r

from examples.flights.data import DATABASE
from examples.flights.writer import SENDING
from tools.serverprocess import ServerProcess, start

WRITERS: Final = 3
PATIENCE_S: Final = 180


@dataclass(slots=True)
class Witness:
    """A writer process, and what the server acknowledged to it."""

    process: "subprocess.Popen[str]"
    versions: dict[str, int] = field(default_factory=dict)
    sending: tuple[str, int] | None = None
    count: int = 0


def listen(witness: Witness, enough: threading.Event, wanted: int) -> None:
    assert witness.process.stdout is not None
    with witness.process.stdout:
        for line in witness.process.stdout:
            if not line.endswith("\n"):
                continue
            key, version, state = line.split()
            if state == SENDING:
                witness.sending = (key, int(version))
                continue
            witness.versions[key] = int(version)
            witness.sending = None
            witness.count += 1
            if witness.count == wanted:
                enough.set()


def run(
    server: ServerProcess, rounds: int, writes: int, say: Callable[[str], None]
) -> ServerProcess:
    """Kill and restart `rounds` times, each after a writer had `writes` acknowledgements."""
    for number in range(rounds):
        witnesses = [spawn(server.port, number, writer) for writer in range(WRITERS)]
        enough = threading.Event()
        threads = [threading.Thread(target=listen, args=(one, enough, writes)) for one in witnesses]
        for thread in threads:
            thread.start()
        reached = enough.wait(PATIENCE_S)
        server.kill()
        for thread, witness in zip(threads, witnesses, strict=True):
            thread.join()
            witness.process.wait()
        if not reached:
            raise AssertionError("the writers made no progress")
        total = sum(one.count for one in witnesses)
        say(f"  killed the server after {total} acknowledged writes")
        server = start(server.directory)
        conn = r.connect("127.0.0.1", server.port, db=DATABASE)
        say(f"  restarted: {check_acknowledged(conn, witnesses)} flights are as acknowledged")
        for line in check_indexes(conn):
            say(f"  {line}")
        conn.close()
    return server


def spawn(port: int, number: int, writer: int) -> Witness:
    name, seed = f"crash{number}w{writer}", 100 * number + writer
    command = [sys.executable, "-m", "examples.flights.writer", str(port), name, "0", str(seed)]
    return Witness(
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the driver tells of the connection that it lost
            text=True,
        )
    )


def check_acknowledged(conn: Any, witnesses: list[Witness]) -> int:
    """Every acknowledged write is there, or the one that was under way after it; how many keys were looked at."""
    checked = 0
    for witness in witnesses:
        rows = r.table("flights").get_all(*witness.versions).pluck("id", "version").run(conn)
        found = {row["id"]: row["version"] for row in rows}
        for key, version in witness.versions.items():
            left = found.get(key, 0)
            if left != version and (key, left) != witness.sending:
                raise AssertionError(f"{key}: version {version} was acknowledged, {left} is there")
        checked += len(witness.versions)
    return checked


def check_indexes(conn: Any) -> list[str]:
    """Every index of the table gives what the table's documents say, in the right order."""
    rows = {row["id"]: row for row in r.table("flights").run(conn)}
    counted = r.table("flights").count().run(conn)
    if counted != len(rows):
        raise AssertionError(f"count says {counted}, a scan gives {len(rows)} documents")
    keys: dict[str, Callable[[Any], Any]] = {
        "delay": lambda row: row["delay"],
        "distance": lambda row: row["distance"],
        "hour_delay": lambda row: [math.floor(row["time"]), row["delay"]],
    }
    lines = [f"{counted} flights, counted and scanned"]
    for name, key in keys.items():
        listed = list(r.table("flights").order_by(index=name).run(conn))
        if len(listed) != len(rows) or any(rows.get(row["id"]) != row for row in listed):
            raise AssertionError(f"index {name} does not agree with its table")
        values = [key(row) for row in listed]
        if values != sorted(values):
            raise AssertionError(f"index {name} is out of order")
        lines.append(f"index {name} agrees with its table")
    return lines
