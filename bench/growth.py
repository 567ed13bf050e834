"""What growth costs: the same queries on a small and on a large table, then the life of the large one.

`python -m bench.growth` fills two servers, one secondary index each, and measures every row on one, then the other, in
turn, so that both see the same machine. What always holds: rates are medians; the server's processor time for one
query (of a row that reads the whole table: for one document) is the least of the runs, since whatever else runs on the
machine only adds to it; a row begins when the server has nothing left to do for the last one. A ratio is large ÷ small
in rates, small ÷ large in time: 1.00 says that growth costs nothing. Then follows `bench.lifecycle` on the large
server. Callers: `make bench-growth`.
"""

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import lifecycle, yardsticks
from bench.client import REPEATS
from bench.server import Server, held
from bench.terms import Draw
from bench.workloads import AGE, ROWS, Row, Target, prepare
from tools.serverprocess import ServerProcess, running

GROWN: Final = (
    "get", "get, one at a time, median", "insert, soft", "update, soft", "update by function, soft",
    "between, limit 20", "get_all by index, limit 20", "order_by index, limit 20", "filter, count", "map, sum",
    "group, count", "group by index, count", "between on index, count", "scan to the client",
)  # fmt: skip
"""The rows that are measured."""


@dataclass(slots=True)
class Side:
    """One of the two servers, and what was measured on it."""

    target: Target
    process: ServerProcess
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def measure(self, row: Row) -> None:
        server = Server(self.process.port, self.process.pid)
        before = server.cpu_s()
        rate = row.measure(self.target)
        used = server.cpu_s() - before
        self.rates.append(rate)
        done = rate * self.target.seconds
        if row.unit == "docs/s":
            done = REPEATS * self.target.documents
        self.costs.append(used / done * 1e6)


def show(name: str, unit: str, small: float, large: float, *, lower: bool = False) -> None:
    ratio = small / large if lower and large else large / small if small else float("nan")
    print(f"{name:34s} {unit:10s} {small:14,.2f} {large:14,.2f} {ratio:8.2f}", flush=True)


def compare(small: Side, large: Side, runs: int, only: list[str]) -> None:
    """Every row on both sides, in turn."""
    for row in ROWS:
        if row.name not in GROWN or (only and not any(word in row.name for word in only)):
            continue
        for side in (small, large):
            side.rates.clear()
            side.costs.clear()
            lifecycle.until_idle(
                side.process
            )  # what the last row wrote is carried over by a thread
        for _ in range(runs):
            small.measure(row)
            large.measure(row)
        rates = [statistics.median(side.rates) for side in (small, large)]
        show(row.name, row.unit, *rates, lower=row.lower)
        if not row.lower:
            show("  of the server", "µs", min(small.costs), min(large.costs), lower=True)


def tell(sides: list[Side], when: str) -> None:
    for side in sides:
        print(f"{side.target.documents:,} documents, {when}: {held(side.process)}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__.split("\n")[0])
    parser.add_argument("--docs", type=int, default=1_000_000, help="large (default 1000000)")
    parser.add_argument("--base", type=int, default=100_000, help="small (default 100000)")
    parser.add_argument("--seconds", type=float, default=1.0, help="per pipelined row (default 1)")
    parser.add_argument("--runs", type=int, default=5, help="of each row on each (default 5)")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="these rows")
    parser.add_argument("--skip-lifecycle", action="store_true", help="measure the rows only")
    given = parser.parse_args(arguments)
    print(yardsticks.line(), flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rethought-growth-")))
        sides: list[Side] = []
        for documents in (given.base, given.docs):
            process = stack.enter_context(running(folder / str(len(sides))))
            target = Target(process.port, documents, given.seconds, Draw(documents))
            sides.append(Side(target, process))
        small, large = sides
        show("documents", "", given.base, given.docs)
        for one, other in zip(
            prepare(small.target, (AGE,)), prepare(large.target, (AGE,)), strict=True
        ):
            show(one[0], one[1], one[2], other[2])
        tell(sides, "filled")
        compare(small, large, given.runs, given.only)
        tell(sides, "after all rows")
        if not given.skip_lifecycle:
            lifecycle.measure(large.process, given.docs)
    print(yardsticks.line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
