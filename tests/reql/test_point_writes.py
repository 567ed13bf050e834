"""Writes of one row take a short way: the same rows, answers and errors as on the long one."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.reql.database import Database
from tests.reql.queries import func, table, var

TABLE = "points"
T = table(TABLE)
GET, UPDATE, REPLACE, DELETE, INSERT = 16, 53, 55, 54, 56
FIELD, ADD, DEFAULT, LITERAL, ERROR, MERGE = 170, 24, 92, 137, 12, 35
OLD = {"id": 1, "n": 1, "o": {"a": 1, "b": [1, 2]}}

LONG = {"return_changes": False}
"""An option that changes nothing, but that the short way does not know."""


@pytest.fixture(scope="module")
def rooms(database: Database) -> Iterator[Database]:
    database.value([60, [TABLE]])
    database.value([75, [T, "n"]])
    database.value([140, [T, "n"]])
    yield database
    database.value([61, [TABLE]])


ONE, GONE, NO_KEY = [GET, [T, 1]], [GET, [T, 2]], [GET, [T, {"a": 1}]]
NEXT = func({"n": [ADD, [[FIELD, [var(), "n"]], 1]]})

WRITES: dict[str, list[Any]] = {
    "a field": [UPDATE, [ONE, {"n": 2}]],
    "nothing new": [UPDATE, [ONE, {"n": 1}]],
    "a function": [UPDATE, [ONE, NEXT]],
    "a default": [UPDATE, [ONE, func({"m": [DEFAULT, [[FIELD, [var(), "m"]], 0]]})]],
    "a field that is not there": [UPDATE, [ONE, func({"m": [FIELD, [var(), "m"]]})]],
    "an object in the object": [UPDATE, [ONE, {"o": {"c": 3}}]],
    "an object in place of the object": [UPDATE, [ONE, {"o": [LITERAL, [{"c": 3}]]}]],
    "a field less": [UPDATE, [ONE, {"o": [LITERAL, []]}]],
    "a literal": [UPDATE, [ONE, [LITERAL, [{"n": 2}]]]],
    "null": [UPDATE, [ONE, None]],
    "a function that gives null": [UPDATE, [ONE, func(None)]],
    "a number": [UPDATE, [ONE, 1]],
    "a time": [UPDATE, [ONE, [103, []]]],
    "another key": [UPDATE, [ONE, {"id": 2}]],
    "an error": [UPDATE, [ONE, func([ERROR, ["no"]])]],
    "an error of a value": [UPDATE, [ONE, {"n": [ERROR, ["no"]]}]],
    "chance": [UPDATE, [ONE, {"n": [DEFAULT, [[FIELD, [[GET, [T, 1]], "n"]], 1]]}]],
    "minval": [UPDATE, [ONE, {"n": [180, []]}]],
    "an array of arrays": [UPDATE, [ONE, {"n": [2, [[2, [1]], 2]]}]],
    "a row that is not there": [UPDATE, [GONE, NEXT]],
    "what is no key": [UPDATE, [NO_KEY, NEXT]],
    "another row": [REPLACE, [ONE, {"id": 1, "n": 5}]],
    "the row": [REPLACE, [ONE, func(var())]],
    "a row with more": [REPLACE, [ONE, func([MERGE, [var(), {"n": 7}]])]],
    "a row in an empty place": [REPLACE, [GONE, {"id": 2}]],
    "no row": [REPLACE, [ONE, None]],
    "no row in an empty place": [REPLACE, [GONE, None]],
    "a row without a key": [REPLACE, [ONE, {"n": 5}]],
    "a row with another key": [REPLACE, [ONE, {"id": 3}]],
    "a row of a wrong key in an empty place": [REPLACE, [GONE, {"id": 3}]],
    "a number for a row": [REPLACE, [ONE, 5]],
    "a row of an error": [REPLACE, [ONE, func([ERROR, ["no"]])]],
    "away": [DELETE, [ONE]],
    "away from an empty place": [DELETE, [GONE]],
    "away from what is no key": [DELETE, [NO_KEY]],
    "one more": [INSERT, [T, {"id": 2, "n": 2}]],
    "one that is there": [INSERT, [T, {"id": 1, "n": 2}]],
    "one with no key for a key": [INSERT, [T, {"id": None}]],
    "one with a bound": [INSERT, [T, {"id": 2, "n": [180, []]}]],
    "one that is a time": [INSERT, [T, {"$reql_type$": "TIME", "epoch_time": 1, "timezone": "Z"}]],
    "one that is binary": [INSERT, [T, {"$reql_type$": "BINARY", "data": "YQ=="}]],
    "a number for one": [INSERT, [T, 5]],
    "one with a durability there is not": [INSERT, [T, {"id": 2}], {"durability": "error"}],
}


@pytest.mark.parametrize("options", [{}, {"durability": "hard"}, {"durability": "soft"}], ids=str)
@pytest.mark.parametrize("name", WRITES)
def test_the_short_way_leads_where_the_long_one_does(
    rooms: Database, name: str, options: dict[str, Any]
) -> None:
    write = WRITES[name]

    def written(options: dict[str, Any]) -> tuple[Any, ...]:
        rooms.value([DELETE, [T], {"durability": "soft"}])
        rooms.value([INSERT, [T, OLD], {"durability": "soft"}])
        answer = rooms.response([*write, options] if options and len(write) < 3 else write)
        by_index = [71, [[41, [T], {"index": "n"}], 10]]
        return answer, rooms.value([41, [T, "id"]]), rooms.value(by_index)

    assert written(options) == written({**options, **LONG})


def test_a_document_without_a_key_gets_one(rooms: Database) -> None:
    answer = rooms.value([INSERT, [T, {"n": 9}]])
    (key,) = answer["generated_keys"]
    assert rooms.value([GET, [T, key]]) == {"id": key, "n": 9}


def test_the_durability_of_the_table_counts_for_a_write_that_names_none(rooms: Database) -> None:
    group: Any = rooms.catalog.database("test").group
    hard: list[bool] = []
    write = group.write

    def noting() -> Any:
        batch = write()
        return Noting(batch, hard)

    group.write = noting
    try:
        for options in ({}, {"durability": "soft"}, {"durability": "hard"}):
            rooms.value([INSERT, [T, {"id": str(options)}], options])
            rooms.value([UPDATE, [[GET, [T, str(options)]], {"n": 1}], options])
    finally:
        group.write = write
    assert hard == [True, True, False, False, True, True]


class Noting:
    """A batch that notes how its writers wait."""

    def __init__(self, batch: Any, hard: list[bool]) -> None:
        self._batch = batch
        self._hard = hard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def ticket(self, hard: bool) -> Any:
        self._hard.append(hard)
        return self._batch.ticket(hard)
