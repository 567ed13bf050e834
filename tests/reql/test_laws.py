"""Laws of the language: terms against plain models, and every way of evaluation against the slow, obvious one."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.datum.order import compare, equal, hash_key, in_order, order_key
from tests.reql.database import Database, both_ways, exact
from tests.reql.queries import DOCUMENTS, expressions, func, table, term, var

TABLE = "laws"

quick = settings(max_examples=30)
often = settings(max_examples=60)

keys = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("ab", max_size=2)
rows = st.lists(
    st.fixed_dictionaries({"n": st.integers(0, 99)}, optional={"k": keys, "m": keys}), max_size=12
)
arrays = st.lists(keys | st.lists(st.integers(0, 2), max_size=2), max_size=8)
positions = st.integers(-10, 10)


@pytest.fixture(scope="module")
def rooms(database: Database) -> Iterator[Database]:
    """A table of documents of every kind."""
    database.value([60, [TABLE]])
    database.value([56, [table(TABLE), term(list(DOCUMENTS))]])
    yield database
    database.value([61, [TABLE]])


# ---- terms against models


def sort_key(row: dict[str, Any], field: str) -> Any:
    return (1, order_key(row[field])) if field in row else (0,)


@quick
@given(rows=rows, first_down=st.booleans(), second_down=st.booleans())
def test_order_by_is_a_stable_sort(
    database: Database, rows: list[Any], first_down: bool, second_down: bool
) -> None:
    terms = [[74 if down else 73, [name]] for name, down in (("k", first_down), ("m", second_down))]
    expected = sorted(rows, key=lambda row: sort_key(row, "m"), reverse=second_down)
    expected.sort(key=lambda row: sort_key(row, "k"), reverse=first_down)
    assert database.value([41, [term(rows), *terms]]) == expected


@quick
@given(rows=rows)
def test_group_splits_by_equal_keys(database: Database, rows: list[Any]) -> None:
    groups: dict[Any, tuple[Any, list[Any]]] = {}
    for row in rows:
        key = row.get("k")
        groups.setdefault(hash_key(key), (key, []))[1].append(row)
    expected = sorted(groups.values(), key=lambda pair: order_key(pair[0]))
    grouped = [144, [term(rows), "k"]]
    assert database.value(grouped)["data"] == [list(pair) for pair in expected]
    counts = database.value([43, [grouped]])["data"]
    assert counts == [[key, len(members)] for key, members in expected]
    sums = database.value([150, [[145, [grouped, "n"]]]])
    assert [pair["reduction"] for pair in sums] == [
        sum(row["n"] for row in members) for _, members in expected
    ]


@quick
@given(rows=rows)
def test_min_is_the_first_of_the_smallest(database: Database, rows: list[Any]) -> None:
    having = [row for row in rows if "k" in row]
    if not having:
        return
    assert database.value([147, [term(rows), "k"]]) == min(
        having, key=lambda row: order_key(row["k"])
    )


@quick
@given(left=arrays, right=arrays)
def test_union_joins_and_difference_takes_away(
    database: Database, left: list[Any], right: list[Any]
) -> None:
    assert database.value([44, [term(left), term(right)]]) == left + right
    rest = [part for part in left if not any(equal(part, other) for other in right)]
    assert database.value([95, [term(left), term(right)]]) == rest


@quick
@given(values=arrays)
def test_distinct_is_sorted_and_unique(database: Database, values: list[Any]) -> None:
    unique: list[Any] = []
    for value in in_order(values):
        if not unique or compare(unique[-1], value) != 0:
            unique.append(value)
    assert database.value([42, [term(values)]]) == unique


@quick
@given(values=arrays, start=positions, end=positions)
def test_slices_of_arrays_are_pythons(
    database: Database, values: list[Any], start: int, end: int
) -> None:
    size = len(values)
    if end < -size:  # the original takes such an end for the beginning
        return
    assert database.value([30, [term(values), start, end]]) == values[start:end]


@quick
@given(values=arrays, some=st.integers(0, 10), more=st.integers(0, 10))
def test_skip_then_limit_is_a_slice(
    database: Database, values: list[Any], some: int, more: int
) -> None:
    parted = database.value([71, [[70, [term(values), some]], more]])
    assert parted == values[some : some + more]
    assert parted == database.value([30, [term(values), some, some + more]])


@quick
@given(some=st.integers(0, 12), more=st.integers(0, 12))
def test_streams_are_cut_like_arrays(rooms: Database, some: int, more: int) -> None:
    ordered = [41, [table(TABLE)], {"index": "id"}]
    parted = rooms.value([31, [[71, [[70, [ordered, some]], more]], "id"]])
    assert parted == list(range(len(DOCUMENTS)))[some : some + more]


@quick
@given(values=st.lists(st.integers(-99, 99), max_size=9))
def test_fold_reduce_and_sum_agree(database: Database, values: list[int]) -> None:
    add = func([24, [var(1), var(2)]], 1, 2)
    folded = database.value([187, [term(values), 0, add]])
    assert folded == sum(values) == database.value([145, [term(values)]])
    if values:
        assert database.value([37, [term(values), add]]) == folded


@quick
@given(left=rows, right=rows)
def test_inner_join_is_the_filtered_product(
    database: Database, left: list[Any], right: list[Any]
) -> None:
    left, right = left[:5], right[:5]
    test = func([20, [[170, [var(1), "n"]], [170, [var(2), "n"]]]], 1, 2)
    expected = [
        {"left": one, "right": other} for one in left for other in right if one["n"] <= other["n"]
    ]
    assert database.value([48, [term(left), term(right), test]]) == expected


values = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, 2.5, -1, "x", "", [], {}, {"e": 1}])
    | st.sampled_from([{"e": {"f": 1}}, {"e": None, "f": 1}, [1], ["x"]])
)
patterns = st.dictionaries(st.sampled_from(["a", "b", "d", "id", "z"]), values, max_size=3)


@quick
@given(pattern=patterns)
def test_a_pattern_matches_the_same_rows_stored_and_at_hand(rooms: Database, pattern: Any) -> None:
    """Over a table the pattern's fields are read alone; over an array whole documents are at hand."""
    stored = rooms.value([39, [[41, [table(TABLE)], {"index": "id"}], term(pattern)]])
    assert stored == rooms.value([39, [term(list(DOCUMENTS)), term(pattern)]])
    assert stored == [row for row in DOCUMENTS if fits(row, pattern)]


