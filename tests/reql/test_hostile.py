"""Queries made to hurt: each gets a typed error or a bounded answer, and others are served meanwhile.

A real server throughout: what is at stake is the process, its stack and its memory.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wire.client import Client, frame
from tools.serverprocess import ServerProcess, running

RESOURCE = 2000000
MEMORY_BYTES = 128 << 20
SLACK_BYTES = 320 << 20


def function(*parameters_and_body: Any) -> list[Any]:
    *parameters, body = parameters_and_body
    return [69, [[2, parameters], body]]


def var(number: int) -> list[Any]:
    return [10, [number]]


def array(*elements: Any) -> list[Any]:
    return [2, list(elements)]


def endless() -> list[Any]:
    return [173, []]


def up_to(count: int) -> list[Any]:
    return [173, [count]]


def folded(times: int, start: Any, body: Any) -> list[Any]:
    return [187, [up_to(times), start, function(1, 2, body)]]


def nested(depth: int, innermost: Any, wrap: Callable[[Any], Any]) -> Any:
    for _ in range(depth):
        innermost = wrap(innermost)
    return innermost


TABLE = [15, ["hostile"]]
ROW = var(1)
TWICE = array(ROW, ROW)
LAUGHS = folded(60, 1, TWICE)
DEEP = folded(50_000, array(), array(ROW))
PLAIN = [51, [up_to(100_000), "array"]]
UNLIMITED = {"array_limit": 10**12}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory: Path = tmp_path_factory.mktemp("hostile")
    config = directory / "limits.toml"
    config.write_text(f"[limits]\nquery_memory_bytes = {MEMORY_BYTES}\n")
    with running(directory / "data", "--config-file", str(config)) as started:
        with Client(started.port) as client:
            client.ask(1, [1, [60, ["hostile"]]])
            client.ask(2, [1, [56, [TABLE, array(*({"id": number} for number in range(100)))]]])
        yield started


def memory(server: ServerProcess) -> int:
    fields = Path(f"/proc/{server.pid}/statm").read_text().split()
    return int(fields[1]) * 4096


def cpu_seconds(server: ServerProcess) -> float:
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(server: ServerProcess, query: Any, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer; while it is awaited another client is served."""
    body = query if isinstance(query, bytes) else [1, query, options or {}]
    with Client(server.port) as client, Client(server.port) as other:
        client.query(1, body)
        slowest = 0.0
        for token in range(1, 20):
            began = cpu_seconds(server)  # a busy machine takes longer, not more of this
            assert other.ask(token, [1, [16, [TABLE, 50]]])["r"] == [{"id": 50}]
            slowest = max(slowest, cpu_seconds(server) - began)
        _, response = client.response()
        assert slowest < 2.0
        assert memory(server) < MEMORY_BYTES + SLACK_BYTES
        return response


@pytest.mark.parametrize(
    "text",
    [
        "[2,[" * 100_000 + "1" + "]]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        "[24,[" * 100_000 + "1" + ",1]]" * 100_000,
        "[69,[[2,[1]]," * 100_000 + "1" + "]]" * 100_000,
    ],
    ids=["arrays", "objects", "terms", "functions"],
)
def test_a_query_nested_a_hundred_thousand_deep_is_refused(
    server: ServerProcess, text: str
) -> None:
    assert ask(server, f"[1,{text},{{}}]".encode())["t"] in (16, 17, 18)


@pytest.mark.parametrize("depth", [300, 480])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[24,[", ",1]]"),
        ("[66,[[23,[", "]],false]]"),
        ("[92,[", ",1]]"),
        ("[65,[[103,[]],", ",1]]"),
        ('{"a":', ',"now":[103,[]]}'),
        ("[38,[[2,[", "]],[69,[[2,[1]],[10,[1]]]]]]"),
        ("[64,[[69,[[2,[1]],", "]],1]]"),
    ],
    ids=["add", "or", "default", "branch", "object", "map", "do"],
)
def test_terms_nested_by_the_hundred_are_answered_or_refused(
    server: ServerProcess, before: str, after: str, depth: int
) -> None:
    response = ask(server, f"[1,{before * depth}1{after * depth},{{}}]".encode())
    assert response["t"] in (1, 17), response


