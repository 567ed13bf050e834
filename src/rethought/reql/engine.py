"""Answers queries: plan, evaluation, response.

Purpose: the one object the wire talks to. A START becomes a plan (`reql.plan`), is evaluated in place when that is
short and cannot wait, else in a greenlet (`exec.schedule`), and its value becomes a response. What always holds: every
query gets exactly one answer (none for noreply, none once it is cancelled); a write is answered only after its commit
(hard: after its sync); anything but a `ReqlError` that escapes evaluation is logged and answered as INTERNAL.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Final

import msgspec

from rethought.auth.verifier import Verifier
from rethought.catalog.permissions import ADMIN
from rethought.conversation import Reply, Running
from rethought.datum.jsonbytes import encode
from rethought.errors import InternalError, QueryLogicError, ReqlError, ResourceLimitError
from rethought.exec.chunk import ROWS_AT_FIRST, Chunk, of_rows, pieces
from rethought.exec.cursor import LARGE_BYTES, Batches
from rethought.exec.env import Env, Killed, MustWait, Options
from rethought.exec.functions import Function
from rethought.exec.grouping import GroupedStream, sorted_groups
from rethought.exec.local import LocalTable
from rethought.exec.schedule import Scheduler
from rethought.exec.values import (
    DATUM_CLASSES,
    Grouped,
    SingleSelection,
    Stream,
    need_number,
    value_type,
)
from rethought.limits import Limits
from rethought.reql.accounts import Account, Accounts
from rethought.reql.compiled import Plan
from rethought.reql.function_source import function_json
from rethought.reql.functions import compile_function
from rethought.reql.plan import PlanCache
from rethought.reql.profiling import Recorder
from rethought.reql.runtime import backtrace

log = logging.getLogger("rethought.query")

Done = Callable[[Reply | None], None]

COMPILED_AT_ONCE_BYTES: Final = 1_024
"""Longer queries without a plan are compiled a piece at a time."""

ATOM: Final = b'{"t":1,"r":['
SEQUENCE: Final = b'{"t":2,"r":['
PARTIAL: Final = b'{"t":3,"r":['
NO_NOTES: Final = b'],"n":[]}'


class Client:
    """Somebody who runs queries."""

    __slots__ = (
        "__weakref__",
        "account",
        "address",
        "catalog",
        "narrowed",
        "port",
        "rules",
        "user",
    )

    def __init__(self, catalog: Any, user: str, address: str, port: int) -> None:
        self.catalog = catalog
        self.user = user
        self.address = address
        self.port = port
        self.account: Account | None = None  # of a user with limits
        self.narrowed = False  # whether rules or an account stand between this client and tables
        self.rules = {} if user == ADMIN else catalog.permissions.rules_of(user)

    def require(self, permission: str, target: Any) -> None:
        """Refuses what this user may not do with a table, a database or (None) everything."""
        if self.user != ADMIN:
            self.catalog.permissions.require(self.user, permission, target)


class Engine:
    """See the module. One per node."""

    def __init__(self, catalog: Any, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.catalog = catalog
        self.limits = limits
        self.loop = loop
        self.scheduler = Scheduler(loop)
        self.plans = PlanCache(limits)
        self._tables: dict[Any, LocalTable] = {}
        self.known_tables: dict[tuple[str, str], Any] = {}
        self.running: set[Query] = set()
        self.queries = 0  # started, in all
        self.accounts = Accounts(catalog, limits)
        self.audit: Any = (
            None  # who wants to know of logins and, with `data`, of every table a query uses
        )

    # ---- what the wire calls

    def client(self, user: str, address: str, port: int) -> Client:
        client = Client(self.catalog, user, address, port)
        self.accounts.join(client)
        return client

    def login(self, user: str, address: str, outcome: str) -> None:
        if self.audit is not None:
            self.audit.login(user, address, outcome)

    def keep_audit(self, audit: Any) -> None:
        self.audit = audit
        if audit.data:
            self.accounts.told = audit.access

    def gone(self, client: Client) -> None:
        self.accounts.leave(client)

    def refusal(self, user: str, address: str) -> str | None:
        return self.accounts.refusal(user, address)

    def start(self, client: Client, body: bytes, done: Done) -> Reply | Running | None:
        self.queries += 1
        limits = self.limits
        account = client.account
        if account is not None:
            refusal = account.take()
            if refusal is not None:
                return None if asks_noreply(body) else Reply(failure(refusal))
            limits = account.limits
        env: Env
        found = self.plans.known(body)
        if found is None:
            if len(body) > COMPILED_AT_ONCE_BYTES:
                env = Env(self, client, self.catalog, limits, self.scheduler)
                return self._spawn(Query(self, env, None, (), done), body)
            found = self.compiled(body, None)
            if found.__class__ is bytes:
                return Reply(found)
        plan, params = found
        env = Env(self, client, self.catalog, limits, self.scheduler)
        if plan.in_place:
            reply = run_in_place(env, plan, params)
            if reply is not None:
                if env.tickets:
                    return Awaiting(None if plan.noreply else reply, env.tickets, done).answer()
                return None if plan.noreply else reply
        return self._spawn(Query(self, env, plan, params, done), body)

    def _spawn(self, query: "Query", body: bytes) -> Reply | Running | None:
        query.env.body = body
        self.scheduler.spawn(query.run)
        return query.answer()

    def compiled(self, body: bytes, pace: Callable[[], None] | None) -> Any:
        """The plan of a query and its parameters, or the response for one that cannot have any."""
        try:
            return self.plans.make(body, pace)
        except ReqlError as error:
            return failure(error)
        except (RecursionError, MemoryError) as error:
            return failure(too_much(error))
        except Exception:
            log.exception("a query could not be compiled")
            return failure(InternalError("The query could not be compiled.", frames=()))

    def server_info(self, client: Client) -> bytes:
        identity = self.catalog.identity
        return b'{"t":5,"r":[%b]}' % encode(
            {"id": identity.id, "name": identity.name, "proxy": False}
        )

    def verifier(self, user: str) -> Verifier | None:
        found: Verifier | None = self.catalog.users.verifier(user)
        return found

    # ---- what evaluation calls

    def table(self, handle: Any, form: str) -> Any:
        """The table behind a catalog's object."""
        if handle.system:
            return handle.bound(self, form)
        found = self._tables.get(handle)
        if found is None or handle.dropped:
            if len(self._tables) > 10_000:
                self._tables.clear()
            found = self._tables[handle] = LocalTable(handle)
        return found

    def write_hook(self, handle: Any) -> Function:
        """A table's write hook, compiled once."""
        hook = handle.write_hook
        if hook.compiled is None:
            hook.compiled = compile_function(function_json(hook.function))
        compiled: Function = hook.compiled
        return compiled

    def close(self) -> None:
        """Ends what is still running."""
        for query in list(self.running):
            query.cancel()


