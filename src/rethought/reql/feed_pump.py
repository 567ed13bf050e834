"""Feeds with terms after CHANGES: a greenlet that waits for changes inside the stream.

What always holds: the stream's generators run in one greenlet at a time; when nothing has changed it is parked
inside the source, and what was collected has been sent before; while no CONTINUE is outstanding nothing is evaluated,
changes wait in the subscription's bounded queue. A feed that is read where no cursor is (inside another term) waits as
any other query does. Made by `reql.feeds`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from greenlet import getcurrent, greenlet

from rethought.conversation import Reply, Running
from rethought.errors import ReqlError
from rethought.exec.chunk import Chunk
from rethought.exec.cursor import BatchSize
from rethought.exec.env import Env, Killed
from rethought.exec.ops import Operator, Slice, apply_all
from rethought.exec.values import Source, Stream
from rethought.feed.batch import Batch
from rethought.feed.messages import BODY_START, body_end
from rethought.feed.subscription import Delivery, Subscription
from rethought.reql.feed_sources import feeds_of
from rethought.reql.feeds import Done, FeedSource, guard_of
from rethought.reql.responses import failure, internal
from rethought.reql.terms.ordering import Union

LAST_START = b'{"t":2,"r":['


class Tap(Subscription):
    """A subscription that is read by a stream: it says when there is something."""

    __slots__ = ("on_ready",)

    def __init__(self, env: Env, source: FeedSource) -> None:
        settings = source.settings
        later = env.scheduler.loop.call_later
        super().__init__(
            Delivery(
                b"",
                settings.queue_max,
                queue_bytes=env.limits.changefeed_queue_bytes,
                squash_s=settings.squash_s,
                call_later=later,
            )
        )
        self.on_ready: Callable[[], None] = _nothing

    def _fits(self, batch: Batch) -> bool:
        """Nothing is handed on past the queue."""
        return False

    def _serve(self) -> None:
        self.waiting = False
        self.on_ready()

    def failed(self, error: ReqlError) -> None:
        self.on_ready()


def _nothing() -> None:
    """Nobody waits yet."""


def read(env: Env, source: FeedSource) -> Iterator[Chunk]:
    """The feed's messages; waits when there are none."""
    return _read(env, [(source, ())])


class Merged(Source):
    """Several feeds, and before them streams that end."""

    feed = True
    infinite = True

    def __init__(
        self, first: list[Stream], feeds: list[tuple[FeedSource, tuple[Operator, ...]]]
    ) -> None:
        self.first = first
        self.feeds = feeds

    def chunks(self, env: Env, want: int) -> Iterator[Chunk]:
        for stream in self.first:
            yield from stream.chunks(env)
        yield from _read(env, self.feeds)


def merged(stream: Stream) -> Stream:
    """A union of feeds as one source, so that none of them keeps the others waiting."""
    union = stream.source
    if not isinstance(union, Union):
        return stream
    first = [part for part in union.parts if not part.feed]
    feeds = []
    for part in union.parts:
        if not part.feed:
            continue
        if not isinstance(part.source, FeedSource) or any(isinstance(op, Slice) for op in part.ops):
            return stream
        feeds.append((part.source, part.ops))
    return Stream(Merged(first, feeds), stream.ops)


def _read(env: Env, feeds: list[tuple[FeedSource, tuple[Operator, ...]]]) -> Iterator[Chunk]:
    taps = [(Tap(env, source), source, ops) for source, ops in feeds]
    try:
        openings = []
        for tap, source, _ in taps:
            opening = source.opening(env, tap)
            opening.begin()
            openings.append(opening)
        guards = [guard_of(env, source) for _, source, _ in taps]
        for (tap, _, _), guard in zip(taps, guards, strict=True):
            if guard is not None:
                guard.watch(tap)
        while True:
            idle = True
            for (tap, _, ops), opening, guard in zip(taps, openings, guards, strict=True):
                if not (opening.done or tap.has_something or tap.failure):
                    opening.step()
                    env.tick()
                    idle = False
                if not tap.may_take:
                    if tap.failure is not None:
                        raise tap.failure
                    continue
                texts = tap.take()
                if not texts:
                    continue
                idle = False
                refusal = None if guard is None else guard.refusal()
                if refusal is not None:
                    raise refusal
                chunk = apply_all(env, ops, Chunk(len(texts), docs=texts))
                if chunk.count:
                    yield chunk
            if idle:
                _wait(env, [tap for tap, _, _ in taps])
    finally:
        for tap, _, _ in taps:
            feeds_of(env.engine).guarded.pop(tap, None)
            tap.close()


