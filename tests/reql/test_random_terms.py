"""Random queries of valid form: whatever terms meet, the answer is a value or a typed error, never a bug of ours.

The seed is printed; `RETHOUGHT_FUZZ_SEED=...` repeats a run.
"""

import json
import random
from collections import Counter
from typing import Any

import pytest

from rethought.limits import Limits
from rethought.reql.terms import SPECS
from tests.chance import new_seed
from tests.faults.inside import Inside, inside
from tests.wire.client import Client

FUNC, VAR, MAKE_ARRAY = 69, 10, 2
TABLE = [15, [[14, ["test"]], "things"]]
LEFT_OUT = frozenset({"http", "javascript", "wait", "now"})
"""They would go outside, or wait for what never comes."""

LIMITS = Limits(query_seconds=1.0, query_memory_bytes=256 << 20, shutdown_seconds=0.05)
SCALARS: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        0.5,
        -0.0,
        1e300,
        2**53,
        100_000,
        "",
        "a",
        "id",
        "n",
        "x\u0000y",
        "é\U0001f600",
    ),
    *(
        "test",
        "things",
        "nosuch",
        "2020-01-01T00:00:00Z",
        "+00:00",
        "GeoJSON",
        "(",
        "STRING",
        "array",
    ),
    {"$reql_type$": "TIME", "epoch_time": 1.5, "timezone": "+01:00"},
    {"$reql_type$": "BINARY", "data": "YWJj"},
    {"$reql_type$": "GEOMETRY", "type": "Point", "coordinates": [2, [1, 2]]},
    *({}, {"a": 1}, {"id": 1, "n": [2, [1, 2]]}, {"type": "Point", "coordinates": [2, [1, 1]]}),
]
SOURCES: list[Any] = [
    TABLE, [16, [TABLE, 1]], [78, [TABLE, 1, 2]], [78, [TABLE, 1], {"index": "n"}], [182, [TABLE, 0, 5]],
    [41, [TABLE], {"index": "n"}], [41, [TABLE, "n"]], [144, [TABLE, "n"]], [38, [TABLE, [69, [[2, [9]], [10, [9]]]]]],
    [173, [5]], [2, []], [2, [1, "a", None]], [2, [{"a": 1}, {"a": 2}]], [14, ["test"]], [180, []], [181, []],
    [159, [1, 2]], [160, [[2, [1, 2]], [2, [3, 4]]]], [161, [[2, [0, 0]], [2, [0, 1]], [2, [1, 1]]]],
    [103, []], [15, [[14, ["rethinkdb"]], "table_status"]], [152, [TABLE]], [13, []], [137, [{"a": 1}]],
]  # fmt: skip


class Writer:
    """Makes queries."""

    def __init__(self, random_: random.Random) -> None:
        self.random = random_
        self.numbers = [
            number for number, spec in SPECS.items() if spec.name not in LEFT_OUT and number != FUNC
        ]
        self.variables: list[int] = []

    def value(self, depth: int) -> Any:
        draw = self.random.random()
        if self.variables and draw < 0.25:
            return [VAR, [self.random.choice(self.variables)]]
        if depth <= 0 or draw < 0.3:
            return self.random.choice(SCALARS)
        if draw < 0.5:
            return self.random.choice(SOURCES)
        if draw < 0.62:
            return self.function(depth - 1)
        return self.term(depth - 1)

    def function(self, depth: int) -> Any:
        numbers = [
            self.random.randrange(20, 40) for _ in range(self.random.choice((1, 1, 1, 2, 3)))
        ]
        before = list(self.variables)
        self.variables += numbers
        body = self.value(depth)
        self.variables = before
        return [FUNC, [[MAKE_ARRAY, numbers], body]]

    def term(self, depth: int) -> Any:
        number = self.random.choice(self.numbers)
        spec = SPECS[number]
        least, most = spec.arity
        count = self.random.randint(least, min(most if most is not None else least + 3, least + 3))
        args = [self.value(depth) for _ in range(count)]
        optargs = {}
        if spec.optargs and self.random.random() < 0.3:
            for name in self.random.sample(sorted(spec.optargs), 1):
                optargs[name] = self.value(depth)
        return [number, args, optargs] if optargs else [number, args]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with inside(tmp_path_factory.mktemp("random"), LIMITS) as running:
        yield running


def restore(client: Client) -> None:
    """The table, whatever the queries before did to it."""
    for query in (
        [57, ["test"]],
        [60, [[14, ["test"]], "things"]],
        [75, [TABLE, "n"]],
        [140, [TABLE]],
        [56, [TABLE, [38, [[173, [8]], [69, [[2, [1]], {"id": [10, [1]], "n": [10, [1]]}]]]]]],
    ):
        client.ask(1 << 40, [1, query])


@pytest.mark.parametrize(
    "query",
    [
        [15, ["things"], {"read_mode": TABLE}],
        [99, ["2020-01-01T00:00:00"], {"default_timezone": [173, [5]]}],
        [152, [TABLE], {"resume_after": [14, ["test"]]}],
        [165, [[159, [0, 0]], 1], {"geo_system": TABLE}],
        [165, [[159, [0, 0]], 1], {"unit": [69, [[2, [1]], [10, [1]]]]}],
    ],
)
def test_what_is_no_datum_is_no_option(node: Inside, query: Any) -> None:
    with Client(node.port) as client:
        restore(client)
        response = client.ask(1, [1, query])
    assert response["e"] == 3000000
    assert response["r"][0].startswith("Expected type DATUM but found "), response


def test_union_takes_an_ordering_as_what_it_orders_by(node: Inside) -> None:
    with Client(node.port) as client:
        response = client.ask(1, [1, [44, [[73, ["a"]]]]])
        assert (response["e"], response["r"]) == (3000000, ["Cannot convert STRING to SEQUENCE"])
        assert client.ask(1, [1, [44, [[73, [[2, [1]]]], [2, [2]]]]])["r"] == [[1, 2]]


def answers(node: Inside, seed: int, count: int) -> Counter[str]:
    """What became of so many queries, by kind of answer."""
    writer = Writer(random.Random(seed))
    seen: Counter[str] = Counter()
    client = Client(node.port)
    for number in range(count):
        if number % 100 == 0:
            restore(client)
        query = writer.term(4)
        body = json.dumps([1, query, {}]).encode()
        response = client.ask(number, body)
        if response["t"] == 3:
            client.ask(number, [3])
        kind = str(response.get("e", response["t"]))
        seen[kind] += 1
        allowed = "Unexpected exception: User `" in str(response["r"][:1])
        assert kind != "1000000" or allowed, (seed, number, query, response)
    client.sock.close()
    return seen


def test_random_terms_are_answered_without_a_bug(node: Inside) -> None:
    seen = answers(node, new_seed(), 500)
    assert len(seen) > 3  # values and errors of several kinds


@pytest.mark.slow
def test_ten_thousand_random_terms_are_answered_without_a_bug(node: Inside) -> None:
    seen = answers(node, new_seed(), 10_000)
    assert {"1", "2", "17", "3000000", "3100000"} <= seen.keys()
    assert not node.errors