def asks_noreply(body: bytes) -> bool:
    """Whether the client of a query that is not compiled waits for no answer."""
    if b"noreply" not in body:
        return False
    try:
        query = msgspec.json.decode(body)
        return query[2].get("noreply") is True
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def run_in_place(env: Env, plan: Plan, params: tuple[Any, ...]) -> Reply | None:
    """Evaluates here and now; None when that may take long: the value is a stream, or the query must wait."""
    env.in_place = True
    if plan.profile:
        env.profile = Recorder()
    try:
        if plan.globals:
            settle(env, plan, params)
        value = plan.run(env, params)
        if isinstance(value, Stream | GroupedStream):
            return None
        body = respond(env, value)
    except ReqlError as error:
        body = failure(error)
    except MustWait:
        return None
    except Exception as error:
        body = internal(error, env)
    finally:
        env.in_place = False
        if env.snapshots:
            env.end_batch()
    return Reply(profiled(env, body) if plan.profile else body)


def settle(env: Env, plan: Plan, params: tuple[Any, ...]) -> None:
    """Makes the global optional arguments the defaults of every term."""
    env.defaults = Options(
        None,
        {
            name: lambda function=function: function(env, params)  # type: ignore[misc]
            for name, function in plan.globals.items()
        },
    )
    if "array_limit" in env.defaults:
        limit = need_number(env, env.defaults.value("array_limit"), None)
        if limit < 1:
            raise QueryLogicError(f"Illegal array size limit `{limit}`.  (Must be >= 1.)")
        env.array_limit = int(limit)


def profiled(env: Env, body: bytes) -> bytes:
    """A response with what was done for it; errors have no such thing."""
    if body.startswith(b'{"t":18'):
        return body
    return body[:-1] + b',"p":' + msgspec.json.encode(env.profile.take()) + b"}"


