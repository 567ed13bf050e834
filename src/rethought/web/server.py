"""The paths of the HTTP port, and who answers each.

What always holds: health and metrics are read without a password and change nothing, so that probes and scrapers need
none; queries go through `web.reql` and its checks. Built by `server.py`, which says what is healthy and counted.
"""

import json
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from rethought.limits import Limits
from rethought.web.exposition import TYPE as METRICS_TYPE
from rethought.web.exposition import Family, exposition
from rethought.web.http import HttpServer, Request, Response, text
from rethought.web.reql import PATH as REQL_PATH
from rethought.web.reql import ReqlEndpoint

JSON: Final = "application/json"
READING: Final = ("GET", "HEAD")
TOKEN_BYTES: Final = 8
INDEX: Final = """\
Rethought.

/metrics   for Prometheus
/healthz   200 while the server answers at all
/readyz    200 while it takes queries, with its issues; 503 while it starts or stops
/readyz?write   503 also while writes fail
/ajax/reql queries
"""


class Readiness(NamedTuple):
    """Whether queries are taken, whether writes succeed, and what an operator should know."""

    ready: bool
    writable: bool
    issues: list[str]


class WebServer:
    """See the module."""

    def __init__(
        self,
        *,
        reql: ReqlEndpoint,
        metrics: Callable[[], Iterable[Family]],
        readiness: Callable[[bool], Readiness],
        limits: Limits,
    ) -> None:
        """`readiness` is told whether somebody asks because of writes: then it may try one."""
        self._reql = reql
        self._metrics = metrics
        self._readiness = readiness
        self._http = HttpServer(
            self.handle, limits, body_bytes_max=limits.query_bytes + TOKEN_BYTES
        )

    async def open(
        self, sockets: list[socket.socket], *, tls: ssl.SSLContext | None = None
    ) -> None:
        await self._http.open(sockets, tls=tls)

    async def close(self) -> None:
        self._reql.close()
        await self._http.close()

    async def handle(self, request: Request) -> Response:
        path = request.path
        if path == REQL_PATH or path.startswith(f"{REQL_PATH}/"):
            return await self._reql.handle(request)
        answer = {
            "/": self._index,
            "/metrics": self._exposition,
            "/healthz": self._health,
            "/readyz": self._ready,
        }.get(path)
        if answer is None:
            return text(404, "There is nothing here.\n")
        if request.method not in READING:
            return Response(405, b"Only GET and HEAD.\n", headers={"Allow": "GET, HEAD"})
        return answer(request)

    def _index(self, request: Request) -> Response:
        return text(200, INDEX)

    def _exposition(self, request: Request) -> Response:
        return Response(200, exposition(self._metrics()), METRICS_TYPE)

    def _health(self, request: Request) -> Response:
        return text(200, "ok\n")

    def _ready(self, request: Request) -> Response:
        for_writes = request.query == "write"
        ready, writable, issues = self._readiness(for_writes)
        body = {
            "ready": ready,
            "state": "serving" if ready else "draining",
            "writable": writable,
            "issues": issues,
        }
        well = ready and (writable or not for_writes)
        return Response(200 if well else 503, json.dumps(body).encode() + b"\n", JSON)
