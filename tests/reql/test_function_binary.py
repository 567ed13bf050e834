"""Functions as binary data."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rethought.errors import InternalError, QueryLogicError
from rethought.reql.function_binary import (
    decode_hook,
    decode_index,
    encode_hook,
    encode_index,
)
from tests.reql.test_printing import terms

PARAMS = st.lists(st.integers(-(2**31), 2**31), max_size=3)


@given(PARAMS, terms, st.booleans(), st.booleans())
def test_an_index_function_comes_back_as_it_was(
    params: list[int], body: Any, multi: bool, geo: bool
) -> None:
    found = decode_index(encode_index(params, body, multi=multi, geo=geo))
    assert found == (params, body, multi, geo)


@given(PARAMS, terms)
def test_a_write_hook_comes_back_as_it_was(params: list[int], body: Any) -> None:
    assert decode_hook(encode_hook(params, body)) == (params, body)


def test_the_layout_is_the_protocols() -> None:
    body = [31, [[10, [-19]], "a"]]
    data = encode_index([-19], body, multi=True, geo=False)
    prefix = b"$reql_index_function$"
    head = bytes((9, 7, 7, 7)) + bytes(6) + bytes((1,)) + struct.pack("<q", -19)
    assert data.startswith(prefix + head)
    at = len(prefix + head)
    (length,) = struct.unpack_from("<i", data, at)
    text = data[at + 4 : at + 4 + length]
    assert text == b'[31,[[10,[[1,-19,2]],1],[1,"a",3]],0]\0'
    assert data[at + 4 + length :] == bytes(4) + bytes((1, 0))


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(QueryLogicError, match="Cannot create an sindex except from"):
        decode_index(b"something else")


@given(st.binary(max_size=20))  # too short to be one
def test_a_damaged_function_is_an_error_of_its_own(tail: bytes) -> None:
    with pytest.raises(InternalError, match="Unrecognized secondary index version"):
        decode_index(b"$reql_index_function$" + tail)


@given(st.data())
def test_cutting_a_function_short_is_noticed(data: st.DataObject) -> None:
    whole = encode_index([1], [170, [[10, [1]], "a"]], multi=False, geo=False)
    end = data.draw(st.integers(len(b"$reql_index_function$"), len(whole) - 1))
    with pytest.raises(InternalError):
        decode_index(whole[:end])
