"""Long inserts, whose documents are decoded some at a time: they are understood as short ones are."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.limits import Limits
from rethought.reql import decoding, inserts, literals
from rethought.reql.inserts import InsertPlans
from rethought.reql.literals import NotLiteralError, literal_in_steps, literal_of
from rethought.reql.plan import AT_ONCE_BYTES_MAX, PlanCache
from tests.reql.database import Database

TABLE: Any = [15, ["t"]]

scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-9, 9) | st.text()
literal_json = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: [2, items])
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)
documents = st.dictionaries(st.text(max_size=3), literal_json, max_size=4)
durabilities = st.sampled_from(
    [{}, {"durability": "soft"}, {"conflict": "replace"}, {"db": [14, ["d"]]}, {"db": "d"}]
)


@pytest.fixture(autouse=True)
def _short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inserts, "LOT_BYTES", 16)
    monkeypatch.setattr(decoding, "LOT_BYTES", 16)
    monkeypatch.setattr(literals, "STEP", 2)


def taken(plans: InsertPlans, body: bytes, *, steps: bool) -> Any:
    found = plans.find_in_steps(body, lambda: None) if steps else plans.find(body)
    return None if found is None else repr(found[1])


def known(table: Any = TABLE) -> InsertPlans:
    plans = InsertPlans()
    body = json.dumps([1, [56, [table, {}]]], separators=(",", ":")).encode()
    plans.learn(body, [56, []], Limits())
    body = json.dumps([1, [56, [table, [2, [{}]]]]], separators=(",", ":")).encode()
    plans.learn(body, [56, []], Limits())
    return plans


@given(value=literal_json)
def test_a_value_in_steps_is_the_value_at_once(value: Any) -> None:
    def outcome(function: Any, *more: Any) -> str:
        try:
            return repr(function(copy.deepcopy(value), *more))
        except (NotLiteralError, ValueError) as error:
            return type(error).__name__

    assert outcome(literal_in_steps, lambda: None) == outcome(literal_of)


queries = st.tuples(
    documents | st.lists(documents, max_size=2).map(lambda rows: [2, rows]),
    durabilities,
    durabilities,
)
cuts = st.none() | st.tuples(
    st.integers(0, 200), st.integers(0, 200), st.sampled_from(b'{}[],:"\\')
)


@given(of=st.lists(st.tuples(queries, cuts), min_size=2, max_size=6))
def test_an_insert_is_understood_the_same_however_others_ended(of: list[Any]) -> None:
    plans = known()
    for (rows, options, settings_), cut in of:
        query = [1, [56, [TABLE, rows], options], settings_]
        body = json.dumps(query, separators=(",", ":")).encode()
        assert taken(plans, body, steps=False) == taken(known(), body, steps=False)
        if cut is not None:
            start, size, byte = cut
            body = body[:start] + bytes([byte]) + body[start + size :]
            assert taken(plans, body, steps=False) == taken(known(), body, steps=False)


def test_a_key_given_twice_is_seen_after_an_insert_that_ended_alike() -> None:
    plans = known()
    bodies = [
        b'[1,[56,[[15,["t"]],{"id":1}],{"durability":"soft"}]]',
        b'[1,[56,[[15,["t"]],{"id":1,"id":2}],{"durability":"soft"}]]',
        b'[1,[56,[[15,["t"]],{"id":1,"a":{"b":":","b":2}}],{"durability":"soft"}]]',
        b'[1,[56,[[15,["t"]],{"id":"\\u0000"}],{"durability":"soft"}]]',
    ]
    assert [taken(plans, body, steps=False) is None for body in bodies] == [False, True, True, True]


@given(
    rows=documents | st.lists(documents, max_size=4).map(lambda rows: [2, rows]),
    options=durabilities,
    settings_=durabilities,
)
def test_a_long_insert_is_understood_as_a_short_one(
    rows: Any, options: Any, settings_: Any
) -> None:
    query = [1, [56, [TABLE, rows], options], settings_]
    body = json.dumps(query, separators=(",", ":")).encode()
    plans = known()
    assert taken(plans, body, steps=True) == taken(plans, body, steps=False)


@pytest.mark.parametrize(
    "body",
    [
        b'[1,[56,[[15,["t"]],[2,[{"a":1,"a":2}]]]]]',
        b'[1,[56,[[15,["t"]],[2,[{"a":1}]]],{"durability":"soft","durability":"hard"}]]',
        b'[1,[56,[[15,["t"]],[2,[{"a":1}]]]],{"durability":"soft","durability":"hard"}]',
        b'[1,[56,[[15,["t"]],[2,[{"a":1}]]]],{"array_limit":3}]',
        b'[1,[56,[[15,["t"]],[2,[{"a":[103,[]]}]]]]]',
        b'[1,[56,[[15,["t"]],[24,[{"a":1}]]]]]',
        b'[1,[56,[[15,["t"]],[2,[{"a":1}]],3]]]',
        b'[1,[56,[[15,["t"]],[2,[{"a":1}]]],{},4]]',
        b'[1,[56,[[15,["t"]],[2,[{"a":1}]]]],{},5]',
        b'[1,[56,[[15,["t"]],[2,[{"a":1}]]]',
        b'[1,[56,[[15,["t"]],[2,[{"a":"\xff"}]]]]]',
        b'[1,[56,[[15,["t"]],[2,[{"a":"\\u0000"}]]]]]',
        b'[1,[56,[[15,["t"]],[2,[{"a":' + b"[2,[" * 5000 + b"]]" * 5000 + b"}]]]]]",
    ],
)
def test_what_is_no_plain_insert_goes_the_long_way(body: bytes) -> None:
    plans = known()
    assert taken(plans, body, steps=True) is None
    assert taken(plans, body, steps=False) is None


def test_others_have_their_turn_while_a_long_insert_is_decoded() -> None:
    rows = [{"id": number, "text": "x" * 100} for number in range(1_000)]
    body = json.dumps([1, [56, [TABLE, [2, rows]]]], separators=(",", ":")).encode()
    assert len(body) > AT_ONCE_BYTES_MAX
    cache = PlanCache(Limits())
    assert cache.known(body) is None
    turns = []
    _, (decoded, _) = cache.make(body, lambda: turns.append(1))
    assert decoded == rows
    assert len(turns) >= 1_000


@pytest.mark.parametrize(
    "query",
    [
        [24, list(range(5_000))],
        [44, [[2, [number]] for number in range(5_000)]],
        [43, [[2, [[24, [number, 1]] for number in range(5_000)]]]],
        [3, {str(number): [24, [1, 1]] for number in range(5_000)}],
    ],
    ids=["literals", "arrays", "terms", "fields"],
)
def test_others_have_their_turn_while_long_arguments_are_compiled(query: Any) -> None:
    turns = []
    PlanCache(Limits()).make(json.dumps([1, query]).encode(), lambda: turns.append(1))
    assert len(turns) >= 150


@pytest.mark.parametrize("name", ["inserts", "not_there"])
def test_the_database_that_a_query_names_is_that_of_the_table(
    database: Database, name: str
) -> None:
    if name == "inserts":
        database.value([57, [name]])
        database.value([60, [[14, [name]], "t"]])
    home = {"db": [14, [name]]}
    other = {"db": [14, [name]], "durability": "soft"}
    for rows in ({"id": 1}, [2, [{"id": 2}]], [2, [{"id": 3, "text": "x" * AT_ONCE_BYTES_MAX}]]):
        for options in (home, other):
            answers = [database.response([56, [TABLE, rows]], **options) for _ in range(2)]
            assert answers[0]["t"] == answers[1]["t"] == (1 if name == "inserts" else 18)
            long_way = database.response([56, [TABLE, rows]], **options, profile=False)
            assert long_way["t"] == answers[1]["t"]
            if name != "inserts":
                assert long_way == answers[0] == answers[1]
    if name == "inserts":
        assert database.value([43, [[15, [[14, [name]], "t"]]]]) == 3
        database.value([58, [name]])


def test_a_number_that_no_double_holds_is_no_json_in_an_insert_of_a_known_form_either(
    database: Database,
) -> None:
    database.value([60, ["doubles"]])
    try:
        insert = [56, [[15, ["doubles"]], {"id": 1, "n": 1}]]
        assert database.value(insert)["inserted"] == 1
        insert[1][1] = {"id": 2, "n": 10**400}
        refused = database.response(insert)
        assert (refused["t"], refused["r"]) == (
            16,
            ["Client is buggy (failed to deserialize query)."],
        )
    finally:
        database.value([61, ["doubles"]])
