"""Documents inserted together: what one after the other leaves, and the same commits."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.errors import OpFailedError, ResourceLimitError
from rethought.store import Change, Group, TableId
from rethought.store.check import check_file
from tests.store.faulty import FaultyDisk
from tests.store.support import (
    FieldRule,
    Opened,
    all_documents,
    encode,
    fill,
    index_entries,
    key_of,
    put,
)

Open = Callable[..., Opened]

BUILT, BUILDING = FieldRule("a"), FieldRule("b")

numbers = st.one_of(st.none(), st.integers(0, 5), st.lists(st.integers(0, 5), max_size=4))
batches = st.lists(
    st.lists(st.tuples(st.integers(0, 60), numbers, numbers), max_size=20), min_size=1, max_size=3
)


def together(group: Group, table: TableId, keys: list[bytes], docs: list[Any]) -> list[int]:
    """As a query does: where a key is taken, the rest goes on without it. Gives the places of those inserted."""
    inserted: list[int] = []
    at = 0
    while at < len(keys):
        news = [encode(doc) for doc in docs[at:]]
        stored = group.write().insert_many(table, keys[at:], news, docs[at:])
        inserted += range(at, at + stored)
        at += stored + 1
    return inserted


def one_by_one(group: Group, table: TableId, keys: list[bytes], docs: list[Any]) -> list[int]:
    return [
        at
        for at, (key, doc) in enumerate(zip(keys, docs, strict=True))
        if group.write().insert(table, key, encode(doc), doc) is None
    ]


def history(home: Opened, table: TableId, rows: list[Any], insert: Any) -> Any:
    """Inserts into a table of which one index is ready and one is being built; gives all that came of it."""
    group = home.group
    told: list[list[Change]] = []
    group.subscribe(lambda commit: told.append(commit.changes))
    inserted = []
    for batch in rows:
        keys = [key_of(number) for number, _, _ in batch]
        docs = [{"id": number, "a": a, "b": b} for number, a, b in batch]
        inserted.append(insert(group, table, keys, docs))
        group.flush()
        home.loop.turn()
    (ready, built) = group.indexes(table)
    home.loop.run_until(lambda: group.index_ready(built))
    findings = list(
        filter(None, check_file(home.path, home.options, {ready: BUILT, built: BUILDING}))
    )
    assert findings == []
    return (
        inserted,
        told,
        all_documents(group, table),
        group.snapshot().size(table),
        index_entries(group, table, ready),
        index_entries(group, table, built),
    )


@settings(max_examples=20)
@given(rows=batches)
def test_together_is_one_after_the_other(rows: list[Any]) -> None:
    outcomes = []
    for insert in (together, one_by_one):
        with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
            patch.setattr("rethought.store.jobs.CHUNK_ROWS", 7)
            patch.setattr("rethought.store.jobs.RUN_ENTRIES", 10)
            home = Opened(Path(directory) / "t.db", step_seconds=0.0)
            group = home.group
            table = group.create_table()
            group.create_index(table, BUILT)
            fill(group, table, 40, b=3)
            group.create_index(table, BUILDING)
            for number in range(30, 40):  # their row numbers are given again
                put(group, table, key_of(number), None)
            outcomes.append(history(home, table, rows, insert))
            home.close()
    assert outcomes[0] == outcomes[1]


def test_rows_with_numbers_that_a_build_has_passed_are_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rethought.store.jobs.CHUNK_ROWS", 7)
    monkeypatch.setattr("rethought.store.jobs.RUN_ENTRIES", 10)
    monkeypatch.setattr("rethought.store.jobs.MERGE_ROWS", 5)
    home = Opened(tmp_path / "t.db", step_seconds=0.0)
    group = home.group
    turns = passed = 0
    while passed < 2:  # so many turns into the build
        turns += 1
        table = group.create_table()
        fill(group, table, 40)
        index = group.create_index(table, BUILT)
        for _ in range(turns):
            home.loop.turn()
        passed += group.index_ready(index)
        for number in range(20, 40):
            put(group, table, key_of(number), None)
        group.flush()
        docs = [{"id": number, "a": number} for number in range(100, 140)]
        assert together(group, table, [key_of(doc["id"]) for doc in docs], docs) == list(range(40))
        home.loop.run_until(lambda: group.index_ready(index))  # noqa: B023
        expected = sorted(
            (key, doc["id"])
            for doc in all_documents(group, table).values()
            for key in BUILT.keys(doc)
        )
        assert sorted(index_entries(group, table, index)) == expected, turns
    assert turns > 10
    home.close()


def many(start: int, stop: int) -> tuple[list[bytes], list[bytes], list[Any]]:
    docs = [{"id": number, "a": number, "p": "x" * 900} for number in range(start, stop)]
    return [key_of(doc["id"]) for doc in docs], [encode(doc) for doc in docs], docs


def test_on_a_full_disk_nothing_of_them_is_there() -> None:
    disk = FaultyDisk("many")
    with tempfile.TemporaryDirectory() as directory:
        home = Opened(
            Path(directory) / "f.db",
            disk=disk,
            vfs=disk.name,
            checkpoint_bytes=1 << 16,
            log_bytes=1 << 17,
            step_seconds=0.0,
            cache_bytes=1 << 16,
        )
        group = home.group
        table = group.create_table()
        index = group.create_index(table, BUILT)
        fill(group, table, 50)
        before = all_documents(group, table), group.snapshot().size(table)
        disk.space = 30_000
        ticket = group.write().ticket(False)
        with pytest.raises(OpFailedError, match="the disk is full"):
            group.write().insert_many(table, *many(1_000, 1_500))
        assert isinstance(ticket.error, OpFailedError)
        disk.space = None
        assert (all_documents(group, table), group.snapshot().size(table)) == before
        assert len(index_entries(group, table, index)) == 50
        assert group.write().insert_many(table, *many(1_000, 1_500)) == 500
        group.flush()
        assert list(filter(None, check_file(home.path, home.options, {index: BUILT}))) == []
        home.close()
    disk.close_vfs()


def test_a_transaction_may_not_grow_too_large_by_them(tmp_path: Path) -> None:
    home = Opened(tmp_path / "t.db", transaction_bytes_max=10_000)
    group = home.group
    table = group.create_table()
    group.flush()
    with pytest.raises(ResourceLimitError, match="The transaction is too large"):
        group.write().insert_many(table, *many(0, 50))
    assert all_documents(group, table) == {}
    home.close()


def test_a_batch_lingers_while_whoever_asked_for_it_goes_on(opened: Open) -> None:
    home = opened()
    group = home.group
    table = group.create_table()
    group.flush()
    seq = group.seq
    mine = object()
    for start in (0, 10, 20):
        keys, news, docs = many(start, start + 10)
        batch = group.write()
        assert batch.only_of(mine)
        batch.insert_many(table, keys, news, docs)
        batch.linger(mine)
        home.loop.turn()
        assert group.write() is batch
    home.loop.settle()
    assert group.seq == seq + 1
    assert len(all_documents(group, table)) == 30


def test_a_batch_with_others_in_it_does_not_linger(opened: Open) -> None:
    home = opened()
    group = home.group
    table = group.create_table()
    group.flush()
    seq = group.seq
    mine = object()
    batch = group.write()
    batch.insert_many(table, *many(0, 10))
    batch.linger(mine)
    home.loop.turn()
    put(group, table, b"other", {"id": "other"})
    assert not batch.only_of(mine)
    home.loop.turn()
    assert group.seq == seq + 1
    put(group, table, b"others", {"id": "others"})
    assert not group.write().only_of(mine)
    home.loop.turn()
    group.write().ticket(True)  # somebody waits for a sync
    assert not group.write().only_of(mine)


def test_a_batch_lingers_only_so_long(opened: Open) -> None:
    home = opened()
    group = home.group
    table = group.create_table()
    group.flush()
    seq = group.seq
    mine = object()
    for start in range(0, 200, 10):
        batch = group.write()
        batch.insert_many(table, *many(start, start + 10))
        batch.linger(mine)
        home.loop.turn()
    assert group.seq - seq == 2
    group.write().insert_many(table, *many(1_000, 1_400))
    group.write().linger(mine)
    home.loop.turn()  # it is too large
    assert group.seq - seq == 3
