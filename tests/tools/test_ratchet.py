"""The conformance ratchet may rise and never fall."""

import json
from pathlib import Path

import pytest

from tools.ratchet import (
    Failure,
    FileReport,
    Ratchet,
    Report,
    judge,
    main,
    raised,
    read_ratchet,
    unexplained,
)


def report(**files: tuple[int, list[str]]) -> Report:
    """A report with the given passes and failing ids per file."""
    rows = {
        name: FileReport(passed=passed, failed=len(ids), failures=[Failure(id=i) for i in ids])
        for name, (passed, ids) in files.items()
    }
    return Report(
        passed=sum(r.passed for r in rows.values()),
        failed=sum(r.failed for r in rows.values()),
        files=rows,
    )


def test_a_count_that_holds_is_no_complaint() -> None:
    assert judge(report(add=(5, ["add#9.1"])), Ratchet(required={"add": 5})) == []


def test_a_count_that_fell_names_the_failing_steps() -> None:
    complaints = judge(report(add=(4, ["add#9.1"])), Ratchet(required={"add": 5}))
    assert complaints[0] == "add: 4 steps pass, 5 are required"
    assert "add#9.1" in complaints[1]


def test_a_file_that_was_not_replayed_is_a_complaint() -> None:
    assert judge(report(), Ratchet(required={"add": 5})) == [
        "add: not replayed; 5 steps are required to pass"
    ]


def test_a_step_that_cannot_pass_but_does_must_leave_the_list() -> None:
    ratchet = Ratchet(cannot_pass={"add#1.1": "r.js is not there"})
    assert judge(report(add=(1, [])), ratchet) == [
        "add#1.1: passes; take it off the list of those that cannot"
    ]
    assert judge(report(add=(0, ["add#1.1"])), ratchet) == []


def test_only_failures_without_a_reason_are_unexplained() -> None:
    ratchet = Ratchet(cannot_pass={"add#1.1": "r.js is not there"})
    left = unexplained(report(add=(0, ["add#1.1", "add#2.1"])), ratchet)
    assert [one.id for one in left] == ["add#2.1"]


def test_a_backtrace_that_is_no_longer_equal_is_a_complaint() -> None:
    seen = Report(passed=0, failed=0, files={}, backtraces_equal=6)
    assert judge(seen, Ratchet(backtraces=6)) == []
    assert judge(seen, Ratchet(backtraces=7)) == ["6 backtraces are equal, 7 are required"]
    assert raised(seen, Ratchet(backtraces=7)).backtraces == 7
    assert raised(seen, Ratchet(backtraces=5)).backtraces == 6


def test_raising_never_lowers_a_count() -> None:
    ratchet = Ratchet(required={"add": 5, "mul": 2})
    assert raised(report(add=(4, []), mul=(3, []), sub=(1, [])), ratchet).required == {
        "add": 5,
        "mul": 3,
        "sub": 1,
    }


@pytest.mark.parametrize(("passed", "status"), [(5, 0), (4, 1)])
def test_the_program_ends_with_a_status_that_ci_can_read(
    tmp_path: Path, passed: int, status: int
) -> None:
    seen = {"passed": passed, "failed": 0, "files": {"add": {"passed": passed, "failed": 0}}}
    (tmp_path / "report").write_text(json.dumps(seen))
    (tmp_path / "ratchet").write_text(json.dumps({"required": {"add": 5}}))
    arguments = [str(tmp_path / "report"), "--ratchet", str(tmp_path / "ratchet")]
    assert main(arguments) == status


def test_update_writes_the_raised_counts(tmp_path: Path) -> None:
    seen = {"passed": 7, "failed": 0, "files": {"add": {"passed": 7, "failed": 0}}}
    (tmp_path / "report").write_text(json.dumps(seen))
    target = tmp_path / "ratchet"
    assert main([str(tmp_path / "report"), "--ratchet", str(target), "--update"]) == 0
    assert read_ratchet(target).required == {"add": 7}
