"""`r.http` against a server of our own."""

import asyncio
import base64
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rethought.errors import NonExistenceError, PermissionDeniedError, QueryLogicError
from rethought.exec.functions import Function
from rethought.reql.remote.targets import is_public
from rethought.reql.remote.transfer import _JSONP
from rethought.reql.terms import remote

from .support import environment, options


class Handler(BaseHTTPRequestHandler):
    """Echoes requests; some paths do more."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None: ...

    def send(self, status: int, body: bytes, kind: str = "text/plain", **more: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        match url.path:
            case "/echo":
                seen = {
                    "method": self.command,
                    "query": query,
                    "headers": {name.lower(): text for name, text in self.headers.items()},
                    "body": body.decode(),
                }
                self.send(200, json.dumps(seen).encode(), "application/json")
            case "/text":
                self.send(200, "héllo".encode())
            case "/empty":
                self.send(204, b"")
            case "/binary":
                self.send(200, b"\x00\x01", "image/png")
            case "/jsonp":
                self.send(200, b'back({"a": 1});', "text/javascript")
            case "/bad-json":
                self.send(200, b"{", "application/json")
            case "/missing":
                self.send(404, b"no such thing")
            case "/gzip":
                self.send(200, gzip.compress(b"packed"), **{"Content-Encoding": "gzip"})
            case "/loop":
                self.send(302, b"", Location="/loop")
            case "/moved":
                self.send(302, b"", Location="/text")
            case "/elsewhere":
                self.send(302, b"", Location="file:///etc/passwd")
            case "/digest" | "/basic":
                self.guarded(url.path)
            case "/pages":
                number = int(query.get("n", ["0"])[0])
                more = {} if number == 2 else {"Link": f'</pages?n={number + 1}>; rel="next"'}
                self.send(200, json.dumps([number, number]).encode(), "application/json", **more)
            case "/silent":
                self.server.released.wait(10)  # type: ignore[attr-defined]

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def guarded(self, path: str) -> None:
        given = self.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(b"ann:secret").decode()
        if given == basic or (given.startswith("Digest ") and 'username="ann"' in given):
            self.send(200, given.partition(" ")[0].encode())
        elif path == "/digest":
            challenge = 'Digest realm="r", nonce="n", qop="auth"'
            self.send(401, b"who?", **{"WWW-Authenticate": challenge})
        else:
            self.send(401, b"who?")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.released = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.released.set()  # type: ignore[attr-defined]
        running.shutdown()
        thread.join()


@pytest.fixture
def env() -> Iterator[Any]:
    with closing(asyncio.new_event_loop()) as loop:
        yield environment(loop, private_targets=True)


def get(env: Any, url: str, **given: Any) -> Any:
    return remote.http(env, url, opts=options(env, **given))


def pages(env: Any, url: str, **given: Any) -> list[Any]:
    stream = get(env, url, **given)
    return [row for chunk in stream.chunks(env) for row in chunk.datums()]


# ---- bodies


@pytest.mark.parametrize(
    ("path", "given", "body"),
    [
        ("/text", {}, "héllo"),
        ("/empty", {}, None),
        ("/empty", {"result_format": "text"}, ""),
        ("/binary", {}, {"$reql_type$": "BINARY", "data": "AAE="}),
        ("/text", {"result_format": "binary"}, {"$reql_type$": "BINARY", "data": "aMOpbGxv"}),
        ("/jsonp", {}, {"a": 1}),
        ("/gzip", {}, "packed"),
        ("/moved", {}, "héllo"),
        ("/text", {"method": "HEAD"}, None),
        ("/basic", {"auth": {"user": "ann", "pass": "secret"}}, "Basic"),
        ("/digest", {"auth": {"type": "digest", "user": "ann", "pass": "x"}}, "Digest"),
    ],
)
def test_bodies(env: Any, server: str, path: str, given: dict[str, Any], body: Any) -> None:
    assert get(env, server + path, **given) == body


def test_a_request_carries_what_was_asked_for(env: Any, server: str) -> None:
    seen = get(
        env,
        f"{server}/echo?kept=1",
        method="POST",
        params={"a": 1, "b": "x y", "c": None},
        header={"X-One": "1"},
        data={"name": "Ann & Bob", "n": 1.5},
    )
    assert seen["method"] == "POST"
    assert seen["query"] == {"kept": ["1"], "a": ["1"], "b": ["x y"], "c": [""]}
    assert seen["headers"]["x-one"] == "1"
    assert seen["headers"]["content-type"] == "application/x-www-form-urlencoded"
    assert seen["body"] == "name=Ann+%26+Bob&n=1.5"


def test_objects_are_put_as_json_and_headers_may_be_lines(env: Any, server: str) -> None:
    seen = get(
        env, f"{server}/echo", method="PUT", data={"a": [1]}, header=["X-Two: 2", "X-Three:3"]
    )
    assert seen["body"] == '{"a":[1]}'
    assert seen["headers"]["content-type"] == "application/json"
    assert seen["headers"]["x-two"] == "2"
    assert seen["headers"]["x-three"] == "3"


# ---- pages


def test_pages_follow_the_link_in_the_header(env: Any, server: str) -> None:
    url = f"{server}/pages"
    assert pages(env, url, page="link-next", page_limit=-1) == [0, 0, 1, 1, 2, 2]
    assert pages(env, url, page="link-next", page_limit=2) == [0, 0, 1, 1]
    assert pages(env, url, page="link-next", page_limit=0) == []


def test_pages_follow_a_function(env: Any, server: str) -> None:
    asked: list[Any] = []

    def turn(state: dict[str, Any]) -> Any:
        asked.append((state["params"], state["body"], state["header"]["content-type"]))
        return {"params": {"n": 2}} if len(asked) == 1 else None

    page = Function(1, turn, 0, None)
    assert pages(env, f"{server}/pages", page=page, page_limit=5) == [0, 0, 2, 2]
    assert asked == [
        ({}, [0, 0], "application/json"),
        ({"n": 2}, [2, 2], "application/json"),
    ]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (1, "Expected `page` to return an OBJECT, but found NUMBER."),
        ({}, "OBJECT returned by `page` must contain `url` and/or `params` fields."),
        (
            {"url": 1},
            "Expected `url` in OBJECT returned by `page` to be a STRING or NULL, but found NUMBER.",
        ),
        ({"params": 1}, "Expected `params` to be an OBJECT, but found NUMBER:\n1"),
    ],
)
def test_a_page_function_that_gives_no_page_is_shown_with_what_it_saw(
    env: Any, server: str, given: Any, why: str
) -> None:
    with pytest.raises(QueryLogicError) as caught:
        pages(env, f"{server}/pages", page=Function(1, lambda seen: given, 0, None), page_limit=2)
    assert caught.value.message.startswith(f"Error in HTTP GET of `{server}/pages`: {why}.\n")
    assert "Error occurred during `page` called with:\n{\n\t" in caught.value.message


def test_a_page_function_may_add_parameters_and_end_with_a_null_address(
    env: Any, server: str
) -> None:
    asked: list[Any] = []

    def turn(state: dict[str, Any]) -> Any:
        asked.append(state["params"])
        return {"url": None} if len(asked) == 2 else {"params": {"n": 2}}

    page = Function(1, turn, 0, None)
    assert pages(env, f"{server}/pages", params={"m": 1}, page=page, page_limit=5) == [0, 0, 2, 2]
    assert asked == [{"m": 1}, {"m": 1, "n": 2}]


# ---- failures


@pytest.mark.parametrize(
    ("path", "given", "why"),
    [
        ("/missing", {}, "status code 404"),
        ("/bad-json", {}, "failed to parse JSON response"),
        ("/text", {"result_format": "jsonp"}, "failed to parse JSONP response"),
        ("/loop", {"redirects": 3}, "number of redirects hit maximum amount"),
        ("/elsewhere", {}, "Unsupported protocol"),
        ("/silent", {"timeout": 0.1}, "timeout was reached"),
    ],
)
def test_failures_can_be_caught_by_default(
    env: Any, server: str, path: str, given: dict[str, Any], why: str
) -> None:
    with pytest.raises(NonExistenceError) as caught:
        get(env, server + path, **given)
    assert caught.value.message.startswith(f"Error in HTTP GET of `{server}{path}`: {why}")


def test_a_failure_shows_header_and_body(env: Any, server: str) -> None:
    with pytest.raises(NonExistenceError) as caught:
        get(env, f"{server}/missing")
    assert "status code 404.\nheader:\n{\n\t" in caught.value.message
    assert caught.value.message.endswith('\nbody:\n"no such thing"')


def test_nobody_listening(env: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(NonExistenceError, match="could not connect to server"):
            get(env, url, attempts=1)


@pytest.mark.parametrize("url", ["ftp://example.com/", "file:///etc/passwd", "gopher://x/"])
def test_only_http(env: Any, url: str) -> None:
    with pytest.raises(NonExistenceError, match="Unsupported protocol"):
        get(env, url)


# ---- whom it may talk to


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "169.254.169.254"]
)
def test_targets_that_are_not_public_are_refused(host: str) -> None:
    with closing(asyncio.new_event_loop()) as loop, pytest.raises(PermissionDeniedError):
        get(environment(loop), f"http://{host}:1/", attempts=1)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("172.20.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public


# ---- options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"method": "TRACE"},
            "`method` (TRACE) is not recognized (GET, HEAD, POST, PUT, PATCH and DELETE are "
            "allowed).",
        ),
        ({"timeout": -1}, "`timeout` may not be negative."),
        (
            {"result_format": "xml"},
            "`result_format` (xml) is not recognized, ('auto', 'json', 'jsonp', 'text', and "
            "'binary' are allowed).",
        ),
        ({"auth": {"user": "a"}}, "`auth.pass` not found in the auth object."),
        ({"redirects": -1}, "Integer too large: -1"),
        ({"header": {"a": "b\r\nc: d"}}, "A `header` item contains newline characters."),
        ({"header": {"a": 1}}, "Expected `header.a` to be a STRING or NULL, but found NUMBER."),
        (
            {"params": {"a": []}},
            "Expected `params.a` to be a NUMBER, STRING or NULL, but found ARRAY:\n[]",
        ),
        (
            {"data": "x"},
            "`data` should only be specified on a PUT, POST, PATCH, or DELETE request.  If you "
            "want URL parameters, use `params` instead.",
        ),
        (
            {"page": "link-next", "page_limit": -2},
            "`page_limit` should be greater than or equal to -1.",
        ),
        (
            {"page": "other", "page_limit": 1},
            "`page` method 'other' not recognized, only 'link-next' is available.",
        ),
    ],
)
def test_options_are_checked(env: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryLogicError) as caught:
        get(env, "http://example.com/", **given)
    assert caught.value.message == message


def test_pages_need_a_limit(env: Any) -> None:
    with pytest.raises(QueryLogicError, match="without specifying `page_limit`"):
        get(env, "http://example.com/", page="link-next")


def test_permission_comes_first(env: Any) -> None:
    def refuse(permission: str, target: object) -> None:
        raise PermissionDeniedError(permission)

    env.require = refuse
    with pytest.raises(PermissionDeniedError, match="connect"):
        get(env, "nonsense://")


def test_not_in_a_transaction(env: Any) -> None:
    env.transaction = object()
    with pytest.raises(QueryLogicError, match="transaction"):
        get(env, "http://example.com/")


def test_padding_of_jsonp() -> None:
    assert _JSONP.fullmatch('a.b["c"] ({"x": ")"}) ;\n') is not None
    assert _JSONP.fullmatch("{}") is None
