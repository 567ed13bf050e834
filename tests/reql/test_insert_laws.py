"""Inserting many documents: whatever is among them, the answer and the table are those of one after the other."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.exec.env import Env
from rethought.exec.local import LocalTable
from rethought.exec.schedule import Scheduler
from rethought.reql.terms import inserting
from tests.reql.database import Database
from tests.reql.queries import func, table, term, var

TABLE = "many"
T = table(TABLE)
INSERT, DELETE, ORDER_BY = 56, 54, 41
POINT = {"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [2, [1, 2]]}
TIME = {"$reql_type$": "TIME", "epoch_time": 1, "timezone": "Z"}
THERE = [{"id": number, "a": number % 3} for number in range(3)]

keys = st.one_of(st.integers(0, 12), st.sampled_from(["a", "b", "x" * 130, None, True, {"a": 1}]))
values = st.sampled_from(
    [None, 0, 1, -0.0, 2.5, "x", TIME, POINT, {"e": 1}, [2, [1, "x", [2, [1]]]], [180, []]]
)
documents = st.one_of(
    *[st.fixed_dictionaries({"id": st.integers(0, 40)}, optional={"a": values, "b": values})] * 4,
    st.fixed_dictionaries(
        {}, optional={"id": keys, "a": values, "b": values, "at": st.just(POINT)}
    ),
    st.sampled_from([None, 5, "x", TIME, {"$reql_type$": "BINARY", "data": "YQ=="}]),
)
options = st.fixed_dictionaries(
    {},
    optional={
        "return_changes": st.sampled_from([True, False, "always"]),
        "conflict": st.sampled_from(["error", "replace", "update"]),
        "durability": st.sampled_from(["hard", "soft"]),
    },
)


class Seeded:
    """Chance that begins again."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._random = random.Random(0)

    def __call__(self, count: int) -> bytes:
        return self._random.randbytes(count)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = Database(tmp_path_factory.mktemp("inserts"), random_bytes=Seeded())
    compound = func([2, [[170, [var(), "a"]], [170, [var(), "b"]]]])
    for query in (
        [60, [TABLE]],
        [75, [T, "a"]],
        [75, [T, "both", compound]],
        [75, [T, "sum", func([24, [[170, [var(), "a"]], 1]])]],
        [75, [T, "each", func([170, [var(), "b"]])], {"multi": True}],
        [75, [T, "at"], {"geo": True}],
        [140, [T]],
    ):
        opened.value(query)
    yield opened
    opened.close()


def outcome(rooms: Database, query: Any) -> Any:
    rooms.random_bytes.restart()  # type: ignore[attr-defined]
    rooms.restart_engine()  # with the same keys for documents without one
    rooms.value([DELETE, [T], {"durability": "soft"}])
    rooms.value([INSERT, [T, term(THERE)], {"durability": "soft"}])
    answer = rooms.response(query)
    by_index = [rooms.value([41, [T], {"index": index}]) for index in ("a", "both", "sum", "each")]
    near = rooms.value([166, [T, POINT], {"index": "at"}])
    return repr((answer, rooms.value([ORDER_BY, [T, "id"]]), by_index, near))


def with_batches_of(size: int, rooms: Database, query: Any) -> tuple[Any, Any]:
    """The outcomes of inserting together and one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inserting, "INSERT_BATCH", size)
        together = outcome(rooms, query)
        patch.setattr(LocalTable, "insert_many", lambda *_, **__: 0)
        return together, outcome(rooms, query)


@settings(max_examples=30)
@given(rows=st.lists(documents, max_size=10), given_=options, size=st.integers(1, 11))
def test_what_is_inserted_together_ends_as_one_after_the_other(
    rooms: Database, rows: list[Any], given_: dict[str, Any], size: int
) -> None:
    together, alone = with_batches_of(size, rooms, [INSERT, [T, [2, rows]], given_])
    assert together == alone


@settings(max_examples=30)
@given(
    rows=st.lists(documents | st.just([12, ["no"]]), min_size=1, max_size=10),
    given_=options,
    size=st.integers(1, 11),
)
def test_so_it_is_with_documents_that_are_made_on_the_way(
    rooms: Database, rows: list[Any], given_: dict[str, Any], size: int
) -> None:
    made = [38, [[173, [len(rows)]], func([65, [*_chosen(rows), None]])]]
    together, alone = with_batches_of(size, rooms, [INSERT, [T, made], given_])
    assert together == alone


def _chosen(rows: list[Any]) -> list[Any]:
    """The branches that give the row of a number."""
    return [part for at, row in enumerate(rows) for part in ([17, [var(), at]], row)]


def test_most_documents_are_inserted_together(
    rooms: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms.value([DELETE, [T]])
    stored = []
    insert_many = LocalTable.insert_many

    def noting(*args: Any, **options: Any) -> int:
        stored.append(insert_many(*args, **options))
        return stored[-1]

    monkeypatch.setattr(LocalTable, "insert_many", noting)
    rows = [{"id": number} for number in range(300)]
    assert rooms.value([INSERT, [T, term(rows)]])["inserted"] == 300
    assert rooms.value([INSERT, [T, term([*rows[290:], {"a": 1}])]])["inserted"] == 1
    assert sum(stored) == 300
    assert len(stored) == 4


def test_a_transaction_is_undone_by_the_document_that_is_there(rooms: Database) -> None:
    rooms.value([DELETE, [T]])
    rooms.value([INSERT, [T, {"id": 7}]])
    rows = [{"id": number} for number in range(10)]
    refused = rooms.response([INSERT, [T, term(rows)]], transaction=True)
    assert refused["t"] == 18
    assert "Duplicate primary key" in refused["r"][0]
    assert rooms.value([43, [T]]) == 1
    rows.pop(7)
    assert rooms.value([INSERT, [T, term(rows)]], transaction=True)["inserted"] == 9


def test_a_long_insert_is_one_commit_however_often_others_have_their_turn(
    rooms: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms.value([DELETE, [T]])
    monkeypatch.setattr(inserting, "INSERT_BATCH", 100)
    pauses = []
    pause = Scheduler.pause

    def noting(self: Scheduler, env: Env) -> None:
        pauses.append(env)
        pause(self, env)

    monkeypatch.setattr(Scheduler, "pause", noting)
    monkeypatch.setattr(Env, "new_slice", lambda self: setattr(self, "slice_end", 0.0))
    monkeypatch.setattr(Env, "begin", lambda self, now: None)
    group: Any = rooms.catalog.database("test").group
    before = group.seq
    rows = [{"id": number, "a": number % 7} for number in range(600)]
    assert rooms.value([INSERT, [T, term(rows)]])["inserted"] == 600
    assert len(pauses) >= 5
    assert group.seq == before + 1
