"""The HTTP port of a real server: metrics, health, queries, and who is let in."""

import base64
import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from rethinkdb import r

from tests.waiting import PATIENCE_S, until
from tools.serverprocess import HTTP_PORT, NotReadyError, ServerProcess, running, start

StartServer = Callable[..., ServerProcess]


def http_port(server: ServerProcess) -> int:
    found = HTTP_PORT.search(server.output)
    assert found is not None
    return int(found[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("web") / "data"
    with running(directory, "--http-port", "0", "--http-host", "db.example") as process:
        yield process


@contextmanager
def asking(server: ServerProcess) -> Iterator["Browser"]:
    connection = HTTPConnection("127.0.0.1", http_port(server), timeout=PATIENCE_S)
    try:
        yield Browser(connection)
    finally:
        connection.close()


class Browser:
    """One keep-alive connection. `last` is the newest response."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        self.last: HTTPResponse

    def get(self, path: str, **headers: str) -> bytes:
        return self.send("GET", path, b"", **headers)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, named)
        self.last = self.connection.getresponse()
        return self.last.read()

    def open(self, **headers: str) -> str:
        id_ = self.send("POST", "/ajax/reql/open-new-connection", **headers).decode()
        assert self.last.status == 200, id_
        return id_

    def query(self, id_: str, token: int, query: Any) -> dict[str, Any]:
        body = struct.pack("<q", token) + json.dumps(query).encode()
        answer = self.send("POST", f"/ajax/reql/?conn_id={id_}", body)
        assert self.last.status == 200, answer
        number, size = struct.unpack_from("<qI", answer)
        assert (number, size) == (token, len(answer) - 12)
        response: dict[str, Any] = json.loads(answer[12:])
        return response


def test_metrics_count_what_clients_do(server: ServerProcess) -> None:
    with r.connect(port=server.port) as connection:
        r.table_create("counted").run(connection)
        r.table("counted").insert([{"id": n} for n in range(7)]).run(connection)
        with asking(server) as browser:
            # Those who were there before may be on their way out.
            until(lambda: b"rethought_client_connections 1\n" in browser.get("/metrics"))
            text = browser.get("/metrics").decode()
            assert browser.last.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'rethought_table_documents{database="test",table="counted"} 7' in text
    assert "# TYPE rethought_queries_total counter" in text


def test_health_and_readiness(server: ServerProcess) -> None:
    with asking(server) as browser:
        assert browser.get("/healthz") == b"ok\n"
        well = {"ready": True, "state": "serving", "writable": True, "issues": []}
        assert json.loads(browser.get("/readyz")) == well
        assert json.loads(browser.get("/readyz?write")) == well
        assert browser.send("HEAD", "/readyz") == b""
        assert browser.last.status == 200
        browser.send("POST", "/metrics")
        assert browser.last.status == 405
        browser.get("/nothing")
        assert browser.last.status == 404
        assert browser.last.headers["X-Content-Type-Options"] == "nosniff"


def test_queries_over_http(server: ServerProcess) -> None:
    with asking(server) as browser:
        id_ = browser.open()
        assert len(base64.b64decode(id_)) == 16
        answer = browser.query(id_, 5, [1, [24, [1, 2]], {}])
        assert (answer["t"], answer["r"]) == (1, [3])
        assert "duration(ms)" in answer["p"][0]
        assert browser.query(id_, 6, [1, [12, ["no"]], {}])["p"]
        batch = browser.query(id_, 7, [1, [173, [1_000_000]], {}])
        assert batch["t"] == 3
        assert browser.query(id_, 7, [2])["t"] == 3
        assert browser.query(id_, 7, [3])["t"] == 2
        browser.send("POST", f"/ajax/reql/close-connection?conn_id={id_}")
        assert browser.last.status == 200
        gone = browser.query(id_, 8, [1, 1, {}])
        assert (gone["t"], gone["r"]) == (16, ["This HTTP connection is not open."])


def test_a_profile_that_was_asked_for_is_kept(server: ServerProcess) -> None:
    with asking(server) as browser:
        id_ = browser.open()
        answer = browser.query(id_, 1, [1, [24, [1, 2]], {"profile": True}])
        assert answer["p"][0]["description"].startswith("Evaluating ")


def test_an_idle_feed_answers_with_an_empty_batch(server: ServerProcess) -> None:
    with asking(server) as browser:
        id_ = browser.open()
        browser.query(id_, 1, [1, [60, ["followed"]], {}])
        first = browser.query(id_, 2, [1, [152, [[15, ["followed"]]]], {}])
        assert (first["t"], first["r"]) == (3, [])
        more = browser.query(id_, 2, [2])
        assert (more["t"], more["r"], more["n"]) == (3, [], [1])


def test_mistakes_of_a_client(server: ServerProcess) -> None:
    with asking(server) as browser:
        missing = b'Required parameter "conn_id" missing\n'
        assert browser.send("POST", "/ajax/reql/", b"x" * 20) == missing
        assert browser.get("/ajax/reql/open-new-connection") == missing
        id_ = browser.open()
        small = browser.send("POST", f"/ajax/reql/?conn_id={id_}", b"x")
        assert small == b"Client is buggy (request too small)."
        noreply = struct.pack("<q", 1) + b'[1,1,{"noreply":true}]'
        answer = browser.send("POST", f"/ajax/reql/?conn_id={id_}", noreply)
        assert answer == b"noreply queries are not supported over HTTP\n"
        assert browser.last.status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_pages_of_other_sites_are_refused(server: ServerProcess, headers: dict[str, str]) -> None:
    with asking(server) as browser:
        browser.send("POST", "/ajax/reql/open-new-connection", **headers)
        assert browser.last.status == 403


def test_own_pages_and_names_are_not(server: ServerProcess) -> None:
    with asking(server) as browser:
        browser.open(Host="db.example:8080", Origin="http://db.example:8080")
        browser.open(Host="localhost")
        browser.open(Host="[::1]:1")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_password_is_asked_for_and_rights_are_those_of_the_user(
    start_server: StartServer,
) -> None:
    server = start_server("--http-port", "0", "--initial-password", "geheim")
    with r.connect(port=server.port, password="geheim") as connection:
        users = r.db("rethinkdb").table("users")
        users.insert({"id": "bob", "password": "b"}).run(connection)
        r.table_create("t").run(connection)
    with asking(server) as browser:
        browser.send("POST", "/ajax/reql/open-new-connection")
        assert browser.last.status == 401
        assert browser.last.headers["WWW-Authenticate"].startswith("Basic ")
        for user, password in (("admin", ""), ("admin", "x"), ("nobody", "x"), ("bob", "a")):
            refusal = browser.send(
                "POST", "/ajax/reql/open-new-connection", Authorization=basic(user, password)
            )
            assert (browser.last.status, refusal) == (401, b"Wrong user or password.\n")
        id_ = browser.open(Authorization=basic("admin", "geheim"))
        assert browser.query(id_, 1, [1, [15, ["t"]], {}])["r"] == []
        id_ = browser.open(Authorization=basic("bob", "b"))
        assert browser.query(id_, 1, [1, [15, ["t"]], {}])["e"] == 6_000_000


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n bad: x\r\n\r\n", 400),
        (b"POST /ajax/reql/ HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /ajax/reql/ HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /ajax/reql/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", 431),
    ],
)
def test_requests_that_are_none_are_answered_and_cut(
    server: ServerProcess, sent: bytes, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", http_port(server)), timeout=PATIENCE_S) as raw:
        raw.sendall(sent)
        with raw.makefile("rb") as answer:
            assert answer.readline().split()[1] == str(status).encode()


def test_a_port_in_use_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NotReadyError) as raised:
            start(tmp_path / "new", "--http-port", str(port))
    assert f"TCP socket creation failed for port {port}" in str(raised.value)
    assert not (tmp_path / "new").exists()


def test_server_status_tells_the_port(server: ServerProcess) -> None:
    with r.connect(port=server.port) as connection:
        status = r.db("rethinkdb").table("server_status").nth(0).run(connection)
    assert status["network"]["http_admin_port"] == http_port(server)


def test_http_over_tls(start_server: StartServer) -> None:
    import ssl
    from http.client import HTTPSConnection

    certificate = Path(__file__).parent.parent / "tls" / "cert.pem"
    server = start_server(
        "--http-port",
        "0",
        "--http-tls-cert",
        str(certificate),
        "--http-tls-key",
        str(certificate.with_name("key.pem")),
    )
    context = ssl.create_default_context(cafile=str(certificate))
    connection = HTTPSConnection(
        "localhost", http_port(server), timeout=PATIENCE_S, context=context
    )
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok\n"
    connection.close()


def test_slow_queries_are_in_the_log_with_their_query(
    start_server: StartServer,
) -> None:
    server = start_server("--slow-query-seconds", "0.001")
    with r.connect(port=server.port) as connection:
        r.range(300_000).map(lambda x: x * 2).sum().run(connection)
        logged = r.db("rethinkdb").table("logs").run(connection)
    lines = [row["message"] for row in logged if "slow query" in row["message"]]
    assert any("r.range(0, 300000)" in line or "r.range(300000)" in line for line in lines), lines
