"""Users of a real server through the official driver: guessing passwords, and many clients at their limits."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rethinkdb import r
from rethinkdb.errors import (
    ReqlAuthError,
    ReqlDriverError,
    ReqlPermissionError,
    ReqlResourceLimitError,
)

from tools.serverprocess import ServerProcess

StartServer = Callable[..., ServerProcess]
USERS = r.db("rethinkdb").table("users")
GUESSES = 40
CLIENTS = 24


@contextmanager
def connection(server: ServerProcess, user: str = "admin", password: str = "") -> Iterator[Any]:
    conn = r.connect(port=server.port, user=user, password=password)
    try:
        yield conn
    finally:
        conn.close(noreply_wait=False)


def refusal(server: ServerProcess, user: str, password: str) -> str:
    with pytest.raises((ReqlAuthError, ReqlDriverError)) as caught:
        r.connect(port=server.port, user=user, password=password)
    return str(caught.value)


def test_guessing_gains_nothing_and_is_seen(start_server: StartServer, tmp_path: Path) -> None:
    settings = tmp_path / "server.toml"
    settings.write_text("[limits]\nlogin_delay_seconds = 0.2\n")
    audit = tmp_path / "audit"
    server = start_server("--config-file", str(settings), "--audit-log", str(audit))
    with connection(server) as admin:
        USERS.insert({"id": "bob", "password": "right"}).run(admin)
        with ThreadPoolExecutor(10) as pool:
            names = ["bob", "nobody"] * (GUESSES // 2)
            answers = set(pool.map(lambda name: refusal(server, name, "wrong"), names))
        assert len(answers) == 1
        issues = r.db("rethinkdb").table("current_issues").run(admin)
        found = {json.dumps(issue["info"]) for issue in issues if issue["type"] == "login_lockout"}
        assert any('"bob"' in info for info in found)
        assert any('"nobody"' in info for info in found)
    with connection(server, "bob", "right") as bob:
        assert r.expr(1).run(bob) == 1
    entries = [json.loads(line) for line in audit.read_text().splitlines()]
    refused = [entry for entry in entries if entry.get("outcome") == "wrong password"]
    assert len(refused) == GUESSES
    assert "right" not in [value for entry in entries for value in entry.values()]


def test_rights_and_networks_are_what_admin_says(shared_server: ServerProcess) -> None:
    with connection(shared_server) as admin:
        row = {"id": "carol", "password": "p", "networks": ["127.0.0.0/8", "::1"]}
        USERS.insert(row).run(admin)
        with connection(shared_server, "carol", "p") as carol:
            with pytest.raises(ReqlPermissionError):
                r.db_create("carols").run(carol)
            r.grant("carol", {"config": True}).run(admin)
            assert r.db_create("carols").run(carol)["dbs_created"] == 1
        USERS.get("carol").update({"networks": ["10.0.0.0/8"]}).run(admin)
        assert "may not connect from this address" in refusal(shared_server, "carol", "p")
        assert "Wrong password" in refusal(shared_server, "carol", "guess")


def test_many_clients_at_their_limits_leave_another_one_served(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    with ExitStack() as stack:
        admin = stack.enter_context(connection(server))
        r.db("test").table_create("t").run(admin)
        table = r.db("test").table("t")
        table.insert([{"id": number} for number in range(2_000)]).run(admin)
        limits = {"queries_per_second": 20, "query_rows": 100, "connections": CLIENTS}
        USERS.insert({"id": "greedy", "password": False, "limits": limits}).run(admin)
        USERS.insert({"id": "modest", "password": False}).run(admin)
        r.grant("greedy", {"read": True}).run(admin)
        r.grant("modest", {"read": True}).run(admin)
        greedy = [stack.enter_context(connection(server, "greedy")) for _ in range(CLIENTS)]
        assert "Too many connections of user `greedy`" in refusal(server, "greedy", "")
        modest = stack.enter_context(connection(server, "modest"))

        def take(conn: Any) -> int:
            """How often a client was told that it takes too much."""
            refused = 0
            for number in range(20):
                try:
                    (table if number % 2 else table.get(number)).run(conn)
                except ReqlResourceLimitError:
                    refused += 1
            return refused

        with ThreadPoolExecutor(8) as pool:
            under_way = [pool.submit(take, conn) for conn in greedy]
            answers = [table.get(number).run(modest) for number in range(200)]
            assert answers == [{"id": number} for number in range(200)]
            assert all(each.result() >= 10 for each in under_way)
        assert table.count().run(modest) == 2_000
