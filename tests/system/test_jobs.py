"""Queries under way: seen, and ended, through `jobs`."""

import asyncio
import json
from typing import Any

import pytest

from rethought.system import queries
from tests.asking import ask
from tests.system.conftest import Machine, delete, get, system
from tests.waiting import PATIENCE_S


def start(machine: Machine, term: Any) -> "asyncio.Future[Any]":
    """Starts a query without waiting for it."""
    answered = machine.loop.create_future()

    async def begin() -> None:
        client = machine.engine.client("admin", "10.0.0.1", 4_321)
        ask(machine.engine, client, json.dumps([1, term, {}]).encode(), answered.set_result)

    machine.loop.run_until_complete(begin())
    return answered


def test_a_long_query_is_seen_and_ended(machine: Machine) -> None:
    add = [69, [[2, [1, 2]], [24, [[10, [1]], [10, [2]]]]]]
    answered = start(machine, [37, [[173, [1_000_000_000]], add]])
    jobs = machine.value(system("jobs"))
    (mine,) = [job for job in jobs if job["info"]["client_port"] == 4_321]
    assert mine["info"]["query"] == (
        "r.range(1000000000).reduce(function(var1, var2) { return var1.add(var2); })"
    )
    assert mine["info"]["client_address"] == "10.0.0.1"
    key = [2, mine["id"]]
    assert machine.value(delete(get(system("jobs"), key)))["deleted"] == 1
    reply = machine.loop.run_until_complete(asyncio.wait_for(answered, PATIENCE_S))
    response = json.loads(reply.body)
    assert response["e"] == 4_200_000
    assert response["r"] == ["Query terminated by the `rethinkdb.jobs` table."]
    assert machine.value(delete(get(system("jobs"), key)))["skipped"] == 1


def test_an_index_that_is_built_is_a_job_with_its_progress(machine: Machine) -> None:
    machine.value([57, ["slow"]])
    slow = [15, [[14, ["slow"]], "t"]]
    machine.value([60, [[14, ["slow"]], "t"]])
    rows = [2, [{"id": n, "n": n} for n in range(3_000)]]
    machine.value([56, [slow, rows]])
    _, jobs = machine.value([2, [[75, [slow, "n"]], [51, [system("jobs"), "array"]]]])
    (job,) = [each for each in jobs if each["type"] == "index_construction"]
    assert job["id"][0] == "index_construction"
    assert job["servers"] == ["here"]
    assert job["duration_sec"] > 0
    assert set(job["info"]) == {"db", "table", "index", "progress"}
    assert (job["info"]["db"], job["info"]["table"], job["info"]["index"]) == ("slow", "t", "n")
    assert 0 <= job["info"]["progress"] < 1
    key = [2, job["id"]]
    assert (
        machine.first_error(delete(get(system("jobs"), key)))
        == "Jobs of type `index_construction` cannot be interrupted."
    )
    machine.value([140, [slow]])
    assert all(each["type"] == "query" for each in machine.value(system("jobs")))


def test_a_feed_of_the_jobs_looks_at_the_newest_cursors_only(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "POLLED_MAX", 2)
    machine.value([60, ["t"]])
    for key in range(4):
        start(machine, [152, [[16, [[15, ["t"]], key]]]])
    everything = machine.value(system("jobs"))
    assert len([job for job in everything if "changes" in job["info"]["query"]]) == 4
    polled = [query.text() for query in queries.running_queries(machine.engine)]
    assert [text for text in polled if "changes" in text] == [
        'r.table("t").get(2).changes()',
        'r.table("t").get(3).changes()',
    ]
