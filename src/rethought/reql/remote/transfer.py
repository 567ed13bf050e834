"""Does one HTTP request, start to finish, in a helper thread.

What always holds: a transfer ends within its timeout (of each attempt) whatever the other side does, reads no more
than `RESPONSE_BYTES_MAX`, and talks only to targets that `targets` lets it. Failures of the other side are
NON_EXISTENCE, so that `default` can stand in. Callers: `reql.terms.remote`, through `env.wait`.
"""

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urljoin

import httpcore
import httpx

from rethought.datum.jsonbytes import decode
from rethought.datum.text import pretty
from rethought.datum.values import Datum, binary, from_json
from rethought.errors import NonExistenceError, PermissionDeniedError, QueryLogicError
from rethought.reql.remote.request import Request, scalar_text
from rethought.reql.remote.targets import Control, GuardedBackend, RefusedTargetError

RESPONSE_BYTES_MAX: Final = 64 << 20
BODY_SHOWN_MAX: Final = 4_096  # characters of a body in a message
PAUSE_S: Final = 0.2  # before the second attempt; doubled for each further one
PAUSE_MAX_S: Final = 5.0

_JSON_TYPES: Final = frozenset({"application/json"})
_JSONP_TYPES: Final = frozenset(
    {"application/json-p", "text/json-p", "text/javascript", "application/javascript"}
)
_BINARY_TYPES: Final = re.compile(r"(?:audio|image|video)/.*|application/octet-stream")
_JSONP: Final = re.compile(r"\s*[\w$.\[\]\"']+\s*\((.*)\)\s*;?\s*", re.DOTALL)
_LINK: Final = re.compile(r"<([^>]*)>\s*;\s*([^,<]*)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the address it came from, the header (names in lower case) and the body as asked for."""

    url: str
    header: dict[str, Datum]
    body: Datum


class _FailureError(Exception):
    """A failure of the other side. `header` and `body` are what is known of its answer."""

    def __init__(self, why: str, header: Datum = None, body: Datum = None) -> None:
        super().__init__(why)
        self.why = why
        self.header = header
        self.body = body


def perform(request: Request, control: Control, *, private_allowed: bool) -> Answer:
    """Blocks until the answer is there. Raises the errors of the protocol."""
    try:
        return _attempts(request, control, private_allowed)
    except _FailureError as failure:
        message = f"Error in HTTP {request.method} of `{request.url}`: {failure.why}."
        if failure.header is not None:
            message += f"\nheader:\n{pretty(failure.header)}"
        if failure.body is not None:
            message += f"\nbody:\n{_shown(pretty(failure.body))}"
        raise NonExistenceError(message) from None
    except RefusedTargetError as error:
        raise PermissionDeniedError(
            f"Error in HTTP {request.method} of `{request.url}`: {error}."
        ) from None


def _shown(text: str) -> str:
    return text if len(text) <= BODY_SHOWN_MAX else text[: BODY_SHOWN_MAX - 3] + "..."


def _attempts(request: Request, control: Control, private_allowed: bool) -> Answer:
    pause = PAUSE_S
    for left in range(max(request.attempts, 1) - 1, -1, -1):
        control.allow(request.timeout_s)
        try:
            return _attempt(request, control, private_allowed)
        except httpcore.ConnectError as error:
            if not left or control.stopped:
                raise _FailureError(str(error)) from None
        except (httpcore.TimeoutException, httpx.TimeoutException):
            raise _FailureError("timeout was reached") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpx.TransportError) as error:
            # What was sent may have had its effect, so only harmless requests are sent again.
            if not left or control.stopped or request.method not in ("GET", "HEAD"):
                raise _FailureError(str(error) or "the connection failed") from None
        control.pause(pause)
        pause = min(pause * 2, PAUSE_MAX_S)
    raise AssertionError("the last attempt returns or raises")


