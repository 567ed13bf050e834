"""The rows of the benchmark: one named workload each.

What always holds: `ROWS` is the whole list, in the order of running; a row gets a target that `prepare` has filled and
returns one figure. Rows that write do so in the table `writes`, or change fields that no other row reads.
Callers: `bench.run`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Final

from bench.client import Connection, feed, latencies, throughput, whole
from bench.terms import DATABASE, Draw, Term, array, field, literal, row, start, table, term

BATCH: Final = 500
SORTED_MAX: Final = 50_000
JOINED_MAX: Final = 20_000
POOL: Final = 20_000
"""So many different queries of a row, sent over and over."""
MARK: Final = 123_456_789_012_345
"""A key that stands for one to come."""


@dataclass(slots=True)
class Target:
    """A server under measurement."""

    port: int
    documents: int
    seconds: float
    draw: Draw


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; for `lower` rows less is better."""

    name: str
    unit: str
    measure: Callable[[Target], float]
    lower: bool = False


def empty_tables(client: Connection, *names: str) -> None:
    """A new database with these tables."""
    if DATABASE in client.value(start(term("db_list"))):
        client.value(start(term("db_drop", DATABASE)))
    client.value(start(term("db_create", DATABASE)))
    for name in names:
        client.value(start(term("table_create", term("db", DATABASE), name)))
        client.drain(start(term("wait", table(name))))


AGE: Final = ("field", "age", None)
CITY_AGE: Final = ("function", "city_age", row(array(field("city"), field("age"))))
"""Indexes: of what kind, name, function."""


def prepare(
    target: Target, indexes: tuple[tuple[str, str, Term], ...] = (AGE, CITY_AGE)
) -> Iterator[tuple[str, str, float]]:
    """Fill the server; what that took are figures too (name, unit, figure)."""
    client = Connection(target.port, patience_s=None)
    empty_tables(client, "docs", "writes")
    bodies = [
        start(
            term("insert", table(), array(*map(literal, range(low, high))), durability="soft"),
        )
        for low in range(0, target.documents, BATCH)
        for high in [min(low + BATCH, target.documents)]
    ]
    begin = time.perf_counter()
    for body in bodies:
        client.drain(body)
    yield "load, batches of 500, soft", "docs/s", target.documents / (time.perf_counter() - begin)
    for kind, name, function in indexes:
        begin = time.perf_counter()
        extra = () if function is None else (function,)
        client.value(start(term("index_create", table(), name, *extra)))
        client.drain(start(term("index_wait", table(), name)))
        yield f"index build, {kind}", "docs/s", target.documents / (time.perf_counter() - begin)
    client.close()


def pipelined(make: Callable[[Draw], Term]) -> Callable[[Target], float]:
    """Queries are encoded before the clock starts, so that the generator costs little while it runs."""

    def measure(target: Target) -> float:
        bodies = cycle([start(make(target.draw)) for _ in range(POOL)])
        return throughput(target.port, bodies.__next__, seconds=target.seconds)

    return measure


