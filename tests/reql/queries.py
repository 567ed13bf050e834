"""Terms as drivers send them, and strategies for expressions over a row."""

from typing import Any

from hypothesis import strategies as st

ROW = 1
FIELDS = ("a", "b", "c", "d")

DOCUMENTS: tuple[dict[str, Any], ...] = (
    {"id": 0, "a": 1, "b": "x", "c": [1, 2, 3], "d": {"e": 1}},
    {"id": 1, "a": 2.5, "b": "", "c": [], "d": {}},
    {"id": 2, "a": -1, "b": "Ünï", "c": ["x", None], "d": {"e": None}},
    {"id": 3, "a": None, "b": "x", "c": [[1], {"e": 2}]},
    {"id": 4, "b": 7, "c": {"e": 3}, "d": [1]},
    {"id": 5, "a": True, "b": False, "c": "text", "d": None},
    {"id": 6, "a": 0, "c": [0, 0, 1]},
    {"id": 7, "a": 2**53, "b": -0.5, "d": {"e": {"f": 1}}},
    {"id": 8, "a": "1", "b": ["x"], "c": 1, "d": "e"},
    {
        "id": 9,
        "a": {"$reql_type$": "TIME", "epoch_time": 1.5, "timezone": "+00:00"},
        "b": {"$reql_type$": "BINARY", "data": "aGk="},
    },
)


def term(value: Any) -> Any:
    """Data as a driver sends it: arrays become terms."""
    if isinstance(value, list | tuple):
        return [2, [term(part) for part in value]]
    if isinstance(value, dict):
        return {key: term(part) for key, part in value.items()}
    return value


def func(body: Any, *params: int) -> Any:
    return [69, [[2, list(params) or [ROW]], body]]


def var(number: int = ROW) -> Any:
    return [10, [number]]


def table(name: str) -> Any:
    return [15, [name]]


_literals = st.sampled_from(
    [0, 1, -2, 2.5, "x", "", "e", None, True, False, [], [1, "x"], {"e": 1}]
)
_leaves = st.one_of(
    _literals.map(term),
    st.just(var()),
    st.sampled_from(FIELDS).map(lambda field: [170, [var(), field]]),
    st.sampled_from(FIELDS).map(lambda field: [31, [var(), field]]),
)


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def of(numbers: list[int], *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.builds(
            lambda number, parts: [number, list(parts)], st.sampled_from(numbers), st.tuples(*args)
        )

    names = st.sampled_from([*FIELDS, "e"])
    return st.one_of(
        of([24, 25, 26, 27, 28], inner, inner),
        of([17, 18, 19, 20, 21, 22], inner, inner),
        of([66, 67], inner, inner),
        of([23, 52, 43, 86, 94, 183], inner),
        of([92], inner, inner),
        of([65], inner, inner, inner),
        of([170, 31, 32, 33, 34], inner, names),
        of([170, 45, 70, 71], inner, st.sampled_from([0, 1, -1])),
        of([93, 87, 29, 95], inner, inner),
        of([51], inner, st.sampled_from(["string", "number", "array", "bool"])),
        of([35], inner, st.builds(lambda key, value: {key: value}, names, inner)),
        st.builds(lambda key, value: {key: value}, names, inner),
        st.builds(lambda parts: [2, parts], st.lists(inner, max_size=3)),
        st.builds(lambda seq, body: [38, [seq, func(body, 2)]], inner, inner),
        st.builds(lambda seq, body: [39, [seq, func(body, 2)]], inner, inner),
        st.builds(lambda value, body: [64, [func(body, 3), value]], inner, inner),
        st.builds(lambda seq, key: [41, [seq, key]], inner, names),
    )


expressions = st.recursive(_leaves, _larger, max_leaves=6)
"""An expression of the row in variable `ROW`. Most fail for some document."""
