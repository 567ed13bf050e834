"""Checks the audit log of a data directory: that no line was changed, removed or cut off.

What always holds: nothing is changed; files are read a line at a time; each finding is one sentence. Used by `doctor`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from rethought import hashchain
from rethought.hashchain import BEGAN, HEAD_RECORD, KEY_RECORD, Head


class AuditFinding(NamedTuple):
    """`broken`: what was written is not there as it was written."""

    broken: bool
    where: str
    what: str


def log_of(records: Mapping[str, bytes]) -> tuple[Head, bytes] | None:
    """Which audit log the system group's records tell of, and its key; None when there never was one."""
    if HEAD_RECORD not in records or KEY_RECORD not in records:
        return None
    return msgspec.json.decode(records[HEAD_RECORD], type=Head), records[KEY_RECORD]


def files_of(head: Head) -> list[Path]:
    """The files of the log, oldest first."""
    found = [Path(head.path)]
    at = 1
    while (older := Path(hashchain.rotated(head.path, at))).exists():
        found.append(older)
        at += 1
    return [path for path in reversed(found) if path.exists()]


class Chain:
    """What has been seen of the log so far."""

    def __init__(self, head: Head, key: bytes) -> None:
        self.head = head
        self.key = key
        self.number = head.kept_from - 1
        self.hash: str | None = hashchain.START if head.kept_from == 1 else None
        self.seen_head = head.number == 0

    def follow(self, written: bytes, where: str) -> Iterator[AuditFinding]:
        line = hashchain.apart(written)
        told = None
        if line is not None:
            try:
                told = hashchain.decode_told(line.body)
            except msgspec.MsgspecError:
                line = None
        if line is None or told is None:
            yield AuditFinding(False, where, "a line is incomplete; a crash may have cut it short.")
            return
        if told.number != self.number + 1:
            yield AuditFinding(
                True, where, f"entry {told.number} follows entry {self.number}: some are missing."
            )
            self.hash = None
        previous = self.hash
        if previous is None:  # where nothing is known of what came before
            previous = told.previous if told.event == BEGAN else None
        if previous is not None and hashchain.digest(self.key, previous, line.body) != line.hash:
            yield AuditFinding(True, where, f"entry {told.number} is not as it was written.")
        self.number, self.hash = told.number, line.hash
        if told.number == self.head.number:
            self.seen_head = True
            if line.hash != self.head.hash:
                yield AuditFinding(True, where, f"entry {told.number} is another one.")

    def end(self) -> Iterator[AuditFinding]:
        if not self.seen_head:
            yield AuditFinding(
                True,
                self.head.path,
                f"it ends with entry {self.number}; entry {self.head.number} had been written.",
            )


def check_audit(head: Head, key: bytes) -> Iterator[AuditFinding]:
    """All findings of the log, oldest first."""
    chain = Chain(head, key)
    for path in files_of(head):
        with path.open("rb") as file:
            for at, written in enumerate(file, 1):
                yield from chain.follow(written.rstrip(b"\n"), f"{path}, line {at}")
    yield from chain.end()
