"""Whatever a query leaves to chance comes from the engine's one source."""

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.reql.database import Database
from tests.reql.queries import func, table, term

QUERIES: tuple[Any, ...] = (
    [151, []],
    [151, [1, 2**53]],
    [151, [2.5], {"float": True}],
    [169, []],
    [81, [term(list(range(100))), 5]],
    [81, [[173, [100]], 5]],
    [81, [table("rows"), 3]],
    [56, [table("rows"), term([{"a": 1}, {"a": 2}])]],
    [56, [table("rows"), {"b": 1}], {"return_changes": True}],
    [56, [table("rows"), {"b": [169, []]}], {"conflict": "update"}],
)


def answers(directory: Path, seed: int) -> list[Any]:
    directory.mkdir()
    with closing(Database(directory, random.Random(seed).randbytes)) as database:
        database.value([60, ["rows"]])
        database.value([56, [table("rows"), term([{"id": key} for key in range(20)])]])
        return [database.value(query) for query in QUERIES]


def test_the_same_seed_gives_the_same_answers(tmp_path: Path) -> None:
    first = answers(tmp_path / "first", 7)
    assert answers(tmp_path / "second", 7) == first
    other = answers(tmp_path / "third", 8)
    assert all(one != another for one, another in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "chosen", [[169, []], [151, [2**53]], [51, [[169, []], "binary"]]], ids=str
)
def test_every_row_has_its_own(database: Database, chosen: Any) -> None:
    found = database.value([38, [[173, [20]], func({"a": chosen})]])
    assert len({json.dumps(row) for row in found}) == 20
