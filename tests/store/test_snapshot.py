"""Reading: snapshots hold one state; pages are bounded, ordered and complete."""

from collections.abc import Callable

import apsw
import pytest

from rethought.errors import OpFailedError
from rethought.store import TableId
from tests.store.support import (
    FieldRule,
    Opened,
    all_documents,
    decode_all,
    encode,
    fill,
    key_of,
    pages,
    put,
)

Open = Callable[..., Opened]


def test_a_point_get_gives_the_stored_bytes(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 3)
    snapshot = group.snapshot()
    assert snapshot.get(table, key_of(1)) == encode({"a": 919, "id": 1})
    assert snapshot.get(table, b"none") is None


def test_get_many_leaves_out_what_is_not_there(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 3)
    found = group.snapshot().get_many(table, [key_of(2), b"none", key_of(0)])
    assert sorted(found) == [key_of(0), key_of(2)]


def test_a_held_snapshot_keeps_its_state_through_later_commits(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 10)
    before = group.snapshot().acquire()
    put(group, table, key_of(3), {"id": 3, "a": "changed"})
    put(group, table, key_of(4), None)
    fill(group, table, 5, start=100)
    assert before.get(table, key_of(3)) == encode({"a": 3 * 7919 % 1000, "id": 3})
    assert before.scan(table, limit=1000).count == 10
    assert before.count(table) == 10
    after = group.snapshot().acquire()
    assert after.get(table, key_of(4)) is None
    assert after.count(table) == after.scan(table, limit=1000).count == 14
    assert after.seq == before.seq + 1
    before.release()
    after.release()


def test_readers_of_one_state_share_one_snapshot(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 1)
    first = group.snapshot().acquire()
    assert group.snapshot() is first
    fill(group, table, 1, start=1)
    assert group.snapshot() is not first
    first.release()


def test_a_snapshot_gives_its_connection_back_when_its_last_holder_releases(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 1)
    snapshot = group.snapshot().acquire().acquire()
    fill(group, table, 1, start=1)
    assert group._readers.busy == 1
    snapshot.release()
    assert group._readers.busy == 1
    snapshot.release()
    assert group._readers.busy == 0


def test_a_snapshot_nobody_held_is_refused_after_a_write(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 1)
    snapshot = group.snapshot()
    group.write()
    with pytest.raises(AssertionError, match="nobody holds"):
        snapshot.get(table, key_of(0))


def test_many_snapshots_of_different_states_can_be_held(opened: Open) -> None:
    group = opened(readers_idle_max=2).group
    table = group.create_table()
    held = []
    for i in range(12):
        fill(group, table, 1, start=i)
        held.append(group.snapshot().acquire())
    fill(group, table, 1, start=100)
    assert [each.count(table) for each in held] == list(range(1, 13))
    assert [each.scan(table, limit=100).count for each in held] == list(range(1, 13))
    for each in held:
        each.release()


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 33, 50, 1000])
def test_a_scan_in_pages_gives_every_document_once_in_key_order(
    opened: Open, descending: bool, limit: int
) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 150)
    snapshot = group.snapshot().acquire()
    ids = [
        doc["id"]
        for page in pages(
            lambda after: snapshot.scan(table, descending=descending, after=after, limit=limit)
        )
        for doc in decode_all(page.docs)
    ]
    snapshot.release()
    assert ids == sorted(range(150), reverse=descending)


@pytest.mark.parametrize("limit", [10, 100])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("lower_open", "upper_open", "expected"),
    [
        (False, False, range(40, 81)),
        (True, False, range(41, 81)),
        (False, True, range(40, 80)),
        (True, True, range(41, 80)),
    ],
)
def test_bounds_are_open_or_closed(
    opened: Open,
    lower_open: bool,
    upper_open: bool,
    expected: range,
    descending: bool,
    limit: int,
) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 120)
    snapshot = group.snapshot().acquire()
    bounds = (key_of(40), key_of(80))
    ids = [
        doc["id"]
        for page in pages(
            lambda after: snapshot.scan(
                table,
                *bounds,
                lower_open=lower_open,
                upper_open=upper_open,
                descending=descending,
                after=after,
                limit=limit,
            )
        )
        for doc in decode_all(page.docs)
    ]
    assert ids == sorted(expected, reverse=descending)
    snapshot.release()


def test_a_scan_in_any_order_gives_every_document_once(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 150)
    snapshot = group.snapshot()
    ids = [
        doc["id"]
        for page in pages(lambda after: snapshot.scan_any(table, after, 40))
        for doc in decode_all(page.docs)
    ]
    assert sorted(ids) == list(range(150))


