"""What one subscriber has yet to get.

Invariants:
  1. Messages about one row leave in commit order, each once; a message leaves only as part of a body handed to
     `deliver`, or through `take`.
  2. At most `queue_max` messages wait, of at most `queue_bytes` (not counting those to be merged). When there are more,
     all are dropped and counted, and the next body is a lone error message with the count.
  3. While the subscriber waits and nothing is queued, the body that its channel made for all is handed on as it is.
An idle subscription is this object and nothing else: there may be very many, so lists are made when they are filled
and what many have in common is one `Delivery`. `reql.feeds` derives the client's cursor from it; channels push.
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


class Subscription:
    """See the module. Subclasses say in `deliver` and `failed` where bodies and errors go."""

    __slots__ = (
        "_pending",
        "_timer",
        "closed",
        "delivery",
        "failure",
        "marks",
        "members",
        "queue",
        "queued_bytes",
        "skipped",
        "token",
        "unread",
        "waiting",
    )

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.queue: list[bytes] | None = None
        self.queued_bytes = 0  # of that, what came from channels
        self.skipped = 0
        self.waiting = False
        self.closed = False
        self.failure: ReqlError | None = None
        self.members: tuple[Membership, ...] = ()
        self.token: bytes | None = None  # of the last message that was taken, with resume tokens
        self.marks: Marks | None = None  # of a feed of several parts with resume tokens
        self.unread = 0  # queued messages without which a token would be too early
        self._pending: dict[Any, Pending] | None = None
        self._timer: Any = None

    # ---- what subclasses do

    def deliver(self, body: bytes) -> None:
        """The body the subscriber waits for."""
        raise NotImplementedError

    def failed(self, error: ReqlError) -> None:
        """The subscriber waits, and this is all it gets."""
        raise NotImplementedError

    # ---- from channels

    def push(self, channel: Any, batch: Batch) -> None:
        if not channel.merges:
            if self.waiting and not self.queue and not self.skipped and self._fits(batch):
                self._hand_on(batch)
                return
            self.put(batch.texts)
            self.queued_bytes += batch.size
        elif (
            self.waiting
            and not self.delivery.squash_s
            and not self.has_something
            and self._fits(batch)
        ):
            if batch.texts:
                self._hand_on(batch)
            return
        else:
            self._merge(channel, batch)
            if self.waiting and self.delivery.squash_s and not self._squash_over():
                return
        if self.waiting:
            self._serve()
        self._bound()

    def put(self, texts: list[bytes]) -> None:
        """Queues messages."""
        if self.queue is None:
            self.queue = list(texts)
        else:
            self.queue.extend(texts)

    def tell(self, texts: list[bytes]) -> None:
        """Messages for this subscriber alone."""
        self.put(texts)
        if self.waiting:
            self._serve()

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
        pending = self._pending
        if pending is None:
            pending = self._pending = {}
        waiting = pending.get(channel)
        if waiting is None:
            waiting = pending[channel] = channel.pending()
        waiting.add(batch)

    def _squash_over(self) -> bool:
        """Whether enough is merged to answer now; starts the clock if not."""
        delivery = self.delivery
        if self.queue or self.skipped or len(self) * 2 >= delivery.queue_max:
            return True
        if self._timer is None and delivery.call_later is not None:
            self._timer = delivery.call_later(delivery.squash_s, self._time_is_up)
        return False

    def _time_is_up(self) -> None:
        self._timer = None
        if self.waiting and not self.closed:
            self._serve()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _bound(self) -> None:
        count = len(self)
        delivery = self.delivery
        if count > delivery.queue_max or self.queued_bytes > delivery.queue_bytes:
            self.skipped += count
            self.queue = self._pending = None
            self.queued_bytes = 0

    def __len__(self) -> int:
        count = len(self.queue) if self.queue else 0
        if self._pending:
            count += sum([len(part) for part in self._pending.values()])
        return count

    def fail(self, error: ReqlError) -> None:
        """Nothing more comes; what is queued is still delivered before the error."""
        self.failure = error
        self.leave()
        if self.waiting and self.has_something:
            self._serve()
        elif self.waiting:
            self.waiting = False
            self.failed(error)

    def cut(self, error: ReqlError) -> None:
        """Nothing more comes, not even what is queued."""
        self.queue = self._pending = None
        self.skipped = 0
        self.fail(error)

    # ---- to the subscriber

    @property
    def has_something(self) -> bool:
        return bool(self.queue or self.skipped or self._pending)

    def wait(self) -> None:
        """The subscriber asks, and nothing may be taken now: what comes is delivered."""
        self.waiting = True
        if self._pending:
            self._squash_over()

    @property
    def may_take(self) -> bool:
        """Whether there is something that need not wait to be merged with more."""
        if self.queue or self.skipped:
            return True
        if not self._pending:
            return False
        return not self.delivery.squash_s or len(self) * 2 >= self.delivery.queue_max

    def _serve(self) -> None:
        texts = self.take()
        if texts:
            self.waiting = False
            self.deliver(self.body_of(texts))

    def take(self) -> list[bytes]:
        """The messages of the next body."""
        self._stop_timer()
        if self.skipped:
            text = messages.overflow(self.skipped, None if self.unread else self.token)
            self.skipped = self.unread = 0
            return [text]
        if self._pending:
            for pending in self._pending.values():
                self.put(pending.texts())
            self._pending = None
        texts, self.queue = self.queue, None
        left, self.queued_bytes = self.queued_bytes, 0
        if texts is None:
            return []
        count = self._count(texts)
        if count < len(texts):
            texts, self.queue = texts[:count], texts[count:]
            self.queued_bytes = max(0, left - sum(map(len, texts)))
        if self.token is not None or self.marks is not None:
            texts = self._noted(texts)
        return texts

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
        unread, self.unread = self.unread, max(0, self.unread - len(texts))
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

    def leave(self) -> None:
        self._stop_timer()
        members, self.members = self.members, ()
        for member in members:
            member.leave(self)

    def part_from(self, member: Membership) -> None:
        """Leaves one of those it belongs to."""
        self.members = tuple([each for each in self.members if each is not member])
        member.leave(self)

    def close(self) -> None:
        """Lets go of everything; may be called twice."""
        self.closed = True
        self.waiting = False
        self.queue = self._pending = None
        self.leave()

    def body_of(self, texts: list[bytes]) -> bytes:
        return messages.BODY_START + b",".join(texts) + self.delivery.end
