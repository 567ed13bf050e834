"""Counts, distinct values and groups that come from an index alone, against the documents themselves."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.datum.order import hash_key, in_order
from rethought.exec import local
from tests.reql.database import Database
from tests.reql.queries import func, table, term, var

TABLE = "counting"
VALUES = [0, 1, 1, 1, 1, 1, 1, 2.5, "a", "a", True, [1], [1, "x"], None, "b", 1, -3, "a"]
DOCUMENTS = [
    {"id": number, "v": value, "m": [value, value, number % 3]}
    for number, value in enumerate(VALUES)
] + [{"id": 100}]

bounds = st.sampled_from([0, 1, 2, "a", "b", [180, []], [181, []]])
flags = st.sampled_from(["open", "closed"])


@pytest.fixture(scope="module")
def rooms(database: Database) -> Iterator[Database]:
    database.value([60, [TABLE]])
    database.value([56, [table(TABLE), term(DOCUMENTS)]])
    database.value([75, [table(TABLE), "v"]])
    database.value([75, [table(TABLE), "m"], {"multi": True}])
    database.value([140, [table(TABLE)]])
    yield database
    database.value([61, [TABLE]])


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "TALLY", 3)


@settings(max_examples=60)
@given(
    index=st.sampled_from(["id", "v", "m"]),
    low=bounds,
    high=bounds,
    left=flags,
    right=flags,
)
def test_a_range_has_as_many_rows_as_it_gives(
    rooms: Database, index: str, low: Any, high: Any, left: str, right: str
) -> None:
    options = {"index": index, "left_bound": left, "right_bound": right}
    rows = [182, [table(TABLE), low, high], options]
    assert rooms.value([43, [rows]]) == len(rooms.value(rows))
    if index != "id":
        ordered = [41, [rows], {"index": index}]
        assert rooms.value([43, [ordered]]) == len(rooms.value(ordered))


@pytest.mark.parametrize("index", ["v", "m"])
@pytest.mark.parametrize("keys", [[1], [1, "a"], [1, 1], [7], []])
def test_keys_of_an_index_have_as_many_rows_as_they_give(
    rooms: Database, index: str, keys: list[Any]
) -> None:
    rows = [78, [table(TABLE), *keys], {"index": index}]
    assert rooms.value([43, [rows]]) == len(rooms.value(rows))


def entries(index: str) -> list[Any]:
    """The keys of all entries: null is no key, an array of null neither."""
    found = []
    for document in DOCUMENTS:
        value: Any = document.get(index)
        for key in value if index == "m" and value is not None else [value]:
            if key is not None:
                found.append(key)
    return found


@pytest.mark.parametrize("index", ["v", "m"])
def test_distinct_keys_come_in_order(rooms: Database, index: str) -> None:
    unique = {hash_key(key): key for key in entries(index)}
    distinct = [42, [table(TABLE)], {"index": index}]
    assert rooms.value(distinct) == in_order(unique.values())
    assert rooms.value([43, [distinct]]) == len(unique)


@pytest.mark.parametrize("index", ["v", "m"])
def test_groups_of_an_index_count_its_entries(rooms: Database, index: str) -> None:
    counts = Counter(hash_key(key) for key in entries(index))
    grouped = [144, [table(TABLE)], {"index": index}]
    counted = rooms.value([150, [[43, [grouped]]]])
    assert {hash_key(pair["group"]): pair["reduction"] for pair in counted} == counts
    summed = rooms.value([150, [[145, [[38, [grouped, func(1)]]]]]])
    assert summed == counted


def test_too_many_groups_are_refused(rooms: Database) -> None:
    grouped = [43, [[144, [table(TABLE)], {"index": "v"}]]]
    refused = rooms.response(grouped, array_limit=3)
    assert refused["r"] == ["Too many groups (> 3)."]


@pytest.mark.parametrize("kind", [147, 148])
def test_the_extreme_row_is_the_first_of_equals(rooms: Database, kind: int) -> None:
    ordered = [41, [table(TABLE)], {"index": "id"}]
    numbers = [39, [ordered, func([17, [[52, [[170, [var(), "v"]]]], "NUMBER"]])]]
    rows = [row for row in DOCUMENTS if type(row.get("v")) in (int, float)]
    wanted = (min if kind == 147 else max)(rows, key=lambda row: row["v"])
    assert rooms.value([kind, [numbers, "v"]]) == wanted
    one_group = [144, [numbers, func(term([1, "x"]))]]
    assert rooms.value([150, [[kind, [one_group, "v"]]]]) == [
        {"group": [1, "x"], "reduction": wanted}
    ]
