"""Rows made of other rows (merged, joined, zipped) and grouped rows, against the slow, obvious way of making them.

What is read, counted or written of such rows comes out of what they are made of; here each is asked in many ways and
compared with an evaluation that takes no shortcut, or with the same terms over an array, where whole rows are at hand.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rethought.datum.merging import merge_objects
from rethought.errors import ReqlError
from rethought.reql.terms import joins
from tests.reql.database import Database, both_ways
from tests.reql.queries import DOCUMENTS, FIELDS, expressions, func, table, term, var

MIXED, PLAIN = "rows_mixed", "rows_plain"
"""Tables with pseudotypes in them, and without any."""

quick = settings(max_examples=40)
often = settings(max_examples=80)
tables = st.sampled_from([MIXED, PLAIN])
names = st.sampled_from([*FIELDS, "e", "id"])


@pytest.fixture(scope="module")
def rooms(database: Database) -> Iterator[Database]:
    for name, documents in ((MIXED, DOCUMENTS), (PLAIN, DOCUMENTS[:9])):
        database.value([60, [name]])
        database.value([56, [table(name), term(documents)]])
        database.value([75, [table(name), "b"]])
        database.value([75, [table(name), "c"], {"multi": True}])
        database.value([140, [table(name)]])
    yield database
    for name in (MIXED, PLAIN):
        database.value([61, [name]])


def ordered(name: str) -> Any:
    return [41, [table(name)], {"index": "id"}]


def answer(rooms: Database, query: Any) -> Any:
    """The value or the rows; of two errors, which comes first depends on how much is looked at together."""
    response = rooms.response(query)
    if response["t"] not in (1, 2):
        return ERROR
    return response["r"][0] if response["t"] == 1 else response["r"]


ERROR = object()


def _field(name: str, number: int = 1) -> Any:
    return [170, [var(number), name]]


objects = st.dictionaries(st.sampled_from([*FIELDS, "z"]), expressions, min_size=1, max_size=3)
fields_only = st.dictionaries(
    st.sampled_from([*FIELDS, "z"]),
    st.sampled_from(FIELDS).map(_field)
    | st.sampled_from([1, "x", None])
    | st.sampled_from(FIELDS).map(lambda name: [92, [_field(name), 0]])
    | st.sampled_from(FIELDS).map(lambda name: [2, [[92, [_field(name), 0]], "x"]]),
    min_size=1,
    max_size=3,
)
"""Objects of which most can be told from the fields that they read."""

parts = st.lists(objects | fields_only, min_size=1, max_size=2)

asked = st.one_of(
    st.just(lambda rows: rows),
    st.just(lambda rows: [43, [rows]]),
    expressions.map(lambda body: lambda rows: [39, [rows, func(body)]]),
    expressions.map(lambda body: lambda rows: [43, [[39, [rows, func(body)]]]]),
    expressions.map(lambda body: lambda rows: [38, [rows, func(body)]]),
    st.tuples(names, names).map(lambda two: lambda rows: [33, [rows, *two]]),
    names.map(lambda name: lambda rows: [34, [rows, name]]),
    names.map(lambda name: lambda rows: [31, [rows, name]]),
    names.map(lambda name: lambda rows: [96, [rows, name]]),
    names.map(lambda name: lambda rows: [43, [[144, [rows, name]]]]),
    names.map(lambda name: lambda rows: [41, [rows, name, [74, ["id"]]]]),
    st.tuples(st.integers(0, 9), st.integers(0, 9)).map(
        lambda cut: lambda rows: [71, [[70, [rows, cut[0]]], cut[1]]]
    ),
    fields_only.map(lambda part: lambda rows: [38, [rows, func([35, [var(), part]])]]),
    names.map(lambda name: lambda rows: [72, [[50, [rows, name, table(PLAIN)]]]]),
)
"""What may be asked of rows."""


# ---- merge


@quick
@given(name=tables, parts=parts, ask=asked)
def test_merged_rows_are_the_rows_merged(
    rooms: Database, name: str, parts: list[Any], ask: Any
) -> None:
    rows = [38, [ordered(name), func([35, [var(), *parts]])]]
    quickly, slowly = both_ways(rooms, ask(rows))
    assert quickly == slowly


@quick
@given(name=tables, part=fields_only, ask=asked)
def test_rows_merged_with_a_function_of_them(
    rooms: Database, name: str, part: Any, ask: Any
) -> None:
    """`merge` of the stream, and of a row in a function: both see the fields through a variable of their own, or
    through r.row."""
    implicitly = json.loads(json.dumps(part).replace(json.dumps(var()), "[13, []]"))
    for rows in (
        [35, [ordered(name), func(part)]],
        [38, [ordered(name), func([35, [var(2), func(part)]], 2)]],
        [35, [ordered(name), func(implicitly)]],
        [38, [ordered(name), func([35, [[13, []], implicitly]])]],
    ):
        quickly, slowly = both_ways(rooms, ask(rows))
        assert quickly == slowly


@quick
@given(first=fields_only, second=fields_only, ask=asked)
def test_rows_merged_twice(rooms: Database, first: Any, second: Any, ask: Any) -> None:
    rows = [35, [[35, [ordered(PLAIN), func(first)]], func(second)]]
    quickly, slowly = both_ways(rooms, ask(rows))
    assert quickly == slowly


def test_merged_rows_keep_what_is_not_replaced(rooms: Database) -> None:
    merged = rooms.value([35, [ordered(PLAIN), {"a": "new", "z": None}]])
    assert merged == [document | {"a": "new", "z": None} for document in DOCUMENTS[:9]]


def test_a_literal_that_makes_fields_vanish_is_no_value_to_put_in(rooms: Database) -> None:
    part = {"a": [137, []], "n": _field("id")}
    merged = rooms.value([35, [ordered(PLAIN), func(part)]])
    assert merged == [
        {key: value for key, value in document.items() if key != "a"} | {"n": document["id"]}
        for document in DOCUMENTS[:9]
    ]


def test_a_plan_of_a_merge_serves_other_literals(rooms: Database) -> None:
    for key, value in (("a", 1), ("b", "x"), ("c", None)):
        merged = rooms.value([35, [ordered(PLAIN), {key: value}]])
        assert merged == [document | {key: value} for document in DOCUMENTS[:9]]
    spoiled = rooms.response([35, [ordered(PLAIN), {"$reql_type$": "x", "b": 1}]])
    assert spoiled["t"] in (17, 18)


# ---- joins


@quick
@given(name=tables, key=expressions, ask=asked, index=st.sampled_from([None, "id", "b", "c"]))
def test_joined_rows_of_a_table_are_those_of_an_array(
    rooms: Database, name: str, key: Any, ask: Any, index: Any
) -> None:
    """Rows of a table stay as they are stored for as long as they can; an array's are at hand."""
    options = {} if index is None else {"index": index}
    documents = DOCUMENTS if name == MIXED else DOCUMENTS[:9]
    stored = [51, [[50, [ordered(name), func(key), table(name)], options], "array"]]
    at_hand = [51, [[50, [term(documents), func(key), table(name)], options], "array"]]
    plainly = rooms.response(at_hand)
    assert rooms.response(stored)["r"] == plainly["r"]
    if plainly["t"] != 1:
        return
    made = plainly["r"][0]
    joined = [50, [ordered(name), func(key), table(name)], options]
    assert answer(rooms, ask(joined)) == answer(rooms, ask(term(made)))


