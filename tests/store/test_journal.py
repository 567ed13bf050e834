"""The journal: complete, in order, bounded."""

import shutil
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rethought.errors import OpFailedError
from rethought.store import META, Change, Retention
from rethought.store.epochs import NONE, Epochs
from rethought.store.group import JOURNAL_LOOK_S
from rethought.store.journal import pack
from tests.store.support import Opened, encode, fill, key_of, put

Open = Callable[..., Opened]


def test_the_journal_has_every_commit_in_order(opened: Open) -> None:
    home = opened(clock=lambda: 1234.5)
    group = home.group
    table = group.create_table()
    group.flush()
    after = group.seq
    put(group, table, b"a", {"id": "a"})
    group.flush()
    put(group, table, b"a", {"id": "a", "x": 1})
    put(group, table, b"b", {"id": "b"})
    group.flush()
    put(group, table, b"a", None)
    group.flush()
    a, ax, b = encode({"id": "a"}), encode({"id": "a", "x": 1}), encode({"id": "b"})
    expected = [
        (after + 1, 1234.5, [Change(table, b"a", None, a)]),
        (after + 2, 1234.5, [Change(table, b"a", a, ax), Change(table, b"b", None, b)]),
        (after + 3, 1234.5, [Change(table, b"a", ax, None)]),
    ]
    assert list(group.journal(after)) == expected
    assert list(group.journal(after + 1, 1)) == expected[1:2]
    assert list(group.journal(after + 3)) == []
    group = home.reopen()
    assert list(group.journal(after)) == expected
    assert group.journal_first_seq == 1


def test_small_records_are_changes_of_their_own_table(opened: Open) -> None:
    group = opened().group
    group.meta_put("name", b"1")
    group.flush()
    group.meta_put("name", b"2")
    group.meta_delete("name")
    group.meta_delete("never there")
    group.flush()
    changes = [change for commit in group.journal(0) for change in commit.changes]
    assert changes == [
        Change(META, b"name", None, b"1"),
        Change(META, b"name", b"1", b"2"),
        Change(META, b"name", b"2", None),
    ]


def test_the_journal_is_bounded_in_bytes(opened: Open) -> None:
    group = opened(journal_bytes=100_000, save_commits=4, journal_trim_rows=8).group
    table = group.create_table()
    for i in range(300):
        fill(group, table, 1, start=i, pad="x" * 2_000)
        assert group._writer.journal.bytes < 130_000
    commits = list(group.journal(0))
    assert commits[0].seq == group.journal_first_seq > 200
    assert [commit.seq for commit in commits] == list(range(commits[0].seq, group.seq + 1))


def test_old_commits_are_forgotten(opened: Open) -> None:
    now = 1_000.0
    home = opened(journal_seconds=100.0, clock=lambda: now, save_commits=4)
    group = home.group
    table = group.create_table()
    fill(group, table, 1)
    fill(group, table, 1, start=1)
    now = 1_050.0
    fill(group, table, 1, start=2)
    old = group.seq
    now = 1_140.0
    for i in range(3, 8):
        fill(group, table, 1, start=i)
    assert group.journal_first_seq == old
    now = 9_000.0
    for i in range(8, 40):
        fill(group, table, 1, start=i)
        now += 31.0
    kept = list(group.journal(0))
    assert now - kept[0].time < 200.0
    assert kept[-1].seq == group.seq


def test_old_commits_are_forgotten_with_time_alone(opened: Open) -> None:
    now = 1_000.0
    home = opened(journal_seconds=5_000.0, clock=lambda: now, journal_trim_rows=4)
    group = home.group
    table = group.create_table()
    for i in range(10):
        fill(group, table, 1, start=i)
        now += 1.0
    home.loop.pass_time(JOURNAL_LOOK_S)
    home.loop.settle()
    assert group.journal_first_seq == 1
    now = 6_005.5
    newest = group.seq
    home.loop.pass_time(JOURNAL_LOOK_S)
    home.loop.settle()
    assert group.journal_first_seq == newest - 3
    now = 9_000.0
    home.loop.pass_time(JOURNAL_LOOK_S)
    home.loop.settle()
    assert group.journal_first_seq == group.seq == newest
    group = home.reopen()
    assert group.journal_first_seq == group.seq == newest
    snapshot = group.snapshot().acquire()
    assert snapshot.count(table) == 10
    snapshot.release()