@pytest.mark.parametrize("limit", [5, 70])
@pytest.mark.parametrize("descending", [False, True])
def test_an_index_scan_is_ordered_by_index_key_then_primary_key(
    opened: Open, descending: bool, limit: int
) -> None:
    group = opened().group
    table = group.create_table()
    index = group.create_index(table, FieldRule("g"))
    for i in range(200):
        put(group, table, key_of(i), {"id": i, "g": i % 7})
    group.flush()
    snapshot = group.snapshot().acquire()

    def read(after: object) -> object:
        return snapshot.index_scan(
            table,
            index,
            b"000002",
            b"000005",
            upper_open=True,
            descending=descending,
            after=after,  # type: ignore[arg-type]
            limit=limit,
        )

    found = [(doc["g"], doc["id"]) for page in pages(read) for doc in decode_all(page.docs)]
    expected = sorted((i % 7, i) for i in range(200) if 2 <= i % 7 < 5)
    assert found == (expected[::-1] if descending else expected)
    snapshot.release()


def test_a_page_of_large_documents_stays_small(opened: Open) -> None:
    group = opened(page_bytes=100_000, page_bytes_max=300_000).group
    table = group.create_table()
    fill(group, table, 60, pad="x" * 20_000)
    snapshot = group.snapshot()
    found = list(pages(lambda after: snapshot.scan(table, after=after, limit=1000)))
    assert sum(page.count for page in found) == 60
    assert max(len(page.docs) for page in found) <= 300_000
    assert max(page.count for page in found) > 1


def test_a_page_of_mixed_sizes_stays_small(opened: Open) -> None:
    group = opened(page_bytes=100_000, page_bytes_max=300_000).group
    table = group.create_table()
    fill(group, table, 500)
    fill(group, table, 10, start=500, pad="x" * 90_000)
    fill(group, table, 500, start=510)
    snapshot = group.snapshot()
    for read in (
        lambda after: snapshot.scan(table, after=after, limit=1000),
        lambda after: snapshot.scan_any(table, after, 1000),
    ):
        found = list(pages(read))
        assert sum(page.count for page in found) == 1010
        assert max(len(page.docs) for page in found) <= 300_000


def test_a_document_larger_than_a_page_is_a_page(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 3, pad="x" * 5_000_000)
    found = list(pages(lambda after: group.snapshot().scan_any(table, after, 1000)))
    assert [page.count for page in found] == [1, 1, 1]


def test_a_page_that_stands_alone_says_only_whether_there_may_be_more(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    index = group.create_index(table, FieldRule("a"))
    fill(group, table, 12)
    snapshot = group.snapshot()
    for limit in (1, 5, 12, 13, 100):
        for alone, page in (
            (
                snapshot.scan(table, limit=limit, alone=True),
                snapshot.scan(table, limit=limit),
            ),
            (
                snapshot.index_scan(table, index, limit=limit, alone=True),
                snapshot.index_scan(table, index, limit=limit),
            ),
            (
                snapshot.scan_any(table, limit=limit, alone=True),
                snapshot.scan_any(table, limit=limit),
            ),
        ):
            assert (alone.docs, alone.count) == (page.docs, page.count)
            assert (alone.after is None) == (page.after is None)
    nothing = snapshot.scan(table, b"x", b"y", limit=10, alone=True)
    assert (nothing.docs, nothing.count, nothing.after) == (b"", 0, None)


def test_keys_come_with_the_documents_when_asked_for(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 50)
    page = group.snapshot().scan(table, limit=40, keys=True)
    assert page.keys == [key_of(i) for i in range(40)]
    assert page.after == key_of(39)
    assert group.snapshot().scan(table, b"x", limit=40, keys=True).keys == []


def test_reading_a_dropped_table_says_so(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    group.drop_table(table)
    group.flush()
    with pytest.raises(OpFailedError, match="dropped"):
        group.snapshot().get(table, b"x")
    with pytest.raises(OpFailedError, match="dropped"):
        group.snapshot().get(TableId(77), b"x")


def test_a_snapshot_held_when_the_group_closes_says_so(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 1)
    old = group.snapshot().acquire()
    fill(group, table, 1)
    live = group.snapshot().acquire()
    group.close()
    with pytest.raises(OpFailedError, match="closed"):
        live.get(table, key_of(0))
    live.release()
    old.release()


def test_documents_survive_reopening(opened: Open) -> None:
    home = opened()
    table = home.group.create_table()
    fill(home.group, table, 20)
    expected = all_documents(home.group, table)
    group = home.reopen()
    assert all_documents(group, table) == expected
    assert group.snapshot().count(table) == 20


def test_a_statement_is_planned_once_whatever_its_bounds_and_limit(opened: Open) -> None:
    group = opened().group
    table = group.create_table()
    fill(group, table, 300)
    index = group.create_index(table, FieldRule("a"))
    group.flush()
    planned: list[int] = []

    def asked(action: int, *_: object) -> int:
        planned.append(action)
        return apsw.SQLITE_OK

    snapshot = group.snapshot().acquire()
    group._writer.connection.authorizer = asked  # SQLite asks it whenever it plans a statement
    for i in range(20):
        snapshot.scan(table, key_of(i), key_of(200), limit=5 + i)
        snapshot.index_scan(table, index, b"%06d" % i, b"%06d" % (i + 500), limit=5 + i)
        if not i:
            assert planned
            planned.clear()
    snapshot.release()
    assert planned == []
