"""New resume tokens for subscribers who hear nothing.

A token is good as long as the journal reaches back to it. Whoever follows something quiet would keep the token of the
last message, and could not go on after a cut though nothing was missed. What always holds: a subscriber with states and
tokens gets the state `ready` again, with a token of now, when its token falls out of the younger half of the journal
(counted in commits); who has messages waiting gets none, since those have tokens; a database that rests costs nothing.
`opening` makes one when a feed is live, a hub asks it when enough was committed.
"""

from collections.abc import Callable

from rethought.feed import messages
from rethought.feed.resume import Mark, text_of
from rethought.feed.source import Source
from rethought.feed.subscription import Subscription


class Heartbeat:
    """See the module. A membership of the subscription: it ends with it."""

    __slots__ = ("_marks", "_told", "_types", "subscription")

    def __init__(
        self,
        subscription: Subscription,
        sources: set[Source],
        marks: Callable[[], list[Mark] | None],
        *,
        types: bool,
    ) -> None:
        self.subscription = subscription
        self._marks = marks
        self._types = types
        self._told = {source: source.seq for source in sources}  # what its token tells at least
        subscription.belong_to(self)
        for source in sources:
            source.hearts.add(self)
            source.expect_beat()

    def leave(self, subscription: Subscription) -> None:
        for source in self._told:
            source.hearts.discard(self)

    def beat(self, source: Source) -> None:
        """Enough was committed to look whether the token gets old."""
        first, newest = source.first_seq, source.seq
        if self._told[source] >= first + (newest - first) // 2:
            return
        subscription = self.subscription
        marks = None if subscription.has_something else self._marks()
        if marks is not None and not subscription.has_something:
            state = messages.state(b"ready", types=self._types, token=text_of(marks))
            subscription.tell([state])
        self._told = {source: source.seq for source in self._told}
