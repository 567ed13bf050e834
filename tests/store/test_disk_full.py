"""A full disk at any moment: the write says so, nothing is half done, reads go on, later writes do too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rethought.errors import OpFailedError, ReqlError
from rethought.store.check import check_file
from tests.store.faulty import FaultyDisk
from tests.store.support import (
    FieldRule,
    Opened,
    all_documents,
    fill,
    index_entries,
    key_of,
    put,
)


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[FaultyDisk]:
    made = FaultyDisk(f"full-{request.node.name}")
    yield made
    made.close_vfs()


@pytest.fixture
def home(tmp_path: Path, disk: FaultyDisk) -> Iterator[Opened]:
    made = Opened(
        tmp_path / "f.db",
        disk=disk,
        vfs=disk.name,
        checkpoint_bytes=1 << 16,
        log_bytes=1 << 17,
        step_seconds=0.0,
    )
    yield made
    disk.space = None
    made.close()


def answer(home: Opened) -> list[ReqlError | None]:
    answers: list[ReqlError | None] = []
    home.group.write().ticket(False).add(answers.append)
    home.group.flush()
    return answers


@pytest.mark.parametrize("space", [0, 1_000, 4_200, 9_000, 30_000])
def test_a_commit_on_a_full_disk_fails_whole(home: Opened, disk: FaultyDisk, space: int) -> None:
    group = home.group
    table = group.create_table()
    index = group.create_index(table, FieldRule("a"))
    fill(group, table, 50)
    before = all_documents(group, table)
    seq, size = group.seq, group.snapshot().size(table)
    disk.space = space
    failures = 0
    for i in range(50, 90):
        try:
            put(group, table, key_of(i), {"id": i, "a": i, "p": "x" * 900})
            if i == 60:
                (said,) = answer(home)
                assert isinstance(said, OpFailedError)
                assert said.message == "Could not write to `f.db`: the disk is full."
                break
        except OpFailedError:
            failures += 1
    group.flush()
    assert all_documents(group, table) == before
    assert (group.seq, group.snapshot().size(table)) == (seq, size)
    disk.space = None
    fill(group, table, 5, start=100)
    assert group.seq == seq + 1
    assert len(all_documents(group, table)) == 55
    assert len(index_entries(group, table, index)) == 55
    rules = {index: FieldRule("a")}
    assert list(filter(None, check_file(home.path, home.options, rules))) == []


def test_a_write_too_large_for_the_disk_and_the_cache_fails_whole(
    tmp_path: Path, disk: FaultyDisk
) -> None:
    home = Opened(tmp_path / "s.db", disk=disk, vfs=disk.name, cache_bytes=1 << 18)
    group = home.group
    table = group.create_table()
    fill(group, table, 10)
    disk.space = 1_500_000
    with pytest.raises(
        OpFailedError, match="disk is full"
    ):  # pages leave the cache before the commit
        fill(group, table, 1_000, start=1_000, pad="x" * 9_000)
    assert len(all_documents(group, table)) == 10
    disk.space = None
    fill(group, table, 1, start=50)
    assert group.snapshot().count(table) == 11
    home.close()


def test_an_index_build_goes_on_when_space_is_back(home: Opened, disk: FaultyDisk) -> None:
    group = home.group
    table = group.create_table()
    fill(group, table, 2_000)
    home.loop.settle()
    index = group.create_index(table, FieldRule("a"))
    group.flush()
    disk.space = 20_000
    for _ in range(20):
        home.loop.turn()
    assert not group.index_ready(index)
    assert len(all_documents(group, table)) == 2_000
    disk.space = None
    fill(group, table, 1, start=5_000)
    home.loop.pass_time(10.0)
    home.loop.run_until(lambda: group.index_ready(index))
    assert len(index_entries(group, table, index)) == 2_001
    rules = {index: FieldRule("a")}
    assert list(filter(None, check_file(home.path, home.options, rules))) == []


def test_a_checkpoint_on_a_full_disk_is_tried_again(home: Opened, disk: FaultyDisk) -> None:
    group = home.group
    table = group.create_table()
    fill(group, table, 300)
    expected = all_documents(group, table)
    disk.space = 3_000  # the log has to grow to go on, and so has the file
    home.loop.run_until(lambda: not group._checkpointer.busy)
    put(group, table, key_of(300), {"id": 300})
    (said,) = answer(home)
    assert isinstance(said, OpFailedError)
    assert group.trouble == said.message
    got = all_documents(group, table)
    assert {key: got[key] for key in expected} == expected
    disk.space = None
    for i in range(400, 700):
        fill(group, table, 1, start=i)
        home.loop.turn()
    home.loop.run_until(lambda: not group._checkpointer.busy)
    assert group._log.carried > 0
    assert group.trouble is None
    assert list(filter(None, check_file(home.path, home.options))) == []


def test_dropping_a_table_goes_on_when_space_is_back(home: Opened, disk: FaultyDisk) -> None:
    group = home.group
    table = group.create_table()
    fill(group, table, 1_000)
    home.loop.settle()
    group.drop_table(table)
    group.flush()
    disk.space = 0
    for _ in range(10):
        home.loop.turn()
    assert len(group._jobs) == 1
    disk.space = None
    home.loop.pass_time(10.0)
    home.loop.run_until(lambda: len(group._jobs) == 0)
    assert list(filter(None, check_file(home.path, home.options))) == []
