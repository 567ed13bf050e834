"""Measures and prints the table; see `--help`.

What always holds: figures of several runs are medians; with `--compare` both servers are up at once and every row runs
on one, then the other, in turn, so that both see the same machine. Callers: `make bench`.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import yardsticks
from bench.client import BenchmarkError
from bench.revision import installed
from bench.server import held
from bench.terms import Draw
from bench.workloads import ROWS, Target, prepare
from tools.serverprocess import ServerProcess, running

Figures = dict[str, list[float]]


@dataclass(slots=True)
class Side:
    """One server of a comparison and what was measured on it."""

    label: str
    target: Target
    server: ServerProcess | None = None
    figures: Figures = field(default_factory=dict)

    def note(self, name: str, figure: float) -> None:
        self.figures.setdefault(name, []).append(figure)

    def median(self, name: str) -> float | None:
        values = self.figures.get(name)
        return statistics.median(values) if values else None


def report(name: str, unit: str, sides: list[Side]) -> None:
    """One line: the name, a median per side, and the ratio of the first to the last."""
    medians = [side.median(name) for side in sides]
    cells = ["          failed" if value is None else f"{value:16,.0f}" for value in medians]
    ratio = ""
    if len(sides) > 1 and medians[0] is not None and medians[-1]:
        ratio = f"{medians[0] / medians[-1]:8.2f}"
    print(f"{name:38s} {unit:10s} {' '.join(cells)} {ratio}", flush=True)


def measure(sides: list[Side], runs: int, only: list[str]) -> None:
    """Every row, on every side in turn."""
    print(f"{'':38s} {'':10s} {' '.join(f'{side.label:>16s}' for side in sides)}", flush=True)
    units = {}
    for side in sides:
        for name, unit, figure in prepare(side.target):
            units[name] = unit
            side.note(name, figure)
    for name, unit in units.items():
        report(name, unit, sides)
    for row in ROWS:
        if only and not any(word in row.name for word in only):
            continue
        for _ in range(runs):
            for side in sides:
                try:
                    side.note(row.name, row.measure(side.target))
                except BenchmarkError as error:
                    print(f"{side.label}: {row.name}: {error}", flush=True)
        report(row.name, row.unit, sides)


def footprint(side: Side) -> None:
    """What the server holds at the end: memory and disk."""
    if side.server is not None:
        print(f"{side.label}: {held(side.server)}")


@contextmanager
def sides_of(given: argparse.Namespace) -> Iterator[list[Side]]:
    """The servers to measure, up for the length of the block."""

    def target(port: int) -> Target:
        return Target(port, given.docs, given.seconds, Draw(given.docs))

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rethought-bench-")))
        sides = []
        if given.port:
            sides = [Side(f"port {port}", target(port)) for port in given.port]
        else:
            server = stack.enter_context(running(folder / "this"))
            sides.append(Side("this tree", target(server.port), server))
        if given.compare:
            python = stack.enter_context(installed(given.compare))
            server = stack.enter_context(running(folder / "other", python=python))
            sides.append(Side(given.compare[:16], target(server.port), server))
        yield sides


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.split("\n")[0])
    parser.add_argument("--docs", type=int, default=100_000, help="documents (default 100000)")
    parser.add_argument("--seconds", type=float, default=2.0, help="per pipelined row (default 2)")
    parser.add_argument("--runs", type=int, help="runs per row (default 1, comparing 3)")
    parser.add_argument("--only", action="append", default=[], metavar="WORD")
    parser.add_argument("--compare", metavar="REV", help="measure this git revision as well")
    parser.add_argument(
        "--port",
        type=int,
        action="append",
        help="measure a server that runs already; its database rethought_bench is replaced",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    given = parser.parse_args(arguments)
    print(yardsticks.line(), flush=True)
    with sides_of(given) as sides:
        measure(sides, given.runs or (3 if len(sides) > 1 else 1), given.only)
        for side in sides:
            footprint(side)
    print(yardsticks.line(), flush=True)
    if given.json:
        figures = {side.label: side.figures for side in sides}
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