@pytest.mark.parametrize(
    "query",
    [
        DEEP,
        [172, [DEEP]],
        [17, [DEEP, DEEP]],
        [56, [TABLE, {"id": -1, "deep": DEEP}]],
        [98, ["[" * 100_000 + "]" * 100_000]],
    ],
    ids=["answer", "text", "comparison", "document", "json"],
)
def test_values_nested_too_deep_are_errors(server: ServerProcess, query: Any) -> None:
    response = ask(server, query)
    assert response["t"] == 18 or response["r"][0]["errors"] == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([24, [1] * 10_000], 10_000),
        ([67, [True] * 5_000], True),
        ([65, [*[[17, [1, 2]], 1] * 2_000, 7]], 7),
        ([43, [[94, [{f"k{number}": [24, [1, number]] for number in range(2_000)}]]]], 2_000),
        ([43, [[78, [TABLE, *range(20_000)]]]], 100),
        ([33, [{"a": 1}, *map(str, range(20_000))]], {}),
    ],
    ids=["add", "and", "branch", "object", "get_all", "pluck"],
)
def test_arguments_by_the_thousand_are_answered(
    server: ServerProcess, query: Any, expected: Any
) -> None:
    assert ask(server, query)["r"] == [expected]


@pytest.mark.parametrize(
    "query",
    [
        LAUGHS,
        folded(60, {"a": 1}, {"a": ROW, "b": ROW}),
        [17, [LAUGHS, LAUGHS]],
        [42, [array(LAUGHS, 1)]],
        [41, [array(1, LAUGHS), function(9, var(9))]],
        [144, [array(1, LAUGHS), function(9, var(9))]],
        [56, [TABLE, {"id": -1, "laughs": LAUGHS}]],
        nested(60, 1, lambda inner: [64, [function(1, TWICE), inner]]),
        nested(40, array(1), lambda inner: [38, [inner, function(1, TWICE)]]),
        [26, [array([26, [array(1), 100_000]]), 100_000]],
        [26, [array("x" * 1_000_000), 100_000]],
        [38, [PLAIN, function(1, "x" * 100_000)]],
        folded(100, "x", [24, [ROW, ROW]]),
        nested(60, "x", lambda inner: [64, [function(1, [24, [ROW, ROW]]), inner]]),
        [26, [array(1), 1e9]],
    ],
)
def test_values_that_repeat_themselves_are_refused(server: ServerProcess, query: Any) -> None:
    response = ask(server, query)
    assert response.get("e") == RESOURCE, str(response)[:200]


@pytest.mark.parametrize(
    "query",
    [
        [51, [up_to(10**9), "array"]],
        [41, [[38, [up_to(10**9), function(1, {"a": ROW})]], "a"]],
        [43, [[42, [up_to(10**9)]]]],
        [43, [[144, [up_to(10**9), function(1, ROW)]]]],
        [38, [PLAIN, function(1, [51, [up_to(100_000), "array"]])]],
        [51, [[38, [up_to(10**6), function(1, [24, ["x" * 100_000, "y"]])]], "array"]],
    ],
    ids=["array", "order", "distinct", "group", "arrays", "strings"],
)
def test_a_query_has_so_much_memory_and_no_more(server: ServerProcess, query: Any) -> None:
    assert ask(server, query, UNLIMITED).get("e") == RESOURCE


NEVER = function(1, False)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param((1, {"array_limit": [43, [up_to(10**12)]]}), id="option"),
        [43, [[40, [up_to(2), function(1, endless())]]]],
        [93, [endless(), -1]],
        [39, [endless(), NEVER]],
        [70, [endless(), 10**15]],
        [48, [endless(), up_to(5), function(1, 2, False)]],
        [43, [up_to(10**12)]],
        [145, [[38, [up_to(10**12), function(1, ROW)]]]],
        [187, [up_to(10**12), 0, function(1, 2, ROW)]],
        [43, [[48, [PLAIN, PLAIN, function(1, 2, True)]]]],
        [43, [[38, [up_to(10**9), function(1, [24, [ROW] * 3_000])]]]],
    ],
)
def test_a_query_without_end_leaves_time_for_others_and_ends_with_its_client(
    server: ServerProcess, query: Any
) -> None:
    with Client(server.port) as other:
        with Client(server.port) as client:
            client.query(1, [1, *(query if isinstance(query, tuple) else (query,))])
            for token in range(1, 40):
                assert other.ask(token, [1, [16, [TABLE, 50]]])["r"] == [{"id": 50}]
        jobs = [43, [[15, [[14, ["rethinkdb"]], "jobs"]]]]
        while other.ask(100, [1, jobs])["r"] != [1]:  # this one
            pass


