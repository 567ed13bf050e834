"""What a function computes from no row: evaluated once, with the answers and errors of evaluating it for every row."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.exec.env import Env
from rethought.reql.terms import times
from tests.reql.database import Database, both_ways
from tests.reql.queries import DOCUMENTS, expressions, func, table, term, var

TABLE = "held"

EPOCHS = (0, 1.5, -3, 1_700_000_000)
ROWS = [
    {"id": at, "t": {"$reql_type$": "TIME", "epoch_time": epoch, "timezone": zone}}
    for at, (epoch, zone) in enumerate(
        (epoch, zone) for epoch in EPOCHS for zone in ("+00:00", "-07:30")
    )
]
OTHERS = [
    {"id": 100 + at, "t": value}
    for at, value in enumerate(
        (None, 1.5, "x", [], {"epoch_time": 1.5}, {"$reql_type$": "BINARY", "data": "aGk="})
    )
]


@pytest.fixture(scope="module")
def rooms(database: Database) -> Iterator[Database]:
    database.value([60, [TABLE]])
    documents = [{**document, "id": 200 + document["id"]} for document in DOCUMENTS]
    database.value([56, [table(TABLE), term([*ROWS, *OTHERS, *documents])]])
    yield database
    database.value([61, [TABLE]])


ORDERED = [41, [table(TABLE)], {"index": "id"}]
TIMED = [182, [ORDERED, 0, 100]]
SPENT = [170, [var(), "t"]]

instants = st.one_of(
    st.sampled_from(EPOCHS).map(lambda epoch: [101, [epoch]]),
    st.sampled_from(EPOCHS).map(lambda epoch: [25, [[101, [epoch]], 1.5]]),
    st.sampled_from(EPOCHS).map(lambda epoch: [24, [1.5, [101, [epoch]]]]),
    st.just([99, ["1970-01-01T00:00:01.5+00:00"]]),
    st.just([136, [1970, 1, 1, "Z"]]),
    st.just([103, []]),
    st.just([25, [[103, []], 3600]]),
    st.just({"$reql_type$": "TIME", "epoch_time": 1.5, "timezone": "+00:00"}),
    st.just([170, [var(), "a"]]),
    st.just(SPENT),
)
comparisons = st.sampled_from(range(17, 23))


@settings(max_examples=60)
@given(number=comparisons, one=instants, other=instants, rows=st.sampled_from([ORDERED, TIMED]))
def test_times_compare_as_they_do_one_by_one(
    rooms: Database, number: int, one: Any, other: Any, rows: Any
) -> None:
    for pair in ([SPENT, one], [one, SPENT], [one, other], [one, SPENT, other]):
        quickly, slowly = both_ways(rooms, [39, [rows, func([number, pair])]])
        assert quickly == slowly


@settings(max_examples=60)
@given(
    times=st.lists(instants, min_size=3, max_size=3),
    options=st.sampled_from([{}, {"left_bound": "open"}, {"right_bound": "closed"}]),
    rows=st.sampled_from([ORDERED, TIMED]),
)
def test_during_answers_as_it_does_one_by_one(
    rooms: Database, times: Any, options: Any, rows: Any
) -> None:
    for three in (times, [SPENT, *times[1:]]):
        quickly, slowly = both_ways(rooms, [39, [rows, func([105, three, options])]])
        assert quickly == slowly


@settings(max_examples=60)
@given(constant=expressions, body=expressions)
def test_a_constant_of_a_function_is_worth_the_same(
    rooms: Database, constant: Any, body: Any
) -> None:
    rowless = _without_rows(constant)
    for query in (
        [38, [ORDERED, func([2, [body, rowless]])]],
        [38, [ORDERED, func([65, [[17, [body, 1]], rowless, body]])]],
        [39, [ORDERED, func([17, [rowless, body]])]],
        [35, [ORDERED, func({"a": rowless, "b": {"x": rowless}})]],
        [38, [ORDERED, func([38, [[2, [1, 2]], func([2, [rowless, var(2), var()]], 2)]])]],
    ):
        quickly, slowly = both_ways(rooms, query)
        assert quickly == slowly


def _without_rows(query: Any) -> Any:
    """The same of a literal instead of the row."""
    if query == var():
        return term(DOCUMENTS[0])
    if isinstance(query, dict):
        return {key: _without_rows(part) for key, part in query.items()}
    return [_without_rows(part) for part in query] if isinstance(query, list) else query


def test_a_constant_is_evaluated_when_the_first_row_wants_it(rooms: Database) -> None:
    broken = [27, [1, [25, [1, 1]]]]
    wanted_at = [65, [[17, [[170, [var(), "id"]], 7]], broken, 0]]
    rows = [38, [TIMED, func(wanted_at)]]
    assert rooms.response(rows)["r"] == ["Cannot divide by zero."]
    assert rooms.response(rows)["b"] == [1, 1, 1]
    assert rooms.value([71, [rows, 7]]) == [0] * 7


def test_what_differs_each_time_is_no_constant(rooms: Database) -> None:
    for fresh in ([169, []], [141, [[169, []]]], [151, []], [94, [{"a": [151, []]}]]):
        rows = rooms.value([38, [TIMED, func([2, [fresh, 1]])]])
        different = len(set(map(str, rows)))
        assert different == (1 if fresh[0] == 94 else len(ROWS)), fresh
    again = rooms.value([38, [TIMED, func([169, ["name"]])]])
    assert len(set(again)) == 1


def test_a_constant_is_evaluated_once(rooms: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Env] = []

    def counted(env: Env, *args: Any, **options: Any) -> Any:
        asked.append(env)
        return times.iso8601(env, *args, **options)

    from rethought.reql import runtime
    from rethought.reql.terms import SPECS

    monkeypatch.setitem(runtime.base_namespace(SPECS), "run_99", counted)
    rooms.restart_engine()
    query = [39, [ORDERED, func([22, [SPENT, [99, ["1970-01-01T00:00:00Z"]]]])]]
    for expected in (1, 2):
        rooms.value([43, [query]])
        assert len(asked) == expected
    monkeypatch.undo()
    rooms.restart_engine()
