"""`r.js` in its worker processes."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from rethought.errors import QueryLogicError, ResourceLimitError
from rethought.exec.functions import Function
from rethought.reql.remote import javascript
from rethought.reql.terms import remote

from .support import environment, options

pytest.importorskip("py_mini_racer")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()

    async def close() -> None:
        await javascript.pool().close()

    yield loop
    loop.run_until_complete(close())
    loop.close()


@pytest.fixture
def env(loop: asyncio.AbstractEventLoop) -> Any:
    return environment(loop)


def js(env: Any, source: str, **given: Any) -> Any:
    return remote.script(env, source, opts=options(env, **given))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1 + 1; 2 + 2", 4),
        ("({a: [1, null, 'é'], b: {c: true}})", {"a": [1, None, "é"], "b": {"c": True}}),
        ("1.5", 1.5),
        ("9007199254740993n", 9007199254740992),
        (
            "new Date(1500)",
            {"$reql_type$": "TIME", "epoch_time": 1.5, "timezone": "+00:00"},
        ),
        ("({__proto__: {x: 1}, y: 2})", {"y": 2}),
        ("typeof require + typeof process + typeof fetch + typeof setTimeout", "undefined" * 4),
    ],
)
def test_values(env: Any, source: str, value: Any) -> None:
    assert js(env, source) == value


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("undefined", "Cannot convert javascript `undefined` to ql::datum_t."),
        ("[() => 1]", "Cannot convert javascript `function` to ql::datum_t."),
        ("1 / 0", "Number return value is not finite."),
        ("nothing.x", "ReferenceError: nothing is not defined"),
        ("throw 'plain'", "plain"),
        ("var a = []; a[0] = a; a", "The JavaScript value is nested too deeply."),
        ("(function f() { f() })()", "RangeError: Maximum call stack size exceeded"),
    ],
)
def test_errors(env: Any, source: str, message: str) -> None:
    with pytest.raises(QueryLogicError) as caught:
        js(env, source)
    assert caught.value.message == message


def test_functions_take_any_number_of_arguments(env: Any) -> None:
    add = js(env, "(function(a, b) { return a + (b || 0) })")
    assert isinstance(add, Function)
    assert add.invoke(1, 2) == 3
    assert add.invoke(1, 2, 3) == 3
    assert add.over(list(range(100))) == list(range(100))
    with pytest.raises(QueryLogicError, match="Cannot convert javascript `undefined`"):
        js(env, "(function(a) {})").over([1])


def test_times_arrive_as_dates(env: Any) -> None:
    year = js(env, "(t => t.at.getUTCFullYear())")
    time = {"$reql_type$": "TIME", "epoch_time": 86400, "timezone": "+01:00"}
    assert year.invoke({"at": time}) == 1970


def test_queries_do_not_see_each_other(env: Any) -> None:
    js(env, "globalThis.secret = 1")
    assert js(env, "typeof secret") == "undefined"
    remember = js(env, "(x => { globalThis.secret = x; return typeof secret })")
    assert remember.invoke(1) == "number"
    peek = js(env, "(() => typeof secret)")
    assert peek.invoke() == "undefined"


def test_spoiling_the_surroundings_only_spoils_ones_own_result(env: Any) -> None:
    js(env, "JSON.stringify = () => 'spoiled'; Array.isArray = () => true; 1")
    js(env, "Object.prototype.toJSON = () => 'spoiled'; ({a: 1})")
    assert js(env, "({a: [1]})") == {"a": [1]}


def test_a_script_ends_with_its_time(env: Any) -> None:
    with pytest.raises(QueryLogicError) as caught:
        js(env, "while(true) {}", timeout=0.1)
    assert caught.value.message == (
        "JavaScript query `while(true) {}` timed out after 0.100 seconds."
    )
    spin = js(env, "(function(x) { while(true) {} })", timeout=0.2)
    with pytest.raises(QueryLogicError, match=r"timed out after 0\.200 seconds\."):
        spin.invoke(1)
    assert js(env, "1") == 1


@pytest.mark.parametrize(
    "source",
    [
        "var a = []; while (true) a.push(new Array(1000).fill(a.length))",
        "var s = 'x'; var a = []; while (true) { a.push(new ArrayBuffer(1e9)) }",
    ],
)
def test_a_script_that_wants_too_much_memory_costs_nobody_else(env: Any, source: str) -> None:
    with pytest.raises((ResourceLimitError, QueryLogicError)):
        js(env, source, timeout=20)
    assert js(env, "1") == 1


def test_a_cancelled_query_ends_its_script(env: Any, loop: asyncio.AbstractEventLoop) -> None:
    class GoneError(BaseException):
        pass

    def gone(task: asyncio.Task[Any]) -> None:
        # Lets the worker begin, then leaves.
        loop.run_until_complete(asyncio.wait([task], timeout=0.05))
        raise GoneError

    leaving = environment(loop)
    leaving.wait = gone
    with pytest.raises(GoneError):
        js(leaving, "while(true) {}", timeout=3600)
    assert js(env, "1") == 1


def test_without_the_engine_the_message_says_what_to_install(
    env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(QueryLogicError, match="Install the `js` extra"):
        js(env, "1")
