"""Secondary indexes: kept by every write, built in the background, dropped."""

from collections.abc import Callable
from typing import Any

import pytest

from rethought.errors import OpFailedError
from rethought.store import Group, TableId
from rethought.store.check import check_file
from tests.store.support import (
    FieldRule,
    Opened,
    all_documents,
    fill,
    index_entries,
    key_of,
    put,
)

Open = Callable[..., Opened]


def expected_entries(group: Group, table: TableId, rule: FieldRule) -> list[tuple[bytes, Any]]:
    entries = [
        (key, k, doc["id"])
        for k, doc in all_documents(group, table).items()
        for key in rule.keys(doc)
    ]
    return [(key, id_) for key, _, id_ in sorted(entries)]


def test_an_index_of_an_empty_table_is_ready_at_once(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    index = group.create_index(table, FieldRule("a"))
    assert group.index_ready(index)
    assert group.index_progress(index) == 1.0
    assert group.when_index_ready(index).done()


def test_writes_keep_an_index(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    rule = FieldRule("a")
    index = group.create_index(table, rule)
    fill(group, table, 50)
    put(group, table, key_of(3), {"id": 3, "a": 555})
    put(group, table, key_of(4), {"id": 4})
    put(group, table, key_of(5), None)
    group.flush()
    put(group, table, key_of(4), {"id": 4, "a": 1})
    put(group, table, key_of(4), {"id": 4, "a": 2})
    group.flush()
    assert index_entries(group, table, index) == expected_entries(group, table, rule)


def test_a_multi_index_has_an_entry_for_each_element_and_each_repeat(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    rule = FieldRule("tags")
    index = group.create_index(table, rule)
    put(group, table, b"a", {"id": "a", "tags": [1, 2, 2, 2]})
    put(group, table, b"b", {"id": "b", "tags": [2]})
    put(group, table, b"c", {"id": "c", "tags": []})
    group.flush()
    assert [id_ for _, id_ in index_entries(group, table, index)] == ["a", "a", "a", "a", "b"]
    put(group, table, b"a", {"id": "a", "tags": [2, 3]})
    put(group, table, b"b", {"id": "b", "tags": [2, 2]})
    group.flush()
    assert index_entries(group, table, index) == expected_entries(group, table, rule)
    put(group, table, b"a", None)
    put(group, table, b"b", {"id": "b", "tags": 7})
    group.flush()
    assert index_entries(group, table, index) == [(b"000007", "b")]


@pytest.mark.parametrize(("run", "of_a_pass"), [(40, 1), (40, 2_000), (40, 1_000_000), (1_000, 1)])
def test_a_build_catches_up_with_writes_that_go_on(
    opened: Open, monkeypatch: pytest.MonkeyPatch, run: int, of_a_pass: int
) -> None:
    monkeypatch.setattr("rethought.store.jobs.RUN_ENTRIES", run)
    monkeypatch.setattr("rethought.store.jobs.PASS_BYTES", of_a_pass)
    monkeypatch.setattr("rethought.store.jobs.CHUNK_ROWS", 17)
    monkeypatch.setattr("rethought.store.jobs.MERGE_ROWS", 5)
    home = opened(step_seconds=0.0)
    group = home.group
    table = group.create_table()
    fill(group, table, 400)
    rule = FieldRule("a")
    index = group.create_index(table, rule)
    built = group.when_index_ready(index)
    turns = 0
    while not built.done():
        home.loop.turn()
        turns += 1
        put(group, table, key_of(turns * 7 % 400), {"id": turns * 7 % 400, "a": turns})
        put(group, table, key_of(turns * 11 % 400), None)
        put(group, table, key_of(1_000 + turns), {"id": 1_000 + turns, "a": [turns, turns]})
        if turns % 5 == 0:  # some writes are undone
            batch = group.write()
            savepoint = batch.savepoint()
            put(group, table, key_of(turns * 13 % 400), {"id": -1, "a": 77})
            put(group, table, key_of(turns * 17 % 400), None)
            batch.rollback_to(savepoint)
    assert turns > 20
    assert index_entries(group, table, index) == expected_entries(group, table, rule)
    findings = check_file(home.path, home.options, {index: rule})
    assert list(filter(None, findings)) == []


@pytest.mark.parametrize("of_a_pass", [1, 2_000, 1_000_000])
def test_progress_grows_to_one(
    opened: Open, monkeypatch: pytest.MonkeyPatch, of_a_pass: int
) -> None:
    monkeypatch.setattr("rethought.store.jobs.RUN_ENTRIES", 50)
    monkeypatch.setattr("rethought.store.jobs.PASS_BYTES", of_a_pass)
    monkeypatch.setattr("rethought.store.jobs.MERGE_ROWS", 50)
    monkeypatch.setattr("rethought.store.jobs.CHUNK_ROWS", 50)
    home = opened(step_seconds=0.0)
    group = home.group
    table = group.create_table()
    fill(group, table, 500)
    index = group.create_index(table, FieldRule("a"))
    assert not group.index_ready(index)
    seen = [group.index_progress(index)]
    while not group.index_ready(index):
        home.loop.turn()
        seen.append(group.index_progress(index))
    assert seen == sorted(seen)
    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert len(set(seen)) > 5


def test_a_build_goes_on_after_reopening(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rethought.store.jobs.RUN_ENTRIES", 50)
    monkeypatch.setattr("rethought.store.jobs.PASS_BYTES", 1)
    monkeypatch.setattr("rethought.store.jobs.CHUNK_ROWS", 50)
    home = opened(step_seconds=0.0)
    table = home.group.create_table()
    fill(home.group, table, 500)
    rule = FieldRule("a")
    index = home.group.create_index(table, rule)
    home.loop.run_until(lambda: home.group.index_progress(index) > 0.3)
    group = home.reopen()
    home.loop.settle()  # nothing is built before the rule is known
    progress = group.index_progress(index)
    assert 0.3 <= progress < 1.0  # what was committed is not done again
    group.set_rules(table, {index: rule})
    home.loop.run_until(lambda: group.index_ready(index))
    assert index_entries(group, table, index) == expected_entries(group, table, rule)


def test_dropping_an_index_ends_its_build_and_its_waiters(opened: Open) -> None:
    home = opened(step_seconds=0.0)
    group = home.group
    table = group.create_table()
    fill(group, table, 500)
    index = group.create_index(table, FieldRule("a"))
    waiting = group.when_index_ready(index)
    home.loop.turn()
    group.drop_index(index)
    assert waiting.done()
    home.loop.settle()
    assert group.indexes(table) == []
    assert len(group._jobs) == 0
    with pytest.raises(OpFailedError, match="dropped"):
        group.index_ready(index)
    fill(group, table, 10)


def test_two_builds_take_turns(opened: Open) -> None:
    home = opened(step_seconds=0.0)
    group = home.group
    table = group.create_table()
    fill(group, table, 3_000)
    first = group.create_index(table, FieldRule("a"))
    second = group.create_index(table, FieldRule("id"))
    home.loop.run_until(lambda: group.index_ready(first) and group.index_ready(second))
    assert index_entries(group, table, first) == expected_entries(group, table, FieldRule("a"))
    assert index_entries(group, table, second) == expected_entries(group, table, FieldRule("id"))


def test_a_rule_that_fails_leaves_nothing_behind(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    group.create_index(table, FieldRule("a"))
    with pytest.raises(TypeError):
        put(group, table, b"x", {"id": "x", "a": "not a number"})
    group.flush()
    assert all_documents(group, table) == {}
    assert group.snapshot().count(table) == 0


def test_a_rule_that_fails_in_a_build_is_tried_again(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    class FailingOnce(FieldRule):
        failed = False

        def keys_of_chunk(self, chunk: bytes) -> list[list[bytes]]:
            if not self.failed:
                self.failed = True
                raise RuntimeError("a bug")
            return super().keys_of_chunk(chunk)

    home = opened()
    table = home.group.create_table()
    fill(home.group, table, 20)
    index = home.group.create_index(table, FailingOnce("a"))
    home.loop.settle()
    assert not home.group.index_ready(index)
    assert "work on i_2 of test.db failed" in caplog.text
    home.loop.pass_time(10.0)
    home.loop.run_until(lambda: home.group.index_ready(index))
    assert len(index_entries(home.group, table, index)) == 20
