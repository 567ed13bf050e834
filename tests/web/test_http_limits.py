"""Each limit of the HTTP port, exceeded by a client: what it sees, while others are served."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.waiting import PATIENCE_S
from tests.web.test_web import asking, http_port
from tools.serverprocess import ServerProcess, running

SMALL = {
    "http_connections_max": "8",
    "http_head_bytes": "2000",
    "http_head_seconds": "60",
    "http_body_seconds": "0.3",
    "http_idle_seconds": "0.2",
    "http_sessions_max": "2",
    "http_query_seconds": "0.3",
}
HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    options = [part for name, value in SMALL.items() for part in ("--limit", f"{name}={value}")]
    with running(
        tmp_path_factory.mktemp("limits") / "data", "--http-port", "0", *options
    ) as process:
        yield process


@pytest.fixture
def browser(server: ServerProcess) -> Iterator[socket.socket]:
    with connected(server) as raw:
        yield raw
    with asking(server) as other:
        assert other.get("/healthz") == b"ok\n"


def connected(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", http_port(server)), timeout=PATIENCE_S)


def everything(raw: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    try:
        while piece := raw.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def test_a_head_that_is_too_long_is_refused(browser: socket.socket) -> None:
    browser.sendall(HEAD + b"X-Long: " + b"x" * 3_000 + b"\r\n\r\n")
    assert everything(browser).startswith(b"HTTP/1.1 431 ")


def test_a_head_that_does_not_come_ends_the_connection(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server("--http-port", "0", "--limit", "http_head_seconds=0.1")
    with connected(server) as raw:
        raw.sendall(HEAD)
        assert everything(raw) == b""


def test_a_body_that_does_not_come_ends_the_connection(browser: socket.socket) -> None:
    browser.sendall(b"POST /ajax/reql/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
    assert everything(browser) == b""


def test_a_connection_that_asks_for_nothing_more_ends(browser: socket.socket) -> None:
    browser.sendall(HEAD + b"\r\n")
    answer = everything(browser)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: keep-alive" in answer


def test_who_has_said_nothing_for_longest_makes_room(server: ServerProcess) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(connected(server))
        for _ in range(int(SMALL["http_connections_max"])):
            stack.enter_context(connected(server))
        with asking(server) as other:
            assert other.get("/healthz") == b"ok\n"
        assert everything(first) == b""


def test_conversations_beyond_the_limit_are_refused(server: ServerProcess) -> None:
    with asking(server) as client:
        opened = [client.open() for _ in range(2)]
        client.send("POST", "/ajax/reql/open-new-connection")
        assert client.last.status == 503
        for id_ in opened:
            client.send("POST", f"/ajax/reql/close-connection?conn_id={id_}")
        client.open()


def test_a_query_that_takes_too_long_is_cut(server: ServerProcess) -> None:
    long = [43, [[38, [[173, [10**9]], [69, [[2, [1]], [24, [[10, [1]], 1]]]]]]]]
    with asking(server) as client:
        id_ = client.open()
        body = (1).to_bytes(8, "little") + json.dumps([1, long, {}]).encode()
        answer = client.send("POST", f"/ajax/reql/?conn_id={id_}", body)
        response = json.loads(answer[12:])
        assert response["r"] == ["HTTP ReQL query timed out after 0.3 seconds."]
        assert client.get("/healthz") == b"ok\n"