@quick
@given(name=tables, key=names, ask=asked)
def test_zipped_rows_are_the_sides_merged(rooms: Database, name: str, key: str, ask: Any) -> None:
    joined = [50, [ordered(name), key, table(name)]]
    pairs = answer(rooms, joined)
    if pairs is ERROR:
        return
    try:
        rows = [merge_objects(pair["left"], pair["right"]) for pair in pairs]
    except ReqlError:
        assert answer(rooms, [72, [joined]]) is ERROR
        return
    assert answer(rooms, [72, [joined]]) == rows
    assert answer(rooms, ask([72, [joined]])) == answer(rooms, ask(term(rows)))


def test_large_documents_are_joined_to_many_rows(rooms: Database) -> None:
    """Such are decoded for each row."""
    rooms.value([56, [table(PLAIN), {"id": "large", "text": "x" * 2000, "d": {"e": 9, "x": 1}}]])
    try:
        key = func("large")
        joined = [50, [[182, [table(PLAIN), 0, 9]], key, table(PLAIN)]]
        rows = rooms.value([41, [[51, [[72, [joined]], "array"]], "c"]])
        assert len(rows) == 9
        assert all(row["id"] == "large" and row["d"]["x"] == 1 for row in rows)
        assert rooms.value([145, [[38, [[72, [joined]], func([170, [_field("d"), "e"]])]]]]) == 81
    finally:
        rooms.value([54, [[16, [table(PLAIN), "large"]]]])


