"""Group commit: the invariants of `rethought.store.commit`, by number."""

from collections.abc import Callable

import pytest

from rethought.errors import OpIndeterminateError, ReqlError, ResourceLimitError
from rethought.store import Change, Commit, Disk
from tests.store.support import Opened, all_documents, encode, fill, key_of, put

Open = Callable[..., Opened]


class Told:
    """What a ticket said."""

    def __init__(self) -> None:
        self.answers: list[ReqlError | None] = []

    def __call__(self, error: ReqlError | None) -> None:
        self.answers.append(error)


class CountingDisk(Disk):
    def __init__(self) -> None:
        self.syncs = 0
        self.error: OSError | None = None

    def sync_data(self, descriptor: int) -> None:
        self.syncs += 1
        if self.error is not None:
            raise self.error
        super().sync_data(descriptor)


def test_writes_of_one_turn_are_one_commit(opened: Open) -> None:  # 1, 2
    home = opened()
    group, heard = home.group, list[Commit]()
    table, other = group.create_table(), group.create_table()
    group.flush()
    group.subscribe(heard.append)
    seq = group.seq
    put(group, table, b"a", {"id": 1})
    put(group, other, b"b", {"id": 2})
    assert group.seq == seq
    home.loop.turn()
    assert group.seq == seq + 1
    (commit,) = heard
    assert commit.seq == seq + 1
    assert commit.changes == [
        Change(table, b"a", None, encode({"id": 1})),
        Change(other, b"b", None, encode({"id": 2})),
    ]


def test_a_batch_that_changed_nothing_is_no_commit(opened: Open) -> None:  # 2
    group = opened().group
    group.write()
    group.flush()
    assert group.seq == 0


def test_listeners_hear_of_a_commit_when_it_can_be_read_and_before_its_writers(  # 3
    opened: Open,
) -> None:
    group = opened().group
    table = group.create_table()
    group.flush()
    events: list[object] = []
    group.subscribe(lambda commit: events.append(group.snapshot().get(table, b"a")))
    put(group, table, b"a", {"id": 1})
    group.write().ticket(False).add(lambda error: events.append("told"))
    group.flush()
    assert events == [encode({"id": 1}), "told"]


