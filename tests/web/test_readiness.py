"""Health and readiness: while the server starts, serves, cannot write, and stops."""

import contextlib
import json
import resource
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from rethinkdb import r
from rethinkdb.errors import ReqlError

from rethought.server import port_of
from rethought.web import starting
from rethought.web.starting import answering
from rethought.wire.sockets import bind
from tests.waiting import PATIENCE_S, until
from tests.web.test_web import http_port
from tools.serverprocess import ServerProcess

TLS = Path(__file__).parent.parent / "tls"


def ask(connection: HTTPConnection, path: str) -> tuple[int, Any]:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return response.status, json.loads(body) if body.startswith(b"{") else body


def test_a_server_that_starts_is_healthy_and_not_ready() -> None:
    sockets = bind(["127.0.0.1", "::1"], 0)
    connection = HTTPConnection("127.0.0.1", port_of(sockets), timeout=PATIENCE_S)
    with answering(sockets, None):
        assert ask(connection, "/healthz") == (200, b"ok\n")
        status, body = ask(connection, "/readyz?write")
        assert (status, body["state"], body["ready"]) == (503, "starting", False)
        assert ask(connection, "/metrics")[0] == 503
        with socket.create_connection(
            ("127.0.0.1", port_of(sockets)), timeout=PATIENCE_S
        ) as silent:
            assert ask(connection, "/healthz")[0] == 200  # nobody else has to wait long
            silent.close()
        with socket.create_connection(("127.0.0.1", port_of(sockets)), timeout=PATIENCE_S) as raw:
            raw.sendall(b"nonsense\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
    for each in sockets:
        each.close()


@pytest.mark.parametrize("secure", [False, True])
def test_a_probe_that_is_slow_does_not_keep_the_server_from_starting(
    monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    monkeypatch.setattr(starting, "DEADLINE_SECONDS", 3_600.0)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    sockets = bind(["127.0.0.1"], 0)
    with (
        socket.create_connection(("127.0.0.1", port_of(sockets)), timeout=PATIENCE_S) as slow,
        answering(sockets, context if secure else None),
    ):
        slow.sendall(b"GET /readyz")
    for each in sockets:
        each.close()


def test_nobody_is_kept_when_there_is_no_http_port() -> None:
    before = set(threading.enumerate())
    with answering(None, None):
        assert set(threading.enumerate()) <= before


def test_a_server_that_starts_speaks_tls_where_it_will() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    trusting = ssl.create_default_context(cafile=str(TLS / "cert.pem"))
    sockets = bind(["127.0.0.1"], 0)
    port = port_of(sockets)
    with answering(sockets, context):
        secure = HTTPSConnection("localhost", port, timeout=PATIENCE_S, context=trusting)
        assert ask(secure, "/readyz")[0] == 503
    for each in sockets:
        each.close()


@pytest.mark.slow
def test_a_server_that_cannot_write_is_ready_for_reads_and_notices_when_it_can(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server("--http-port", "0")
    connection = HTTPConnection("127.0.0.1", http_port(server), timeout=PATIENCE_S)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with r.connect(port=server.port) as conn:
        r.table_create("t").run(conn)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1 << 20, hard))
        assert any(not written(conn) for _ in range(100))
        status, body = ask(connection, "/readyz")
        assert (status, body["ready"], body["writable"]) == (200, True, False)
        assert any("Writing to database `test` fails" in issue for issue in body["issues"])
        assert ask(connection, "/readyz?write")[0] == 503
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert ask(connection, "/readyz?write")[0] == 200
        assert ask(connection, "/readyz")[1]["writable"] is True


def written(conn: Any) -> bool:
    try:
        result = r.table("t").insert([{"pad": "x" * 10_000}] * 10).run(conn)
    except ReqlError:
        return False
    return bool(result["inserted"] == 10)


@pytest.mark.slow
def test_a_server_that_stops_is_draining(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server("--http-port", "0", "--limit", "shutdown_seconds=600")
    connection = HTTPConnection("127.0.0.1", http_port(server), timeout=PATIENCE_S)
    conn = r.connect(port=server.port)

    def work() -> None:
        with contextlib.suppress(ReqlError):
            r.range(10**12).reduce(lambda a, b: a + b).run(conn)

    waiting = threading.Thread(target=work)
    waiting.start()
    until(lambda: b"rethought_queries_running 1\n" in ask(connection, "/metrics")[1])
    server.process.send_signal(signal.SIGTERM)
    until(lambda: ask(connection, "/readyz")[0] == 503)
    _, body = ask(connection, "/readyz")
    assert (body["state"], body["ready"]) == ("draining", False)
    assert ask(connection, "/healthz")[0] == 200
    server.kill()
    waiting.join()
