"""Random histories against a model that is a dict: whatever is done, the group agrees with it."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rethought.store import Savepoint, Snapshot
from rethought.store.check import check_file
from tests.store.support import (
    FieldRule,
    Opened,
    all_documents,
    decode_all,
    encode,
    index_entries,
    pages,
    put,
)

KEYS = st.integers(0, 12).map(lambda i: b"k%02d" % i)
FIELDS = st.one_of(st.none(), st.integers(0, 5), st.lists(st.integers(0, 3), max_size=4))
RULE = FieldRule("a")

Model = dict[bytes, Any]


class GroupMachine(RuleBasedStateMachine):
    """One table with up to two indexes; snapshots and a savepoint may be open."""

    @initialize()
    def open(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.home = Opened(
            Path(self.directory.name) / "m.db",
            step_seconds=0.0,
            save_commits=3,
            checkpoint_bytes=1 << 15,
            log_bytes=1 << 16,
            journal_bytes=5_000,
        )
        self.table = self.home.group.create_table()
        self.home.group.flush()
        self.model: Model = {}
        self.held: list[tuple[Snapshot, Model]] = []
        self.savepoint: tuple[Savepoint, Model] | None = None
        self.indexes: list[Any] = []

    @rule(key=KEYS, value=FIELDS, size=st.sampled_from([0, 0, 0, 5_000]))
    def write(self, key: bytes, value: Any, size: int) -> None:
        doc = {"id": key.decode(), "a": value, "p": "x" * size}
        put(self.home.group, self.table, key, doc)
        self.model[key] = doc

    @rule(key=KEYS, value=FIELDS)
    def insert(self, key: bytes, value: Any) -> None:
        doc = {"id": key.decode(), "a": value}
        found = self.home.group.write().insert(self.table, key, encode(doc), doc)
        if key in self.model:
            assert found == encode(self.model[key])
        else:
            assert found is None
            self.model[key] = doc

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        put(self.home.group, self.table, key, None)
        self.model.pop(key, None)

    @rule()
    def turn(self) -> None:
        self.home.loop.turn()

    @rule()
    def read(self) -> None:
        if self.savepoint is None:
            assert all_documents(self.home.group, self.table) == self.model
        else:
            view = self.home.group.write().snapshot()
            found = [
                doc
                for page in pages(lambda after: view.scan(self.table, after=after, limit=5))
                for doc in decode_all(page.docs)
            ]
            assert found == [self.model[key] for key in sorted(self.model)]
            assert view.count(self.table) == len(self.model)

    @precondition(lambda self: self.savepoint is None and len(self.held) < 4)
    @rule()
    def hold(self) -> None:
        group = self.home.group
        group.flush()
        self.held.append((group.snapshot().acquire(), dict(self.model)))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.held) - 1))
        snapshot, _ = self.held.pop(at)
        snapshot.release()

    @precondition(lambda self: self.savepoint is None)
    @rule()
    def save(self) -> None:
        self.savepoint = (self.home.group.write().savepoint(), dict(self.model))

    @precondition(lambda self: self.savepoint is not None)
    @rule(keep=st.booleans())
    def end_savepoint(self, keep: bool) -> None:
        assert self.savepoint is not None
        savepoint, model = self.savepoint
        self.savepoint = None
        if keep:
            self.home.group.write().release(savepoint)
        else:
            self.home.group.write().rollback_to(savepoint)
            self.model = model

    @precondition(lambda self: self.savepoint is None and len(self.indexes) < 2)
    @rule()
    def create_index(self) -> None:
        self.indexes.append(self.home.group.create_index(self.table, RULE))

    @precondition(lambda self: self.savepoint is None)
    @rule()
    def reopen(self) -> None:
        for snapshot, _ in self.held:
            snapshot.release()
        self.held.clear()
        group = self.home.reopen()
        group.set_rules(self.table, {index: RULE for index in self.indexes})

    @precondition(lambda self: self.savepoint is None)
    @rule()
    def indexes_agree(self) -> None:
        group = self.home.group
        expected = sorted((key, k) for k, doc in self.model.items() for key in RULE.keys(doc))
        for index in self.indexes:
            self.home.loop.run_until(lambda index=index: group.index_ready(index))
            found = index_entries(group, self.table, index)
            assert [(key, id_.encode()) for key, id_ in found] == expected

    @precondition(lambda self: self.savepoint is None)
    @rule()
    def check(self) -> None:
        self.home.group.flush()
        rules = {index: RULE for index in self.indexes}
        findings = check_file(self.home.path, self.home.options, rules)
        assert list(filter(None, findings)) == []

    @invariant()
    def held_snapshots_stay(self) -> None:
        for snapshot, model in getattr(self, "held", ()):
            assert snapshot.count(self.table) == len(model)
            page = snapshot.scan(self.table, limit=100)
            assert decode_all(page.docs) == [model[key] for key in sorted(model)]

    def teardown(self) -> None:
        if hasattr(self, "home"):
            for snapshot, _ in self.held:
                snapshot.release()
            self.home.close()
            self.directory.cleanup()


TestGroupMachine = GroupMachine.TestCase
TestGroupMachine.settings = settings(
    max_examples=60,
    stateful_step_count=40,
)
