"""One query on its way: evaluation, its commits, its answer, and the cursor that goes on with it.

What always holds: every query gets exactly one answer (none for noreply, none once it is cancelled); a write is
answered only after its commit (hard: after its sync); anything but a `ReqlError` that escapes evaluation is logged and
answered as INTERNAL.
Callers: `engine` begins queries; feeds look at the query that opens them.
"""

from collections.abc import Callable
from sys import getrefcount
from time import perf_counter
from typing import Any, Final

from rethought.conversation import Reply, Running
from rethought.errors import QueryLogicError, ReqlError
from rethought.exec.cursor import Batches, at_once
from rethought.exec.env import Env, Killed, MustWait, Options
from rethought.exec.grouping import GroupedStream
from rethought.exec.transaction import Transaction
from rethought.exec.values import Stream, need_int
from rethought.reql.compiled import Plan
from rethought.reql.feeds import FeedCursor, feed_cursor
from rethought.reql.profiling import Recorder
from rethought.reql.responses import (
    NO_NOTES,
    PARTIAL,
    SEQUENCE,
    failed,
    failure,
    internal,
    profiled,
    respond,
)

Done = Callable[[Reply | None], None]

LONG_BYTES: Final = 1 << 20
ALONE_MIN: Final = 10_000
"""An array of so many elements is freed in steps. It is in no plan that is kept: no such query is that short."""
FREED_AT_ONCE_BYTES: Final = 1 << 17
"""What a query of so many bytes was decoded to is gone in half a millisecond; looking for what is large in it takes
longer."""


def run_in_place(env: Env, plan: Plan, params: tuple[Any, ...]) -> Reply | None:
    """Evaluates here and now; None when that may take long: there are many rows, or the query must wait."""
    env.in_place = True
    if plan.profile:
        env.profile = Recorder()
    try:
        if plan.globals or plan.home is not None:
            settle(env, plan, params)
        value = plan.run(env, params)
        if isinstance(value, Stream):
            rows = None if plan.profile else at_once(env, value)
            if rows is None:
                return None
            body = SEQUENCE + rows + NO_NOTES
        elif isinstance(value, GroupedStream):
            return None
        else:
            body = respond(env, value)
    except ReqlError as error:
        return failed(error)
    except MustWait:
        return None
    except Exception as error:
        body = internal(error, env)
    finally:
        env.in_place = False
        if env.snapshots:
            env.end_batch()
        if plan.globals or plan.home is not None:
            env.forget_options()
    return Reply(profiled(env, body) if plan.profile else body)


def settle(env: Env, plan: Plan, params: tuple[Any, ...]) -> None:
    """Makes the global optional arguments the defaults of every term; `db` is where tables without one belong."""
    home = plan.home
    if home is not None:
        env.home = lambda: home(env, params)
    if not plan.globals:
        return
    env.defaults = Options(
        env,
        {},
        {
            name: lambda function=function: function(env, params)  # type: ignore[misc]
            for name, function in plan.globals.items()
        },
    )
    if env.defaults.has("array_limit"):
        limit = need_int(env, env.defaults.value("array_limit"), None)
        if limit < 1:
            raise QueryLogicError(f"Illegal array size limit `{limit}`.  (Must be >= 1.)")
        env.array_limit = limit


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
        "env",
        "params",
        "plan",
        "started",
    )

    def __init__(self, env: Env, plan: Plan | None, params: tuple[Any, ...], done: Done) -> None:
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
        self.env.engine.running.add(self)
        return self

    def cancel(self) -> None:
        self._done = _nobody
        self.env.cancel()

    def run(self) -> None:
        """Evaluates in a greenlet."""
        env = self.env
        env.begin(perf_counter())  # it may have waited for its turn
        cursor = None
        try:
            env.check_alive()
            plan = self.plan
            if plan is None:
                if len(env.body) > LONG_BYTES:  # to receive it took a turn already
                    env.scheduler.pause(env)
                found = env.engine.compiled(env.body, env.tick)
                if isinstance(found, Reply):
                    self._finish(found)
                    return
                plan, self.params = found
                self.plan = plan
                if plan.match is None and len(env.body) > FREED_AT_ONCE_BYTES:  # it is not kept
                    env.large = [plan.parts, *self.params]
                del found
            if plan.profile:
                env.profile = Recorder()
            if plan.globals or plan.home is not None:
                settle(env, plan, self.params)
            if plan.transaction:
                body, cursor = self._in_transaction(env, plan)
            else:
                body, cursor = self._evaluate(env, plan)
        except ReqlError as error:
            env.end_batch()
            self._finish(failed(error, env.worked()))
            return
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
                return feed_cursor(self, env, value)
            return self._first_batch(env, value)
        body = respond(env, value)
        if value.__class__ is list and len(value) > ALONE_MIN and getrefcount(value) == 2:
            env.discard(value)
        return body, None

    def _in_transaction(self, env: Env, plan: Plan) -> tuple[bytes, "StreamCursor | None"]:
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
        return PARTIAL + rows + NO_NOTES, StreamCursor(env, batches)

    def _finish(self, reply: Reply) -> None:
        tickets = self.env.tickets
        self._reply = reply
        if reply.cursor is None:
            self.env.forget_options()
            self.params = ()
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
        engine = self.env.engine
        cursor: Any = None if self._reply is None else self._reply.cursor
        if cursor.__class__ is FeedCursor:
            cursor.opened(self.env)
        elif cursor is not None:
            engine.cursors[cursor] = OpenQuery(self.env)
        if self._later:
            engine.running.discard(self)
            self._done(self._reply)


class OpenQuery:
    """What `jobs` shows of a query whose cursor is open."""

    __slots__ = ("body", "client", "id", "started")

    def __init__(self, env: Env) -> None:
        self.id = env.id_if_asked  # or it is made when somebody asks
        self.body = env.body
        self.client = env.client
        self.started = env.started


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

    __slots__ = (
        "__weakref__",
        "_closed",
        "_finished",
        "_later",
        "_reply",
        "batches",
        "done",
        "env",
    )

    def __init__(self, env: Env, batches: Batches) -> None:
        env.note_rights()
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
        self.env.scheduler.spawn(self._run, self.env.client.usage)
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
            env.check_alive()
            rows = batch(env, self.batches)
            finished = self.batches.finished
            body = (SEQUENCE if finished else PARTIAL) + rows + NO_NOTES
            if env.profile is not None:
                body = profiled(env, body)
            reply = Reply(body, None if finished else self)
        except ReqlError as error:
            reply = failed(error, env.worked())
        except Killed:
            reply = Reply(b"")
        except Exception as error:
            reply = Reply(internal(error, env))
        env.end_batch()
        if reply.cursor is None:
            env.forget_options()
            env.engine.cursors.pop(self, None)
        self._reply = reply
        self._finished = True
        if self._later and not self._closed:
            self.done(reply)

    def kill(self, message: str) -> None:
        """Somebody ends the query; its client is told when it asks, or soon when it waits."""
        self.env.kill_message = message
        if self.env.wake is not None:
            self.env.scheduler.loop.call_soon(self.env.wake)

    def cancel(self) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.env.cancel()
            self.env.engine.cursors.pop(self, None)
            if self._finished:
                self.batches.close()
                self.env.forget_options()