def inserted(durability: str) -> Callable[[Target], float]:
    """Inserts of new documents: encoded beforehand but for the key."""

    def measure(target: Target) -> float:
        documents = [literal(number) | {"id": MARK} for number in range(POOL // 10)]
        bodies = [
            start(term("insert", table("writes"), document, durability=durability))
            for document in documents
        ]
        halves = cycle([tuple(body.split(b"%d" % MARK)) for body in bodies])

        def make() -> bytes:
            head, tail = next(halves)
            return b"%b%d%b" % (head, target.draw.new_key(), tail)

        return throughput(target.port, make, seconds=target.seconds)

    return measure


def over_rows(query: Term, rows: int | None = None) -> Callable[[Target], float]:
    def measure(target: Target) -> float:
        count = target.documents if rows is None else min(rows, target.documents)
        return whole(target.port, start(query), count)

    return measure


def joined_by_index(target: Target) -> float:
    """Each row on the left meets one in a hundred of all documents."""
    rows = min(JOINED_MAX // 100, target.documents) * target.documents // 100
    return whole(target.port, start(JOINED_BY_INDEX), rows)


def percentile(share: float, make: Callable[[Draw], Term]) -> Callable[[Target], float]:
    def measure(target: Target) -> float:
        taken = latencies(target.port, lambda: start(make(target.draw)), count=2000)
        return taken[int(share * (len(taken) - 1))] * 1e6

    return measure


def followed(subscription: Term, subscribers: int, writes: int) -> Callable[[Target], float]:
    def measure(target: Target) -> float:
        def make() -> bytes:
            fresh = {"id": target.draw.new_key(), "v": 1}
            return start(term("insert", table("writes"), fresh, durability="soft"))

        body = start(subscription)
        return feed(target.port, body, make, subscribers=subscribers, writes=writes)

    return measure


def get(draw: Draw) -> Term:
    return term("get", table(), draw.key())


def update(draw: Draw) -> Term:
    return term("update", get(draw), {"seen": draw.random.random()}, durability="soft")


def update_function(draw: Draw) -> Term:
    counted = term("add", term("default", field("n"), 0), 1)
    return term("update", get(draw), row({"n": counted}), durability="soft")


def between(draw: Draw) -> Term:
    return term("limit", term("between", table(), draw.key(), draw.documents), 20)


def get_all(draw: Draw) -> Term:
    return term("limit", term("get_all", table(), draw.age(), index="age"), 20)


def compound_index(draw: Draw) -> Term:
    city = f"city-{draw.random.randrange(97)}"
    low, high = array(city, 20), array(city, 40)
    return term("limit", term("between", table(), low, high, index="city_age"), 20)


ORDERED: Final = term("limit", term("order_by", table(), index="age"), 20)
FILTERED: Final = term("count", term("filter", table(), row(term("gt", field("age"), 50))))
OBJECT_FILTER: Final = term("count", term("filter", table(), {"city": "city-5"}))
COMPOUND_FILTER: Final = term(
    "count",
    term(
        "filter",
        table(),
        row(
            term(
                "or",
                term("and", term("ge", field("age"), 30), term("lt", field("score"), 5000)),
                term("contains", field("tags"), "t3"),
            )
        ),
    ),
)
MAPPED: Final = term("sum", term("map", table(), row(term("mul", field("score"), 2))))
COMPOUND_MAP: Final = term(
    "sum",
    term(
        "map",
        table(),
        row(
            term(
                "branch",
                term("eq", term("mod", field("id"), 2), 0),
                term("add", field("age"), term("mul", field("score"), 0.5)),
                term("bracket", term("merge", term("pluck", term("var", 1), "age"), {"x": 1}), "x"),
            )
        ),
    ),
)
ARITHMETIC_FILTER: Final = term(
    "count",
    term(
        "filter",
        table(),
        row(term("gt", term("add", term("mul", field("age"), 2), field("score")), 9000)),
    ),
)
STRING_FILTER: Final = term(
    "count",
    term("filter", table(), row(term("eq", term("upcase", field("city")), "CITY-5"))),
)
NESTED_FILTER: Final = term(
    "count",
    term(
        "filter",
        table(),
        row(
            term(
                "and",
                term("lt", term("bracket", field("address"), "zip"), "5"),
                term("ne", field("city"), "city-5"),
                term("ge", term("default", field("missing"), field("age")), 50),
            )
        ),
    ),
)
MISSING_FILTER: Final = term(
    "count", term("filter", table(), row(term("gt", field("missing"), 50)))
)
BUILT_MAP: Final = term(
    "count",
    term(
        "map",
        table(),
        row(
            {
                "who": term("add", field("name"), "!"),
                "zip": term("bracket", field("address"), "zip"),
            }
        ),
    ),
)
MERGED_MAP: Final = term(
    "count",
    term(
        "map", table(), row(term("merge", term("var", 1), {"next": term("add", field("age"), 1)}))
    ),
)
MERGED_FILTER: Final = term(
    "count",
    term(
        "filter",
        term("merge", table(), row({"next": term("add", field("age"), 1)})),
        row(term("gt", field("next"), 50)),
    ),
)
GROUPED_BY_BOTH: Final = term(
    "avg", term("group", table(), "city", row(term("gt", field("age"), 50))), "score"
)
GROUPED_MULTI: Final = term("count", term("group", table(), "tags", multi=True))
GROUPED_BY_TWO: Final = term("count", term("group", table(), "city", "age"))
GROUPED_MAXIMUM: Final = term("max", term("group", table(), "city"), "score")
GROUPED_INDEX: Final = term("count", term("group", table(), index="age"))
GROUPED_FUNCTION: Final = term(
    "sum",
    term("map", term("group", table(), row(term("mod", field("age"), 10))), row(field("score"))),
)
MAXIMUM: Final = term("max", table(), "score")
DISTINCT_INDEX: Final = term("count", term("distinct", table(), index="age"))
COUNTED_RANGE: Final = term("count", term("between", table(), 10, 90, index="age"))
GROUPED: Final = term("count", term("group", table(), "city"))
GROUPED_AVERAGE: Final = term("avg", term("group", table(), "city"), "score")
REDUCED: Final = term(
    "reduce",
    term("map", table(), row(field("age"))),
    row(term("add", term("var", 2), term("var", 3)), 2, 3),
)
PLUCKED: Final = term("pluck", table(), "id", "name")
SORTED: Final = term(
    "limit", term("order_by", term("between", table(), 0, SORTED_MAX), "score"), 10
)
SORTED_BY_FUNCTION: Final = term(
    "limit",
    term(
        "order_by",
        term("between", table(), 0, SORTED_MAX),
        row(term("bracket", field("address"), "zip")),
        row(term("mul", field("score"), -1)),
    ),
    10,
)
SORTED_DOWN: Final = term(
    "limit",
    term(
        "order_by",
        term("between", table(), 0, SORTED_MAX),
        *(term("desc", name) for name in ("city", "age", "score")),
    ),
    10,
)
JOINED_FILTER: Final = term(
    "count",
    term(
        "filter",
        term("zip", term("eq_join", term("limit", table(), JOINED_MAX), "age", table())),
        row(term("lt", field("age"), 50)),
    ),
)
JOINED_BY_INDEX: Final = term(
    "count",
    term(
        "zip",
        term("eq_join", term("limit", table(), JOINED_MAX // 100), "age", table(), index="age"),
    ),
)
JOINED_BY_FUNCTION: Final = term(
    "count",
    term(
        "zip",
        term(
            "eq_join",
            term("limit", table(), JOINED_MAX),
            row(term("add", field("age"), 1)),
            table(),
        ),
    ),
)
JOINED: Final = term("count", term("eq_join", term("limit", table(), JOINED_MAX), "age", table()))
PAIRS: Final = term("eq_join", term("limit", table(), JOINED_MAX), "age", table())
JOINED_WHOLE: Final = term(
    "map",
    PAIRS,
    row(term("merge", field("left"), {"other": field("right")})),
)
JOINED_CUT: Final = term("zip", term("without", PAIRS, {"right": array("id", "address")}))
READ_BY_KEY: Final = term(
    "merge",
    term("limit", table(), JOINED_MAX),
    row({"other": term("bracket", term("get", table(), field("age")), "name")}),
)
WITHOUT: Final = term("without", table(), "tags", {"address": "street"})
TIME_FILTER: Final = term(
    "count",
    term(
        "filter",
        table(),
        row(term("gt", term("epoch_time", field("score")), term("sub", term("now"), 3600))),
    ),
)
KEYS: Final = 1_000
BY_KEYS: Final = term(
    "count", term("get_all", table(), term("args", array(*range(0, 7 * KEYS, 7))))
)
FEED: Final = term("changes", table("writes"), include_states=True)
FILTERED_FEED: Final = term(
    "changes",
    term("filter", table("writes"), row(term("eq", field("v"), 1))),
    include_states=True,
)

ROWS: Final = (
    Row("get", "queries/s", pipelined(get)),
    Row("get, one at a time, median", "µs", percentile(0.5, get), lower=True),
    Row("get, one at a time, 99th", "µs", percentile(0.99, get), lower=True),
    Row("insert, soft", "queries/s", inserted("soft")),
    Row("insert, hard", "queries/s", inserted("hard")),
    Row("update, soft", "queries/s", pipelined(update)),
    Row("update by function, soft", "queries/s", pipelined(update_function)),
    Row("between, limit 20", "queries/s", pipelined(between)),
    Row("get_all by index, limit 20", "queries/s", pipelined(get_all)),
    Row("between on compound index, limit 20", "queries/s", pipelined(compound_index)),
    Row("order_by index, limit 20", "queries/s", pipelined(lambda _: ORDERED)),
    Row("count", "docs/s", over_rows(term("count", table()))),
    Row("filter, count", "docs/s", over_rows(FILTERED)),
    Row("filter by object, count", "docs/s", over_rows(OBJECT_FILTER)),
    Row("filter, compound function, count", "docs/s", over_rows(COMPOUND_FILTER)),
    Row("filter, arithmetic, count", "docs/s", over_rows(ARITHMETIC_FILTER)),
    Row("filter, strings, count", "docs/s", over_rows(STRING_FILTER)),
    Row("filter, nested field and default, count", "docs/s", over_rows(NESTED_FILTER)),
    Row("filter, field that is missing, count", "docs/s", over_rows(MISSING_FILTER)),
    Row("map, sum", "docs/s", over_rows(MAPPED)),
    Row("map, compound function, sum", "docs/s", over_rows(COMPOUND_MAP)),
    Row("map, object of several fields, count", "docs/s", over_rows(BUILT_MAP)),
    Row("map, merge, count", "docs/s", over_rows(MERGED_MAP)),
    Row("merge, filter, count", "docs/s", over_rows(MERGED_FILTER)),
    Row("map, reduce", "docs/s", over_rows(REDUCED)),
    Row("group, count", "docs/s", over_rows(GROUPED)),
    Row("group, average", "docs/s", over_rows(GROUPED_AVERAGE)),
    Row("group by two fields, count", "docs/s", over_rows(GROUPED_BY_TWO)),
    Row("group by field and function, average", "docs/s", over_rows(GROUPED_BY_BOTH)),
    Row("group by every tag, count", "docs/s", over_rows(GROUPED_MULTI)),
    Row("group, max of a field", "docs/s", over_rows(GROUPED_MAXIMUM)),
    Row("group by function, map, sum", "docs/s", over_rows(GROUPED_FUNCTION)),
    Row("group by index, count", "docs/s", over_rows(GROUPED_INDEX)),
    Row("max of a field", "docs/s", over_rows(MAXIMUM)),
    Row("distinct of an index, count", "docs/s", over_rows(DISTINCT_INDEX)),
    Row("between on index, count", "docs/s", over_rows(COUNTED_RANGE)),
    Row("scan to the client", "docs/s", over_rows(table())),
    Row("pluck to the client", "docs/s", over_rows(PLUCKED)),
    Row("order_by without index", "docs/s", over_rows(SORTED, SORTED_MAX)),
    Row("order_by two functions", "docs/s", over_rows(SORTED_BY_FUNCTION, SORTED_MAX)),
    Row("order_by three fields, down", "docs/s", over_rows(SORTED_DOWN, SORTED_MAX)),
    Row("eq_join, zip, filter, count", "docs/s", over_rows(JOINED_FILTER, JOINED_MAX)),
    Row("eq_join on an index, zip, count", "rows/s", joined_by_index),
    Row("eq_join by function, zip, count", "docs/s", over_rows(JOINED_BY_FUNCTION, JOINED_MAX)),
    Row("eq_join, count", "docs/s", over_rows(JOINED, JOINED_MAX)),
    Row("eq_join, whole pairs", "docs/s", over_rows(PAIRS, JOINED_MAX)),
    Row("eq_join, one side merged into the other", "docs/s", over_rows(JOINED_WHOLE, JOINED_MAX)),
    Row("eq_join, without, zip", "docs/s", over_rows(JOINED_CUT, JOINED_MAX)),
    Row("merge with a row read by key", "docs/s", over_rows(READ_BY_KEY, JOINED_MAX)),
    Row("without to the client", "docs/s", over_rows(WITHOUT)),
    Row("filter by time, count", "docs/s", over_rows(TIME_FILTER)),
    Row("get_all of 1,000 keys, count", "keys/s", over_rows(BY_KEYS, KEYS)),
    Row("changes, 1 subscriber", "changes/s", followed(FEED, 1, 5000)),
    Row("changes, 50 subscribers", "changes/s", followed(FEED, 50, 1000)),
    Row("changes, 500 subscribers", "changes/s", followed(FEED, 500, 200)),
    Row("changes of a filter, 50 subscribers", "changes/s", followed(FILTERED_FEED, 50, 1000)),
)
