"""The log of slow queries: what it says of a query, and which queries it is about."""

import asyncio
import json
import logging
from typing import Any

import pytest

from rethought.conversation import Reply
from rethought.reql.slow import WatchedEngine, plan_of, text_of
from tests.asking import ask
from tests.system.conftest import Machine, create, table
from tests.waiting import PATIENCE_S

DOC = {"id": 1}


def body(term: Any, **options: Any) -> bytes:
    return json.dumps([1, term, options]).encode()


@pytest.mark.parametrize(
    ("term", "plan"),
    [
        ([16, [[15, ["t"]], 1]], "get test.t"),
        ([15, [[14, ["d"]], "t"]], "scan d.t"),
        ([39, [[15, ["t"]], {"a": 1}]], "scan test.t"),
        ([78, [[15, ["t"]], 1], {"index": "a"}], "get_all test.t by a"),
        ([71, [[182, [[15, ["t"]], 1, 2], {"index": "a"}], 5]], "between test.t by a"),
        ([41, [[15, ["t"]]], {"index": [74, ["a"]]}], "order_by test.t by a"),
        ([41, [[15, ["t"]], "a"]], "scan test.t"),
        (
            [50, [[15, ["t"]], "o", [15, ["u"]]]],
            "scan test.u, scan test.t",
        ),
        ([24, [1, 2]], "no table"),
    ],
)
def test_the_plan_says_how_tables_are_reached(term: Any, plan: str) -> None:
    assert plan_of(body(term)) == plan


def test_tables_without_a_database_belong_to_the_one_of_the_query() -> None:
    assert plan_of(body([15, ["t"]], db=[14, ["d"]])) == "scan d.t"


def test_passwords_are_not_written() -> None:
    text = text_of(body([56, [[15, ["users"]], {"id": "bob", "password": "geheim"}]]))
    assert "geheim" not in text
    assert '"bob"' in text
    text = text_of(body([53, [[15, ["users"]], {"password": {"password": "x1", "iterations": 2}}]]))
    assert "x1" not in text


def test_long_and_deep_queries_are_cut_off() -> None:
    assert len(text_of(body([56, [[15, ["t"]], {"a": "x" * 10_000}]]))) < 2_100
    assert text_of(b"[1," + b"[2,[" * 400 + b"1" + b"]]" * 400 + b"]")


@pytest.fixture
def watched(machine: Machine) -> Machine:
    engine = WatchedEngine(machine.catalog, machine.engine.limits, machine.loop)
    engine.slow_seconds = 0.0
    machine.engine = engine
    return machine


def slow(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "slow query" in record.getMessage()]


def test_each_batch_is_reported_with_plan_rows_and_text(
    watched: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("rethought").propagate = True
    watched.value(create("t"))
    watched.value([56, [table("t"), [2, [{"id": n} for n in range(20)]]]])
    caplog.clear()
    watched.value(table("t"), max_batch_rows=8, first_batch_scaledown_factor=1)
    lines = slow(caplog)
    assert len(lines) >= 2
    assert all('scan test.t, user admin at 127.0.0.1:50000: r.table("t")' in line for line in lines)
    assert sum(int(line.split(" s, ")[1].split(" rows")[0]) for line in lines) == 20
    told: Any = caplog.records[-1]
    assert told.fields["event"] == "slow_query"
    assert told.fields["plan"] == "scan test.t"
    assert told.fields["reql"] == 'r.table("t")'
    assert told.fields["seconds"] >= 0


def test_a_fast_query_is_not_reported(watched: Machine, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(watched.engine, WatchedEngine)
    watched.engine.slow_seconds = 60.0
    watched.value([24, [1, 2]])
    assert slow(caplog) == []


def test_a_feed_is_not_slow_for_waiting(watched: Machine, caplog: pytest.LogCaptureFixture) -> None:
    watched.value(create("t"))
    caplog.clear()
    client = watched.engine.client("admin", "127.0.0.1", 1)
    answered = watched.loop.create_future()
    query = body([152, [table("t")], {"include_states": True}])
    reply = ask(watched.engine, client, query, answered.set_result)
    if not isinstance(reply, Reply):
        reply = watched.loop.run_until_complete(asyncio.wait_for(answered, PATIENCE_S))
    assert reply is not None
    assert reply.cursor is not None
    reply.cursor.close()
    assert slow(caplog) == []
