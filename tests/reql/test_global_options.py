"""Options of the whole query stand in for those a term is not given; where the blame for them is."""

from typing import Any

import pytest

from tests.reql.database import Database

TABLE = [15, [[14, ["test"]], "settings"]]


@pytest.fixture
def settings(database: Database) -> Any:
    database.value([60, ["settings"]])
    yield database
    database.value([61, ["settings"]])


@pytest.mark.parametrize(
    ("query", "option"),
    [
        ([56, [TABLE, {"id": 1}]], {"durability": "x"}),
        ([60, ["another"]], {"durability": "x"}),
        ([60, ["another"]], {"durability": 1}),
        (TABLE, {"read_mode": 1}),
        (TABLE, {"identifier_format": 1}),
    ],
)
def test_the_blame_for_a_global_option_is_on_no_term(
    settings: Database, query: Any, option: dict[str, Any]
) -> None:
    everywhere = settings.response(query, **option)
    at_the_term = settings.response([*query, option])
    assert everywhere["r"] == at_the_term["r"]
    assert (everywhere["b"], at_the_term["b"]) == ([], list(option))


def test_a_global_option_gives_way_to_that_of_a_term(settings: Database) -> None:
    found = settings.value([56, [TABLE, {"id": 1}], {"durability": "soft"}], durability="x")
    assert found["inserted"] == 1
    assert settings.value([39, [TABLE, [69, [[2, [1]], [31, [[10, [1]], "a"]]]]]], default=True)
