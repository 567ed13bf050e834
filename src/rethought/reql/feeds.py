"""Feeds as streams, and their cursors.

Purpose: `changes` makes a `FeedSource`; a query that ends in one gets a cursor here. When nothing stands after CHANGES
the cursor is the subscription itself: no greenlet, no environment, bodies made once for all who follow the same.
Otherwise (`feed_pump`) the stream's operators run in a greenlet that waits for changes.
What always holds: the first batch leaves at once, even if it is empty; a feed that is stopped, or whose client goes, is
gone from every list; read permission is checked again before anything leaves. Called by the engine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from rethought.catalog.permissions import ADMIN
from rethought.conversation import Reply, Running
from rethought.datum.keys import primary_key as encode_key
from rethought.errors import (
    OpIndeterminateError,
    PermissionDeniedError,
    QueryLogicError,
    ReqlError,
)
from rethought.exec.chunk import Chunk
from rethought.exec.cursor import BatchSize
from rethought.exec.env import Env, Killed
from rethought.exec.ops import Operator
from rethought.exec.ruled import TableOver
from rethought.exec.table import check_readable
from rethought.exec.values import Source, Stream, is_datum
from rethought.feed.channel import Form, form_of_rows
from rethought.feed.limit import LimitFamily
from rethought.feed.messages import LIMIT, POINT, UNION, body_end
from rethought.feed.opening import LimitPart, Opening, Part, RangePart
from rethought.feed.resume import Mark, Origin, check, check_parts
from rethought.feed.subscription import Delivery, Subscription, members_of, usual_delivery
from rethought.feed.view import FindIndex, View
from rethought.reql.feed_rows import RowTransform, determinism, shared
from rethought.reql.feed_sources import feeds_of, index_finder
from rethought.reql.feed_text import SourceText, constants_of
from rethought.reql.responses import failure, internal
from rethought.reql.spec import Determinism

Done = Callable[[Reply], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """The optional arguments of CHANGES. `squash` is true, false or seconds."""

    squash: bool | float = False
    queue_max: int = 100_000
    initial: bool = False
    states: bool = False
    types: bool = False
    offsets: bool = False
    tokens: bool = False
    resume: list[Mark] | None = None

    @property
    def squash_s(self) -> float:
        return 0.0 if isinstance(self.squash, bool) else self.squash

    @property
    def merges(self) -> bool:
        return self.squash is not False


@dataclass(frozen=True, slots=True)
class Followed:
    """A part of a table that a feed follows. `limit` and `descending` are of LIMIT feeds."""

    kind: int
    table: Any
    view: View
    ops: tuple[Operator, ...] = ()
    limit: int = 0
    descending: bool = False


@dataclass(frozen=True, slots=True)
class FeedSource(Source):
    """A feed as the source of a stream. Nothing is followed before somebody reads."""

    followed: list[Followed]
    settings: Settings
    text: SourceText | None = None  # where nothing but it and the parameters matter
    params: Any = ()

    feed = True
    infinite = True

    @property
    def kind(self) -> int:
        kinds = {part.kind for part in self.followed}
        return kinds.pop() if len(kinds) == 1 else UNION

    @property
    def end(self) -> bytes:
        return body_end(self.kind, states=self.settings.states)

    def chunks(self, env: Env, want: int) -> Iterator[Chunk]:
        from rethought.reql.feed_pump import read

        return read(env, self)

    def opening(self, env: Env, subscription: Subscription) -> Opening:
        """What joins a subscription to this feed. Raises when that cannot be."""
        settings = self.settings
        if settings.resume is not None:
            check_parts(settings.resume, len(self.followed))
        parts = [self._part(env, number, part) for number, part in enumerate(self.followed)]
        return Opening(
            subscription,
            parts,
            initial=settings.initial,
            states=settings.states,
            types=settings.types,
            tokens=settings.tokens,
            resume=settings.resume,
        )

    def _part(self, env: Env, number_of_part: int, part: Followed) -> Part:
        settings = self.settings
        handle = part.table.handle
        check_readable(env, handle)
        if settings.tokens or settings.resume is not None:
            _refuse_tokens(part)
        find_index = index_finder(handle)
        origin, resume = None, None
        if settings.tokens or settings.resume is not None:
            origin = self._origin(number_of_part, part, find_index)
        if settings.resume is not None:
            assert origin is not None
            resume = settings.resume[number_of_part]
            if part.view.index is not None:
                part.table.index(part.view.index)  # raises when it is not there
            group = handle.group
            check(resume, origin, group.journal_first_seq, group.seq, self._form(part))
        if not settings.tokens:
            origin = None
        source, number = feeds_of(env.engine).source(env, part.table)
        if isinstance(part.table, TableOver):
            part.table.followed()
        transform, constants = self._transform(env, number_of_part, part)
        form = Form(settings.types, origin, settings.merges)
        if part.kind == LIMIT:
            name = part.view.index
            family = LimitFamily(
                source,
                number,
                name,
                None if name is None else find_index(name),
                _key_function(part.table.primary_key),
                transform,
                form,
                descending=part.descending,
                offsets=settings.offsets,
            )
            return LimitPart(
                source, family, part.view, part.limit, constants, find_index, resume=resume
            )
        return RangePart(
            source,
            number,
            part.view,
            find_index,
            transform,
            constants,
            form,
            point=part.kind == POINT,
            resume=resume,
        )

    def _transform(
        self, env: Env, number: int, part: Followed
    ) -> tuple[RowTransform | None, bytes | None]:
        """What stands before CHANGES, one for all feeds that differ in constants, and the constants of this one."""
        rule = part.table.rule
        ruled = rule is not None and rule.read is not None
        ops = (rule.read, *part.ops) if ruled else part.ops
        if not ops:
            return None, None
        text = self.text
        # A filter with a default tells of rows without the field, too.
        told = len(self.followed) == 1 and not any(getattr(op, "default", None) for op in ops)
        known = text if told else None
        options = _global_options(env)
        steady = all(determinism(op) != Determinism.NEVER for op in part.ops)
        if text is None or options is None or not steady:
            return RowTransform(env, ops, known, self.params), None
        transforms = feeds_of(env.engine).transforms
        if ruled:
            if options or text.shape is None or any(map(determinism, part.ops)):
                return RowTransform(env, ops, known, self.params), None
            constants = constants_of(text, self.params)
            same = (text.shape, number, constants, rule)
            transform = transforms.get(same)
            if transform is None:
                transform = transforms[same] = RowTransform(env, ops, known, self.params)
            return transform, constants
        found = shared(env, ops, text, known, self.params, options)
        if found is None:
            return RowTransform(env, ops, known, self.params), None
        # By number, as the parts of a union tell different things of their rows.
        transform = transforms.setdefault((number, known is None, found.key), found.transform)
        return transform, found.constants

    def _form(self, part: Followed) -> int:
        settings = self.settings
        if not settings.merges and part.kind != LIMIT:
            return 0
        return form_of_rows(
            part.view,
            part.limit,
            descending=part.descending,
            offsets=settings.offsets,
            merges=settings.merges,
        )

    def _origin(self, number: int, part: Followed, find_index: FindIndex) -> Origin:
        name = part.view.index

        def index_number() -> int:
            geo = part.view.region is not None
            found = None if name is None else find_index(name, geo=geo)
            return 0 if found is None else found[0]

        return Origin(
            _table_bytes(part.table.handle.id),
            name,
            number if len(self.followed) > 1 else None,
            epoch_of=part.table.handle.group.epoch_of,
            index_number=index_number,
        )


@lru_cache(maxsize=256)
def _key_function(primary_key: str) -> Callable[[Any], bytes]:
    """Gives the encoded primary key of a document."""
    return lambda row: encode_key(row[primary_key])


def _global_options(env: Env) -> dict[str, Any] | None:
    """The values of the query's global options, of which terms in a row's function may take theirs; None when one is no
    data."""
    found = {}
    for name, call in env.defaults.fallback.items():
        try:
            value = call()
        except ReqlError:
            return None
        if not is_datum(value):
            return None
        found[name] = value
    return found


def _refuse_tokens(part: Followed) -> None:
    if part.table.handle.system:
        raise QueryLogicError("System tables keep no journal: their feeds have no resume tokens.")


def _table_bytes(id_: str) -> bytes:
    return bytes.fromhex(id_.replace("-", ""))


class Guard:
    """Whether a client may still read what it follows, by the rules it began with."""

    __slots__ = ("_client", "_feeds", "_followed")

    def __init__(self, env: Env, source: FeedSource) -> None:
        self._feeds = feeds_of(env.engine)
        self._client = client = env.client
        handles = [part.table.handle for part in source.followed]
        self._followed = [(handle, client.rules.get(handle.id)) for handle in handles]

    def watch(self, subscription: Subscription) -> None:
        """From now on, the subscription ends when a right is taken."""
        self._feeds.guarded[subscription] = self

    def forget(self, subscription: Subscription) -> None:
        self._feeds.guarded.pop(subscription, None)

    def refusal(self) -> ReqlError | None:
        try:
            for handle, rules in self._followed:
                self._client.require("read", handle)
                if self._client.rules.get(handle.id) is not rules:
                    raise PermissionDeniedError(
                        f"The rules of user `{self._client.user}` for table "
                        f"`{handle.db.name}.{handle.name}` have changed."
                    )
        except ReqlError as error:
            error.frames = ()
            return error
        return None


def guard_of(env: Env, source: FeedSource) -> Guard | None:
    return None if env.client.user == ADMIN else Guard(env, source)


# ---- what the engine calls


def feed_cursor(query: Any, env: Env, stream: Stream) -> tuple[bytes, Any]:
    """The first batch of a query whose value is a feed, and its cursor."""
    from rethought.reql.feed_pump import PumpCursor, merged

    if isinstance(stream.source, FeedSource) and not stream.ops:
        cursor = FeedCursor(env, stream.source)
        return cursor.start(), cursor
    pump = PumpCursor(env, merged(stream))
    body, finished = pump.start()
    return body, None if finished else pump


class _Reading:
    """What a cursor needs until it is live: `reply` is the answer when the client was not told to wait (`later`)."""

    __slots__ = ("env", "later", "opening", "reply")

    def __init__(self, env: Env, opening: Opening) -> None:
        self.env = env
        self.opening = opening
        self.reply: Reply | None = None
        self.later = False


def _delivery(env: Env, source: FeedSource) -> Delivery:
    settings, size = source.settings, BatchSize(env)
    queue_bytes = env.limits.changefeed_queue_bytes
    usual = usual_delivery(
        source.end, settings.queue_max, size.rows_max, size.bytes_max, queue_bytes
    )
    if not settings.squash_s:
        return usual
    return usual._replace(squash_s=settings.squash_s, call_later=env.scheduler.loop.call_later)


class FeedCursor(Subscription):
    """A subscription that is its own cursor, and what `jobs` shows of its query."""

    __slots__ = ("_done", "_guard", "_reading", "body", "client", "id", "started")

    def __init__(self, env: Env, source: FeedSource) -> None:
        super().__init__(_delivery(env, source))
        self.id: str | None = None  # once somebody has asked for it
        self.body: bytes | None = None  # once the first batch has left
        self.client = env.client
        self.started = env.started
        self._done: Done | None = None
        self._guard = guard_of(env, source)
        if self._guard is not None:
            self._guard.watch(self)
        self._reading: _Reading | None = _Reading(env, source.opening(env, self))

    def opened(self, env: Env) -> None:
        """The first batch is complete: from now on the query is this cursor."""
        self.id = env.id_if_asked
        self.body = env.body
        if self._reading is None:
            self._let_go(env)

    def _let_go(self, env: Env) -> None:
        """Nothing is read any more: the query's environment is needed by a transformation at most."""
        for member in members_of(self):
            family = getattr(member, "family", None)
            if family is not None and family.transform is not None and family.transform.is_of(env):
                return
        env.forget_options()

    def start(self) -> bytes:
        """Begins to follow; the first batch."""
        assert self._reading is not None
        try:
            self._reading.opening.begin()
        except BaseException:
            self.close()
            raise
        if self._reading.opening.done:
            self._reading = None
        return self.body_of(self.take())

    # ---- the wire's side

    def more(self, done: Done) -> Reply | Running:
        if self._reading is not None:
            return self._read_on(done)
        if self._guard is not None:
            refusal = self._guard.refusal()
            if refusal is not None:
                return self._ended(refusal)
        if self.may_take:
            texts = self.take()
            if texts:
                return Reply(self.body_of(texts), self)
        if self.failure is not None:
            return self._ended(self.failure)
        self._done = done
        self.wait()
        return self

    def cancel(self) -> None:
        self.close()

    def close(self) -> None:
        self._done = None
        if self._reading is not None:
            self._reading.env.cancel()
            self._reading = None
        if self._guard is not None:
            self._guard.forget(self)
        super().close()

    def kill(self, message: str) -> None:
        """Somebody ends the query; its client is told when it asks, or now when it waits."""
        if self._reading is not None:
            self._reading.env.kill_message = message
        self.cut(OpIndeterminateError(message))

    def _ended(self, error: ReqlError) -> Reply:
        self.close()
        return Reply(failure(error))

    # ---- the channels' side

    def deliver(self, body: bytes) -> None:
        done, self._done = self._done, None
        refusal = None if self._guard is None else self._guard.refusal()
        reply = Reply(body, self) if refusal is None else self._ended(refusal)
        if done is not None:
            done(reply)

    def failed(self, error: ReqlError) -> None:
        done, self._done = self._done, None
        reply = self._ended(error)
        if done is not None:
            done(reply)

    # ---- while there is still something to read

    def _read_on(self, done: Done) -> Reply | Running:
        assert self._reading is not None
        self._done = done
        reading = self._reading
        reading.later = False
        reading.env.scheduler.spawn(partial(self._read, reading), reading.env.client.usage)
        reply, reading.reply = reading.reply, None
        if reply is not None:
            return reply
        reading.later = True
        return self

    def _read(self, reading: _Reading) -> None:
        """Reads until there is something to send, or nothing left to read. In a greenlet."""
        env, opening = reading.env, reading.opening
        env.new_slice()
        done = self._done
        try:
            env.check_alive()
            while not (self.has_something or opening.done or self.failure):
                opening.step()
                env.tick()
            reply = self._read_reply(opening)
        except Killed:
            return
        except ReqlError as error:
            if self.closed:
                return
            reply = self._ended(error)
        except Exception as error:
            self.close()
            reply = Reply(internal(error, env))
        if reply is None:  # live, and nothing has happened yet
            self.wait()
            return
        self._done = None
        if not reading.later:
            reading.reply = reply
        elif done is not None:
            done(reply)

    def _read_reply(self, opening: Opening) -> Reply | None:
        if opening.done and self._reading is not None:
            self._let_go(self._reading.env)
            self._reading = None
        refusal = None if self._guard is None else self._guard.refusal()
        if refusal is not None:
            return self._ended(refusal)
        texts = self.take() if self.has_something else []
        if texts:
            return Reply(self.body_of(texts), self)
        return None if self.failure is None else self._ended(self.failure)


__all__ = ["FeedCursor", "FeedSource", "Followed", "Settings", "feed_cursor"]
