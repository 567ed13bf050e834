"""Power loss at any write: what was promised is there, what is there was committed, and it fits together."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rethought.store import GroupOptions
from rethought.store.check import check_file
from tests.store.faulty import FaultyDisk, lose_power
from tests.store.support import FieldRule, Opened, all_documents, encode, index_entries, put

RULE = FieldRule("a")


class History:
    """A random run on a faulty disk, photographed at one write; knows every state and every promise."""

    def __init__(self, directory: Path, disk: FaultyDisk, seed: int) -> None:
        self.dice = random.Random(seed)
        self.disk = disk
        self.promised = 0  # the newest commit whose hard ticket is done
        self.states: dict[int, dict[bytes, Any]] = {}
        self.epoch = 0
        self.home = Opened(
            directory / "p.db",
            disk=disk,
            vfs=disk.name,
            checkpoint_bytes=self.dice.choice([1 << 15, 1 << 17, 1 << 24]),
            log_bytes=self.dice.choice([1 << 17, 1 << 24]),
            save_commits=4,
            journal_bytes=20_000,
            journal_trim_rows=4,
            cache_bytes=1 << 18,
        )
        group = self.home.group
        self.table = group.create_table()
        self.index = group.create_index(self.table, RULE)
        self.model: dict[bytes, Any] = {}
        disk.note = lambda: (self.promised, group.seq)
        group.subscribe(self._committed)
        self._hard()
        self.home.loop.run_until(lambda: self.promised == 1)
        self.first_writes = disk.writes

    def _committed(self, commit: Any) -> None:
        self.states[commit.seq] = dict(self.model)
        self.epoch = self.home.group.epoch_of(commit.seq)

    def _hard(self) -> None:
        group = self.home.group
        ticket = group.write().ticket(True)
        seq = group.seq + bool(group.write().changes)

        def done(error: object) -> None:
            assert error is None
            self.promised = max(self.promised, seq)

        ticket.add(done)

    def run(self, steps: int) -> None:
        dice, group = self.dice, self.home.group
        for _ in range(steps):
            for _ in range(dice.choice([1, 1, 3, 20])):
                key = b"k%03d" % dice.randrange(60)
                doc = None
                if dice.random() < 0.8:
                    size = dice.choice([10, 10, 300, 6_000])
                    doc = {"id": key.decode(), "a": dice.randrange(9), "p": "x" * size}
                put(group, self.table, key, doc)
                self.model[key] = doc
                if doc is None:
                    del self.model[key]
            hard = dice.random() < 0.4
            if hard:
                self._hard()
            group.flush()
            self.home.loop.turn()
            seq = group.seq
            if hard and dice.random() < 0.5:
                self.home.loop.run_until(lambda seq=seq: self.promised >= seq)
            if not group.writable and dice.random() < 0.8:
                self.home.loop.run_until(group.when_writable().done)
        self.home.close()


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[FaultyDisk]:
    made = FaultyDisk(f"faulty-{request.node.name}")
    yield made
    made.close_vfs()


def power_loss(tmp_path: Path, disk: FaultyDisk, seed: int, images: int) -> None:
    (tmp_path / "run").mkdir()
    history = History(tmp_path / "run", disk, seed)
    disk.photograph_at = history.first_writes + random.Random(seed).randrange(1, 1_500)
    history.run(60)
    if disk.photograph is None:
        return  # the run was shorter than the moment chosen
    promised, committed = disk.taken
    for image in range(images):
        verify(tmp_path / f"image{image}", history, promised, committed, seed * 1_000 + image)


def verify(directory: Path, history: History, promised: int, committed: int, seed: int) -> None:
    assert history.disk.photograph is not None
    lose_power(history.disk.photograph, directory, seed)
    after = Opened(directory / "p.db", checkpoint_bytes=1 << 15)
    group = after.group
    # One commit may have been under way: its frames can have arrived.
    assert promised <= group.seq <= committed + 1
    group.set_rules(history.table, {history.index: RULE})
    found = all_documents(group, history.table)
    assert found == history.states[group.seq]
    entries = sorted((key, k) for k, doc in found.items() for key in RULE.keys(doc))
    indexed = index_entries(group, history.table, history.index)
    assert [(key, id_.encode()) for key, id_ in indexed] == entries
    last = list(group.journal(0))[-1]
    assert last.seq == group.seq
    assert all(found.get(c.key) is None or encode(found[c.key]) == c.new for c in last.changes[-1:])
    verify_epochs(after, history)
    after.close()
    options = GroupOptions()
    findings = check_file(directory / "p.db", options, {history.index: RULE})
    assert list(filter(None, findings)) == []


def verify_epochs(after: Opened, history: History) -> None:
    """What was lost is told apart from what has its number now; what survived is what it was."""
    group = after.group
    survived = group.seq
    while group.seq <= max(history.states):
        put(group, history.table, b"after", {"id": "after", "seq": group.seq})
        group.flush()
    group = after.reopen()
    group.set_rules(history.table, {history.index: RULE})
    for seq in history.states:
        if seq >= group.journal_first_seq - 1:
            assert (group.epoch_of(seq) == history.epoch) == (seq <= survived)


@pytest.mark.parametrize("seed", range(6))
def test_power_loss_keeps_what_was_promised(tmp_path: Path, disk: FaultyDisk, seed: int) -> None:
    power_loss(tmp_path, disk, seed, images=4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 194))
def test_power_loss_keeps_what_was_promised_often(
    tmp_path: Path, disk: FaultyDisk, seed: int
) -> None:
    power_loss(tmp_path, disk, seed, images=8)
