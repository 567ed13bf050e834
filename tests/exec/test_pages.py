"""A scan's pages are as large as others can wait for."""

from types import SimpleNamespace
from typing import Any

from rethought.exec.local import LATE_S, PAGE, PAGE_MIN, LocalTable


def sizes(late_s: float, pages: int, *, pauses: bool = True) -> list[int]:
    """The sizes asked for by somebody who overruns each slice by `late_s`."""
    asked: list[int] = []
    env: Any = SimpleNamespace(late=0.0, pauses=0, snapshot=lambda _: None)
    handle: Any = SimpleNamespace(
        reads=0, primary_key="id", number=1, id="", db=SimpleNamespace(group=None)
    )
    env.client = SimpleNamespace(user="admin", narrowed=False)
    env.rights = -1
    env.catalog = SimpleNamespace(permissions=SimpleNamespace(version=-1))

    def read(_: Any, after: Any, limit: int) -> Any:
        asked.append(limit)
        return SimpleNamespace(count=limit, after=None if len(asked) == pages else 1)

    for _ in LocalTable(handle)._pages(env, read, 200):
        if pauses:
            env.pauses += 1
        env.late = late_s
    return asked


def test_whoever_keeps_to_its_slices_gets_full_pages() -> None:
    assert set(sizes(0.0, 5)[1:]) == {PAGE}


def test_whoever_overruns_them_gets_smaller_ones_down_to_a_least() -> None:
    asked = sizes(2 * LATE_S, 10)
    assert asked[1:4] == [PAGE // 2, PAGE // 4, PAGE // 8]
    assert asked[-1] == PAGE_MIN