def _wait(env: Env, taps: list[Tap]) -> None:
    """Until one of them has something, or has failed."""
    pump: PumpCursor | None = feeds_of(env.engine).cursors.get(env)
    for tap in taps:
        tap.wait()
    if pump is not None:
        for tap in taps:
            tap.on_ready = pump.wake
        pump.park(taps)
        return
    future = env.scheduler.loop.create_future()
    for tap in taps:
        tap.on_ready = lambda: None if future.done() else future.set_result(None)
    env.wait(future)


class PumpCursor:
    """See the module. `_done` is set while the client waits for a batch."""

    __slots__ = (
        "__weakref__",
        "_active",
        "_closed",
        "_count",
        "_done",
        "_held",
        "_later",
        "_parked",
        "_reply",
        "_rows",
        "_size",
        "_starter",
        "_wanted",
        "_woken",
        "chunks",
        "end",
        "env",
        "filled",
    )

    def __init__(self, env: Env, stream: Stream) -> None:
        self.env = env
        self.end = body_end(kind_of(stream.source), states=_tells_states(stream.source))
        self.chunks = stream.chunks(env)
        self.filled = 0  # bytes
        self._size = BatchSize(env)
        self._rows: list[bytes] = []
        self._count = 0
        self._held: Chunk | None = None
        self._done: Done | None = None
        self._wanted = False
        self._later = False
        self._reply: Reply | BaseException | None = None
        self._active = False
        self._parked: greenlet | None = None
        self._starter: greenlet | None = None
        self._woken = False
        self._closed = False

    # ---- the engine's side

    def start(self) -> tuple[bytes, bool]:
        """The first batch, and whether it was the last. Called in the query's own greenlet."""
        feeds_of(self.env.engine).cursors[self.env] = self
        self._wanted = True
        self.env.scheduler.spawn(self._run, self.env.client.usage)
        if self._reply is None:
            me = getcurrent()
            assert me.parent is not None
            self._starter = me
            me.parent.switch()
        reply = self._ready_reply()
        if isinstance(reply, BaseException):
            raise reply
        assert isinstance(reply, Reply)
        return reply.body, reply.cursor is None

    def _first(self, reply: Reply | BaseException) -> None:
        """Hands the first batch to `start`."""
        self._reply = reply
        starter, self._starter = self._starter, None
        if starter is not None:

            def resume() -> None:
                starter.parent = getcurrent()
                starter.switch()

            self.env.scheduler.loop.call_soon(resume)

    # ---- the wire's side

    def more(self, done: Done) -> Reply | Running:
        self._done = done
        self._wanted = True
        self._later = False
        self._reply = None
        if self._parked is not None:
            if self._woken:
                self._resume()
        elif not self._active:
            self.env.scheduler.spawn(self._run, self.env.client.usage)
        reply = self._ready_reply()
        if isinstance(reply, Reply):
            return reply
        self._later = True
        return self

    def _ready_reply(self) -> Reply | BaseException | None:
        reply, self._reply = self._reply, None
        return reply

    def cancel(self) -> None:
        self.close()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._done = None
        self.env.cancel()
        self._forget()
        if self._parked is not None:
            self._resume()
        elif not self._active:
            close: Any = getattr(self.chunks, "close", None)
            if close is not None:
                close()

    def kill(self, message: str) -> None:
        """Somebody ends the query; its client is told when it asks, or now when it waits."""
        self.env.kill_message = message
        self.wake()

    # ---- the stream's side

    def wake(self) -> None:
        """Something has changed. Nothing is evaluated here: whoever tells of it is in the midst of telling others."""
        self._woken = True
        if self._wanted:
            self.env.scheduler.loop.call_soon(self._resume)

    def _resume(self) -> None:
        parked = self._parked
        if parked is not None:
            self._parked = None
            parked.parent = getcurrent()
            parked.switch()

    def park(self, taps: list[Tap]) -> None:
        """Called in the stream's greenlet when there is nothing to read."""
        self._woken = False
        if self._wanted and (self._rows or self._done is None):
            self._deliver(self._batch(finished=False))
        if not any(tap.may_take or tap.failure is not None for tap in taps) or not self._wanted:
            me = getcurrent()
            assert me.parent is not None
            self._parked = me
            self.env.end_batch()
            if any(tap.may_take for tap in taps):
                self._woken = True
            me.parent.switch()
        if self._closed:
            raise Killed
        self.env.check_alive()
        self.env.new_slice()

    # ---- in between

    def _run(self) -> None:
        self._active = True
        self.env.new_slice()
        try:
            self.env.check_alive()
            finished = self._fill()
            reply = self._batch(finished=finished)
        except ReqlError as error:
            self._fail(error)
            return
        except Killed as killed:
            self._active = False
            if self._done is None and not self._closed:
                self._first(killed)
            return
        except Exception as error:
            self._fail(error)
            return
        self.env.end_batch()
        self._active = False
        if finished:
            self._forget()
        self._deliver(reply)

    def _fail(self, error: Exception) -> None:
        self._active = False
        self.env.end_batch()
        self._forget()
        if self._done is None and not self._closed:
            self._first(error)
        else:
            if isinstance(error, ReqlError):
                body = failure(error)
            else:
                body = internal(error, self.env)
            self._deliver(Reply(body))

    def _forget(self) -> None:
        engine = self.env.engine
        feeds_of(engine).cursors.pop(self.env, None)
        engine.cursors.pop(self, None)

    def _fill(self) -> bool:
        """Collects rows until a batch is full; True when there are no more."""
        size = self._size
        while self._count < size.rows_max and (
            self.filled < size.bytes_max or self._count < size.rows_min
        ):
            chunk, self._held = self._held, None
            if chunk is None:
                chunk = next(self.chunks, None)
                if chunk is None:
                    return True
            room = size.rows_max - self._count
            if chunk.count > room:
                self._held = chunk.slice(room, chunk.count)
                chunk = chunk.slice(0, room)
            data = chunk.joined()
            self._rows.append(data)
            self._count += chunk.count
            self.filled += len(data)
        return False

    def _batch(self, *, finished: bool) -> Reply:
        rows = b",".join(self._rows)
        self._rows = []
        self._count = self.filled = 0
        if finished:
            return Reply(LAST_START + rows + self.end)
        return Reply(BODY_START + rows + self.end, self)

    def _deliver(self, reply: Reply) -> None:
        self._wanted = False
        done, self._done = self._done, None
        if self._closed:
            return
        if done is None:
            self._first(reply)
        elif self._later:
            done(reply)
        else:
            self._reply = reply


def kind_of(source: Source) -> int:
    """The note of a feed that has terms after it."""
    if isinstance(source, FeedSource):
        return source.kind
    kinds = {kind_of(part.source) for part in _feeds_in(source)}
    if kinds:
        return kinds.pop() if len(kinds) == 1 else 4
    return int(getattr(source, "feed_kind", 1))


def _tells_states(source: Source) -> bool:
    if isinstance(source, FeedSource):
        return source.settings.states
    if getattr(source, "tells_states", False):
        return True
    return any(_tells_states(part.source) for part in _feeds_in(source))


def _feeds_in(source: Source) -> list[Stream]:
    if isinstance(source, Union):
        return [part for part in source.parts if part.feed]
    if isinstance(source, Merged):
        return [Stream(feed) for feed, _ in source.feeds]
    return []