def doubled(times: int, start: str) -> Any:
    return folded(times, start, [24, [ROW, ROW]])


@pytest.mark.parametrize(
    ("query", "ends_well"),
    [
        ([43, [[172, [doubled(20, "\x01e1")]]]], True),
        ([43, [[51, [array(doubled(20, "\x01e1")), "string"]]]], True),
        ([52, [[97, [doubled(22, "x y"), "((.)*)*$"]]]], True),
        ([98, [[24, ["[", doubled(20, "1.0,")]]]], False),
        ([43, [[197, [doubled(20, "{a}"), {"a": 1}]]]], True),
        ([43, [[149, [doubled(19, "xe\u0301"), ""]]]], True),
    ],
    ids=["json_string", "coerce", "match", "json", "format", "split"],
)
def test_work_on_a_long_string_leaves_time_for_others(
    server: ServerProcess, query: Any, ends_well: bool
) -> None:
    with Client(server.port) as client:
        others = [frame(token, [1, [16, [TABLE, 50]]]) for token in range(2, 12)]
        client.send(frame(1, [1, query, UNLIMITED]) + b"".join(others))
        for token in range(2, 12):
            assert client.response() == (token, {"t": 1, "r": [{"id": 50}]})
        answered, response = client.response()
        assert answered == 1
        assert response["t"] == (1 if ends_well else 18)


def test_an_error_about_a_large_document_does_not_show_all_of_it(server: ServerProcess) -> None:
    large = {"text": doubled(20, "abcdefgh")}
    message: str = ask(server, [31, [[64, [function(1, ROW), large]], "absent"]])["r"][0]
    assert message.startswith("No attribute `absent` in object:\n{")
    assert message.endswith("...")
    assert len(message) < 300_000


def test_cursors_dropped_by_the_thousand_leave_nothing_behind(server: ServerProcess) -> None:
    with Client(server.port) as client:
        for token in range(1, 1_001):
            assert client.ask(token, [1, endless(), {"max_batch_rows": 1}])["t"] == 3
    with Client(server.port) as client:
        assert client.ask(1, [1, [16, [TABLE, 1]]])["r"] == [{"id": 1}]


def test_a_transaction_does_not_keep_others_waiting_for_ever(server: ServerProcess) -> None:
    write = [56, [TABLE, {"id": -5}]]
    response = ask(server, [64, [function(1, [43, [up_to(10**12)]]), write]], {"transaction": True})
    assert response.get("e") == RESOURCE
    assert ask(server, [16, [TABLE, -5]])["r"] == [None]


def test_an_update_that_takes_long_loses_no_other_update(server: ServerProcess) -> None:
    ask(server, [56, [TABLE, {"id": -6, "n": 0}]])
    slow = {"n": [24, [[31, [var(1), "n"]], [26, [0, [43, [up_to(200_000)]]]], 1]]}
    quick = {"n": [24, [[31, [var(1), "n"]], 1]]}
    row = [16, [TABLE, -6]]
    with Client(server.port) as first, Client(server.port) as second:
        first.query(1, [1, [53, [row, function(1, slow)]]])
        for token in range(1, 20):
            assert second.ask(token, [1, [53, [row, function(1, quick)]]])["r"][0]["replaced"] == 1
        assert first.response()[1]["r"][0]["replaced"] == 1
    assert ask(server, row)["r"] == [{"id": -6, "n": 20}]


def test_a_query_may_be_given_so_many_seconds(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    config = tmp_path / "limits.toml"
    config.write_text("[limits]\nquery_seconds = 0.2\n")
    server = start_server("--config-file", str(config))
    with Client(server.port) as client:
        response = client.ask(1, [1, [43, [up_to(10**12)]]])
        assert response["e"] == RESOURCE
        assert response["r"] == ["The query ran for more than 0.2 seconds."]
        assert client.ask(2, [1, 1])["r"] == [1]
