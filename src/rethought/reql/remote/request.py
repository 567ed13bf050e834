"""Reads the options of `r.http` into a request.

What always holds: a `Request` is complete and checked; what is wrong with an option is said in the protocol's words and
blamed on that option. Callers: `reql.terms.remote`.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from rethought.datum.text import compact, pretty
from rethought.datum.values import Datum, is_truthy, to_uint32, to_uint64, type_name
from rethought.errors import Frame, QueryLogicError
from rethought.exec.values import need_datum
from rethought.reql.checks import blamed, number_of, string_of

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
    params: dict[str, Datum] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    auth: Auth | None = None
    timeout_s: float = TIMEOUT_S
    attempts: int = ATTEMPTS
    redirects: int = REDIRECTS
    verify: bool = True
    result_format: str = "auto"

    def at(self, url: str, params: dict[str, Datum]) -> "Request":
        """The same request for another page."""
        return replace(self, url=url, params=params)


def read_request(url: str, opts: "Options") -> Request:
    """Looks at the options in the order in which the original does."""
    auth = _auth(opts)
    method = _method(opts)
    content, content_type = _data(opts, method)
    result_format = _result_format(opts)
    params = params_of(opts.value("params"), "params") if opts.has("params") else {}
    headers = _headers(opts)
    if content_type and not any(name.lower() == "content-type" for name, _ in headers):
        headers = (*headers, ("Content-Type", content_type))
    return Request(
        url=url,
        method=method,
        params=params,
        headers=headers,
        content=content,
        auth=auth,
        timeout_s=_timeout(opts),
        attempts=_count(opts, "attempts", to_uint64, ATTEMPTS, ATTEMPTS_MAX),
        redirects=_count(opts, "redirects", to_uint32, REDIRECTS, REDIRECTS_MAX),
        verify=not opts.has("verify") or is_truthy(datum_of(opts.value("verify"), "verify")),
        result_format=result_format,
    )


def datum_of(value: Any, name: str) -> Datum:
    """The value of an option that must be data."""
    return need_datum(None, value, name)  # type: ignore[arg-type, no-any-return]


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


def params_of(given: Any, *at: Frame) -> dict[str, Datum]:
    """The parameters of a URL: an object of numbers, strings and nulls."""
    value = need_datum(None, given, at[0] if at else None)  # type: ignore[arg-type]
    if not isinstance(value, dict) or not _is_object(value):
        raise QueryLogicError(
            f"Expected `params` to be an OBJECT, but found {type_name(value)}:\n{pretty(value)}",
            *at,
        )
    for key, item in value.items():
        if not _is_flat(item):
            raise QueryLogicError(
                f"Expected `params.{key}` to be a NUMBER, STRING or NULL, but found "
                f"{type_name(item)}:\n{pretty(item)}",
                *at,
            )
    return value


def _is_flat(value: Datum) -> bool:
    return value is None or value.__class__ in (str, int, float)


def _is_object(value: Datum) -> bool:
    return isinstance(value, dict) and "$reql_type$" not in value


def scalar_text(value: Datum) -> str:
    """A number, string or null as it stands in a URL or a form."""
    return value if isinstance(value, str) else "" if value is None else compact(value)


def _headers(opts: "Options") -> tuple[tuple[str, str], ...]:
    if not opts.has("header"):
        return ()
    value = datum_of(opts.value("header"), "header")
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
            raise QueryLogicError("A `header` item contains newline characters.", "header")
        if not name or not name.isascii() or any(mark in name for mark in " \t:"):
            raise QueryLogicError(f"`{name}` cannot be the name of a header.", "header")
    return tuple(headers)


def _data(opts: "Options", method: str) -> tuple[bytes | None, str | None]:
    """The body and its type."""
    if not opts.has("data"):
        return None, None
    value = datum_of(opts.value("data"), "data")
    if method in ("GET", "HEAD"):
        raise QueryLogicError(
            "`data` should only be specified on a PUT, POST, PATCH, or DELETE request.  If you "
            "want URL parameters, use `params` instead."
        )
    if isinstance(value, str):
        return value.encode(), FORM if method == "POST" else None
    if method != "POST":
        return compact(value).encode(), JSON
    if not isinstance(value, dict) or not _is_object(value):
        raise QueryLogicError(
            f"Expected `data` to be a STRING or OBJECT, but found {type_name(value)}.", "data"
        )
    for key, item in value.items():
        if not _is_flat(item):
            raise QueryLogicError(
                f"Expected `data.{key}` to be a NUMBER, STRING or NULL, but found "
                f"{type_name(item)}.",
                "data",
            )
    form = urlencode([(name, scalar_text(item)) for name, item in value.items()])
    return form.encode(), FORM


def _auth(opts: "Options") -> Auth | None:
    if not opts.has("auth"):
        return None
    value = datum_of(opts.value("auth"), "auth")
    if not isinstance(value, dict) or not _is_object(value):
        raise QueryLogicError(
            f"Expected `auth` to be an OBJECT, but found {type_name(value)}.", "auth"
        )
    kind = value.get("type", "basic")
    if not isinstance(kind, str):  # the type of the whole is what the original names
        raise QueryLogicError("Expected `auth.type` to be a STRING, but found OBJECT.", "auth")
    user, password = (_credential(value, name) for name in ("user", "pass"))
    if kind not in AUTH_TYPES:
        raise QueryLogicError(
            "`auth.type` is not recognized ('basic', and 'digest' are allowed).", "auth"
        )
    return Auth(kind, user, password)


def _credential(auth: dict[str, Datum], name: str) -> str:
    if name not in auth:
        raise QueryLogicError(f"`auth.{name}` not found in the auth object.", "auth")
    value = auth[name]
    if not isinstance(value, str):
        raise QueryLogicError(
            f"Expected `auth.{name}` to be a STRING, but found {type_name(value)}.", "auth"
        )
    return value
