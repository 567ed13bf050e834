"""New resume tokens for subscribers who hear nothing.

A token is good as long as the journal reaches back to it. Whoever follows something quiet would keep the token of the
last message, and could not go on after a cut though nothing was missed. What always holds: a subscriber with states and
tokens gets the state `ready` again, with a token of now, when its token falls out of the younger half of the journal
(counted in commits), once that holds more than half of what is kept; who has messages waiting gets none, since those
have tokens; a database that rests costs nothing.
`opening` lets a feed join when it is live, a hub asks when enough was committed. One for all whose tokens are alike.
"""

from collections.abc import Hashable

from rethought.feed import messages
from rethought.feed.resume import Origin, text_of
from rethought.feed.source import Source
from rethought.feed.subscription import Subscription

Place = tuple[Source, Origin]
"""Where a part of a feed is, and what its tokens are like."""


def keep_young(subscription: Subscription, places: tuple[Place, ...], *, types: bool) -> None:
    """From now on, until the subscription ends."""
    key = (tuple([origin for _, origin in places]), types)
    heart = places[0][0].hearts.get(key)
    if heart is None:
        heart = Heartbeat(key, places, types=types)
    heart.join(subscription)


class Heartbeat:
    """See the module. A membership of its subscriptions."""

    __slots__ = ("_key", "_now", "_places", "_told", "_types")

    def __init__(self, key: Hashable, places: tuple[Place, ...], *, types: bool) -> None:
        self._key = key
        self._places = places
        self._types = types
        self._now: tuple[int, ...] = ()
        self._told: dict[Subscription, tuple[int, ...]] = {}  # what its token tells at least
        for source, _ in places:
            source.hearts[key] = self

    def join(self, subscription: Subscription) -> None:
        self._told[subscription] = self._newest()
        subscription.belong_to(self)
        for source, _ in self._places:
            source.expect_beat()

    def leave(self, subscription: Subscription) -> None:
        self._told.pop(subscription, None)
        if not self._told:
            for source, _ in self._places:
                source.hearts.pop(self._key, None)

    def _newest(self) -> tuple[int, ...]:
        """The newest commits, one object for all who join between two."""
        now = tuple([source.seq for source, _ in self._places])
        if now != self._now:
            self._now = now
        return self._now

    def beat(self, source: Source) -> None:
        """Enough was committed to look whose token gets old."""
        first, newest = source.first_seq, source.seq
        young = first + (newest - first) // 2
        at = [place[0] for place in self._places].index(source)
        old = [subscription for subscription, told in self._told.items() if told[at] < young]
        if not old:
            return
        for each, _ in self._places:
            each.settle()
        token = text_of([origin.mark(each.seq) for each, origin in self._places])
        state = messages.state(b"ready", types=self._types, token=token)
        now = self._newest()
        for subscription in old:
            if subscription in self._told:  # or it has ended meanwhile
                self._told[subscription] = now
                if not subscription.has_something:
                    subscription.tell([state])