def test_many_pairs_come_some_at_a_time(rooms: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    joined = [50, [ordered(PLAIN), func("x"), table(PLAIN)], {"index": "b"}]
    whole = rooms.value(joined)
    assert len(whole) == 18  # two documents have this value
    monkeypatch.setattr(joins, "PAIRS_AT_ONCE", 1)
    assert rooms.value(joined) == whole
    monkeypatch.setattr(joins, "PAIRS_AT_ONCE", 5)
    assert rooms.value([72, [joined]]) == [
        merge_objects(pair["left"], pair["right"]) for pair in whole
    ]
    assert rooms.value([33, [[72, [joined]], "id"]]) == [
        {"id": pair["right"]["id"]} for pair in whole
    ]


# ---- other shapes

paths = st.recursive(
    names,
    lambda inner: (
        st.dictionaries(names, inner | st.just(True), min_size=1, max_size=2)
        | st.lists(inner, min_size=1, max_size=2).map(lambda parts: [2, parts])
    ),
    max_leaves=4,
)
nested = st.dictionaries(
    st.sampled_from([*FIELDS, "z"]),
    st.one_of(
        fields_only,
        st.sampled_from([*FIELDS, "id"]).map(_field),
        st.just({"e": {"f": [99]}}),
        st.just([137, [{"e": 1}]]),
        st.just([137, []]),
        st.just([2, [{"e": _field("id")}]]),
    ),
    min_size=1,
    max_size=2,
)
"""Objects in which there are others, or literals."""

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([33, 34]), st.lists(paths, min_size=1, max_size=2)),
        st.tuples(st.just(35), st.lists(nested | fields_only, min_size=1, max_size=2)),
    ),
    min_size=1,
    max_size=3,
)


def shaped(start: Any, steps: list[Any]) -> Any:
    for number, args in steps:
        start = [number, [start, *args]]
    return start


@often
@given(name=tables, steps=steps, ask=asked)
def test_rows_in_another_shape(rooms: Database, name: str, steps: Any, ask: Any) -> None:
    mapped = [38, [ordered(name), func(shaped(var(), steps))]]
    quickly, slowly = both_ways(rooms, ask(mapped))
    assert quickly == slowly
    alone = [(number, args) for number, args in steps if number != 35]
    quickly, slowly = both_ways(rooms, ask(shaped(ordered(name), alone)))
    assert quickly == slowly


of_sides = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([33, 34]), st.lists(paths, min_size=1, max_size=2)),
        st.tuples(
            st.just(35),
            st.lists(
                st.sampled_from([_field("left"), _field("right")])
                | st.dictionaries(
                    st.sampled_from(["d", "z"]),
                    st.sampled_from(["left", "right"]).map(_field)
                    | names.map(lambda name: [170, [_field("right"), name]])
                    | st.just({"e": [170, [_field("left"), "id"]]}),
                    min_size=1,
                ),
                min_size=1,
                max_size=2,
            ),
        ),
    ),
    min_size=1,
    max_size=3,
)


@often
@given(
    name=tables,
    side=st.sampled_from([None, "left", "right"]),
    steps=of_sides,
    key=st.sampled_from([func([28, [[26, [_field("id"), 7]], 9]]), "id", "a"]),
    ask=asked,
)
def test_pairs_and_their_sides_in_another_shape(
    rooms: Database, name: str, side: str | None, steps: Any, key: Any, ask: Any
) -> None:
    start = var() if side is None else _field(side)
    joined = [50, [ordered(name), key, table(name)]]
    quickly, slowly = both_ways(rooms, ask([38, [joined, func(shaped(start, steps))]]))
    assert quickly == slowly


@quick
@given(name=tables, left=st.lists(paths, max_size=2), right=paths, number=st.sampled_from([33, 34]))
def test_pairs_with_fewer_fields_on_their_sides(
    rooms: Database, name: str, left: Any, right: Any, number: int
) -> None:
    joined = [50, [ordered(name), func([28, [[26, [_field("id"), 7]], 9]]), table(name)]]
    sides = {"right": right} | ({"left": [2, left]} if left else {})
    cut = [number, [joined, sides]]
    for asked_for in (cut, [72, [cut]], [33, [cut, {"left": "id"}, {"right": "b"}]]):
        quickly, slowly = both_ways(rooms, asked_for)
        assert quickly == slowly


