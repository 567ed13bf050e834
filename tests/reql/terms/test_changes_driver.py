"""Feeds through a real driver and a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rethinkdb import r

from tests.waiting import PATIENCE_S
from tools.serverprocess import ServerProcess


@pytest.fixture
def conn(shared_server: ServerProcess) -> Iterator[Any]:
    with r.connect(port=shared_server.port, db="feeds") as conn:
        r.db_create("feeds").run(conn)
        yield conn
        r.db_drop("feeds").run(conn)


def table(conn: Any, name: str = "t") -> Any:
    r.table_create(name, durability="soft").run(conn)
    return r.table(name)


def following(feed: Any, count: int) -> list[Any]:
    return [feed.next(wait=PATIENCE_S) for _ in range(count)]


def test_a_feed_and_queries_share_a_connection(conn: Any) -> None:
    notes = table(conn)
    feed = notes.changes().run(conn)
    for id in range(3):
        notes.insert({"id": id}).run(conn)
    assert [change["new_val"]["id"] for change in following(feed, 3)] == [0, 1, 2]
    feed.close()
    assert notes.count().run(conn) == 3


def test_many_connections_get_every_change_in_order(
    conn: Any, shared_server: ServerProcess
) -> None:
    notes = table(conn)
    others = [r.connect(port=shared_server.port, db="feeds") for _ in range(20)]
    feeds = [notes.changes()["new_val"]["id"].run(other) for other in others[:10]]
    feeds += [notes.filter(r.row["id"] >= 0).changes().run(other) for other in others[10:]]
    for start in range(0, 50, 10):
        notes.insert([{"id": id} for id in range(start, start + 10)]).run(conn, durability="soft")
    for feed in feeds[:10]:
        assert following(feed, 50) == list(range(50))
    for feed in feeds[10:]:
        assert [change["new_val"]["id"] for change in following(feed, 50)] == list(range(50))
    for other in others:
        other.close()


def test_a_dropped_table_is_an_error_in_the_driver(conn: Any) -> None:
    feed = table(conn).changes().run(conn)
    r.table_drop("t").run(conn)
    with pytest.raises(r.errors.ReqlOpFailedError, match=r"Changefeed aborted \(unavailable\)"):
        feed.next(wait=PATIENCE_S)


def test_a_feed_goes_on_after_the_server_was_killed(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    directory = tmp_path / "data"
    server = start_server(directory=directory)
    with r.connect(port=server.port) as conn:
        r.table_create("t").run(conn)
        feed = r.table("t").changes(include_resume_tokens=True).run(conn)
        r.table("t").insert([{"id": id} for id in range(5)]).run(conn)
        seen = following(feed, 3)
        r.table("t").insert({"id": 5}).run(conn)
    server.kill()
    server = start_server(directory=directory)
    with r.connect(port=server.port) as conn:
        token = seen[-1]["resume_token"]
        feed = r.table("t").changes(resume_after=token, include_resume_tokens=True).run(conn)
        r.table("t").insert({"id": 6}).run(conn)
        seen += following(feed, 4)
    assert [change["new_val"]["id"] for change in seen] == list(range(7))


def test_a_live_count_in_the_driver(conn: Any) -> None:
    notes = table(conn)
    feed = notes.count().changes(live=True, include_initial=True).run(conn)
    notes.insert([{"id": id} for id in range(4)]).run(conn)
    assert following(feed, 2) == [{"new_val": 0}, {"new_val": 4, "old_val": 0}]
    feed.close()
