"""The lines of the audit log seal each other: whatever is done to the files is noticed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rethought.hashchain import HEAD_RECORD, KEY_RECORD, apart
from rethought.maintenance.audit import check_audit, log_of
from rethought.system.audit import Audit
from tests.system.conftest import Machine

Change = Callable[[list[bytes]], list[bytes]]


class Log:
    """An audit log of this process, and what the doctor says of it."""

    def __init__(self, machine: Machine, path: Path) -> None:
        self.machine = machine
        self.path = path
        self.audit = self.opened()

    def opened(self, size_max: int = 1 << 20, files_max: int = 3) -> Audit:
        self.audit = Audit(
            self.path, self.machine.catalog, data=False, size_max=size_max, files_max=files_max
        )
        return self.audit

    def logins(self, count: int) -> None:
        for number in range(count):
            self.audit.login(f"user{number}", "10.0.0.1", "accepted")

    def findings(self) -> list[tuple[bool, str]]:
        group = self.machine.catalog.group
        records = {name: group.meta_get(name) or b"" for name in (HEAD_RECORD, KEY_RECORD)}
        found = log_of(records)
        assert found is not None
        return [(broken, what) for broken, _, what in check_audit(*found)]

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def log(machine: Machine, tmp_path: Path) -> Log:
    return Log(machine, tmp_path / "audit")


def test_a_log_that_nobody_touched_is_well_also_over_restarts(log: Log) -> None:
    log.logins(5)
    log.audit.close()
    assert log.findings() == []
    log.opened()
    log.logins(3)
    log.audit.close()
    assert log.findings() == []
    assert len(log.lines()) == 9


def without(at: int) -> Change:
    return lambda lines: lines[:at] + lines[at + 1 :]


def edited(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b"user3", b"user9") for line in lines]


def swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


def repeated(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[3], *lines[4:]]


CHANGES: dict[str, tuple[Change, str]] = {
    "edited": (edited, "entry 5 is not as it was written."),
    "removed": (without(3), "entry 5 follows entry 3: some are missing."),
    "first removed": (without(0), "entry 2 follows entry 0: some are missing."),
    "cut": (lambda lines: lines[:-2], "it ends with entry 6; entry 8 had been written."),
    "emptied": (lambda lines: [], "it ends with entry 0; entry 8 had been written."),
    "swapped": (swapped, "entry 5 follows entry 3: some are missing."),
    "repeated": (repeated, "entry 4 follows entry 4: some are missing."),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_done_to_it_is_noticed(log: Log, change: str) -> None:
    alter, finding = CHANGES[change]
    log.logins(7)
    log.audit.close()
    log.path.write_bytes(b"".join(alter(log.lines())))
    assert (True, finding) in log.findings()


def test_a_seal_cannot_be_made_without_the_key(log: Log) -> None:
    from rethought.hashchain import START, sealed, text

    log.logins(1)
    log.audit.close()
    lines = log.lines()
    forged = []
    previous = START
    for line in lines:
        taken = apart(line.rstrip())
        assert taken is not None
        made = sealed(b"guessed", previous, taken.body.replace(b"user0", b"user1"))
        previous = made.hash
        forged.append(text(made) + b"\n")
    log.path.write_bytes(b"".join(forged))
    assert all(broken for broken, _ in log.findings())
    assert len(log.findings()) >= 2


def test_what_was_cut_off_stays_noticed_when_the_log_goes_on(log: Log) -> None:
    log.logins(7)
    log.audit.close()
    log.path.write_bytes(b"".join(log.lines()[:-3]))
    log.opened()
    log.logins(4)
    log.audit.close()
    assert log.findings() == [(True, "entry 9 follows entry 5: some are missing.")]


def test_a_file_that_was_taken_away_is_noticed(log: Log) -> None:
    log.logins(3)
    log.audit.close()
    log.path.unlink()
    assert log.findings() == [(True, "it ends with entry 0; entry 4 had been written.")]
    log.opened()
    log.audit.close()
    assert log.findings() == [(True, "entry 5 follows entry 0: some are missing.")]


def test_a_line_that_a_crash_cut_short_is_a_warning(log: Log) -> None:
    log.logins(3)
    log.audit.close()
    with log.path.open("ab") as file:
        file.write(b'{"event":"login","num')
    log.opened()
    log.logins(1)
    log.audit.close()
    assert log.findings() == [
        (False, "a line is incomplete; a crash may have cut it short."),
    ]


def test_a_crash_before_the_end_was_noted_is_no_finding(log: Log) -> None:
    log.logins(2)
    log.audit.save_head()
    log.logins(3)  # the end of these is noted nowhere
    assert log.findings() == []
    log.opened()
    log.logins(1)
    log.audit.close()
    assert log.findings() == []


def test_large_files_are_moved_aside_and_the_oldest_goes(log: Log) -> None:
    log.audit.close()
    log.opened(size_max=2_000, files_max=3)
    log.logins(100)
    names = sorted(path.name for path in log.path.parent.glob("audit*"))
    assert names == ["audit", "audit.1", "audit.2"]
    assert all(path.stat().st_size < 2_500 for path in log.path.parent.glob("audit*"))
    assert {path.stat().st_mode & 0o777 for path in log.path.parent.glob("audit*")} == {0o600}
    log.audit.close()
    assert log.findings() == []
    (log.path.parent / "audit.2").unlink()
    assert [broken for broken, what in log.findings() if "missing" in what] == [True]


def test_one_file_is_enough_to_rotate(log: Log) -> None:
    log.audit.close()
    log.opened(size_max=2_000, files_max=1)
    log.logins(100)
    assert [path.name for path in log.path.parent.glob("audit*")] == ["audit"]
    log.audit.close()
    assert log.findings() == []


def test_a_file_that_cannot_be_begun_leaves_everything_where_it_is(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.audit.close()
    log.opened(size_max=2_000, files_max=3)
    real = os.open

    def refused(path: str, *rest: int) -> int:
        if str(path).endswith(".new"):
            raise OSError(24, "Too many open files")
        return real(path, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refused)
        log.logins(40)
    assert [path.name for path in log.path.parent.glob("audit*")] == ["audit"]
    assert len(log.lines()) > 40
    log.logins(1)
    assert sorted(path.name for path in log.path.parent.glob("audit*")) == ["audit", "audit.1"]
    log.audit.close()
    assert log.findings() == []


def test_a_line_is_there_whole_or_not_at_all(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.logins(2)
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda file, data: real(file, data[:7]))
        log.logins(3)
    log.logins(1)
    log.audit.close()
    assert len(log.lines()) == 4
    assert log.findings() == []
