"""`run(conn, transaction=True)` through the official driver: all of it, or nothing."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rethinkdb import RethinkDB
from rethinkdb.errors import ReqlOpFailedError, ReqlQueryLogicError, ReqlRuntimeError

from tools.serverprocess import ServerProcess

r = RethinkDB()


@pytest.fixture
def conn(shared_server: ServerProcess) -> Iterator[Any]:
    connection = r.connect(port=shared_server.port, db="transactions")
    r.db_create("transactions").run(connection)
    for name in ("accounts", "log"):
        r.table_create(name).run(connection)
    r.table("accounts").insert([{"id": "a", "sum": 10}, {"id": "b", "sum": 0}]).run(connection)
    yield connection
    r.db_drop("transactions").run(connection)
    connection.close()


def transfer(amount: int) -> Any:
    accounts = r.table("accounts")
    return r.expr(
        [
            accounts.get("a").update({"sum": r.row["sum"] - amount}),
            accounts.get("b").update({"sum": r.row["sum"] + amount}),
            r.table("log").insert({"amount": amount}),
        ]
    )


def sums(conn: Any) -> dict[str, int]:
    return {row["id"]: row["sum"] for row in r.table("accounts").run(conn)}


def test_all_writes_of_a_transaction_happen(conn: Any) -> None:
    transfer(4).run(conn, transaction=True)
    assert sums(conn) == {"a": 6, "b": 4}
    assert r.table("log").count().run(conn) == 1


def test_an_error_in_the_middle_undoes_every_table(conn: Any) -> None:
    with pytest.raises(ReqlRuntimeError, match="too poor"):
        transfer(4).do(
            lambda _: r.branch(r.table("accounts").get("a")["sum"] < 100, r.error("too poor"), 1)
        ).run(conn, transaction=True)
    assert sums(conn) == {"a": 10, "b": 0}
    assert r.table("log").count().run(conn) == 0


def test_a_row_error_undoes_the_rest(conn: Any) -> None:
    with pytest.raises(ReqlQueryLogicError, match="Duplicate primary key"):
        r.table("accounts").insert([{"id": "c", "sum": 1}, {"id": "a", "sum": 1}]).run(
            conn, transaction=True
        )
    assert sums(conn) == {"a": 10, "b": 0}


def test_a_transaction_reads_its_own_writes_and_nobody_else_does(
    conn: Any, shared_server: ServerProcess
) -> None:
    seen = r.expr(
        [
            r.table("accounts").insert({"id": "c", "sum": 3}).do(0),
            r.table("accounts").count(),
            r.table("accounts").get("c")["sum"],
        ]
    ).run(conn, transaction=True)
    assert seen == [0, 3, 3]


def test_two_databases_in_one_transaction_are_refused(conn: Any) -> None:
    r.db_create("elsewhere").run(conn)
    try:
        r.db("elsewhere").table_create("t").run(conn)
        with pytest.raises(ReqlRuntimeError, match="one database"):
            r.expr(
                [
                    r.table("accounts").get("a").delete(),
                    r.db("elsewhere").table("t").insert({"id": 1}),
                ]
            ).run(conn, transaction=True)
        assert sums(conn) == {"a": 10, "b": 0}
    finally:
        r.db_drop("elsewhere").run(conn)


def test_schema_changes_in_a_transaction_are_refused(conn: Any) -> None:
    with pytest.raises((ReqlOpFailedError, ReqlQueryLogicError), match="transaction"):
        r.table_create("other").run(conn, transaction=True)
    assert r.table_list().run(conn) == ["accounts", "log"]


def test_concurrent_transfers_keep_the_total(conn: Any, shared_server: ServerProcess) -> None:
    def work() -> None:
        own = r.connect(port=shared_server.port, db="transactions")
        for _ in range(25):
            transfer(1).run(own, transaction=True)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums(conn) == {"a": -90, "b": 100}
    assert r.table("log").count().run(conn) == 100