@pytest.mark.parametrize(
    "pattern",
    [
        {"$reql_type$": "TIME", "epoch_time": 1.5, "timezone": "+00:00"},
        {"$reql_type$": "TIME", "epoch_time": 1.5, "timezone": "-01:00"},
        {"epoch_time": 1.5},
        {"epoch_time": [137, [1.5]]},
        [137, [{"epoch_time": 1.5}]],
    ],
)
def test_a_pattern_matches_times_stored_and_at_hand(rooms: Database, pattern: Any) -> None:
    stored = rooms.value([39, [[41, [table(TABLE)], {"index": "id"}], {"a": pattern}]])
    assert stored == rooms.value([39, [term(list(DOCUMENTS)), {"a": pattern}]])


def fits(row: Any, pattern: Any) -> bool:
    if isinstance(pattern, dict) and isinstance(row, dict) and "$reql_type$" not in row:
        return all(key in row and fits(row[key], part) for key, part in pattern.items())
    return equal(row, pattern)


@quick
@given(asked=st.lists(st.tuples(st.integers(-1, 9), st.integers(1, 9)), min_size=2, max_size=5))
def test_a_known_query_takes_new_constants_and_variables(
    rooms: Database, asked: list[tuple[int, int]]
) -> None:
    everything = range(len(DOCUMENTS))
    for least, number in asked:
        wanted = func([21, [[170, [var(number), "id"]], least]], number)
        filtered = [39, [table(TABLE), wanted]]
        assert rooms.value([43, [filtered]]) == len([id for id in everything if id > least])
        doubled = func([26, [[170, [var(number), "id"]], least]], number)
        assert rooms.value([145, [[38, [table(TABLE), doubled]]]]) == sum(everything) * least


# ---- ways of evaluation


_ORDERED = [41, [table(TABLE)], {"index": "id"}]


