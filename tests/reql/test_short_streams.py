"""A part of a table that one short read has is answered at once: as the long way would, but in no greenlet."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.reql.database import Database
from tests.reql.queries import table

TABLE = "parts"
T = table(TABLE)
BETWEEN, GET_ALL, ORDER_BY, LIMIT, ASC, DESC = 182, 78, 41, 71, 73, 74
MIN, MAX = [180, []], [181, []]
BY_A = {"index": "a"}
ROWS = 120

LONG_WAY = {"min_batch_rows": 1}
"""An option that changes nothing here, but that a query answered at once has not."""


@pytest.fixture(scope="module")
def rooms(database: Database) -> Iterator[Database]:
    database.value([60, [TABLE]])
    database.value([75, [T, "a"]])
    database.value([75, [T, "pairs", [69, [[2, [1]], [2, [[170, [[10, [1]], "a"]], 1]]]]]])
    database.value([75, [T, "places"], {"geo": True}])
    rows = [{"id": at, "a": at % 7, "text": "x" * 50} for at in range(ROWS)]
    database.value([56, [T, [2, rows]]])
    database.value([56, [T, [2, [{"id": f"large {at}", "text": "y" * 90_000} for at in range(4)]]]])
    database.value([140, [T]])
    yield database
    database.value([61, [TABLE]])


PARTS: dict[str, Any] = {
    "a range": [BETWEEN, [T, 5, 9]],
    "a range, closed": [BETWEEN, [T, 5, 9], {"right_bound": "closed", "left_bound": "open"}],
    "a range with nothing in it": [BETWEEN, [T, 5.1, 5.2]],
    "a range the wrong way round": [BETWEEN, [T, 9, 5]],
    "to the end": [BETWEEN, [T, 110, MAX]],
    "from the end": [BETWEEN, [T, MAX, MIN]],
    "a limit": [LIMIT, [[BETWEEN, [T, 5, MAX]], 20]],
    "a limit of everything": [LIMIT, [T, 20]],
    "a limit past the end": [LIMIT, [[BETWEEN, [T, 110, 130]], 100]],
    "a limit of none": [LIMIT, [T, 0]],
    "a limit below none": [LIMIT, [T, -1]],
    "a limit that is no number": [LIMIT, [T, "a"]],
    "a large limit": [LIMIT, [[BETWEEN, [T, MIN, 1000]], 150]],
    "a limit of a limit": [LIMIT, [[LIMIT, [T, 20]], 3]],
    "of an index": [GET_ALL, [T, 3], BY_A],
    "two of an index": [LIMIT, [[GET_ALL, [T, 3, 4], BY_A], 20]],
    "one of an index twice": [GET_ALL, [T, 3, 3], BY_A],
    "none of an index": [GET_ALL, [T], BY_A],
    "a pair": [GET_ALL, [T, [2, [3, 1]]], {"index": "pairs"}],
    "keys": [GET_ALL, [T, 1, 2, 2, 500]],
    "null": [GET_ALL, [T, None], BY_A],
    "an object": [GET_ALL, [T, {"a": 1}], BY_A],
    "a range of an index": [LIMIT, [[BETWEEN, [T, 2, 5], BY_A], 30]],
    "an order": [LIMIT, [[ORDER_BY, [T], BY_A], 20]],
    "an order downwards": [LIMIT, [[ORDER_BY, [T], {"index": [DESC, ["a"]]}], 20]],
    "an order of a range": [
        LIMIT,
        [[ORDER_BY, [[BETWEEN, [T, 2, 4], BY_A]], {"index": [ASC, ["a"]]}], 20],
    ],
    "an order by the key": [LIMIT, [[ORDER_BY, [T], {"index": "id"}], 20]],
    "an order by something else": [LIMIT, [[ORDER_BY, [T, "text"], BY_A], 20]],
    "a sorted table": [LIMIT, [[ORDER_BY, [T, "text"]], 3]],
    "an index that is not there": [LIMIT, [[ORDER_BY, [T], {"index": "b"}], 20]],
    "an index of places": [GET_ALL, [T, 1], {"index": "places"}],
    "a table that is not there": [LIMIT, [table("none"), 3]],
    "large rows": [BETWEEN, [T, "large", "large a"]],
    "large rows up to a limit": [LIMIT, [[BETWEEN, [T, "large", "large a"]], 3]],
    "everything": T,
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_a_table_is_what_the_long_way_gives(rooms: Database, name: str) -> None:
    assert rooms.response(PARTS[name]) == rooms.response(PARTS[name], **LONG_WAY)


AT_ONCE = (
    "a range",
    "a range, closed",
    "a range with nothing in it",
    "a range the wrong way round",
    "from the end",
    "a limit",
    "a limit of everything",
    "a limit past the end",
    "a large limit",
    "of an index",
    "a pair",
    "a range of an index",
    "an order",
    "an order downwards",
    "an order of a range",
    "an order by the key",
)


@pytest.mark.parametrize("name", PARTS)
def test_short_parts_of_a_table_need_no_turn_of_their_own(
    rooms: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = rooms.engine.scheduler
    spawned: list[Any] = []
    spawn = scheduler.spawn

    def noting(*args: Any) -> None:
        spawned.append(args)
        spawn(*args)

    monkeypatch.setattr(scheduler, "spawn", noting)
    answer = rooms.response(PARTS[name])
    if name in AT_ONCE:
        assert not spawned
    elif answer["t"] < 16:
        assert spawned


def test_a_part_of_a_table_sees_writes_before_it_and_counts_as_read(rooms: Database) -> None:
    handle = rooms.catalog.database("test").tables[TABLE]
    before = handle.reads
    rooms.value([56, [T, {"id": 1000, "a": 100}]])
    assert rooms.value([GET_ALL, [T, 100], BY_A]) == [{"id": 1000, "a": 100}]
    assert handle.reads == before + 1
    rooms.value([54, [[16, [T, 1000]]]])
