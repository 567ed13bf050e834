"""Terms that have something done outside of the server: HTTP requests and JavaScript.

What always holds: the query waits, the loop does not; neither may be part of a transaction, which never waits. A
client that goes away ends the request or the script. Callers: `reql.terms` joins `TERMS`.
"""

import ast
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rethought.datum.text import pretty
from rethought.datum.values import Datum, type_name
from rethought.errors import Frame, QueryLogicError, ReqlError, ResourceLimitError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.env import too_many
from rethought.exec.functions import Function
from rethought.exec.ops import EmptyError
from rethought.exec.values import Generated, SingleSelection, Stream, is_datum, wrong_value
from rethought.reql.checks import blamed, int_of, number_of, string_of
from rethought.reql.remote import javascript
from rethought.reql.remote.request import Request, datum_of, params_of, read_request
from rethought.reql.remote.targets import Control
from rethought.reql.remote.transfer import Answer, next_link, perform
from rethought.reql.runtime import backtrace
from rethought.reql.spec import Arg, Determinism, TermSpec, exactly

if TYPE_CHECKING:
    from rethought.exec.env import Env, Options
    from rethought.reql.compiler import Compiler, Node
    from rethought.reql.tree import Term

Result = TypeVar("Result")

LINK_NEXT: Final = "link-next"

TRANSFERS_MAX: Final = 16  # at a time; further ones wait
_threads: Final = ThreadPoolExecutor(TRANSFERS_MAX, thread_name_prefix="http")

SCRIPT_TIMEOUT_S: Final = 5.0
SCRIPT_TIMEOUT_MAX_S: Final = 3600.0
CALLS_PER_REQUEST: Final = 32


def _refuse_in_transaction(env: "Env", name: str) -> None:
    if env.transaction is not None:
        raise QueryLogicError(f"Cannot use `{name}` in a transaction.")


# ---- HTTP


def http(env: "Env", url: str, *, opts: "Options") -> Any:
    """STRING -> what the body says | a stream of pages with `page`"""
    env.require("connect", None)
    _refuse_in_transaction(env, "http")
    request = read_request(url, opts)
    page, limit = _paging(opts)
    if page is None:
        return _checked(env, _transfer(env, request).body)
    return Stream(Generated(lambda env: _pages(env, request, page, limit)))


def _transfer(env: "Env", request: Request) -> Answer:
    control = Control()
    allowed = bool(getattr(env.limits, "http_private_targets", False))
    work = partial(perform, request, control, private_allowed=allowed)
    future = env.scheduler.loop.run_in_executor(_threads, work)
    try:
        answer: Answer = env.wait(future)
    except BaseException:
        control.stop()
        raise
    return answer


def _checked(env: "Env", body: Datum) -> Datum:
    if isinstance(body, list) and len(body) > env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    return body


def _paging(opts: "Options") -> tuple[Function | str | None, int]:
    """How to find the next page, None for a single request, and how many to ask for at most (-1 all)."""
    if not opts.has("page"):
        return None, 0
    page = opts.whatever("page")
    if not opts.has("page_limit"):
        raise QueryLogicError(
            "Cannot use `page` without specifying `page_limit` (a positive number performs that "
            "many requests, -1 is unlimited).",
            "page",
        )
    if not isinstance(page, Function):
        page = _page_method(page)
    limit = blamed(lambda: int_of(opts.value("page_limit")), "page_limit")
    if limit < -1:
        raise QueryLogicError("`page_limit` should be greater than or equal to -1.", "page_limit")
    return page, limit


def _page_method(page: Any) -> str | None:
    if not is_datum(page) and not isinstance(page, SingleSelection):
        raise wrong_value("FUNCTION", page, "page")
    method = datum_of(page, "page")
    if method is None:
        return None
    name = string_of(method, "page")
    if name != LINK_NEXT:
        raise QueryLogicError(
            f"`page` method '{name}' not recognized, only 'link-next' is available.", "page"
        )
    return name


def _pages(env: "Env", first: Request, page: Function | str, limit: int) -> Iterator[Chunk]:
    """The bodies page by page; one that is an array gives its elements."""
    request: Request | None = first
    while request is not None and limit != 0:
        answer = _transfer(env, request)
        limit -= limit > 0
        body = answer.body
        rows = body if isinstance(body, list) else [body]
        if rows:
            yield of_rows(rows)
        request = _next_page(request, answer, page) if limit else None


