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

NUMBERS: Term = term("coerce_to", [173, [MANY]], "array")
ROWS: Term = term("map", NUMBERS, row({"text": "x" * 100}))
PAIRS: Term = term("concat_map", NUMBERS, row(array(term("coerce_to", [10, [1]], "string"), 1)))
OVER_ARRAYS: dict[str, tuple[Term, list[Term]]] = {
    "set_union": ([90, [NUMBERS, NUMBERS]], [NUMBERS, NUMBERS]),
    "set_difference": ([91, [NUMBERS, NUMBERS]], [NUMBERS, NUMBERS]),
    "eq": (term("eq", NUMBERS, NUMBERS), [NUMBERS, NUMBERS]),
    "lt": (term("lt", NUMBERS, NUMBERS), [NUMBERS, NUMBERS]),
    "offsets_of": ([87, [NUMBERS, -1]], [NUMBERS]),
    "sample": ([81, [NUMBERS, MANY]], [NUMBERS]),
    "to_json_string": ([172, [ROWS]], [ROWS]),
    "json": ([98, [[172, [ROWS]]]], [[172, [ROWS]]]),
    "args": (term("add", [154, [NUMBERS]]), [NUMBERS]),
    "object": ([143, [[154, [PAIRS]]]], [PAIRS]),
    "ungroup": (
        [150, [term("count", term("group", NUMBERS, row([10, [1]])))]],
        [term("count", term("group", NUMBERS, row([10, [1]])))],
    ),
}
"""Terms over large arrays, and what they are given."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    folder: Path = tmp_path_factory.mktemp("steps")
    with inside(folder, Limits()) as node:
        with Connection(node.port) as client:
            client.value(start(term("table_create", term("db", "test"), "things")))
        yield node


def looks_of(node: Inside, query: Term) -> int:
    """How often it looks at the clock."""
    looks = 0
    tick = Env.tick

    def counted(env: Env) -> None:
        nonlocal looks
        looks += 1
        tick(env)

    with pytest.MonkeyPatch.context() as patched, Connection(node.port) as client:
        patched.setattr(Env, "tick", counted)
        kind_of(client.ask(start(query, durability="soft")))
    return looks


@pytest.mark.parametrize("name", QUERIES)
def test_a_large_query_looks_at_the_clock(name: str, node: Inside) -> None:
    query = QUERIES[name]
    assert looks_of(node, query) >= MANY // STEP + len(start(query)) // 2**17


@pytest.mark.parametrize("name", OVER_ARRAYS)
def test_a_term_over_a_large_array_looks_at_the_clock(name: str, node: Inside) -> None:
    query, given = OVER_ARRAYS[name]
    before = sum(looks_of(node, type_of(part)) for part in given)
    assert looks_of(node, type_of(query)) - before >= MANY // STEP


def type_of(value: Term) -> Term:
    """A short answer, so that there are no looks while it is written."""
    return [52, [value]]