class _Transport(httpx.BaseTransport):
    """httpx over connections that the guard opens."""

    def __init__(self, backend: GuardedBackend, context: ssl.SSLContext) -> None:
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme not in ("http", "https"):
            raise _FailureError("Unsupported protocol")
        assert isinstance(request.stream, httpx.SyncByteStream)
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
            )
        )
        return httpx.Response(
            status_code=response.status, headers=response.headers, stream=_Body(response)
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


@lru_cache(2)
def _tls(verify: bool) -> ssl.SSLContext:
    return httpx.create_ssl_context(verify=verify, trust_env=False)


def _attempt(request: Request, control: Control, private_allowed: bool) -> Answer:
    url = _url(request)
    transport = _Transport(
        GuardedBackend(control, private_allowed=private_allowed), _tls(request.verify)
    )
    with httpx.Client(
        transport=transport,
        trust_env=False,
        follow_redirects=request.redirects > 0,
        max_redirects=request.redirects,
        auth=_auth(request),
    ) as client:
        try:
            with client.stream(
                request.method, url, headers=list(request.headers), content=request.content
            ) as response:
                return _answer(request, response, _read(response))
        except httpx.TooManyRedirects:
            raise _FailureError("number of redirects hit maximum amount") from None
        except httpx.DecodingError as error:
            raise _FailureError(f"could not decode the body ({error})") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):  # of a redirect
            raise _FailureError("Unsupported protocol") from None


def _url(request: Request) -> httpx.URL:
    text = request.url if "://" in request.url else f"http://{request.url}"
    try:
        url = httpx.URL(text)
        if request.params:
            url = url.copy_merge_params(
                {name: scalar_text(value) for name, value in request.params.items()}
            )
    except httpx.InvalidURL as error:
        raise _FailureError(f"malformed URL ({error})") from None
    if url.scheme not in ("http", "https"):
        raise _FailureError("Unsupported protocol")
    if not url.host:
        raise _FailureError("malformed URL (no host)")
    return url


def _auth(request: Request) -> httpx.Auth | None:
    if request.auth is None:
        return None
    kind = httpx.DigestAuth if request.auth.kind == "digest" else httpx.BasicAuth
    return kind(request.auth.user, request.auth.password)


def _read(response: httpx.Response) -> bytes:
    parts = []
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if size > RESPONSE_BYTES_MAX:
            raise _FailureError(f"the body is larger than {RESPONSE_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


def _answer(request: Request, response: httpx.Response, data: bytes) -> Answer:
    header = _header(response)
    if response.status_code >= 400:
        raise _FailureError(
            f"status code {response.status_code}", header, _error_body(response, data)
        )
    if request.method == "HEAD":
        return Answer(str(response.url), header, None)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = request.result_format
    if form == "auto":
        form = _format_of(kind)
        if not data and form != "binary":
            return Answer(str(response.url), header, None)
    try:
        body = _body(form, response, data)
    except _FailureError as failure:
        raise _FailureError(failure.why, header, _error_body(response, data)) from None
    return Answer(str(response.url), header, body)


def _format_of(content_type: str) -> str:
    if content_type in _JSON_TYPES:
        return "json"
    if content_type in _JSONP_TYPES:
        return "jsonp"
    return "binary" if _BINARY_TYPES.fullmatch(content_type) else "text"


def _body(form: str, response: httpx.Response, data: bytes) -> Datum:
    match form:
        case "binary":
            return binary(data)
        case "json":
            return _json(data)
        case "jsonp":
            text = _text(response, data)
            padded = _JSONP.fullmatch(text)
            if padded is None:
                raise _FailureError("failed to parse JSONP response")
            return _json(padded[1].encode())
    return _text(response, data)


def _json(data: bytes) -> Datum:
    try:
        return from_json(decode(data))
    except (ValueError, RecursionError) as error:
        raise _FailureError(f"failed to parse JSON response ({error})") from None
    except QueryLogicError as error:
        raise _FailureError(f"failed to parse JSON response ({error.message})") from None


def _text(response: httpx.Response, data: bytes) -> str:
    try:
        return data.decode(response.charset_encoding or "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _error_body(response: httpx.Response, data: bytes) -> Datum:
    if not data:
        return None
    text = _text(response, data)
    return text if len(text) <= BODY_SHOWN_MAX else text[:BODY_SHOWN_MAX] + "..."


def _header(response: httpx.Response) -> dict[str, Datum]:
    header: dict[str, Datum] = {}
    for name, value in response.headers.items():
        header[name.lower()] = value
    link = header.get("link")
    if isinstance(link, str):
        header["link"] = {
            relation.strip(): urljoin(str(response.url), url)
            for url, relation in _LINK.findall(link)
        }
    return header


def next_link(answer: Answer) -> str | None:
    """The address of the next page, as the header tells it."""
    links = answer.header.get("link")
    found = links.get('rel="next"') if isinstance(links, dict) else None
    return found if isinstance(found, str) else None
