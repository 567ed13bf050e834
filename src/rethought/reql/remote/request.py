"""Reads the options of `r.http` into a request.

What always holds: a `Request` is complete and checked; what is wrong with an option is said in the protocol's words and
blamed on that option. Callers: `reql.terms.remote`.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from rethought.datum.text import compact
from rethought.datum.values import Datum, is_truthy, to_uint32, to_uint64, type_name
from rethought.errors import QueryLogicError
from rethought.reql.checks import blamed, number_of, string_of, wrong_type

if TYPE_CHECKING:
    from rethought.exec.env import Options

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
RESULT_FORMATS: Final = ("auto", "json", "jsonp", "text", "binary")
AUTH_TYPES: Final = ("basic", "digest")

TIMEOUT_S: Final = 30.0
TIMEOUT_MAX_S: Final = 30 * 24 * 3600.0
ATTEMPTS: Final = 5
ATTEMPTS_MAX: Final = 100
REDIRECTS: Final = 1
REDIRECTS_MAX: Final = 100

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Auth:
    kind: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request with all that decides how it is done. Times are seconds."""

    url: str
    method: str = "GET"
    params: dict[str, Datum] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    auth: Auth | None = None
    timeout_s: float = TIMEOUT_S
    attempts: int = ATTEMPTS
    redirects: int = REDIRECTS
    verify: bool = True
    result_format: str = "auto"

    def at(self, url: str, params: dict[str, Datum] | None) -> "Request":
        """The same request for another page."""
        return replace(self, url=url, params=params)


def read_request(url: str, opts: "Options") -> Request:
    method = _method(opts)
    headers = _headers(opts)
    content, content_type = _data(opts, method)
    if content_type and not any(name.lower() == "content-type" for name, _ in headers):
        headers = (*headers, ("Content-Type", content_type))
    return Request(
        url=url,
        method=method,
        params=params_of(opts.value("params"), "params"),
        headers=headers,
        content=content,
        auth=_auth(opts),
        timeout_s=_timeout(opts),
        attempts=_count(opts, "attempts", to_uint64, ATTEMPTS, ATTEMPTS_MAX),
        redirects=_count(opts, "redirects", to_uint32, REDIRECTS, REDIRECTS_MAX),
        verify=not opts.has("verify") or is_truthy(opts.value("verify")),
        result_format=_result_format(opts),
    )


def _method(opts: "Options") -> str:
    if not opts.has("method"):
        return "GET"
    method = string_of(opts.value("method"), "method")
    if method not in METHODS:
        raise QueryLogicError(
            f"`method` ({method}) is not recognized (GET, HEAD, POST, PUT, PATCH and DELETE are "
            "allowed).",
            "method",
        )
    return method


def _result_format(opts: "Options") -> str:
    if not opts.has("result_format"):
        return "auto"
    form = string_of(opts.value("result_format"), "result_format")
    if form not in RESULT_FORMATS:
        raise QueryLogicError(
            f"`result_format` ({form}) is not recognized, ('auto', 'json', 'jsonp', 'text', and "
            "'binary' are allowed).",
            "result_format",
        )
    return form


def _timeout(opts: "Options") -> float:
    if not opts.has("timeout"):
        return TIMEOUT_S
    seconds = number_of(opts.value("timeout"), "timeout")
    if seconds < 0:
        raise QueryLogicError("`timeout` may not be negative.", "timeout")
    return min(float(seconds), TIMEOUT_MAX_S)


def _count(opts: "Options", name: str, convert: Any, default: int, most: int) -> int:
    if not opts.has(name):
        return default
    count: int = blamed(lambda: convert(number_of(opts.value(name))), name)
    return min(count, most)


def params_of(value: Datum, name: str) -> dict[str, Datum] | None:
    """The parameters of a URL: an object of numbers, strings and nulls."""
    if value is None:
        return None
    if not _is_object(value):
        raise wrong_type("OBJECT", value, name)
    assert isinstance(value, dict)
    _check_flat(value, name)
    return value


def _check_flat(values: dict[str, Datum], name: str) -> None:
    for key, value in values.items():
        if value is not None and value.__class__ not in (str, int, float):
            raise QueryLogicError(
                f"Expected `{name}.{key}` to be a NUMBER, STRING or NULL, but found "
                f"{type_name(value)}.",
                name,
            )


def _is_object(value: Datum) -> bool:
    return isinstance(value, dict) and "$reql_type$" not in value


def scalar_text(value: Datum) -> str:
    """A number, string or null as it stands in a URL or a form."""
    return value if isinstance(value, str) else "" if value is None else compact(value)


def _headers(opts: "Options") -> tuple[tuple[str, str], ...]:
    value = opts.value("header")
    if value is None:
        return ()
    headers = []
    if isinstance(value, dict) and _is_object(value):
        for name, text in value.items():
            if text is not None and not isinstance(text, str):
                raise QueryLogicError(
                    f"Expected `header.{name}` to be a STRING or NULL, but found "
                    f"{type_name(text)}.",
                    "header",
                )
            headers.append((name, text or ""))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            if not isinstance(item, str):
                raise QueryLogicError(
                    f"Expected `header[{position}]` to be a STRING, but found {type_name(item)}.",
                    "header",
                )
            name, _, text = item.partition(":")
            headers.append((name.strip(), text.strip()))
    else:
        raise QueryLogicError(
            f"Expected `header` to be an ARRAY or OBJECT, but found {type_name(value)}.", "header"
        )
    for name, text in headers:
        if any(mark in name + text for mark in "\r\n\0"):
            raise QueryLogicError("A `header` item contained newline characters.", "header")
        if not name or not name.isascii() or any(mark in name for mark in " \t:"):
            raise QueryLogicError(f"`{name}` cannot be the name of a header.", "header")
    return tuple(headers)


def _data(opts: "Options", method: str) -> tuple[bytes | None, str | None]:
    """The body and its type."""
    if not opts.has("data"):
        return None, None
    value = opts.value("data")
    if method in ("GET", "HEAD"):
        raise QueryLogicError(f"`data` cannot be sent with the method {method}.", "data")
    if isinstance(value, str):
        return value.encode(), FORM if method == "POST" else None
    if method != "POST":
        return compact(value).encode(), JSON
    if not isinstance(value, dict) or not _is_object(value):
        raise QueryLogicError(
            f"Expected `data` to be a STRING or OBJECT, but found {type_name(value)}.", "data"
        )
    _check_flat(value, "data")
    form = urlencode([(name, scalar_text(item)) for name, item in value.items()])
    return form.encode(), FORM


def _auth(opts: "Options") -> Auth | None:
    value = opts.value("auth")
    if value is None:
        return None
    if not isinstance(value, dict) or not _is_object(value):
        raise wrong_type("OBJECT", value, "auth")
    kind = string_of(value.get("type", "basic"), "auth")
    if kind not in AUTH_TYPES:
        raise QueryLogicError(
            f"`auth.type` ({kind}) is not recognized ('basic', and 'digest' are allowed).", "auth"
        )
    for key in ("user", "pass"):
        if key not in value:
            raise QueryLogicError(f"`auth.{key}` not found in the auth object.", "auth")
    return Auth(kind, string_of(value["user"], "auth"), string_of(value["pass"], "auth"))