class Awaiting:
    """The answer of a write that was evaluated in place, until its commit is through."""

    __slots__ = ("done", "later", "reply", "waiting")

    def __init__(self, reply: Reply | None, tickets: tuple[Any, ...], done: Done) -> None:
        self.reply = reply
        self.done = done
        self.later = False
        self.waiting = len(tickets)
        for ticket in tickets:
            ticket.add(self.committed)

    def committed(self, error: ReqlError | None) -> None:
        if error is not None and self.reply is not None:
            self.reply = Reply(failure(error))
        self.waiting -= 1
        if not self.waiting and self.later:
            self.done(self.reply)

    def answer(self) -> "Reply | Awaiting | None":
        """What `start` returns: the reply when the commit is through already."""
        if not self.waiting:
            return self.reply
        self.later = True
        return self

    def cancel(self) -> None:
        """The client went away; the write stands."""
        self.done = _nobody


class Query:
    """One query on its way: evaluation, its commits, its answer."""

    __slots__ = (
        "_done",
        "_finished",
        "_later",
        "_reply",
        "_waiting",
        "engine",
        "env",
        "params",
        "plan",
        "started",
    )

    def __init__(
        self, engine: Engine, env: Env, plan: Plan | None, params: tuple[Any, ...], done: Done
    ) -> None:
        self.engine = engine
        self.env = env
        self.plan = plan
        self.params = params
        self.started = env.started = perf_counter()
        self._done = done
        self._later = False
        self._finished = False
        self._waiting = 0
        self._reply: Reply | None = None

    def answer(self) -> Reply | Running | None:
        """What `start` returns after evaluation has begun."""
        if self._finished:
            return self._reply
        self._later = True
        self.engine.running.add(self)
        return self

    def cancel(self) -> None:
        self._done = _nobody
        self.env.cancel()

    def run(self) -> None:
        """Evaluates in a greenlet."""
        env = self.env
        env.begin(self.started)
        cursor = None
        try:
            plan = self.plan
            if plan is None:
                found = self.engine.compiled(env.body, env.tick)
                if found.__class__ is bytes:
                    self._finish(Reply(found))
                    return
                plan, self.params = found
                self.plan = plan
            if plan.profile:
                env.profile = Recorder()
            if plan.globals:
                settle(env, plan, self.params)
            if plan.transaction:
                body, cursor = self._in_transaction(env, plan)
            else:
                body, cursor = self._evaluate(env, plan)
        except ReqlError as error:
            body = failure(error)
        except Killed:
            body = b""
        except Exception as error:
            body = internal(error, env)
        env.end_batch()
        if self.plan is not None and self.plan.profile:
            body = profiled(env, body)
        self._finish(Reply(body, cursor))

    def _evaluate(self, env: Env, plan: Plan) -> tuple[bytes, "StreamCursor | None"]:
        value = plan.run(env, self.params)
        if isinstance(value, Stream) and not value.array:
            if value.feed:
                from rethought.reql.feeds import feed_cursor

                return feed_cursor(self, env, value)
            return self._first_batch(env, value)
        return respond(env, value), None

    def _in_transaction(self, env: Env, plan: Plan) -> tuple[bytes, "StreamCursor | None"]:
        from rethought.exec.transaction import Transaction

        with Transaction(env):
            value = plan.run(env, self.params)
            if isinstance(value, Stream) and not value.array:
                value = value.to_list(env)
            return respond(env, value), None

    def _first_batch(self, env: Env, stream: Stream) -> tuple[bytes, "StreamCursor | None"]:
        batches = Batches(env, stream)
        rows = batch(env, batches)
        if batches.finished:
            return SEQUENCE + rows + NO_NOTES, None
        return PARTIAL + rows + NO_NOTES, StreamCursor(self.engine, env, batches)

    def _finish(self, reply: Reply) -> None:
        tickets = self.env.tickets
        self._reply = reply
        if not tickets:
            self._deliver()
            return
        self._waiting = len(tickets)
        for ticket in tickets:
            ticket.add(self._committed)

    def _committed(self, error: ReqlError | None) -> None:
        if error is not None and self._reply is not None:
            self._reply = Reply(failure(error))
        self._waiting -= 1
        if not self._waiting:
            self._deliver()

    def _deliver(self) -> None:
        if self.plan is not None and self.plan.noreply:
            if self._reply is not None and self._reply.cursor is not None:
                self._reply.cursor.close()
            self._reply = None
        self._finished = True
        if self._later:
            self.engine.running.discard(self)
            self._done(self._reply)


def batch(env: Env, batches: Batches) -> bytes:
    """The next rows of a stream."""
    if env.profile is None:
        return batches.next()
    rows: bytes = env.profile.once("Reading a batch of rows.", batches.next)
    return rows


def _nobody(_: Reply | None) -> None:
    """Where the answers of cancelled queries go."""


