"""What one subscriber has yet to get.

Invariants:
  1. Messages about one row leave in commit order, each once; a message leaves only as part of a body handed to
     `deliver`, or through `take`.
  2. At most `queue_max` messages wait, of at most `queue_bytes` (not counting those to be merged). When there are more,
     all are dropped and counted, and the next body is a lone error message with the count.
  3. While the subscriber waits and nothing is queued, the body that its channel made for all is handed on as it is.
An idle subscription is this object and nothing else: there may be very many, so what waits has an object of its own
while something does (`Backlog`), and what many have in common is one `Delivery`. `reql.feeds` derives the client's
cursor from it; channels push.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from rethought.errors import ReqlError
from rethought.feed import messages
from rethought.feed.batch import Batch, Pending
from rethought.feed.resume import Marks

QUEUE_MAX: Final = 100_000
QUEUE_BYTES: Final = 256 << 20
ROWS_MAX: Final = 1 << 62

CallLater = Callable[[float, Callable[[], None]], Any]


class Delivery(NamedTuple):
    """How a subscriber gets its messages. `end` is what bodies end with: the notes."""

    end: bytes
    queue_max: int = QUEUE_MAX
    rows_max: int = ROWS_MAX  # of a body
    bytes_max: int = 1 << 20
    queue_bytes: int = QUEUE_BYTES
    squash_s: float = 0.0
    call_later: CallLater | None = None  # with `squash_s`


@lru_cache(maxsize=256)
def usual_delivery(
    end: bytes, queue_max: int, rows_max: int, bytes_max: int, queue_bytes: int
) -> Delivery:
    """The same object for all who ask for the same."""
    return Delivery(end, queue_max, rows_max, bytes_max, queue_bytes)


class Membership(Protocol):
    """What a subscription belongs to, and leaves at its end."""

    def leave(self, subscription: "Subscription") -> None: ...


class Backlog:
    """What waits for one subscriber, and what it is told at its end."""

    __slots__ = ("bytes", "failure", "pending", "queue", "skipped", "timer", "unread")

    def __init__(self) -> None:
        self.queue: list[bytes] = []
        self.bytes = 0  # of that, what came from channels
        self.skipped = 0
        self.unread = 0  # queued messages without which a token would be too early
        self.pending: dict[Any, Pending] = {}  # to be merged, by channel
        self.timer: Any = None
        self.failure: ReqlError | None = None

    def __len__(self) -> int:
        count = len(self.queue)
        if self.pending:
            count += sum([len(part) for part in self.pending.values()])
        return count

    @property
    def has_something(self) -> bool:
        return bool(self.queue or self.skipped or self.pending)

    def drop(self) -> None:
        self.queue = []
        self.pending = {}
        self.bytes = 0


class Subscription:
    """See the module. Subclasses say in `deliver` and `failed` where bodies and errors go."""

    __slots__ = ("backlog", "closed", "delivery", "marks", "members", "token", "waiting")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.backlog: Backlog | None = None  # while something waits
        self.waiting = False
        self.closed = False
        self.members: Membership | tuple[Membership, ...] = ()  # mostly there is one
        self.token: bytes | None = None  # of the last message that was taken, with resume tokens
        self.marks: Marks | None = None  # of a feed of several parts with resume tokens

    # ---- what subclasses do

    def deliver(self, body: bytes) -> None:
        """The body the subscriber waits for."""
        raise NotImplementedError

    def failed(self, error: ReqlError) -> None:
        """The subscriber waits, and this is all it gets."""
        raise NotImplementedError

    # ---- from channels

    def push(self, channel: Any, batch: Batch) -> None:
        merges = channel.merges
        if (
            self.waiting
            and self.backlog is None
            and self._fits(batch)
            and not (merges and self.delivery.squash_s)
        ):
            if batch.texts:
                self._hand_on(batch)
            return
        if merges:
            self._merge(channel, batch)
            if self.waiting and self.delivery.squash_s and not self._squash_over():
                return
        else:
            self.put(batch.texts)
            self._behind().bytes += batch.size
        if self.waiting:
            self._serve()
        self._bound()

    def _behind(self) -> Backlog:
        backlog = self.backlog
        if backlog is None:
            backlog = self.backlog = Backlog()
        return backlog

    def put(self, texts: list[bytes]) -> None:
        """Queues messages."""
        if texts:
            self._behind().queue.extend(texts)

    def tell(self, texts: list[bytes]) -> None:
        """Messages for this subscriber alone."""
        self.put(texts)
        if self.waiting:
            self._serve()

    def read_first(self) -> None:
        """What is queued (or was skipped) has no tokens, and those of what follows would leave it out."""
        if self.backlog is not None:
            self.backlog.unread = self.backlog.skipped + len(self.backlog.queue)

    def _hand_on(self, batch: Batch) -> None:
        self.waiting = False
        if self.marks is not None:
            self.deliver(self.body_of(self._noted(batch.texts)))
            return
        if self.token is not None:
            self._noted(batch.texts)
        self.deliver(batch.body(self.delivery.end))

    def _fits(self, batch: Batch) -> bool:
        _, _, rows_max, bytes_max, *_ = self.delivery
        return len(batch.texts) <= rows_max and batch.size <= bytes_max

    def _merge(self, channel: Any, batch: Batch) -> None:
        pending = self._behind().pending
        waiting = pending.get(channel)
        if waiting is None:
            waiting = pending[channel] = channel.pending()
        waiting.add(batch)

    def _squash_over(self) -> bool:
        """Whether enough is merged to answer now; starts the clock if not."""
        delivery, backlog = self.delivery, self._behind()
        if backlog.queue or backlog.skipped or len(backlog) * 2 >= delivery.queue_max:
            return True
        if backlog.timer is None and delivery.call_later is not None:
            backlog.timer = delivery.call_later(delivery.squash_s, self._time_is_up)
        return False

    def _time_is_up(self) -> None:
        if self.backlog is not None:
            self.backlog.timer = None
        if self.waiting and not self.closed:
            self._serve()

    def _stop_timer(self) -> None:
        backlog = self.backlog
        if backlog is not None and backlog.timer is not None:
            backlog.timer.cancel()
            backlog.timer = None

    def _bound(self) -> None:
        backlog = self.backlog
        if backlog is None:
            return
        count = len(backlog)
        delivery = self.delivery
        if count > delivery.queue_max or backlog.bytes > delivery.queue_bytes:
            backlog.skipped += count
            backlog.drop()

    def __len__(self) -> int:
        return 0 if self.backlog is None else len(self.backlog)

    @property
    def failure(self) -> ReqlError | None:
        """Why nothing more comes."""
        return None if self.backlog is None else self.backlog.failure

    def fail(self, error: ReqlError) -> None:
        """Nothing more comes; what is queued is still delivered before the error."""
        self._behind().failure = error
        self.leave()
        if self.waiting and self.has_something:
            self._serve()
        elif self.waiting:
            self.waiting = False
            self.failed(error)

    def cut(self, error: ReqlError) -> None:
        """Nothing more comes, not even what is queued."""
        backlog = self._behind()
        backlog.drop()
        backlog.skipped = 0
        self.fail(error)

    # ---- to the subscriber

    @property
    def has_something(self) -> bool:
        return self.backlog is not None and self.backlog.has_something

    def wait(self) -> None:
        """The subscriber asks, and nothing may be taken now: what comes is delivered."""
        self.waiting = True
        if self.backlog is not None and self.backlog.pending:
            self._squash_over()

    @property
    def may_take(self) -> bool:
        """Whether there is something that need not wait to be merged with more."""
        backlog = self.backlog
        if backlog is None:
            return False
        if backlog.queue or backlog.skipped:
            return True
        if not backlog.pending:
            return False
        return not self.delivery.squash_s or len(backlog) * 2 >= self.delivery.queue_max

    def _serve(self) -> None:
        texts = self.take()
        if texts:
            self.waiting = False
            self.deliver(self.body_of(texts))

    def take(self) -> list[bytes]:
        """The messages of the next body."""
        backlog = self.backlog
        if backlog is None:
            return []
        self._stop_timer()
        if backlog.skipped:
            text = messages.overflow(backlog.skipped, None if backlog.unread else self.token)
            backlog.skipped = backlog.unread = 0
            self._forget_backlog()
            return [text]
        for pending in backlog.pending.values():
            backlog.queue += pending.texts()
        backlog.pending = {}
        texts, backlog.queue = backlog.queue, []
        left, backlog.bytes = backlog.bytes, 0
        count = self._count(texts)
        if count < len(texts):
            texts, backlog.queue = texts[:count], texts[count:]
            backlog.bytes = max(0, left - sum(map(len, texts)))
        if texts and (self.token is not None or self.marks is not None):
            texts = self._noted(texts)
        self._forget_backlog()
        return texts

    def _forget_backlog(self) -> None:
        backlog = self.backlog
        if backlog is not None and not backlog.has_something and backlog.failure is None:
            self.backlog = None

    def _count(self, queue: list[bytes]) -> int:
        """How many messages fit into one body."""
        _, _, rows_max, bytes_max, *_ = self.delivery
        if len(queue) <= rows_max and sum(map(len, queue)) < bytes_max:
            return len(queue)
        rows = min(len(queue), rows_max)
        size = 0
        for at in range(rows):
            size += len(queue[at])
            if size >= bytes_max:
                return at + 1
        return rows

    def _noted(self, texts: list[bytes]) -> list[bytes]:
        """Remembers the last token of messages that leave; those of a feed of several parts get theirs here."""
        unread = 0
        if self.backlog is not None:
            unread = self.backlog.unread
            self.backlog.unread = max(0, unread - len(texts))
        marks = self.marks
        if marks is None:
            for text in reversed(texts):
                token = messages.token_in(text)
                if token is not None:
                    self.token = token
                    break
            return texts
        made = []
        for at, text in enumerate(texts):
            token = messages.token_in(text)
            if token is not None:
                token = None if at < unread else marks.told(token)
                text = messages.with_other_token(text, token)
                self.token = token or self.token
            made.append(text)
        return made

    # ---- the end

    def belong_to(self, member: Membership) -> None:
        """From now on, until it leaves."""
        members = self.members
        self.members = member if members == () else (*_each(members), member)

    def leave(self) -> None:
        self._stop_timer()
        members, self.members = self.members, ()
        for member in _each(members):
            member.leave(self)

    def part_from(self, member: Membership) -> None:
        """Leaves one of those it belongs to."""
        rest = tuple([each for each in _each(self.members) if each is not member])
        self.members = rest[0] if len(rest) == 1 else rest
        member.leave(self)

    def close(self) -> None:
        """Lets go of everything; may be called twice."""
        self.closed = True
        self.waiting = False
        self.leave()
        if self.backlog is not None:
            self.backlog.drop()

    def body_of(self, texts: list[bytes]) -> bytes:
        return messages.BODY_START + b",".join(texts) + self.delivery.end


def _each(members: Membership | tuple[Membership, ...]) -> tuple[Membership, ...]:
    return members if isinstance(members, tuple) else (members,)


def members_of(subscription: Subscription) -> tuple[Membership, ...]:
    """What it belongs to."""
    return _each(subscription.members)
