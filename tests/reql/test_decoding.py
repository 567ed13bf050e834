"""Long queries are decoded in steps, to what they are."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rethought.datum.jsonbytes import RepeatedKeys, decode_query
from rethought.errors import ClientError, CompileError
from rethought.reql import decoding
from rethought.reql.decoding import LOT_BYTES, decode_in_steps

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=6) | st.dictionaries(st.text(max_size=2), below, max_size=4)
    ),
    max_leaves=40,
)


def counted() -> tuple[list[int], Callable[[], None]]:
    steps: list[int] = []
    return steps, lambda: steps.append(1)


@pytest.fixture
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LOT_BYTES", 8)
    monkeypatch.setattr(decoding, "LEVELS_MAX", 3)


@given(value=st.lists(JSON))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("small_lots")
def test_the_value_is_the_same(value: list[Any]) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    assert decode_in_steps(body, lambda: None) == decode_query(body)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"[1,[2,[1,2,3,", ClientError),
        (b"[1,[2,[1,2,3]]] 4", ClientError),
        (b'[1,[2,["aaaaaaaaaaaaaa","\\ud800"]]]', ClientError),
        (b'[1,["aaaaaaaaaaaaaaaaaaa", "\xff"]]', CompileError),
        (b"[" * 100_000, ClientError),
    ],
)
@pytest.mark.usefixtures("small_lots")
def test_so_is_the_error(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as expected:
        decode_query(body)
    with pytest.raises(error) as found:
        decode_in_steps(body, lambda: None)
    assert str(found.value) == str(expected.value)


@pytest.mark.usefixtures("small_lots")
def test_repeated_keys_are_found() -> None:
    value = decode_in_steps(b'[1,[2,["aaaaaaaaaaaaaa",{"a":1,"a":2}]]]', lambda: None)
    assert isinstance(value[1][1][1], RepeatedKeys)


KEYS = st.sampled_from(["a", "b", "a:", "\\u003a", "\\u0061", "ü"])
OBJECTS = st.recursive(
    st.sampled_from(["1", '"x:y"', "[1,2,3,4,5,6]"]),
    lambda below: st.lists(st.tuples(KEYS, below), max_size=4).map(
        lambda pairs: "{" + ",".join(f'"{key}" : {value}' for key, value in pairs) + "}"
    ),
    max_leaves=20,
)


@given(text=OBJECTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("small_lots")
def test_objects_have_the_same_fields_and_repeat_the_same_keys(text: str) -> None:
    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            return type(value), [(key, shown(part)) for key, part in value.items()]
        return value

    body = text.encode()
    assert shown(decode_in_steps(body, lambda: None)) == shown(decode_query(body))


def test_a_long_query_is_decoded_a_lot_at_a_time() -> None:
    rows = [{"n": number, "text": "x" * 50} for number in range(20_000)]
    body = json.dumps([1, [43, [[2, rows]]], {"array_limit": 10**6}]).encode()
    steps, pace = counted()
    assert decode_in_steps(body, pace) == json.loads(body)
    assert len(steps) >= len(body) // LOT_BYTES / 2