class StreamCursor:
    """A stream that goes on with CONTINUE."""

    __slots__ = ("_closed", "_finished", "_later", "_reply", "batches", "done", "engine", "env")

    def __init__(self, engine: Engine, env: Env, batches: Batches) -> None:
        self.engine = engine
        self.env = env
        self.batches = batches
        self.done: Callable[[Reply], None] = _nobody
        self._closed = False
        self._finished = True
        self._later = False
        self._reply: Reply | None = None

    def more(self, done: Callable[[Reply], None]) -> Reply | Running:
        self.done = done
        self._later = False
        self._finished = False
        self._reply = None
        self.engine.scheduler.spawn(self._run)
        reply = self.answer()
        if reply is None:
            self._later = True
            return self
        return reply

    def answer(self) -> Reply | None:
        """The batch, when it is there already."""
        return self._reply

    def _run(self) -> None:
        env = self.env
        env.begin(perf_counter())
        try:
            rows = batch(env, self.batches)
            finished = self.batches.finished
            body = (SEQUENCE if finished else PARTIAL) + rows + NO_NOTES
            if env.profile is not None:
                body = profiled(env, body)
            reply = Reply(body, None if finished else self)
        except ReqlError as error:
            reply = Reply(failure(error))
        except Killed:
            reply = Reply(b"")
        except Exception as error:
            reply = Reply(internal(error, env))
        env.end_batch()
        self._reply = reply
        self._finished = True
        if self._later and not self._closed:
            self.done(reply)

    def cancel(self) -> None:
        self._closed = True
        self.env.cancel()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.env.cancel()
            if self._finished:
                self.batches.close()


# ---- values as responses


def respond(env: Env, value: Any) -> bytes:
    """A complete response for anything but a lazy stream."""
    kind = value.__class__
    if kind is SingleSelection or isinstance(value, SingleSelection):
        document = value.document
        return ATOM + (b"null" if document is None else bytes(document)) + b"]}"
    if kind in DATUM_CLASSES:
        check_answer(value)
        if kind is list and len(value) > ROWS_AT_FIRST:
            return b"%b[%b]]}" % (ATOM, b",".join(written(env, of_rows(value))))
        return ATOM + encode(value) + b"]}"
    if isinstance(value, Stream):
        limit = env.array_limit
        parts: list[bytes] = []
        count = 0
        for chunk in value.chunks(env):
            count += chunk.count
            if chunk.count:
                parts.extend(written(env, chunk))
        if count > limit:
            value.to_list(env)
        return ATOM + b"[" + b",".join(parts) + b"]]}"
    if isinstance(value, GroupedStream):
        value = value.collect(env)
    if isinstance(value, Grouped):
        data = [[name, part] for name, part in sorted_groups(value)]
        check_answer(data)
        return ATOM + encode({"$reql_type$": "GROUPED_DATA", "data": data}) + b"]}"
    raise QueryLogicError(
        f"Query result must be of type DATUM, GROUPED_DATA, or STREAM (got {value_type(value)}).",
        frames=(),
    )


def written(env: Env, chunk: Chunk) -> Iterator[bytes]:
    """The rows of a chunk as bytes, in pieces; others have their turn between them."""
    for _, piece in pieces(chunk):
        if len(piece) > LARGE_BYTES:
            env.making(len(piece))
        yield piece


def check_answer(value: Any) -> None:
    """Refuses what must not leave: a stray literal."""
    if value.__class__ is dict and value.get("$reql_type$") == "LITERAL":
        raise QueryLogicError(
            "Stray literal keyword found: literal is only legal inside of the object passed to "
            "merge or update and cannot nest inside other literals."
        )


def failure(error: ReqlError) -> bytes:
    """The response for an error."""
    body: dict[str, Any] = {"t": error.response_type}
    if error.error_type is not None:
        body["e"] = error.error_type
    body["r"] = [error.message]
    body["b"] = list(backtrace(error))
    return msgspec.json.encode(body)


def internal(error: Exception, env: Env) -> bytes:
    """The response for a bug of ours, which goes to the log."""
    if isinstance(error, RecursionError | MemoryError):
        return failure(too_much(error))
    log.error("a query failed inside", exc_info=error, extra={"query": env.id})
    return failure(InternalError(f"Unexpected exception: {error}", frames=()))


def too_much(error: Exception) -> ResourceLimitError:
    """What to say where the interpreter itself came to its limits."""
    if isinstance(error, RecursionError):
        return ResourceLimitError("The query is nested too deep.", frames=())
    return ResourceLimitError("The server has no memory left for this query.", frames=())
