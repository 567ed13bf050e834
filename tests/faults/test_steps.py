"""Large queries are worked on in steps: nothing goes on for long without a look at the clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.client import Connection, kind_of
from bench.terms import Term, array, row, start, term
from rethought.exec.env import Env
from rethought.limits import Limits
from tests.faults.inside import TABLE, Inside, inside

MANY = 10_000
STEP = 2_000
"""So many values at most are handled without a look; most are looked at in smaller lots."""

OBJECTS: Term = array(*({"n": number * 7919 % MANY, "text": "x"} for number in range(MANY)))
GROUPED: Term = term("group", OBJECTS, row(term("mod", term("bracket", term("var", 1), "n"), 5)))
QUERIES: dict[str, Term] = {
    "array": OBJECTS,
    "order_by": term("count", term("order_by", OBJECTS, "n")),
    "order_by two keys": term("order_by", OBJECTS, "text", "n"),
    "distinct": term("count", term("distinct", OBJECTS)),
    "group": GROUPED,
    "add": term("add", *range(MANY)),
    "sub": term("sub", *range(MANY)),
    "union": term("count", term("union", *([array(1)] * MANY))),
    "get_all": term("count", term("get_all", TABLE, *range(MANY))),
    "insert": term("insert", TABLE, array(*({"n": number} for number in range(MANY)))),
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    folder: Path = tmp_path_factory.mktemp("steps")
    with inside(folder, Limits()) as node:
        with Connection(node.port) as client:
            client.value(start(term("table_create", term("db", "test"), "things")))
        yield node


@pytest.mark.parametrize("name", QUERIES)
def test_a_large_query_looks_at_the_clock(
    name: str, node: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    tick = Env.tick

    def counted(env: Env) -> None:
        nonlocal looks
        looks += 1
        tick(env)

    body = start(QUERIES[name], durability="soft")
    monkeypatch.setattr(Env, "tick", counted)
    with Connection(node.port) as client:
        kind_of(client.ask(body))
    assert looks >= MANY // STEP + len(body) // 2**17
