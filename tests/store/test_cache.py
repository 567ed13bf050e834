"""The page cache is shared among groups."""

from collections.abc import Callable

import apsw
from hypothesis import given
from hypothesis import strategies as st

from rethought.store import GroupOptions, open_group
from rethought.store.cache import FLOOR_BYTES, LOOK_EVERY_S, decide_shares
from tests.store.support import Opened, fill, key_of

MB = 1 << 20

Open = Callable[..., Opened]


def test_files_that_fit_get_what_they_need() -> None:
    shares = decide_shares(100 * MB, [10 * MB, 20 * MB], [1.0, 1_000_000.0])
    assert shares[0] >= 10 * MB
    assert shares[1] >= 20 * MB


def test_a_busy_group_gets_more() -> None:
    idle, busy = decide_shares(100 * MB, [500 * MB, 500 * MB], [10.0, 990.0])
    assert busy > 90 * MB
    assert idle >= FLOOR_BYTES


def test_what_a_busy_group_does_not_need_goes_to_the_others() -> None:
    busy, idle = decide_shares(100 * MB, [8 * MB, 500 * MB], [1e6, 1.0])
    assert 8 * MB <= busy <= 11 * MB
    assert idle > 85 * MB


@given(
    st.integers(1, 4_000).map(lambda megabytes: megabytes * MB),
    st.lists(st.tuples(st.integers(0, 1 << 36), st.floats(0, 1e12)), min_size=1, max_size=50),
)
def test_shares_never_exceed_the_whole(total: int, groups: list[tuple[int, float]]) -> None:
    sizes, uses = [size for size, _ in groups], [use for _, use in groups]
    shares = decide_shares(total, sizes, uses)
    assert len(shares) == len(groups)
    assert min(shares) >= min(FLOOR_BYTES, 64 << 10)
    assert sum(shares) <= max(total, len(groups) * (64 << 10)) + len(groups)


def test_groups_with_the_same_options_share(opened: Open, tmp_path: object) -> None:
    home = opened(cache_bytes=4 * MB)
    others = [
        open_group(home.path.with_name(f"{i}.db"), loop=home.loop, options=home.options)
        for i in range(3)
    ]
    groups = [home.group, *others]
    tables = [group.create_table() for group in groups]
    for group, table in zip(groups, tables, strict=True):
        fill(group, table, 1_000, pad="x" * 4_000)

    def used() -> list[int]:
        found = []
        for group, table in zip(groups, tables, strict=True):
            snapshot = group.snapshot()
            for i in range(1_000):
                snapshot.get(table, key_of(i))
            used, _ = group._writer.connection.status(apsw.SQLITE_DBSTATUS_CACHE_USED)
            found.append(used)
        return found

    used()
    home.loop.pass_time(LOOK_EVERY_S)
    home.loop.settle()
    shares = used()
    assert sum(shares) < 5 * MB
    assert min(shares) > MB // 2
    for group in others:
        group.close()
    assert home.group._writer.connection.pragma("cache_size") * 4096 > 3 * MB
    assert GroupOptions().cache is not GroupOptions().cache


def test_a_new_size_counts_at_once_for_all(opened: Open) -> None:
    home = opened(cache_bytes=64 * MB)
    other = open_group(home.path.with_name("b.db"), loop=home.loop, options=home.options)

    def pages() -> int:
        return sum(
            int(str(group._writer.connection.pragma("cache_size"))) for group in (home.group, other)
        )

    assert pages() * 4_700 > 60 * MB
    home.options.cache.resize(8 * MB)
    assert pages() * 4_700 <= 8 * MB
    home.options.cache.resize(32 * MB)
    assert pages() * 4_700 > 30 * MB
    other.close()