def test_a_shorter_retention_counts_at_once_and_survives(opened: Open) -> None:
    now = 1_000.0
    home = opened(clock=lambda: now, journal_trim_rows=4)
    group = home.group
    table = group.create_table()
    for i in range(50):
        fill(group, table, 1, start=i)
        now += 1.0
    assert group.journal_first_seq == 1
    assert group.retention == Retention()
    group.set_retention(Retention(seconds=10.0))
    home.loop.run_until(lambda: (group.journal_usage().oldest or 0) >= now - 10.0)
    usage = group.journal_usage()
    assert usage.first == group.journal_first_seq == group.seq - usage.commits + 1
    assert usage.oldest == now - 10.0
    assert usage.kept_seconds == 10.0
    assert usage.kept_bytes == home.options.journal_bytes
    assert usage.bytes == sum(len(pack(commit.changes)) for commit in group.journal(0))
    group = home.reopen()
    assert group.retention == Retention(10.0)
    group.set_retention(Retention(bytes=0))
    home.loop.run_until(lambda: group.journal_first_seq == group.seq)
    group.set_retention(Retention())
    group.flush()
    assert group.journal_usage().kept_seconds == home.options.journal_seconds


def test_a_retention_that_was_undone_does_not_count(opened: Open) -> None:
    group = opened().group
    group.set_retention(Retention(seconds=0.0))
    group._writer.fail(OpFailedError("the disk says no"))
    assert group.retention == Retention()
    assert group.journal_usage().kept_seconds > 0


def test_sequence_numbers_go_on_when_the_journal_was_emptied(opened: Open) -> None:
    home = opened(journal_bytes=0, journal_seconds=0.0, save_commits=1)
    table = home.group.create_table()
    fill(home.group, table, 5)
    for i in range(5):
        put(home.group, table, key_of(i), None)
        home.group.flush()
    seq = home.group.seq
    assert len(list(home.group.journal(0))) <= 2
    group = home.reopen()
    assert group.seq == seq
    fill(group, table, 1)
    assert group.seq == seq + 1


# ---- epochs


@given(
    begun=st.lists(st.integers(1, 50), unique=True).map(sorted),
    first=st.integers(1, 60),
    seq=st.integers(1, 60),
)
def test_an_epoch_is_known_as_long_as_its_commits_can_be_followed(
    begun: list[int], first: int, seq: int
) -> None:
    epochs = Epochs()
    for number, began in enumerate(begun, 1):
        epochs.begin(number, began)
    expected = sum(began <= seq for began in begun) or NONE
    assert epochs.of(seq) == expected
    epochs.forget(first)
    again = Epochs(epochs.record())
    assert again.newest == epochs.newest == (len(begun) or NONE)
    if seq >= first - 1:  # a feed may go on behind it
        assert epochs.of(seq) == again.of(seq) == expected


def test_each_opening_is_an_epoch_that_begins_with_its_first_commit(opened: Open) -> None:
    home = opened()
    table = home.group.create_table()
    home.group.flush()
    first = home.group.epoch_of(1)
    assert first != NONE
    group = home.reopen()
    fill(group, table, 1)
    group = home.reopen()  # nothing is written in this one
    group = home.reopen()
    fill(group, table, 2, start=1)
    numbers = [group.epoch_of(seq) for seq in range(1, group.seq + 1)]
    assert numbers[0] == first
    assert numbers[2] == numbers[-1]
    assert len(set(numbers)) == 3


def test_a_commit_that_failed_begins_no_epoch(opened: Open) -> None:
    home = opened()
    table = home.group.create_table()
    home.group.flush()
    known = home.group.epoch_of(1)
    group = home.reopen()
    put(group, table, b"a", {"id": "a"})
    group._writer.fail(OpFailedError("the disk says no"))
    assert group.epoch_of(group.seq + 1) == known
    fill(group, table, 1)
    assert group.epoch_of(group.seq - 1) == known != group.epoch_of(group.seq)
    epoch = group.epoch_of(group.seq)
    group = home.reopen()
    assert group.epoch_of(group.seq) == epoch


def test_a_copy_that_went_its_own_way_is_told_apart(opened: Open, tmp_path: Path) -> None:
    home = opened()
    table = home.group.create_table()
    home.group.flush()
    common = home.group.seq
    home.group.close()
    shutil.copy(home.path, tmp_path / "copy.db")
    copy = Opened(tmp_path / "copy.db")
    for opened_group in (home.reopen(), copy.group):
        fill(opened_group, table, 1)
    one, other = home.group, copy.group
    assert one.seq == other.seq == common + 1
    assert one.epoch_of(common) == other.epoch_of(common)
    assert one.epoch_of(common + 1) != other.epoch_of(common + 1)
    copy.close()