def test_objects_merged_into_one_field_are_merged_with_each_other(rooms: Database) -> None:
    parts = [{"d": {"x": _field("id")}}, {"d": {"y": 1, "z": _field("id")}}]
    rows = rooms.value([38, [ordered(PLAIN), func([35, [[34, [var(), "d"]], *parts]])]])
    assert [row["d"] for row in rows] == [{"x": at, "y": 1, "z": at} for at in range(9)]


def test_a_plan_of_a_shape_serves_no_other_names(rooms: Database) -> None:
    for name in ("a", "b", "c"):
        rows = rooms.value([34, [ordered(PLAIN), {"d": name}, name]])
        assert all(name not in row for row in rows)
        assert sum("d" in row for row in rows) == sum("d" in row for row in DOCUMENTS[:9])
    joined = [50, [ordered(PLAIN), "id", table(PLAIN)]]
    for one, other in (("left", "right"), ("right", "leftt")):
        body = [35, [_field(one), {"n": [92, [_field(other), None]]}]]
        rows = rooms.value([38, [joined, func(body)]])
        assert [row["n"] is not None for row in rows] == [other == "right"] * 9


# ---- rows that read others


def _read(name: str, key: Any) -> Any:
    return [16, [table(name), key]]


keys_of_rows = st.one_of(
    st.sampled_from([_field("id"), _field("a"), _field("b"), 3, "none", None]),
    st.just([26, [[24, [_field("id"), 3]], 12]]),
    st.just([92, [_field("a"), 0]]),
    st.just([170, [_field("d"), "e"]]),
    expressions,
)
of_others = st.tuples(tables, keys_of_rows).map(lambda read: _read(*read))
read_bodies = st.one_of(
    of_others,
    st.tuples(of_others, names).map(lambda two: [170, list(two)]),
    st.tuples(of_others, names).map(lambda two: [92, [[170, list(two)], "nothing"]]),
    st.tuples(st.sampled_from([32, 33, 34]), of_others, names).map(lambda it: [it[0], [*it[1:]]]),
    st.tuples(of_others, expressions).map(lambda two: [65, [[17, [two[1], 1]], two[0], two[1]]]),
    st.tuples(of_others, of_others).map(lambda two: {"x": two[0], "y": {"z": two[1]}}),
    st.tuples(of_others, of_others).map(lambda two: [17, list(two)]),
    of_others.map(lambda read: [52, [read]]),
    of_others.map(lambda read: _read(PLAIN, [170, [read, "a"]])),
    of_others.map(lambda read: [35, [read, {"n": read}]]),
)


@often
@given(name=tables, body=read_bodies, default=st.sampled_from([{}, {"default": True}]))
def test_functions_that_read_other_rows(
    rooms: Database, name: str, body: Any, default: Any
) -> None:
    rows = ordered(name)
    for query in (
        [38, [rows, func(body)]],
        [39, [rows, func([17, [body, body]])], default],
        [35, [rows, func({"d": body, "n": _field("id")})]],
        [38, [rows, func([35, [var(), {"d": {"e": body}}]])]],
        [43, [[144, [rows, func(body)]]]],
        [40, [rows, func(body)]],
    ):
        quickly, slowly = both_ways(rooms, query)
        assert quickly == slowly


@quick
@given(name=tables, read=st.tuples(tables, st.sampled_from(["id", "a", "b"])))
def test_what_is_merged_reads_by_its_own_row(rooms: Database, name: str, read: Any) -> None:
    """Through a variable of its own, or through r.row."""
    for part in (
        func({"o": _read(read[0], [170, [var(7), read[1]]])}, 7),
        func({"o": _read(read[0], [170, [[13, []], read[1]]])}, 7),
        func({"o": [92, [[170, [_read(read[0], [170, [[13, []], read[1]]]), "b"]], 0]]}, 7),
    ):
        quickly, slowly = both_ways(rooms, [35, [ordered(name), part]])
        assert quickly == slowly