@often
@given(body=expressions)
def test_shortcuts_change_no_answer_of_a_map(rooms: Database, body: Any) -> None:
    quickly, slowly = both_ways(rooms, [38, [_ORDERED, func(body)]])
    assert quickly == slowly


@often
@given(body=expressions, default=st.sampled_from([{}, {"default": True}, {"default": [12, []]}]))
def test_shortcuts_change_no_answer_of_a_filter(rooms: Database, body: Any, default: Any) -> None:
    quickly, slowly = both_ways(rooms, [39, [_ORDERED, func(body)], default])
    assert quickly == slowly


@quick
@given(body=expressions, field=st.sampled_from(["a", "b", "c", "d", "z"]))
def test_rows_that_lack_what_is_read_first_are_found_out(
    rooms: Database, body: Any, field: str
) -> None:
    tested = [67, [[22, [[170, [var(), field]], [180, []]]], body]]
    quickly, slowly = both_ways(rooms, [39, [_ORDERED, func(tested)]])
    assert quickly == slowly
    quickly, slowly = both_ways(rooms, [43, [[144, [_ORDERED, func(tested)]]]])
    assert quickly == slowly


@quick
@given(body=expressions, terminal=st.sampled_from([145, 146, 147, 148]))
def test_shortcuts_change_no_answer_of_a_reduction(
    rooms: Database, body: Any, terminal: int
) -> None:
    quickly, slowly = both_ways(rooms, [terminal, [_ORDERED, func(body)]])
    assert quickly == slowly


@quick
@given(body=expressions)
def test_shortcuts_change_no_answer_of_a_group(rooms: Database, body: Any) -> None:
    quickly, slowly = both_ways(rooms, [43, [[144, [_ORDERED, func(body)]]]])
    assert quickly == slowly


@often
@given(body=expressions, which=st.integers(0, len(DOCUMENTS) - 1))
def test_one_document_fares_as_the_rows_of_a_table(rooms: Database, body: Any, which: int) -> None:
    """A function called with a document, in place, gives what mapping over the table gives for its row."""
    row = [78, [table(TABLE), which]]
    alone = rooms.response([64, [func(body), term(DOCUMENTS[which])]])
    mapped = rooms.response([38, [row, func(body)]])
    assert alone["r"] == mapped["r"]
    assert (alone["t"] == 18) == (mapped["t"] == 18)


@quick
@given(body=expressions)
def test_rows_at_hand_and_rows_of_a_table_fare_alike(rooms: Database, body: Any) -> None:
    stored = rooms.response([51, [[38, [_ORDERED, func(body)]], "array"]])
    at_hand = rooms.response([38, [term(list(DOCUMENTS)), func(body)]])
    assert stored["r"] == at_hand["r"]


@quick
@given(body=expressions)
def test_a_plan_serves_other_literals(rooms: Database, body: Any) -> None:
    """The second query of a shape is answered from the plan of the first."""
    queries = [[64, [func(body), term(document)]] for document in DOCUMENTS[:3]]
    first = [exact(rooms.response(query)) for query in queries]
    rooms.restart_engine()
    assert [exact(rooms.response(query)) for query in reversed(queries)] == first[::-1]


def computed(query: Any) -> Any:
    """The same with every literal as the result of a function, so that nothing is known of it beforehand."""
    if isinstance(query, dict):
        return {key: computed(part) for key, part in query.items()}
    if not isinstance(query, list):
        return [64, [func(var(9), 9), query]]
    number, args, *optargs = query
    if number == 10:
        return query
    if number == 69:
        return [69, [args[0], computed(args[1])]]
    return [number, [computed(part) for part in args], *map(computed, optargs)]


@often
@given(body=expressions, terminal=st.sampled_from([41, 144, 145, 146, 147, 148]))
def test_a_computed_value_fares_as_a_literal(rooms: Database, body: Any, terminal: int) -> None:
    mapped = [38, [_ORDERED, func(body)]]
    for query in (mapped, [terminal, [mapped, "a"]], [33, [mapped, {"e": True, "b": 1}]]):
        literal = rooms.response(query)
        assert rooms.response(computed(query))["r"] == literal["r"]
