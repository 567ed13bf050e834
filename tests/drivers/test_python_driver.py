"""The official Python driver, blocking and with asyncio, through all families of terms on a real server."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rethinkdb import RethinkDB
from rethinkdb.errors import ReqlNonExistenceError, ReqlOpFailedError, ReqlQueryLogicError

from tools.serverprocess import ServerProcess

r = RethinkDB()
Run = Callable[[Any], Any]

HEROES = [
    {"id": 1, "name": "Ada", "born": 1815, "tags": ["maths"], "home": {"city": "London"}},
    {
        "id": 2,
        "name": "Grace",
        "born": 1906,
        "tags": ["navy", "code"],
        "home": {"city": "New York"},
    },
    {"id": 3, "name": "Edsger", "born": 1930, "tags": ["code"], "home": {"city": "Rotterdam"}},
]


def everything(cursor: Any) -> Any:
    return list(cursor) if hasattr(cursor, "close") else cursor


@pytest.fixture(params=["blocking", "asyncio"])
def run(request: pytest.FixtureRequest, shared_server: ServerProcess) -> Iterator[Run]:
    """Runs a query to its end; cursors become lists."""
    if request.param == "blocking":
        conn = RethinkDB().connect(port=shared_server.port, db="tour")
        yield lambda query: everything(query.run(conn))
        conn.close()
        return
    driver = RethinkDB()
    driver.set_loop_type("asyncio")
    loop = asyncio.new_event_loop()

    async def whole(query: Any) -> Any:
        result = await query.run(conn)
        if not hasattr(result, "fetch_next"):
            return result
        rows = []
        while await result.fetch_next():
            rows.append(await result.next())
        return rows

    conn = loop.run_until_complete(driver.connect(port=shared_server.port, db="tour"))
    yield lambda query: loop.run_until_complete(whole(query))
    loop.run_until_complete(conn.close())
    loop.close()


@pytest.fixture(autouse=True)
def heroes(run: Run) -> Iterator[Any]:
    run(r.db_create("tour"))
    run(r.db("tour").table_create("heroes"))
    table = r.db("tour").table("heroes")
    assert run(table.insert(HEROES))["inserted"] == 3
    yield table
    run(r.db_drop("tour"))


def test_documents(run: Run, heroes: Any) -> None:
    assert run(heroes.get(2)["home"]["city"]) == "New York"
    assert run(heroes.get(9)) is None
    assert run(heroes.order_by("id").pluck("id", {"home": {"city": True}}))[0] == {
        "id": 1,
        "home": {"city": "London"},
    }
    assert run(heroes.order_by("id").without("tags", "home", "born").nth(0)) == {
        "id": 1,
        "name": "Ada",
    }
    assert run(heroes.get(1).merge({"home": {"zip": 1}})["home"]) == {"city": "London", "zip": 1}
    with pytest.raises(ReqlNonExistenceError, match="No attribute `shoe` in object"):
        run(heroes.get(1)["shoe"])


def test_sequences(run: Run, heroes: Any) -> None:
    assert run(heroes.filter(r.row["born"] > 1900).count()) == 2
    assert run(heroes.filter({"home": {"city": "London"}})["name"]) == ["Ada"]
    assert run(heroes.map(lambda hero: hero["born"] - 1800).sum()) == 15 + 106 + 130
    assert run(heroes.concat_map(lambda hero: hero["tags"]).distinct()) == ["code", "maths", "navy"]
    assert run(heroes.order_by(r.desc("born"))["name"]) == ["Edsger", "Grace", "Ada"]
    assert run(r.range(10).skip(2).limit(3).coerce_to("array")) == [2, 3, 4]
    assert run(r.expr([1, 2, 3]).fold(0, lambda total, part: total + part)) == 6


def test_grouping_and_joins(run: Run, heroes: Any) -> None:
    grouped = run(heroes.group(lambda hero: hero["born"] > 1900).count())
    assert grouped == {False: 1, True: 2}
    assert run(heroes.max("born")["name"]) == "Edsger"
    assert run(heroes.avg("born")) == pytest.approx((1815 + 1906 + 1930) / 3)
    pairs = run(r.expr([{"hero": 3}, {"hero": 1}]).eq_join("hero", heroes).zip()["name"])
    assert sorted(pairs) == ["Ada", "Edsger"]


def test_indexes(run: Run, heroes: Any) -> None:
    run(heroes.index_create("born"))
    run(heroes.index_create("tags", multi=True))
    run(heroes.index_create("both", lambda hero: [hero["home"]["city"], hero["born"]]))
    assert all(status["ready"] for status in run(heroes.index_wait()))
    assert run(heroes.between(1900, 1920, index="born")["name"]) == ["Grace"]
    assert sorted(run(heroes.get_all("code", index="tags")["id"])) == [2, 3]
    assert run(heroes.get_all(["London", 1815], index="both")["id"]) == [1]
    assert run(heroes.order_by(index=r.desc("born")).limit(1)["id"]) == [3]
    with pytest.raises(ReqlOpFailedError, match="Index `shoe` was not found"):
        run(heroes.get_all(1, index="shoe"))


def test_writes(run: Run, heroes: Any) -> None:
    changed = run(heroes.get(1).update({"seen": r.row["born"] + 1}, return_changes=True))
    assert changed["changes"][0]["new_val"]["seen"] == 1816
    assert run(heroes.insert({"id": 1}))["errors"] == 1
    assert run(heroes.insert({"id": 1, "x": 2}, conflict="update"))["replaced"] == 1
    assert run(heroes.get(2).replace(lambda hero: hero.without("tags")))["replaced"] == 1
    assert run(heroes.filter(r.row["id"] > 1).delete())["deleted"] == 2
    generated = run(heroes.insert({"name": "Alan"}))["generated_keys"]
    assert run(heroes.get(generated[0])["name"]) == "Alan"


def test_text_and_numbers(run: Run) -> None:
    assert run(r.expr("a,b").split(",")) == ["a", "b"]
    assert run(r.expr("hello").match("l+")["str"]) == "ll"
    assert run(r.expr("Ab").upcase()) == "AB"
    assert run(r.json('{"a": [1, 2.5]}')) == {"a": [1, 2.5]}
    assert run((r.expr(7) % 4).add(1) * 2) == 8
    assert run(r.expr(2.5).round()) == 3
    assert run(r.expr([1, 2]).set_union([2, 3])) == [1, 2, 3]
    with pytest.raises(ReqlQueryLogicError, match="Cannot divide by zero"):
        run(r.expr(1) / 0)


def test_times(run: Run) -> None:
    moment = r.time(2020, 2, 29, 12, 0, 0, "+02:00")
    assert run(moment.to_epoch_time()) == 1582970400
    assert run(moment.to_iso8601()) == "2020-02-29T12:00:00+02:00"
    assert run(moment.day_of_week()) == 6
    assert run(r.iso8601("2020-02-29T12:00:00Z").during(moment, moment + 9999)) is True


def test_geometry(run: Run, heroes: Any) -> None:
    meters = run(r.point(0, 0).distance(r.point(1, 0)))
    assert meters == pytest.approx(111319.49079327357)
    run(heroes.index_create("place", geo=True))
    run(heroes.index_wait("place"))
    run(heroes.get(1).update({"place": r.point(-0.1, 51.5)}))
    around = r.circle([-0.1, 51.5], 10_000)
    assert run(heroes.get_intersecting(around, index="place")["id"]) == [1]
    nearest = run(heroes.get_nearest(r.point(0, 51.5), index="place"))
    assert nearest[0]["doc"]["id"] == 1


def test_control(run: Run, heroes: Any) -> None:
    assert run(r.branch(r.expr(3) > 2, "more", "less")) == "more"
    assert run(heroes.get(1)["shoe"].default("none")) == "none"
    assert run(r.do(2, 3, lambda a, b: a * b)) == 6
    assert run(r.expr([1, 2]).for_each(lambda n: heroes.get(n).delete()))["deleted"] == 2
    assert run(r.uuid("a")) == run(r.uuid("a"))
    assert run(r.expr({"a": 1}).type_of()) == "OBJECT"


def test_administration(run: Run, heroes: Any) -> None:
    assert run(r.db("tour").table_list()) == ["heroes"]
    assert run(heroes.config()["primary_key"]) == "id"
    assert run(heroes.status()["status"]["all_replicas_ready"]) is True
    assert run(heroes.wait())["ready"] == 1
    assert run(heroes.info()["type"]) == "TABLE"
    assert run(heroes.sync())["synced"] == 1
    assert run(r.db("rethinkdb").table("table_config").filter({"db": "tour"})["name"]) == ["heroes"]