@often
@given(
    name=tables, body=expressions, most=st.sampled_from([None, 1, 3]), how=st.sampled_from([40, 38])
)
def test_rows_made_sequences_of(
    rooms: Database, name: str, body: Any, most: int | None, how: int
) -> None:
    for made in (
        body,
        [2, [body, _field("id")]],
        [38, [[2, [1, 2]], func([2, [var(2), body]], 2)]],
    ):
        query = [how, [ordered(name), func(made)]]
        quickly, slowly = both_ways(rooms, query if most is None else [71, [query, most]])
        assert quickly == slowly


def test_streams_of_rows_are_each_of_its_own_row(rooms: Database) -> None:
    """They are made some at a time, and read later."""
    of_row = [26, [_field("id"), 3]]
    streams = (
        [78, [table(PLAIN), of_row]],
        [38, [[182, [table(PLAIN), of_row, 9]], func([2, [var(2), _field("id")]], 2)]],
        [71, [[70, [ordered(PLAIN), of_row]], 2]],
        [39, [ordered(PLAIN), func([17, [[170, [var(2), "id"]], of_row]], 2)]],
        [
            48,
            [
                ordered(PLAIN),
                [2, [_field("id")]],
                func([17, [[170, [var(2), "id"]], var(3)]], 2, 3),
            ],
        ],
        [35, [[78, [table(PLAIN), of_row]], {"of": _field("id")}]],
    )
    for stream in streams:
        rows = rooms.value([40, [ordered(PLAIN), func(stream)]])
        one_by_one = [
            row
            for at in range(9)
            for row in rooms.value([40, [[78, [table(PLAIN), at]], func(stream)]])
        ]
        assert rows == one_by_one


@quick
@given(name=tables, body=expressions, at=st.sampled_from([0, 1, -1, 5, -5, 0.5]))
def test_elements_of_what_rows_hold(rooms: Database, name: str, body: Any, at: float) -> None:
    quickly, slowly = both_ways(
        rooms, [38, [ordered(name), func([92, [[170, [body, at]], "none"]])]]
    )
    assert quickly == slowly
    quickly, slowly = both_ways(rooms, [38, [ordered(name), func([170, [body, at]])]])
    assert quickly == slowly


def test_a_row_that_reads_a_table_that_is_not_there(rooms: Database) -> None:
    body = [65, [[17, [_field("id"), 8]], _read("rows_none", _field("id")), 1]]
    rows = [35, [ordered(PLAIN), func({"o": body})]]
    assert "does not exist" in rooms.response(rows)["r"][0]
    assert len(rooms.value([71, [rows, 8]])) == 8


def test_large_documents_are_read_by_many_rows(rooms: Database) -> None:
    rooms.value([56, [table(PLAIN), {"id": "large", "text": "x" * 2000, "d": {"e": 9}}]])
    try:
        rows = [35, [[182, [table(PLAIN), 0, 9]], func({"o": _read(PLAIN, "large")})]]
        assert all(row["o"]["d"] == {"e": 9} for row in rooms.value(rows))
    finally:
        rooms.value([54, [[16, [table(PLAIN), "large"]]]])


# ---- all of them

KINDS = {
    "merged": [35, [ordered(PLAIN), func({"a": _field("id"), "d": None})]],
    "merged with arrays": [35, [ordered(PLAIN), func({"c": [2, [_field("id"), "x", None]]})]],
    "merged twice": [35, [[35, [ordered(PLAIN), func({"n": _field("id")})]], {"b": "new"}]],
    "pairs": [50, [ordered(PLAIN), func([28, [[26, [_field("id"), 7]], 9]]), table(PLAIN)]],
    "zipped": [
        72,
        [[50, [ordered(PLAIN), func([28, [[26, [_field("id"), 7]], 9]]), table(PLAIN)]]],
    ],
}
KINDS["zipped and merged"] = [35, [KINDS["zipped"], func({"a": _field("id")})]]
KINDS["merged and zipped"] = [72, [[50, [KINDS["merged twice"], "n", table(PLAIN)]]]]
KINDS["without a field"] = [34, [ordered(PLAIN), "c", {"d": "e"}]]
KINDS["sides merged"] = [38, [KINDS["pairs"], func([35, [_field("left"), {"n": _field("right")}]])]]
KINDS["sides cut"] = [34, [KINDS["pairs"], {"left": "c", "right": [2, ["id", {"d": "e"}]]}]]
KINDS["joined again"] = [50, [KINDS["zipped"], "id", table(PLAIN)]]

