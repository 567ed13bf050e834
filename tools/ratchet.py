"""Holds the conformance replay to what it once reached: counts may rise, never fall.

Purpose: compare a report of the replayer with the ratchet file and say what got worse.
Invariants:
  1. `check` fails when a file of recorded queries passes fewer steps than required, or is missing.
  2. `check` fails when a step of `cannot_pass` passes: the list holds only what is still true.
  3. `check` fails when fewer backtraces are equal to the recorded ones than required.
  4. `update` only raises counts. Lowering one is an edit by hand that a reviewer sees.
Callers: `tools.conformance`, and people: `python -m tools.ratchet REPORT [--update]`.

The ratchet file is JSON: `required` maps a file's name to the number of steps that must pass, `backtraces` is how many
must be equal,
`cannot_pass` maps a step's id to the reason why it cannot.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

RATCHET: Final = Path(".ci/conformance.json")
SHOWN_MAX: Final = 20


class Failure(msgspec.Struct, frozen=True):
    """One step whose answer differed."""

    id: str
    reql: str = ""
    why: str = ""


class FileReport(msgspec.Struct, frozen=True):
    """What the replayer says of one file."""

    passed: int
    failed: int
    skipped: int = 0
    failures: list[Failure] = []


class Report(msgspec.Struct, frozen=True):
    """What the replayer writes with `--json`."""

    passed: int
    failed: int
    files: dict[str, FileReport]
    backtraces_equal: int = 0


class Ratchet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must hold."""

    required: dict[str, int] = {}
    cannot_pass: dict[str, str] = {}
    backtraces: int = 0


def judge(report: Report, ratchet: Ratchet) -> list[str]:
    """Every complaint, as a line for people; an empty list means that nothing got worse."""
    complaints = []
    for name, required in sorted(ratchet.required.items()):
        seen = report.files.get(name)
        if seen is None:
            complaints.append(f"{name}: not replayed; {required} steps are required to pass")
        elif seen.passed < required:
            complaints.append(f"{name}: {seen.passed} steps pass, {required} are required")
            complaints += [f"    {one.id}  {one.why[:300]}" for one in seen.failures[:SHOWN_MAX]]
    if report.backtraces_equal < ratchet.backtraces:
        equal = report.backtraces_equal
        complaints.append(f"{equal} backtraces are equal, {ratchet.backtraces} are required")
    failing = {one.id for file in report.files.values() for one in file.failures}
    replayed = tuple(f"{name}#" for name in report.files)
    complaints += [
        f"{step}: passes; take it off the list of those that cannot"
        for step in sorted(ratchet.cannot_pass)
        if step not in failing and step.startswith(replayed)
    ]
    return complaints


def unexplained(report: Report, ratchet: Ratchet) -> list[Failure]:
    """The failing steps that no entry of `cannot_pass` gives a reason for."""
    return [
        one
        for name in sorted(report.files)
        for one in report.files[name].failures
        if one.id not in ratchet.cannot_pass
    ]


def raised(report: Report, ratchet: Ratchet) -> Ratchet:
    """The ratchet with every count at the highest of what it was and what the report shows."""
    required = dict(ratchet.required)
    for name, file in report.files.items():
        required[name] = max(required.get(name, 0), file.passed)
    backtraces = max(ratchet.backtraces, report.backtraces_equal)
    return Ratchet(required, dict(ratchet.cannot_pass), backtraces)


def read_report(path: Path) -> Report:
    return msgspec.json.decode(path.read_bytes(), type=Report)


def read_ratchet(path: Path = RATCHET) -> Ratchet:
    if not path.exists():
        return Ratchet()
    return msgspec.json.decode(path.read_bytes(), type=Ratchet)


def write_ratchet(ratchet: Ratchet, path: Path = RATCHET) -> None:
    document: Mapping[str, object] = {
        "backtraces": ratchet.backtraces,
        "required": dict(sorted(ratchet.required.items())),
        "cannot_pass": dict(sorted(ratchet.cannot_pass.items())),
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def verdict(report: Report, ratchet: Ratchet) -> int:
    """Print what there is to say and return the exit status."""
    complaints = judge(report, ratchet)
    for line in complaints:
        print(line)
    left = unexplained(report, ratchet)
    if left:
        print(f"{len(left)} failing steps have no reason on record, the first of them:")
        for one in left[:SHOWN_MAX]:
            print(f"    {one.id}  {one.reql[:120]}\n        {one.why[:200]}")
    rose = sum(raised(report, ratchet).required.values()) - sum(ratchet.required.values())
    if rose and not complaints:
        print(f"{rose} more steps pass than are required: raise the ratchet with `--update`")
    print(f"conformance: {report.passed} passed, {report.failed} failed")
    print("conformance ratchet:", "BROKEN" if complaints else "holds")
    return 1 if complaints else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.ratchet", description=__doc__.split("\n")[0])
    parser.add_argument("report", type=Path, help="what the replayer wrote with --json")
    parser.add_argument("--ratchet", type=Path, default=RATCHET)
    parser.add_argument("--update", action="store_true", help="raise the counts to the report's")
    given = parser.parse_args(arguments)
    report, ratchet = read_report(given.report), read_ratchet(given.ratchet)
    if given.update:
        ratchet = raised(report, ratchet)
        write_ratchet(ratchet, given.ratchet)
    return verdict(report, ratchet)


if __name__ == "__main__":
    sys.exit(main())
