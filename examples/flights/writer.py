"""The second process: writes to the table of flights, and says on its output what the server acknowledged.

What always holds: a line `ID VERSION sending` is printed before a write leaves, and `ID VERSION soft` (or `hard`) after
its acknowledgement came, never before. A flight's
version grows by one with each write; a deleted flight has version 0. Every choice comes from the seed.
Callers: `examples.flights.dashboard` and `examples.flights.crash`, as `python -m examples.flights.writer`.
"""

import random
import sys
from typing import Any, Final

from rethinkdb import errors, r

from examples.flights.data import DATABASE

SENDING: Final = "sending"
KEYS: Final = 400
"""Writes fall on so many flights, so that they are updated and deleted as well as inserted."""


def flight(key: str, version: int, chance: random.Random) -> dict[str, Any]:
    return {
        "id": key,
        "version": version,
        "delay": chance.randrange(-30, 2000),
        "distance": chance.randrange(30, 5000),
        "time": chance.randrange(24 * 60) / 60,
    }


def write(conn: Any, prefix: str, count: int, chance: random.Random) -> None:
    """`count` writes (0: until the connection is lost), one after another."""
    versions: dict[str, int] = {}
    table = r.table("flights")
    done = 0
    while not count or done < count:
        key = f"{prefix}-{chance.randrange(KEYS)}"
        version = versions.get(key, 0) + 1
        durability = "hard" if chance.random() < 0.3 else "soft"
        deleted = version > 2 and chance.random() < 0.2
        version = 0 if deleted else version
        print(key, version, SENDING, flush=True)
        if deleted:
            table.get(key).delete(durability=durability).run(conn)
        else:
            row = flight(key, version, chance)
            table.insert(row, conflict="replace", durability=durability).run(conn)
        versions[key] = version
        done += 1
        print(key, version, durability, flush=True)


def main() -> int:
    port, prefix, count, seed = sys.argv[1:]
    try:
        conn = r.connect("127.0.0.1", int(port), db=DATABASE)
        write(conn, prefix, int(count), random.Random(int(seed)))
    except (errors.ReqlDriverError, OSError):
        return 3  # the server went away, which is what the crash waits for
    return 0


if __name__ == "__main__":
    sys.exit(main())
