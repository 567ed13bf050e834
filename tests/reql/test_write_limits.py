"""Writes at the limit of arrays: what is counted as an error of a row, and what is cut off with a warning."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.reql.database import Database
from tests.reql.queries import func, table, var

TABLE = "written"
T = table(TABLE)
INSERT, UPDATE, DELETE, FOR_EACH = 56, 53, 54, 68
CHANGES_CUT = "Too many changes, array truncated to 4."


@pytest.fixture
def rooms(database: Database) -> Iterator[Database]:
    database.value([60, [TABLE]])
    yield database
    database.value([61, [TABLE]])


def numbered(count: int) -> Any:
    return [38, [[173, [count]], func({"id": var()})]]


def test_an_array_too_large_for_the_disk_is_an_error_of_its_row(rooms: Database) -> None:
    large = {"id": 0, "a": [51, [[173, [100_001]], "array"]]}
    documents = [2, [large, {"id": 1}]]
    found = rooms.value([INSERT, [T, documents]], array_limit=100_001)
    assert (found["errors"], found["inserted"]) == (1, 1)
    assert found["first_error"] == "Array too large for disk writes (limit 100,000 elements)."


def test_changes_past_the_limit_are_cut_off(rooms: Database) -> None:
    options = {"return_changes": True}
    inserted = rooms.value([INSERT, [T, numbered(10)], options], array_limit=4)
    updated = rooms.value([UPDATE, [T, {"a": 1}], options], array_limit=4)
    deleted = rooms.value([DELETE, [T], options], array_limit=4)
    for counter, found in (("inserted", inserted), ("replaced", updated), ("deleted", deleted)):
        assert found[counter] == 10
        assert len(found["changes"]) == 4
        assert found["warnings"] == [CHANGES_CUT]


def test_changes_that_are_left_of_an_insert_are_those_of_the_first_parts(rooms: Database) -> None:
    # the parts of these keys, in their order: 0 0 3 7 7 1
    documents = [38, [[173, [101, 107]], func({"id": var()})]]
    found = rooms.value([INSERT, [T, documents], {"return_changes": True}], array_limit=4)
    assert [change["new_val"]["id"] for change in found["changes"]] == [101, 102, 103, 106]


def test_generated_keys_past_the_limit_are_cut_off(rooms: Database) -> None:
    documents = [38, [[173, [10]], func({"n": var()})]]
    found = rooms.value([INSERT, [T, documents]], array_limit=4)
    assert len(found["generated_keys"]) == 4
    assert found["warnings"] == ["Too many generated keys (10), array truncated to 4."]


def test_for_each_cuts_off_what_it_joins(rooms: Database) -> None:
    each = func([INSERT, [T, {"id": var()}], {"return_changes": True}])
    found = rooms.value([FOR_EACH, [[173, [10]], each]], array_limit=4)
    assert (found["inserted"], len(found["changes"])) == (10, 4)
    assert found["warnings"] == [CHANGES_CUT]
