"""Whatever arrives at the HTTP port, it is answered or cut, and everybody else is served.

The seed is printed; `RETHOUGHT_FUZZ_SEED=...` repeats a run.
"""

import random
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.chance import new_seed
from tests.waiting import PATIENCE_S
from tools.serverprocess import ServerProcess, running

REQUESTS = [
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n",
    b"POST /ajax/reql/open-new-connection HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    b"POST /ajax/reql/?conn_id=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\n\r\n12345678[1,1]",
    b"POST /ajax/reql/ HTTP/1.1\r\nAuthorization: Basic YWRtaW46eA==\r\nContent-Length: 3\r\n\r\nabc",
]
BITS = [
    b"\r\n",
    b"\n",
    b"\0",
    b":",
    b" ",
    b"\xff",
    b"%",
    b"Content-Length: 5\r\n",
    b"Host: \r\n",
    b"x: y\r\n",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("http")
    with running(folder / "data", "--http-port", "0") as process:
        yield process


def http_port(server: ServerProcess) -> int:
    found = re.search(r"HTTP connections on port (\d+)", server.output)
    assert found is not None
    return int(found[1])


def healthy(server: ServerProcess) -> bool:
    with urlopen(f"http://127.0.0.1:{http_port(server)}/healthz", timeout=PATIENCE_S) as answer:
        body: bytes = answer.read()
    return body == b"ok\n"


def damaged(random_: random.Random) -> bytes:
    """A request with some of it changed, cut out, doubled, or buried in headers."""
    request = bytearray(random_.choice(REQUESTS))
    for _ in range(random_.randrange(1, 4)):
        at = random_.randrange(len(request))
        match random_.randrange(5):
            case 0:
                request[at] = random_.randrange(256)
            case 1:
                del request[at : at + random_.randrange(20)]
            case 2:
                request[at:at] = random_.choice(BITS) * random_.choice((1, 1, 50, 3000))
            case 3:
                request[at:at] = random_.randbytes(random_.randrange(30))
            case _:
                request += random_.choice(REQUESTS)
        if not request:
            request = bytearray(b"\r\n")
    return bytes(request)


def test_requests_that_make_no_sense_are_answered_or_cut(server: ServerProcess) -> None:
    seed = new_seed()
    random_ = random.Random(seed)
    for number in range(500):
        with socket.create_connection(("127.0.0.1", http_port(server)), timeout=PATIENCE_S) as raw:
            with suppress(ConnectionError):
                raw.sendall(damaged(random_))
                raw.shutdown(socket.SHUT_WR)
                answer = b""
                while data := raw.recv(1 << 16):
                    answer += data
            assert not answer or answer.startswith(b"HTTP/1.1 "), (seed, answer[:100])
            assert b"HTTP/1.1 500" not in answer, (seed, answer[:300])
        if number % 50 == 0:
            assert healthy(server), seed
    assert healthy(server)
    assert "Internal error" not in server.output, seed


def test_a_flood_of_headers_is_cut_short(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", http_port(server)), timeout=PATIENCE_S) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n")
        with suppress(ConnectionError):
            for number in range(100_000):
                raw.sendall(b"x%d: y\r\n" % number)
        answer = b""
        with suppress(ConnectionError):
            answer = raw.recv(100)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")
    assert healthy(server)


def test_those_who_dawdle_keep_nobody_else_out(server: ServerProcess) -> None:
    """600 connections that send a header now and then and never come to the end of it."""
    with ExitStack() as stack:
        slow = []
        for _ in range(600):
            raw = stack.enter_context(
                socket.create_connection(("127.0.0.1", http_port(server)), timeout=PATIENCE_S)
            )
            raw.sendall(b"GET / HTTP/1.1\r\nHost: local")
            slow.append(raw)
        for raw in slow:
            with suppress(ConnectionError):  # the first ones had to make room
                raw.sendall(b"host\r\nx: ")
        for _ in range(30):
            assert healthy(server)


@pytest.mark.slow
def test_those_who_dawdle_are_cut_at_last(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", http_port(server)), timeout=2 * PATIENCE_S) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert raw.recv(100) == b""
