"""The load generator: frames survive any split, an error ends the measurement."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.client import CONTINUE, HEADER, BenchmarkError, Connection, kind_of, throughput
from bench.terms import Draw, document, literal, start, table, term
from bench.yardsticks import json_documents, null_queries

Answer = Callable[[int, bytes], list[bytes]]


@contextmanager
def server(answer: Answer, split: int = 1 << 20) -> Iterator[int]:
    """A server for one connection that answers each query with the bodies given, `split` bytes at a time."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            stream.read(12)
            out = b"SUCCESS\0"
            while True:
                for at in range(0, len(out), split):
                    connection.sendall(out[at : at + split])
                header = stream.read(HEADER.size)
                if not header:
                    return
                token, size = HEADER.unpack(header)
                bodies = answer(token, stream.read(size))
                out = b"".join(HEADER.pack(token, len(body)) + body for body in bodies)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize("split", [1, 7, 1 << 20])
def test_an_answer_survives_any_split(split: int) -> None:
    with server(lambda _, __: [b'{"t":1,"r":[{"id":1}]}'], split) as port:
        client = Connection(port)
        assert client.value(b"[1,1,{}]") == {"id": 1}
        assert client.value(b"[1,1,{}]") == {"id": 1}
        client.close()


def test_draining_asks_for_more_until_the_end() -> None:
    bodies = iter([b'{"t":3,"r":[1]}', b'{"t":3,"r":[2]}', b'{"t":2,"r":[3]}'])
    asked = []

    def answer(_: int, body: bytes) -> list[bytes]:
        asked.append(body)
        return [next(bodies)]

    with server(answer) as port:
        client = Connection(port)
        assert client.drain(b"[1,1,{}]") == 45
        client.close()
    assert asked == [b"[1,1,{}]", CONTINUE, CONTINUE]


def test_an_error_is_never_counted_as_work() -> None:
    error = b'{"t":18,"e":4100000,"r":["no"],"b":[]}'
    with server(lambda _, __: [error]) as port, pytest.raises(BenchmarkError, match="4100000"):
        throughput(port, lambda: b"[1,1,{}]", seconds=5, connections=1, depth=1)


def test_the_kind_is_found_before_or_behind_the_rows() -> None:
    assert kind_of(b'{"t":2,"r":[]}') == 2
    assert kind_of(b'{"r":[' + b"1," * 5000 + b'1],"t":3}') == 3
    with pytest.raises(BenchmarkError):
        kind_of(b"{}")


def test_a_document_depends_on_its_number_alone() -> None:
    assert document(5) == document(5)
    assert 180 < len(json.dumps(document(5), separators=(",", ":"))) < 260
    assert literal(5)["tags"] == term("make_array", *document(5)["tags"])


def test_choices_are_the_same_in_every_run() -> None:
    first, second = Draw(100), Draw(100)
    assert [first.key() for _ in range(10)] == [second.key() for _ in range(10)]


def test_a_query_is_the_json_that_drivers_send() -> None:
    query = start(term("get", table("docs"), 1), durability="soft")
    assert json.loads(query) == [
        1,
        [16, [[15, [[14, ["rethought_bench"]], "docs"]], 1]],
        {"durability": "soft"},
    ]


def test_the_yardsticks_measure_something() -> None:
    assert null_queries(0.05) > 0
    assert json_documents(100) > 0
