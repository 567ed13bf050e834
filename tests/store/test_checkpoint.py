"""Checkpoints: the log stays bounded, readers and writers go on."""

import shutil
from collections.abc import Callable

import apsw
import pytest

from rethought.store import GroupOptions
from rethought.store.checkpoint import LogState, Round, decide_round, decide_wait
from rethought.store.connection import log_path
from tests.store.support import Opened, all_documents, fill, key_of

Open = Callable[..., Opened]

MB = 1 << 20
PAGES = MB // 4096


@pytest.mark.parametrize(
    ("log", "carried", "last", "last_waited", "expected"),
    [
        (0, 0, 0, 0, Round.NONE),
        (PAGES // 2, 0, 0, 0, Round.NONE),
        (PAGES, 0, 0, 0, Round.BESIDE),
        (3 * PAGES, 2 * PAGES, 2 * PAGES, 0, Round.BESIDE),
        (3 * PAGES, 3 * PAGES, 2 * PAGES, 0, Round.NONE),
        (3 * PAGES, 0, 3 * PAGES, 0, Round.NONE),  # somebody reads an old state
        (4 * PAGES, 0, 3 * PAGES, 0, Round.BESIDE),
        (8 * PAGES, 8 * PAGES, 8 * PAGES, 0, Round.LAST),  # large, nearly all is carried over
        (8 * PAGES, 7 * PAGES + 9, 8 * PAGES, 0, Round.LAST),
        (8 * PAGES, 2 * PAGES, 7 * PAGES, 0, Round.BESIDE),  # much is missing: nobody waits yet
        (9 * PAGES, 9 * PAGES, 9 * PAGES, 8 * PAGES, Round.NONE),  # in vain just now
        (10 * PAGES, 10 * PAGES, 10 * PAGES, 8 * PAGES, Round.LAST),
        (16 * PAGES, 2 * PAGES, 16 * PAGES, 0, Round.LAST),  # far too large
    ],
)
def test_which_round_comes_next(
    log: int, carried: int, last: int, last_waited: int, expected: Round
) -> None:
    options = GroupOptions(checkpoint_bytes=MB, log_bytes=8 * MB)
    state = LogState(size=log, carried=carried, last=last, last_waited=last_waited)
    assert decide_round(state, options) is expected


def test_writers_wait_when_they_are_faster_than_a_round() -> None:
    options = GroupOptions(checkpoint_bytes=MB, log_bytes=8 * MB)
    assert not decide_wait(LogState(size=15 * PAGES), options)
    assert decide_wait(LogState(size=16 * PAGES), options)
    assert not decide_wait(LogState(size=17 * PAGES, last_waited=16 * PAGES + 1), options)


def test_a_log_that_starts_again_has_nothing_carried() -> None:
    log = LogState(size=100, carried=100, last=90, last_waited=80)
    log.grew(3)
    assert log == LogState(size=3)


def test_the_log_stays_bounded_under_writes_without_pause(opened: Open) -> None:
    home = opened(checkpoint_bytes=MB, log_bytes=4 * MB)
    group = home.group
    table = group.create_table()
    group.flush()
    largest = 0
    for i in range(150):
        if not group.writable:
            waiting = group.when_writable()
            home.loop.run_until(waiting.done)
        fill(group, table, 20, start=i * 20, pad="x" * 5_000)
        home.loop.turn()
        largest = max(largest, log_path(home.path).stat().st_size)
    written = 150 * 20 * 5_000 * 2
    assert written > 25 * MB
    assert largest < 12 * MB
    assert len(all_documents(group, table)) == 3_000


def test_a_held_snapshot_keeps_its_state_through_checkpoints(opened: Open) -> None:
    home = opened(checkpoint_bytes=1 << 17, log_bytes=1 << 18)
    group = home.group
    table = group.create_table()
    fill(group, table, 50)
    held = group.snapshot().acquire()
    expected = held.scan(table, limit=1000).docs
    for i in range(100):
        fill(group, table, 50, changed=i, pad="y" * 500)
        home.loop.settle()
    home.loop.run_until(lambda: not group._checkpointer.busy)
    assert held.scan(table, limit=1000).docs == expected
    held.release()
    for i in range(20):
        fill(group, table, 50, changed=i, pad="y" * 500)
        home.loop.run_until(lambda: not group._checkpointer.busy)
    assert group.snapshot().count(table) == 50


def test_closing_leaves_no_log(opened: Open) -> None:
    home = opened()
    table = home.group.create_table()
    fill(home.group, table, 100)
    home.group.snapshot().acquire()
    home.close()
    assert not log_path(home.path).exists()
    assert home.reopen().snapshot().get(table, key_of(99)) is not None


def settled(home: Opened) -> int:
    """The size of the log after some minutes without writes."""
    for _ in range(8):
        home.loop.pass_time(10.0)
        home.loop.settle()
        home.loop.run_until(lambda: not home.group._checkpointer.busy)
        home.loop.settle()
    return log_path(home.path).stat().st_size


def test_a_log_that_is_at_rest_gives_its_space_back(opened: Open) -> None:
    home = opened(log_idle_bytes=MB, cache_bytes=64 * MB)
    group = home.group
    table = group.create_table()
    fill(group, table, 1_000, pad="x" * 5_000)
    assert log_path(home.path).stat().st_size > 4 * MB
    before = all_documents(group, table)
    missed = group._writer.connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
    assert settled(home) == 0
    assert all_documents(group, table) == before
    after = group._writer.connection.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
    assert after == missed  # what was in memory still is
    fill(group, table, 10, start=5_000)
    assert len(all_documents(home.reopen(), table)) == 1_010


def test_a_log_that_somebody_reads_keeps_its_space(opened: Open) -> None:
    home = opened(log_idle_bytes=MB)
    group = home.group
    table = group.create_table()
    fill(group, table, 1_000, pad="x" * 5_000)
    snapshot = group.snapshot().acquire()
    fill(group, table, 1, start=2_000)
    assert settled(home) > MB
    assert snapshot.get(table, key_of(2_000)) is None
    assert snapshot.get(table, key_of(999)) is not None
    snapshot.release()
    assert settled(home) == 0


def test_writes_without_pause_keep_the_space_of_their_log(opened: Open) -> None:
    home = opened(log_idle_bytes=MB)
    group = home.group
    table = group.create_table()
    fill(group, table, 1_000, pad="x" * 5_000)
    for i in range(5):
        fill(group, table, 1, start=2_000 + i)
        home.loop.pass_time(10.0)
        home.loop.settle()
    assert log_path(home.path).stat().st_size > MB


def test_a_log_that_was_there_at_the_opening_gives_its_space_back(opened: Open) -> None:
    killed = opened(log_idle_bytes=MB)
    table = killed.group.create_table()
    fill(killed.group, table, 1_000, pad="x" * 5_000)
    path = killed.path.with_name("copy.db")
    shutil.copyfile(killed.path, path)
    shutil.copyfile(log_path(killed.path), log_path(path))
    home = opened("copy.db", log_idle_bytes=MB)
    assert log_path(path).stat().st_size > MB
    assert settled(home) == 0
    assert all_documents(home.group, table) == all_documents(killed.group, table)
