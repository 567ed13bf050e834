"""Terms as text."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.reql.printing import (
    describe_function,
    print_function,
    print_hook,
    print_index,
    print_term,
)
from rethought.reql.term_names import JS_NAMES
from rethought.reql.terms import SPECS

ROW = [10, [12]]


@pytest.mark.parametrize(
    ("params", "body", "text"),
    [
        ([-19], [31, [[10, [-19]], "a"]], 'function(_var19) { return _var19.getField("a"); }'),
        (
            [12],
            [92, [[170, [[170, [ROW, "n"]], "x"]], 0]],
            'function(var12) { return var12("n")("x").default(0); }',
        ),
        (
            [1],
            [170, [[170, [[13, []], "n"]], "x"]],
            'function(var1) { return r.row("n")("x"); }',
        ),
        (
            [2],
            [2, [[170, [[10, [2]], "a"]], [170, [[10, [2]], "id"]]]],
            'function(var2) { return r.expr([var2("a"), var2("id")]); }',
        ),
        ([], [180, []], "function() { return r.minval; }"),
        ([1], None, "function(var1) { return r.expr(null); }"),
    ],
)
def test_functions_are_printed_as_javascript(params: list[int], body: Any, text: str) -> None:
    assert print_function(params, body) == text


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ([15, ["t"]], 'r.table("t")'),
        ([15, [[14, ["d"]], "t"]], 'r.db("d").table("t")'),
        (
            [39, [[15, ["t"]], [69, [[2, [1]], [17, [[170, [[10, [1]], "a"]], 1]]]]]],
            'r.table("t").filter(function(var1) { return var1("a").eq(1); })',
        ),
        ([24, [1, 2]], "r.expr(1).add(2)"),
        (
            [56, [[15, ["t"]], {"a": [2, [1, 2]]}], {"return_changes": True}],
            'r.table("t").insert({"a": [1, 2]}, {returnChanges: true})',
        ),
        (
            [64, [[69, [[2, [1]], [10, [1]]]], 5]],
            "r.expr(5).do(function(var1) { return var1; })",
        ),
        ([65, [True, 1, 2]], "r.branch(true, 1, 2)"),
        ([103, []], "r.now()"),
        ([41, [[15, ["t"]], [74, ["a"]]]], 'r.table("t").orderBy(r.desc("a"))'),
        ([173, [0, 1000]], "r.range(0, 1000)"),
    ],
)
def test_queries_are_printed_as_one_would_type_them(term: Any, text: str) -> None:
    assert print_term(term) == text


def test_an_index_is_printed_with_its_options() -> None:
    body = [170, [[10, [1]], "a"]]
    function = 'function(var1) { return var1("a"); }'
    for multi, geo, options in (
        (False, False, ""),
        (True, False, ", {multi: true}"),
        (False, True, ", {geo: true}"),
        (True, True, ", {multi: true, geo: true}"),
    ):
        text = print_index("i", [1], body, multi=multi, geo=geo)
        assert text == f"indexCreate('i', {function}{options})"


def test_a_write_hook_is_printed() -> None:
    assert (
        print_hook([1, 2, 3], [10, [3]])
        == "setWriteHook(function(var1, var2, var3) { return var3; })"
    )


def test_info_shows_captures_and_arguments() -> None:
    assert (
        describe_function([1, 2], [24, [[10, [1]], [10, [2]]]])
        == "function (captures = [(no implicit)]) (args = [var1, var2]) r.add(var1, var2)"
    )


def test_every_term_has_a_name() -> None:
    unnamed = set(SPECS) - set(JS_NAMES) - {1, 2, 3, 10, 13, 69}
    assert not unnamed


def test_deep_terms_are_cut_off() -> None:
    term: Any = 1
    for _ in range(500):
        term = [24, [1, term]]
    assert "..." in print_term(term)


terms = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(sorted(JS_NAMES)), st.lists(inner, max_size=3)).map(list),
        st.dictionaries(st.text(), inner, max_size=3),
        st.lists(inner, max_size=3).map(lambda items: [2, items]),
    ),
    max_leaves=20,
)


@given(terms)
def test_printing_never_fails(term: Any) -> None:
    assert print_term(term)
    assert describe_function([], term)
