"""A scan's pages are as large as others can wait for."""

from types import SimpleNamespace
from typing import Any

from rethought.exec.env import SHORT_LOT
from rethought.exec.local import PAGE, PAGE_GROWTH, PAGE_MIN, PAGE_S, LocalTable


def sizes(
    row_s: float, pages: int, *, hurried: bool = False, first: int = 200, held_up: int = 0
) -> list[int]:
    """The sizes asked for by somebody who works so long on each row, and is held up at one page."""
    asked: list[int] = []
    clock = 0.0
    env: Any = SimpleNamespace(row_s=0.0, snapshot=lambda _: None, hurried=hurried)
    env.lot = lambda size: size // SHORT_LOT if hurried else size
    env.worked = lambda: clock
    handle: Any = SimpleNamespace(
        reads=0, primary_key="id", number=1, id="", db=SimpleNamespace(group=None)
    )
    env.client = SimpleNamespace(user="admin", narrowed=False)
    env.rights = -1
    env.catalog = SimpleNamespace(permissions=SimpleNamespace(version=-1))

    def read(_: Any, after: Any, limit: int) -> Any:
        asked.append(limit)
        return SimpleNamespace(count=limit, after=None if len(asked) == pages else 1)

    for page in LocalTable(handle)._pages(env, read, first):
        clock += page.count * row_s + (len(asked) == held_up) * 60.0
    return asked


def test_pages_of_cheap_rows_grow_until_they_are_full() -> None:
    assert sizes(1e-9, 4) == [200, PAGE_GROWTH * 200, PAGE, PAGE]


def test_a_page_takes_no_longer_than_others_can_wait() -> None:
    assert all(abs(size - 500) <= 1 for size in sizes(PAGE_S / 500, 5)[1:])


def test_costly_rows_come_in_pages_of_a_least_size() -> None:
    assert sizes(1.0, 5)[1:] == [PAGE_MIN] * 4


def test_what_took_long_once_makes_pages_smaller_for_a_moment() -> None:
    assert sizes(1e-9, 6, held_up=3)[2:] == [PAGE, PAGE // PAGE_GROWTH, PAGE, PAGE]


def test_pages_are_smaller_from_the_first_while_others_wait() -> None:
    asked = sizes(PAGE_S / 500, 6, hurried=True)
    assert asked[0] == 200 // SHORT_LOT
    assert abs(asked[-1] - 500 // SHORT_LOT) <= 1


def test_no_more_rows_are_read_at_first_than_are_wanted() -> None:
    assert sizes(1e-9, 1, first=3) == [3]
    assert sizes(1e-9, 1, first=3, hurried=True) == [3]
