"""Queries under way: seen, and ended, through `jobs`."""

import asyncio
import json
from typing import Any

from tests.system.conftest import Machine, delete, get, system


def start(machine: Machine, term: Any) -> "asyncio.Future[Any]":
    """Starts a query without waiting for it."""
    answered = machine.loop.create_future()

    async def begin() -> None:
        client = machine.engine.client("admin", "10.0.0.1", 4_321)
        machine.engine.start(client, json.dumps([1, term, {}]).encode(), answered.set_result)

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
    reply = machine.loop.run_until_complete(asyncio.wait_for(answered, 10))
    response = json.loads(reply.body)
    assert response["e"] == 4_200_000
    assert response["r"] == ["Query terminated by the `rethinkdb.jobs` table."]
    assert machine.value(delete(get(system("jobs"), key)))["skipped"] == 1
