"""Updates of one row: whatever the change is, the row, its index entries and the answer are those of the long way."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.exec.local import LocalTable
from rethought.store.batch import WriteBatch
from tests.reql.database import Database
from tests.reql.queries import DOCUMENTS, FIELDS, expressions, func, table, term, var

TABLE = "updated"
T = table(TABLE)
PLAIN = table("updated_plain")
"""With indexes of fields only."""

GET, UPDATE, INSERT, ORDER_BY = 16, 53, 56, 41
POINT = {"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [1, 2]}
INDEXES = ("a", "both", "sum", "each")

LONG = {"return_changes": False}
"""An option that changes nothing, but that the short way does not know."""

rows = st.sampled_from([*DOCUMENTS, {"id": 10, "a": "$", "b": '"LITERAL"', "at": POINT}])
names = st.sampled_from([*FIELDS, "at", "id", "$reql_type$", "new"])
constants = st.dictionaries(
    names,
    st.sampled_from(
        [None, True, 1, 2.5, -0.0, "x", [], [1, "x"], [[1]], {"e": 2}, POINT, "y" * 2_000]
    ).map(term)
    | st.sampled_from([[137, []], [137, [{"e": 3}]], [180, []], [12, ["no"]]]),
    max_size=3,
)
bodies = st.one_of(
    constants,
    expressions.map(func),
    st.dictionaries(names, expressions, min_size=1, max_size=2).map(func),
)


@pytest.fixture(scope="module")
def rooms(database: Database) -> Iterator[Database]:
    compound = func([2, [[170, [var(), "a"]], [170, [var(), "b"]]]])
    for query in (
        [60, [TABLE]],
        [75, [T, "a"]],
        [75, [T, "both", compound]],
        [75, [T, "sum", func([24, [[170, [var(), "a"]], 1]])]],
        [75, [T, "each", func([170, [var(), "c"]])], {"multi": True}],
        [75, [T, "at"], {"geo": True}],
        [140, [T]],
        [60, ["updated_plain"]],
        [75, [PLAIN, "a"]],
        [75, [PLAIN, "both", compound]],
        [140, [PLAIN]],
    ):
        database.value(query)
    yield database
    database.value([61, [TABLE]])
    database.value([61, ["updated_plain"]])


@settings(max_examples=80)
@given(row=rows, body=bodies)
def test_an_update_of_one_row_ends_as_the_long_way(
    rooms: Database, row: dict[str, Any], body: Any
) -> None:
    def written(*options: Any) -> str:
        rooms.value([INSERT, [T, term(row)], {"conflict": "replace", "durability": "soft"}])
        answer = rooms.response([UPDATE, [[GET, [T, row["id"]]], body], *options])
        entries = [rooms.value([ORDER_BY, [T], {"index": index}]) for index in INDEXES]
        near = rooms.value([166, [T, term(POINT)], {"index": "at"}])
        rooms.value([54, [[GET, [T, row["id"]]]]])
        return repr((answer, entries, near))

    rooms.value([54, [T]])
    assert written() == written(LONG)


@settings(max_examples=40)
@given(body=bodies, options=st.sampled_from([{}, {"durability": "soft"}]))
def test_an_update_of_many_rows_ends_as_one_after_the_other(
    rooms: Database, body: Any, options: dict[str, Any]
) -> None:
    def written() -> str:
        rooms.value([INSERT, [T, term(DOCUMENTS)], {"conflict": "replace", "durability": "soft"}])
        answer = rooms.response([UPDATE, [T, body], options])
        entries = [rooms.value([ORDER_BY, [T], {"index": index}]) for index in INDEXES]
        return repr((answer, rooms.value([ORDER_BY, [T, "id"]]), entries))

    rooms.value([54, [T]])
    with pytest.MonkeyPatch.context() as patch:
        together = written()
        patch.setattr(LocalTable, "patch", lambda *_: None)
        assert together == written()


def test_many_rows_are_updated_the_short_way(rooms: Database, ways: list[Any]) -> None:
    rooms.value([INSERT, [PLAIN, term(DOCUMENTS)], {"conflict": "replace"}])
    rooms.value([UPDATE, [PLAIN, {"new": 1}]])
    rooms.value([UPDATE, [PLAIN, func({"new": [24, [[170, [var(), "id"]], 5]]})]])
    assert ways == ["no index", "replaced"] * 2 * len(DOCUMENTS)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Notes what the short way came to, and which batches were told that no index has to follow."""
    noted: list[Any] = []
    patch, replace = LocalTable.patch, WriteBatch.replace

    def noting_patch(*args: Any) -> Any:
        noted.append(patch(*args))
        return noted[-1]

    def noting_replace(*args: Any) -> None:
        noted.append("no index")
        replace(*args)

    monkeypatch.setattr(LocalTable, "patch", noting_patch)
    monkeypatch.setattr(WriteBatch, "replace", noting_replace)
    return noted


@pytest.mark.parametrize(
    ("body", "way"),
    [
        ({"new": 1}, ["no index", "replaced"]),
        (func({"new": [24, [[170, [var(), "a"]], 1]]}), ["no index", "replaced"]),
        ({"a": 2}, ["replaced"]),
        (func({"b": [170, [var(), "a"]]}), ["replaced"]),
        ({"a": 1}, ["unchanged"]),
        ({"d": {"f": 1}}, [None]),
        ({"id": 0}, [None]),
    ],
    ids=str,
)
def test_indexes_are_looked_at_when_a_field_changes_that_they_read(
    rooms: Database, ways: list[Any], body: Any, way: list[Any]
) -> None:
    rooms.value([INSERT, [PLAIN, term(DOCUMENTS[0])], {"conflict": "replace"}])
    rooms.value([UPDATE, [[GET, [PLAIN, 0]], body]])
    assert ways == way


def test_an_index_of_a_function_is_always_looked_at(rooms: Database, ways: list[Any]) -> None:
    rooms.value([INSERT, [T, term(DOCUMENTS[0])], {"conflict": "replace"}])
    rooms.value([UPDATE, [[GET, [T, 0]], {"new": 1}]])
    assert ways == ["replaced"]


def test_an_index_that_is_being_built_is_looked_at(rooms: Database, ways: list[Any]) -> None:
    rooms.value([INSERT, [PLAIN, term(DOCUMENTS[0])], {"conflict": "replace"}])
    database = rooms.catalog.database("test")
    number = database.tables["updated_plain"].indexes["a"].number
    index = database.group._find_index(number)  # type: ignore[union-attr]
    assert index is not None
    index.ready = False
    try:
        rooms.value([UPDATE, [[GET, [PLAIN, 0]], {"new": 5}]])
    finally:
        index.ready = True
    assert ways == ["replaced"]


def test_a_row_that_is_not_there_is_skipped_without_looking_at_the_value(rooms: Database) -> None:
    answer = rooms.value([UPDATE, [[GET, [T, "gone"]], {"a": [12, ["no"]]}]])
    assert (answer["skipped"], answer["errors"]) == (1, 0)