NARROWED = (
    lambda rows: rows,
    lambda rows: [39, [rows, func([22, [[92, [_field("id"), 5]], 4]])]],
    lambda rows: [39, [rows, func([19, [[92, [_field("id"), 5]], 8]])]],
    lambda rows: [39, [rows, func([93, [[94, [var()]], "b"]])]],
    lambda rows: [71, [[70, [rows, 2]], 3]],
    lambda rows: [35, [rows, func({"m": [92, [_field("id"), 1]]})]],
    lambda rows: [
        71,
        [[35, [[39, [rows, func([22, [[92, [_field("id"), 5]], 4]])]], {"e": 1}]], 4],
    ],
)
READ = (
    lambda rows: rows,
    lambda rows: [43, [rows]],
    lambda rows: [31, [rows, "d"]],
    lambda rows: [33, [rows, "id", "c", "d"]],
    lambda rows: [33, [rows, {"left": "id"}, {"right": ["id", "b"]}]],
    lambda rows: [34, [rows, "d"]],
    lambda rows: [38, [rows, func([92, [_field("m"), _field("d"), [37, []]][:2]])]],
    lambda rows: [43, [[144, [rows, "b", "d"]]]],
    lambda rows: [147, [rows, func([92, [_field("id"), 3]])]],
    lambda rows: [41, [rows, "b", [74, ["a"]]]],
)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_made_of_others_are_the_same_however_they_are_read(rooms: Database, kind: str) -> None:
    whole = rooms.value(KINDS[kind])
    assert len(whole) == 9
    for narrowed in NARROWED:
        for read in READ:
            made = read(narrowed(KINDS[kind]))
            at_hand = read(narrowed(term(whole)))
            assert answer(rooms, made) == answer(rooms, at_hand), made


# ---- groups

terminals = st.one_of(
    st.just(lambda groups: [43, [groups]]),
    st.tuples(st.sampled_from([145, 146, 147, 148]), names).map(
        lambda how: lambda groups: [how[0], [groups, how[1]]]
    ),
    expressions.map(lambda body: lambda groups: [145, [groups, func(body)]]),
    expressions.map(lambda body: lambda groups: [43, [[39, [groups, func(body)]]]]),
    fields_only.map(lambda part: lambda groups: [147, [[35, [groups, func(part)]], "id"]]),
    st.just(
        lambda groups: [
            37,
            [[38, [groups, func(_field("id"))]], func([24, [var(1), var(2)]], 1, 2)],
        ]
    ),
    st.just(lambda groups: [150, [groups]]),
)


@quick
@given(
    name=tables,
    keys=st.lists(names | expressions.map(func), min_size=1, max_size=3),
    multi=st.booleans(),
    index=st.sampled_from([None, "b", "c", "id"]),
    terminal=terminals,
)
def test_shortcuts_change_no_answer_of_groups(
    rooms: Database, name: str, keys: Any, multi: bool, index: Any, terminal: Any
) -> None:
    options = {} if index is None else {"index": index}
    if multi:
        options["multi"] = True
    rows = table(name) if index is not None else ordered(name)
    quickly, slowly = both_ways(rooms, terminal([144, [rows, *keys], options]))
    assert quickly == slowly


values = (
    st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([0.5, -0.0, "x", "1", [], {}])
)
keys = values | st.lists(values | st.lists(values, max_size=1), max_size=2)


@quick
@given(rows=st.lists(st.fixed_dictionaries({}, optional={"k": keys, "m": keys}), max_size=12))
def test_groups_of_several_keys_are_told_apart_like_arrays_of_them(
    database: Database, rows: list[Any]
) -> None:
    both = func([2, [[92, [_field("k"), None]], [92, [_field("m"), None]]]])
    by_two = database.response([43, [[144, [term(rows), "k", "m"]]]])
    by_array = database.response([43, [[144, [term(rows), both]]]])
    assert repr(by_two["r"]).replace("-0.0", "0") == repr(by_array["r"]).replace("-0.0", "0")


# ---- orders


@quick
@given(
    name=tables,
    keys=st.lists(
        st.tuples(st.sampled_from([73, 74]), names | expressions.map(func)), min_size=1, max_size=3
    ),
)
def test_shortcuts_change_no_order(rooms: Database, name: str, keys: Any) -> None:
    quickly, slowly = both_ways(rooms, [41, [ordered(name), *([how, [key]] for how, key in keys)]])
    assert quickly == slowly