def _next_page(request: Request, answer: Answer, page: Function | str) -> Request | None:
    if isinstance(page, str):
        link = next_link(answer)
        return None if link is None else request.at(link, request.params)
    seen = {"params": request.params, "header": answer.header, "body": answer.body}
    try:
        return _page_of(request, page.invoke(seen))
    except ReqlError as error:
        message = (
            f"Error in HTTP {request.method} of `{request.url}`: {error.message}.\n"
            f"Error occurred during `page` called with:\n{pretty(seen)}\n"
        )
        kind = QueryLogicError if isinstance(error, EmptyError) else error.__class__
        raise kind(message, frames=backtrace(error)) from error


def _page_of(request: Request, wanted: Datum) -> Request | None:
    """The request that what the `page` function gave stands for."""
    if wanted is None:
        return None
    if isinstance(wanted, str):
        return request.at(wanted, request.params)
    if not isinstance(wanted, dict):
        raise QueryLogicError(
            f"Expected `page` to return an OBJECT, but found {type_name(wanted)}."
        )
    if "url" not in wanted and "params" not in wanted:
        raise QueryLogicError(
            "OBJECT returned by `page` must contain `url` and/or `params` fields."
        )
    params = request.params
    if "params" in wanted:
        params = {**params, **params_of(wanted["params"])}
    url = wanted.get("url", request.url)
    if url is None:
        return None
    if not isinstance(url, str):
        raise QueryLogicError(
            "Expected `url` in OBJECT returned by `page` to be a STRING or NULL, but found "
            f"{type_name(url)}."
        )
    return request.at(url, params)


# ---- JavaScript


class ScriptFunction(Function):
    """A function written in JavaScript. It takes any number of arguments."""

    __slots__ = ("env", "frames", "session", "source", "timeout_s")

    def __init__(
        self, env: "Env", session: str, source: str, timeout_s: float, frames: tuple[Frame, ...]
    ) -> None:
        super().__init__(0, self._call, int(Determinism.NEVER), None)
        self.env = env
        self.frames = frames
        self.session = session
        self.source = source
        self.timeout_s = timeout_s

    def _call(self, *args: Datum) -> Datum:
        return self._calls([list(args)])[0]

    def invoke(self, *args: Datum) -> Datum:
        return self._call(*args)

    def over(self, rows: list[Any]) -> list[Any]:
        out: list[Datum] = []
        for start in range(0, len(rows), CALLS_PER_REQUEST):
            out += self._calls([[row] for row in rows[start : start + CALLS_PER_REQUEST]])
        return out

    def _calls(self, calls: list[list[Datum]]) -> list[Datum]:
        work = javascript.run(self.session, self.source, calls, self.timeout_s)
        try:
            values = _await(self.env, work)
        except ReqlError as error:
            error.frames = self.frames
            raise
        assert values is not None
        return values


def _await(env: "Env", work: Coroutine[Any, Any, Result]) -> Result:
    task = env.scheduler.loop.create_task(work)
    try:
        result: Result = env.wait(task)
    except BaseException:
        task.cancel()
        raise
    return result


def script(env: "Env", source: str, *, opts: "Options", frames: tuple[Frame, ...] = ()) -> Any:
    """STRING -> the value of the code | FUNCTION, whose errors are blamed on the term at `frames`"""
    _refuse_in_transaction(env, "js")
    javascript.check_installed()
    timeout_s = SCRIPT_TIMEOUT_S
    if opts.has("timeout"):
        timeout_s = float(number_of(opts.value("timeout"), "timeout"))
        if timeout_s < 0:
            raise QueryLogicError("`timeout` may not be negative.", "timeout")
        timeout_s = min(timeout_s, SCRIPT_TIMEOUT_MAX_S)
    session = javascript.new_session()
    values = _await(env, javascript.run(session, source, None, timeout_s))
    if values is None:
        return ScriptFunction(env, session, source, timeout_s, frames)
    return values[0]


def compile_script(c: "Compiler", term: "Term") -> "Node":
    """Hands over where the term stands: its function fails elsewhere, but is to blame."""
    node = c.plain(term)
    if isinstance(node.code, ast.Call):
        node.code.keywords.append(
            ast.keyword(
                "frames",
                c.keep(term.path, c.line(term)),
                lineno=c.line(term),
                col_offset=0,
            )
        )
    return node


TERMS: Final = (
    TermSpec(
        153,
        "http",
        exactly(1),
        http,
        args=(Arg.STRING,),
        optargs=(
            "attempts",
            "auth",
            "data",
            "header",
            "method",
            "page",
            "page_limit",
            "params",
            "redirects",
            "result_format",
            "timeout",
            "verify",
        ),
        determinism=Determinism.NEVER,
        datum=False,
    ),
    TermSpec(
        11,
        "javascript",
        exactly(1),
        script,
        compile_script,
        args=(Arg.STRING,),
        optargs=("timeout",),
        determinism=Determinism.NEVER,
        datum=False,
    ),
)
