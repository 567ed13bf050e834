"""The query envelope: what is refused, and in which words."""

import json

import pytest

from rethought.wire import envelope
from rethought.wire.envelope import QueryType

NOT_JSON = "Client is buggy (failed to deserialize query)."
PARSE = "Server could not parse query: "


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", NOT_JSON),
        (b"[1", NOT_JSON),
        (b"nonsense", NOT_JSON),
        (b"[2]garbage", NOT_JSON),
        (b"\xff\xfe", NOT_JSON),
        (b'["\\ud800"]', NOT_JSON),
        (b"[1e400]", NOT_JSON),
        (b"[" * 100_000, NOT_JSON),
        (b"{}", PARSE + "Expected a query to be an array, but found OBJECT."),
        (b"1", PARSE + "Expected a query to be an array, but found NUMBER."),
        (b"null", PARSE + "Expected a query to be an array, but found NULL."),
        (b'"x"', PARSE + "Expected a query to be an array, but found STRING."),
        (b"true", PARSE + "Expected a query to be an array, but found BOOL."),
        (b"[]", PARSE + "Expected 1 to 3 elements in the top-level query, but found 0."),
        (b"[2,1,{},2]", PARSE + "Expected 1 to 3 elements in the top-level query, but found 4."),
        (b'["1",1]', PARSE + "Expected a query type as a number, but found STRING."),
        (b"[true]", PARSE + "Expected a query type as a number, but found BOOL."),
        (b"[[]]", PARSE + "Expected a query type as a number, but found ARRAY."),
        (b"[99]", PARSE + "Unrecognized QueryType: 99."),
        (b"[0]", PARSE + "Unrecognized QueryType: 0."),
        (b"[-1]", PARSE + "Unrecognized QueryType: -1."),
        (b"[1.5,1]", PARSE + "Unrecognized QueryType: 0."),
    ],
)
def test_what_is_no_query_is_refused_in_the_words_of_the_protocol(body: bytes, text: str) -> None:
    refused = envelope.query_type(body)
    assert isinstance(refused, bytes)
    assert json.loads(refused) == {"t": 16, "r": [text], "b": []}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b" [ 1 , 1 ] ", QueryType.START),
        (b"[1.0,1]", QueryType.START),
        (b"[2,null,{}]", QueryType.CONTINUE),
        (b'[3,"x"]', QueryType.STOP),
        (b"[4,1,2]", QueryType.NOREPLY_WAIT),
        (b"[5]", QueryType.SERVER_INFO),
    ],
)
def test_query_types_are_recognised(body: bytes, kind: QueryType) -> None:
    assert envelope.query_type(body) is kind
    assert envelope.USUAL.get(body, kind) is kind


@pytest.mark.parametrize(
    ("body", "noreply"),
    [
        (b'[1,1,{"noreply":true}]', True),
        (b'[1,1,{"noreply":[1,true]}]', True),
        (b'[1,1,{"noreply":false}]', False),
        (b'[1,"noreply",{}]', False),
        (b'[1,{"noreply":true}]', False),
        (b'[1,1,{"noreply":', False),
    ],
)
def test_noreply_is_the_static_global_option(body: bytes, noreply: bool) -> None:
    assert envelope.asks_noreply(body) is noreply
