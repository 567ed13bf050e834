"""Options of the whole query stand in for those a term is not given; where the blame for them is."""

import json
from typing import Any

import pytest

from tests.asking import ask
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


def test_writes_of_one_row_see_the_options_of_the_whole_query(settings: Database) -> None:
    row = {"id": 1, "n": 1}
    told = settings.value([56, [TABLE, row]], return_changes=True)
    assert told["changes"] == [{"new_val": row, "old_val": None}]
    one = [16, [TABLE, 1]]
    assert settings.value([53, [one, {"n": 2}]], return_changes=True)["changes"]
    assert settings.value([54, [one]], return_changes=True)["changes"]
    for query in ([56, [TABLE, row]], [53, [one, {"n": 3}]], [54, [one]]):
        assert settings.response(query, durability="x")["b"] == []


def test_parts_of_a_table_come_in_batches_of_the_size_asked_for(settings: Database) -> None:
    settings.value([56, [TABLE, [2, [{"id": number} for number in range(9)]]]])
    query = [41, [TABLE], {"index": "id"}]
    body = json.dumps([1, query, {"max_batch_rows": 3}]).encode()

    async def first() -> dict[str, Any]:
        reply = await settings._reply(
            lambda done: ask(settings.engine, settings.client, body, done)
        )
        assert reply.cursor is not None
        reply.cursor.close()
        response: dict[str, Any] = json.loads(reply.body)
        return response

    found = settings.loop.run_until_complete(first())
    assert found["t"] == 3
    assert len(found["r"]) <= 3
