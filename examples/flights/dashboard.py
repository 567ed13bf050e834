"""A live dashboard: the ten worst delays and all flights more than twenty hours late, while another process writes.

What always holds: the dashboard is built from initial values and changes alone; at the end it must equal a fresh query.
The last write is one that both feeds see, so that the end is known without waiting for a while.
Callers: `examples.flights.__main__`.
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

from rethinkdb import r

from examples.flights.data import DATABASE
from examples.flights.writer import SENDING

LATE: Final = 1200
LAST: Final = "last-flight"
PATIENCE_S: Final = 180
WRITES: Final = 1500


def begin(query: Any, conn: Any, apply: Callable[[dict[str, Any]], None]) -> Any:
    """Open a feed and apply its initial values (in the order of keys; what follows is in the order of time)."""
    feed = query.changes(include_initial=True, include_states=True).run(conn)
    while (change := feed.next(wait=PATIENCE_S)) != {"state": "ready"}:
        if "state" not in change:
            apply(change)
    return feed


def follow(feed: Any, apply: Callable[[dict[str, Any]], None]) -> int:
    """Apply changes until the last flight shows; how many there were."""
    count = 0
    while True:
        change = feed.next(wait=PATIENCE_S)
        count += 1
        apply(change)
        new = change.get("new_val")
        if new is not None and new["id"] == LAST:
            return count


def keep(board: dict[Any, Any]) -> Callable[[dict[str, Any]], None]:
    """Applies a change to a board of documents by key."""

    def apply(change: dict[str, Any]) -> None:
        old, new = change.get("old_val"), change.get("new_val")
        if old is not None:
            board.pop(old["id"], None)
        if new is not None:
            board[new["id"]] = new

    return apply


def run(port: int, say: Callable[[str], None]) -> None:
    conns = [r.connect("127.0.0.1", port, db=DATABASE) for _ in range(3)]
    worst_query = r.table("flights").order_by(index=r.desc("delay")).limit(10)
    late_query = r.table("flights").filter(r.row["delay"] > LATE)
    worst: dict[Any, Any] = {}
    late: dict[Any, Any] = {}
    worst_feed = begin(worst_query, conns[0], keep(worst))
    late_feed = begin(late_query, conns[1], keep(late))
    writer = subprocess.Popen(
        [sys.executable, "-m", "examples.flights.writer", str(port), "live", str(WRITES), "7"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    with writer.stdout:
        acknowledged = sum(not line.endswith(SENDING + "\n") for line in writer.stdout)
    if writer.wait() or acknowledged != WRITES:
        raise AssertionError(f"the writer ended early, after {acknowledged} writes")
    last = {"id": LAST, "delay": 10_000, "distance": 1, "time": 0}
    r.table("flights").insert(last).run(conns[2])
    say(f"  {follow(worst_feed, keep(worst))} changes of the ten worst delays")
    say(f"  {follow(late_feed, keep(late))} changes of flights over {LATE // 60} hours late")
    compare("worst", worst, list(worst_query.run(conns[2])))
    compare("late", late, list(late_query.run(conns[2])))
    say(f"  both boards equal a fresh query: {len(worst)} and {len(late)} flights")
    for row in sorted(worst.values(), key=lambda row: -row["delay"])[:3]:
        say(f"    {row['delay']:6d} minutes  {row['distance']:5d} miles  {row['id']}")
    for conn in conns:
        conn.close(noreply_wait=False)


def compare(name: str, board: dict[Any, Any], rows: list[Any]) -> None:
    if board != {row["id"]: row for row in rows}:
        fresh = {row["id"] for row in rows}
        raise AssertionError(
            f"the board `{name}` differs from a fresh query: only on the board "
            f"{sorted(map(str, board.keys() - fresh))}, only in the query "
            f"{sorted(map(str, fresh - board.keys()))}"
        )
