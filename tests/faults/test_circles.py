"""A query leaves nothing behind that refers to itself: the interpreter's collector has nothing to find."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.client import STOP, Connection, kind_of
from bench.terms import Term, array, field, row, start, term
from rethought.limits import Limits
from tests.faults.inside import TABLE, Inside, inside

TIMES = 100
MANY = 2_000
OLDER: Term = row(term("gt", field("n"), 50))
BY_NAME: Term = [15, ["things"]]
QUERIES: dict[str, bytes] = {
    "get": start(term("get", TABLE, 1)),
    "get, default database": start(term("get", BY_NAME, 1), db=term("db", "test")),
    "computed database": start(
        term("get", BY_NAME, 1), db=[14, [term("add", "te", "st")]], array_limit=1000
    ),
    "error": start(term("add", 1, "a")),
    "error of a function": start(term("map", TABLE, row(term("add", 1, "a")))),
    "no such term": start([9999, []]),
    "filter": start(term("count", term("filter", TABLE, OLDER))),
    "stream": start(term("filter", TABLE, OLDER)),
    "order_by": start(term("order_by", TABLE, "n")),
    "limit": start(term("order_by", TABLE, "n"), array_limit=10),
    "group": start(term("count", term("group", TABLE, "n"))),
    "concat_map": start(term("count", term("concat_map", TABLE, row(array(1, 2))))),
    "eq_join": start(term("count", term("eq_join", TABLE, "id", TABLE))),
    "insert": start(term("insert", TABLE, {"id": 1})),
    "update": start(term("update", term("get", TABLE, 1), row({"n": term("add", field("n"), 1)}))),
    "of many terms": start(term("add", *([term("add", 1, 2)] * MANY))),
    "of many arguments": start(term("count", array(*([array(1)] * 500))), array_limit=1000),
    "with spliced arguments": start(term("add", [154, [array(*range(500))]])),
    "batches": start(term("filter", TABLE, OLDER), max_batch_rows=2),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    folder: Path = tmp_path_factory.mktemp("circles")
    with inside(folder, Limits()) as node:
        with Connection(node.port) as client:
            client.value(start(term("table_create", term("db", "test"), "things")))
            things = [{"id": n, "n": n} for n in range(100)]
            client.value(start(term("insert", TABLE, array(*things))))
        yield node


def ask(client: Connection, name: str) -> None:
    answer = client.ask(QUERIES[name])
    if b'"t":3' in answer[:10]:
        client.socket.sendall(client.frame_again(STOP, client.token))
        while not client.frames():
            client.receive()
    elif "error" not in name and name not in ("no such term", "limit"):
        kind_of(answer)


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_leaves_no_circle(name: str, node: Inside) -> None:
    with Connection(node.port) as client:
        ask(client, name)
        node.on_loop(gc.collect)
        gc.disable()
        try:
            for _ in range(TIMES):
                ask(client, name)
            found = node.on_loop(gc.collect)
        finally:
            gc.enable()
    assert found < TIMES


def test_a_long_query_leaves_nothing_behind(node: Inside) -> None:
    def kept() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    with Connection(node.port) as client:
        for _ in range(2):
            ask(client, "of many terms")
        before = node.on_loop(kept)
        for _ in range(5):
            ask(client, "of many terms")
        assert node.on_loop(kept) - before < MANY
