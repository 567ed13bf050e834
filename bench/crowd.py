"""How a client fares among hundreds of others that do nothing but run into their limits.

`python -m bench.crowd` starts a server, gives users limits, and measures single `get`s of one well-behaved client:
alone, among the crowd (`bench.abuse`: every kind of excess, a share of the clients each), and right after it has left.
It prints the median and the 99th percentile of each, that also without the time that the server or the client was
ready to work and had no processor (on a busy machine that is other programs' doing), and how much of the two processes'
time the crowd and the server took.
What always holds: the crowd is a process of its own, and gone at the end; the client is alone when the server has come
to rest; figures of several rounds are medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.abuse import KINDS
from bench.client import Connection
from bench.terms import DATABASE, array, literal, start, table, term
from tools.serverprocess import running

DOCUMENTS: Final = 20_000
BATCH: Final = 500
REST_SHARE: Final = 0.02
"""Of a processor's time: a server that takes no more of it is at rest."""
REST_S_MAX: Final = 20.0
USERS: Final[dict[str, dict[str, float]]] = {
    "crowd_free": {},
    "crowd_queries": {"queries_per_second": 100},
    "crowd_rows": {"query_rows": 1000},
    "crowd_time": {"query_seconds": 0.5},
    "crowd_memory": {"query_memory_bytes": 32 << 20},
    "crowd_connections": {"connections": 5},
}
LIMITS: Final = """
[limits]
query_bytes = 1000000
nesting_max = 100
write_backlog_bytes = 67108864
query_seconds = 5
"""


@dataclass(slots=True)
class Figures:
    """Seconds of the well-behaved client's queries, in one state of affairs."""

    median: float
    p99: float
    worst: float
    undisturbed_p99: float  # without the time that one of the two had no processor


def witness(port: int, pid: int, count: int, pause_s: float) -> Figures:
    """Single gets, with a pause between them as a client has that does something with the answer."""
    client = Connection(port)
    taken, undisturbed = [], []
    for number in range(count):
        body = start(term("get", table(), number * 7919 % DOCUMENTS))
        before = without_processor_s(pid) + without_processor_s(os.getpid())
        begin = time.perf_counter()
        client.ask(body)
        taken.append(time.perf_counter() - begin)
        waited = without_processor_s(pid) + without_processor_s(os.getpid()) - before
        undisturbed.append(max(0.0, taken[-1] - waited))
        time.sleep(pause_s)
    client.close()
    taken.sort()
    undisturbed.sort()
    last = int(0.99 * (count - 1))
    return Figures(taken[count // 2], taken[last], taken[-1], undisturbed[last])


def on_processor_s(pid: int) -> float:
    """What the main thread of a process has worked."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def without_processor_s(pid: int) -> float:
    """How long the main thread of a process was ready to work and waited for a processor. The system counts that when
    the wait ends, while the time that a thread works is counted in ticks, too coarse for one query."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


def come_to_rest(pid: int) -> None:
    """Waits until a process has next to nothing to do."""
    end = time.perf_counter() + REST_S_MAX
    while time.perf_counter() < end:
        before = cpu_seconds(pid)
        time.sleep(1)
        if cpu_seconds(pid) - before < REST_SHARE:
            return


def prepare(port: int) -> None:
    """A table, and a user for each kind of limit."""
    with Connection(port) as client:
        client.value(start(term("db_create", DATABASE)))
        client.value(start(term("table_create", term("db", DATABASE), "docs")))
        for low in range(0, DOCUMENTS, BATCH):
            rows = array(*map(literal, range(low, low + BATCH)))
            client.value(start(term("insert", table(), rows, durability="soft")))
        users = term("table", term("db", "rethinkdb"), "users")
        for name, limits in USERS.items():
            client.value(
                start(term("insert", users, {"id": name, "password": False, "limits": limits}))
            )
            client.value(start([188, [name, {"read": True, "write": True}]]))


@contextmanager
def crowd(port: int, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    """The crowd, for the length of the block; afterwards the dictionary has what it counted."""
    command = [sys.executable, "-m", "bench.abuse", str(port)]
    command += [f"{name}={count}" for name, count in counts.items() if count]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    counted: dict[str, Any] = {}
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield counted
        said, _ = process.communicate("", timeout=60)
        counted.update(json.loads(said.splitlines()[-1]))
    finally:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shares(clients: int, only: list[str]) -> dict[str, int]:
    """How many clients of each kind."""
    names = only or list(KINDS)
    each, more = divmod(clients, len(names))
    return {name: each + (at < more) for at, name in enumerate(names)}


def show(label: str, figures: Figures) -> None:
    cells = (figures.median, figures.p99, figures.worst, figures.undisturbed_p99)
    print(f"{label:24s}" + "".join(f"{value * 1e6:14,.0f}" for value in cells), flush=True)


def median_of(name: str, rounds: list[Figures]) -> float:
    return float(statistics.median(getattr(each, name) for each in rounds))


def measure(given: argparse.Namespace, port: int, pid: int) -> None:
    """Prints the table, and the ratios of the 99th percentiles."""
    counts = shares(given.clients, given.only)
    pause_s = given.pause_ms / 1000
    print(f"{'µs':24s}{'median':>14s}{'99th':>14s}{'worst':>14s}{'undisturbed':>14s}")
    alone, among, after = [], [], []
    seen: dict[str, int] = {}
    for _ in range(given.rounds):
        come_to_rest(pid)
        alone.append(witness(port, pid, given.gets, pause_s))
        show("alone", alone[-1])
        with crowd(port, counts) as counted:
            time.sleep(given.settle)
            began, used = time.perf_counter(), cpu_seconds(pid)
            among.append(witness(port, pid, given.gets, pause_s))
            seconds, used = time.perf_counter() - began, cpu_seconds(pid) - used
        show(f"among {sum(counts.values())}", among[-1])
        share = counted["cpu_seconds"] / counted["seconds"]
        print(f"  server {used / seconds:.0%} of a core, crowd {share:.0%}", flush=True)
        for name, count in counted["seen"].items():
            seen[name] = seen.get(name, 0) + count
        after.append(witness(port, pid, given.gets, pause_s))
        show("after it", after[-1])
    for name, count in sorted(seen.items()):
        print(f"  {name:32s}{count:12,d}")
    for label, figures in (("among the crowd", among), ("after it", after)):
        ratio = median_of("p99", figures) / median_of("p99", alone)
        undisturbed = median_of("undisturbed_p99", figures) / median_of("undisturbed_p99", alone)
        print(f"99th percentile {label} / alone: {ratio:.2f}, undisturbed {undisturbed:.2f}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.crowd", description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=500, help="in the crowd (default 500)")
    parser.add_argument("--gets", type=int, default=2000, help="measured each time (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="of alone and among (default 3)")
    parser.add_argument(
        "--pause-ms", type=float, default=1.0, help="between two gets of the measured client"
    )
    parser.add_argument(
        "--settle", type=float, default=3.0, help="seconds from the crowd's coming to the measuring"
    )
    parser.add_argument(
        "--only", action="append", default=[], choices=list(KINDS), help="of these kinds only"
    )
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="rethought-crowd-") as folder:
        settings = Path(folder) / "settings.toml"
        settings.write_text(LIMITS)
        with running(Path(folder) / "data", "--config-file", str(settings)) as server:
            prepare(server.port)
            measure(given, server.port, server.pid)
    return 0


if __name__ == "__main__":
    sys.exit(main())