def test_a_listener_that_fails_does_not_keep_others_from_hearing(  # 3
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    group = opened().group
    heard = list[Commit]()
    told = Told()

    def fail(commit: Commit) -> None:
        raise RuntimeError("a bug")

    group.subscribe(fail)
    group.subscribe(heard.append)
    group.meta_put("name", b"value")
    group.write().ticket(False).add(told)
    group.flush()
    assert len(heard) == 1
    assert told.answers == [None]
    assert "a listener failed on commit 1" in caplog.text


def test_a_writer_that_fails_does_not_keep_others_from_hearing(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    group = opened().group
    told = Told()

    def fail(error: ReqlError | None) -> None:
        raise RuntimeError("a bug")

    group.meta_put("name", b"value")
    group.write().ticket(False).add(fail)
    group.write().ticket(False).add(told)
    group.flush()
    assert told.answers == [None]
    assert "a writer failed" in caplog.text


def test_inserting_gives_the_document_that_is_there(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    batch = group.write()
    assert batch.insert(table, b"a", b'{"id":1}', {"id": 1}) is None
    assert batch.insert(table, b"a", b'{"id":2}', {"id": 2}) == b'{"id":1}'
    assert batch.insert(table, b"b", b'{"id":3}', {"id": 3}) is None
    group.flush()
    assert all_documents(group, table) == {b"a": {"id": 1}, b"b": {"id": 3}}
    assert group.snapshot().count(table) == 2
    (commit,) = group.journal(0)
    assert [change[1:] for change in commit.changes if change.table == table] == [
        (b"a", None, b'{"id":1}'),
        (b"b", None, b'{"id":3}'),
    ]


def test_a_soft_ticket_is_done_with_the_commit_and_needs_no_sync(opened: Open) -> None:  # 4
    disk = CountingDisk()
    group = opened(disk=disk).group
    told = Told()
    group.meta_put("name", b"value")
    ticket = group.write().ticket(False)
    ticket.add(told)
    assert told.answers == []
    group.flush()
    assert told.answers == [None]
    assert disk.syncs == 0
    late = Told()
    ticket.add(late)
    assert late.answers == [None]


def test_a_hard_ticket_waits_for_a_sync(opened: Open) -> None:  # 5
    disk = CountingDisk()
    home = opened(disk=disk)
    told = Told()
    home.group.meta_put("name", b"value")
    home.group.write().ticket(True).add(told)
    home.group.flush()
    assert told.answers == []
    home.loop.run_until(lambda: bool(told.answers))
    assert told.answers == [None]
    assert disk.syncs == 1


def test_one_sync_serves_all_commits_that_wait(opened: Open) -> None:  # 5
    disk = CountingDisk()
    home = opened(disk=disk)
    told = Told()
    for i in range(20):
        home.group.meta_put(f"name{i}", b"value")
        home.group.write().ticket(True).add(told)
        home.group.flush()
    home.loop.run_until(lambda: len(told.answers) == 20)
    assert disk.syncs == 2  # the first, and one for those that came while it was under way


def test_closing_syncs_what_still_waits(opened: Open) -> None:  # 5
    disk = CountingDisk()
    group = opened(disk=disk).group
    told = Told()
    group.meta_put("name", b"value")
    group.write().ticket(True).add(told)
    group.close()
    assert told.answers == [None]
    assert disk.syncs >= 1


def test_a_failed_sync_is_indeterminate_and_stops_writing_until_a_checkpoint(  # 7
    opened: Open,
) -> None:
    disk = CountingDisk()
    home = opened(disk=disk)
    group, told = home.group, Told()
    table = group.create_table()
    fill(group, table, 3)
    disk.error = OSError(5, "Input/output error")
    put(group, table, b"x", {"id": "x"})
    group.write().ticket(True).add(told)
    home.loop.run_until(lambda: bool(told.answers))
    assert isinstance(told.answers[0], OpIndeterminateError)
    with pytest.raises(ReqlError, match="takes no writes"):
        group.write()
    assert group.snapshot().count(table) == 4
    disk.error = None

    def writes_again() -> bool:
        try:
            group.write()
        except ReqlError:
            return False
        return True

    home.loop.run_until(writes_again)
    fill(group, table, 1, start=50)
    assert len(all_documents(group, table)) == 5


def test_rolling_back_to_a_savepoint_undoes_rows_changes_and_counters(opened: Open) -> None:  # 1
    group = opened().group
    table, fresh = group.create_table(), group.create_table()
    fill(group, table, 3)
    heard = list[Commit]()
    group.subscribe(heard.append)
    put(group, table, key_of(0), {"id": 0, "kept": True})
    batch = group.write()
    savepoint = batch.savepoint()
    put(group, table, key_of(1), None)
    put(group, table, key_of(9), {"id": 9})
    put(group, fresh, b"x", {"id": "x"})
    assert batch.snapshot().count(table) == 3
    assert batch.snapshot().count(fresh) == 1
    batch.rollback_to(savepoint)
    group.flush()
    assert all_documents(group, table) == {
        key_of(0): {"id": 0, "kept": True},
        key_of(1): {"id": 1, "a": 919},
        key_of(2): {"id": 2, "a": 838},
    }
    assert group.snapshot().count(table) == 3
    assert group.snapshot().count(fresh) == 0
    assert [change.key for commit in heard for change in commit.changes] == [key_of(0)]


def test_an_open_savepoint_keeps_the_batch_from_committing(opened: Open) -> None:
    home = opened()
    group = home.group
    table = group.create_table()
    fill(group, table, 1)
    seq = group.seq
    batch = group.write()
    savepoint = batch.savepoint()
    put(group, table, b"x", {"id": "x"})
    home.loop.settle()
    group.flush()
    assert group.seq == seq
    outside = group.snapshot().acquire()
    assert outside.get(table, b"x") is None
    assert outside.count(table) == 1
    assert batch.snapshot().get(table, b"x") is not None
    batch.release(savepoint)
    home.loop.settle()
    assert group.seq == seq + 1
    assert outside.get(table, b"x") is None
    outside.release()


def test_savepoints_nest(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    batch = group.write()
    outer = batch.savepoint()
    put(group, table, b"a", {"id": "a"})
    inner = batch.savepoint()
    put(group, table, b"b", {"id": "b"})
    batch.rollback_to(inner)
    put(group, table, b"c", {"id": "c"})
    batch.release(outer)
    group.flush()
    assert sorted(all_documents(group, table)) == [b"a", b"c"]


def test_a_view_into_a_batch_becomes_a_snapshot_of_its_commit(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 1)
    put(group, table, b"x", {"id": "x"})
    view = group.write().snapshot().acquire()
    group.flush()
    fill(group, table, 5, start=10)
    assert view.count(table) == view.scan(table, limit=100).count == 2
    assert view.seq == group.seq - 1
    view.release()


def test_a_transaction_that_is_too_large_is_undone(opened: Open) -> None:  # 6
    group = opened(transaction_bytes_max=10_000).group
    table = group.create_table()
    fill(group, table, 2)
    told = Told()
    put(group, table, b"a", {"id": "a"})
    group.write().ticket(False).add(told)
    with pytest.raises(ResourceLimitError, match="too large"):
        put(group, table, b"b", {"id": "b" * 20_000})
    assert isinstance(told.answers[0], ResourceLimitError)
    assert len(all_documents(group, table)) == 2
    assert group.snapshot().count(table) == 2


def test_a_batch_takes_nothing_after_its_commit(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    batch = group.write()
    group.flush()
    with pytest.raises(AssertionError, match="after its end"):
        batch.put(table, b"a", None, b"1", None, 1)


def test_counters_are_right_after_the_end_of_the_process(opened: Open) -> None:
    home = opened(save_commits=5)
    table = home.group.create_table()
    for i in range(23):
        fill(home.group, table, 2, start=i)
    put(home.group, table, key_of(3), None)
    home.group.flush()
    expected = home.group.snapshot().size(table)
    # Opened a second time beside the first, as after a crash: nothing was saved at a close.
    again = Opened(home.path)
    assert again.group.snapshot().size(table) == expected
    assert again.group.seq == home.group.seq
    again.close()
