"""Runs JavaScript in worker processes.

Purpose: one pool of a few processes for a node, started when first needed. What always holds: a worker does one request
at a time; one that crashes, stays silent past its time, or whose query was cancelled is killed and replaced; workers
end when the server does, however it ends, because their input closes. Callers: `reql.terms.remote`.
"""

import asyncio
import importlib.util
import itertools
import json
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from rethought.datum.text import compact
from rethought.datum.values import Datum, from_json
from rethought.errors import QueryLogicError, ResourceLimitError

WORKERS_MAX: Final = 4
GRACE_S: Final = (
    20.0  # beyond the code's own time, for a worker to start and to answer on a busy machine
)
ANSWER_BYTES_MAX: Final = 64 << 20
MEMORY_MB: Final = 256  # of one context; `js_worker` holds it to that
MISSING: Final = (
    "JavaScript is not available on this server.  Install the `js` extra "
    "(`pip install 'rethought[js]'`) to use `r.js`."
)

_sessions = itertools.count(1)


def new_session() -> str:
    """A name for the context of one function of one query."""
    return str(next(_sessions))


class Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> "Worker":
        script = Path(__file__).with_name("js_worker.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",  # no settings of the surroundings, no project on the path
            str(script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
            limit=1 << 20,
        )
        return cls(process)

    async def ask(self, request: bytes, seconds: float) -> dict[str, Any]:
        """The answer; raises TimeoutError, or EOFError when the process is gone."""
        sink, source = self._process.stdin, self._process.stdout
        assert sink is not None
        assert source is not None
        try:
            async with asyncio.timeout(seconds):
                sink.write(len(request).to_bytes(4, "big") + request)
                await sink.drain()
                size = int.from_bytes(await source.readexactly(4), "big")
                if size > ANSWER_BYTES_MAX:
                    raise EOFError
                answer: dict[str, Any] = json.loads(await source.readexactly(size))
                return answer
        except (asyncio.IncompleteReadError, ConnectionError):
            raise EOFError from None

    async def stop(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Pool:
    """The workers of a loop."""

    def __init__(self) -> None:
        self._idle: deque[Worker] = deque()
        self._places = asyncio.Semaphore(WORKERS_MAX)

    async def ask(self, request: bytes, seconds: float) -> dict[str, Any]:
        async with self._places:
            worker = self._idle.pop() if self._idle else await Worker.start()
            done = False
            try:
                answer = await worker.ask(request, seconds)
                done = True
                return answer
            finally:
                if done:
                    self._idle.append(worker)
                else:
                    await asyncio.shield(worker.stop())

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().stop()


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()


def pool() -> Pool:
    """The pool of the running loop."""
    loop = asyncio.get_running_loop()
    found = _pools.get(loop)
    if found is None:
        found = _pools[loop] = Pool()
    return found


def check_installed() -> None:
    if importlib.util.find_spec("py_mini_racer") is None:
        raise QueryLogicError(MISSING)


async def run(
    session: str, source: str, calls: list[list[Datum]] | None, timeout_s: float
) -> list[Datum] | None:
    """The results of calls of the function that `source` is; without calls the value of `source` itself, None
    when that is a function."""
    request = compact(
        {
            "session": session,
            "source": source,
            "calls": calls,  # type: ignore[dict-item]
            "timeout_s": timeout_s,
        }
    ).encode()
    steps = 1 if calls is None else len(calls) + 1
    try:
        answer = await pool().ask(request, timeout_s * steps + GRACE_S)
    except TimeoutError:
        raise _timed_out(source, timeout_s) from None
    except EOFError:
        raise ResourceLimitError(
            f"JavaScript query `{source}` ended its process; it may have used too much memory."
        ) from None
    return _read(answer, source, timeout_s)


def _read(answer: dict[str, Any], source: str, timeout_s: float) -> list[Datum] | None:
    if "function" in answer:
        return None
    match answer.get("error"):
        case "timeout":
            raise _timed_out(source, timeout_s)
        case "memory":
            raise ResourceLimitError(
                f"JavaScript query `{source}` used more than {MEMORY_MB} MB of memory."
            )
        case "script":
            raise QueryLogicError(answer["message"])
    return [from_json(value) for value in answer["values"]]


def _timed_out(source: str, timeout_s: float) -> QueryLogicError:
    return QueryLogicError(f"JavaScript query `{source}` timed out after {timeout_s:.3f} seconds.")
