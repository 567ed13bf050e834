"""The feeds of first rows of one table, and finding those that a change touches.

What always holds: those whose rows a change cannot have touched are not asked: a channel is found by the keys up to
its last row, or by the value that its rows have in a field. Most channels rest (`limit`): when there are many, only
those keep rows that a change concerned lately. A family nobody listens to any more is gone. `tables` runs them.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Final, TypeVar

from rethought.errors import OpFailedError
from rethought.feed.channel import Channel, condition_of
from rethought.feed.hashed import Hashed, hash_of
from rethought.feed.intervals import Intervals
from rethought.feed.limit import NOWHERE, LimitChannel, LimitFamily
from rethought.feed.tick import Tick
from rethought.feed.view import FindIndex, View

KEPT_ROWS_MAX: Final = 2_000
"""Of all channels together; past that, those rest that no change concerned lately."""
LATELY: Final = 16
"""In so many of the last turns."""


class _Places:
    """Channels by an interval of keys or places, or by one of them."""

    __slots__ = ("between", "by_key")

    def __init__(self) -> None:
        self.by_key: Hashed[LimitChannel] = Hashed()
        self.between: Intervals[LimitChannel] = Intervals()

    def __bool__(self) -> bool:
        return bool(self.by_key or self.between)

    def touched(self, entries: list[tuple[list[bytes], list[bytes]]]) -> Iterator[LimitChannel]:
        """Those that may care about changes of rows with these keys before and after."""
        for old, new in entries:
            for key in (*old, *new) if old != new else old:
                yield from self.by_key.of(hash_of(key))
                if self.between:
                    yield from self.between.holding(key)


class LimitFeeds:
    """See the module. `on_left` is called when a channel is gone."""

    def __init__(self, find_index: FindIndex, on_left: Callable[[], None]) -> None:
        self._find_index = find_index
        self._on_left = on_left
        self._families: dict[Hashable, LimitFamily] = {}
        self._ordered: dict[str | None, _Places] = {}  # by index
        self._fields: dict[str, _Places] = {}
        # The last turn that concerned it, and its rows then; the oldest first.
        self._awake: dict[LimitChannel, tuple[int, int]] = {}
        self._rows = 0  # of all those
        self._turns = 0

    def __bool__(self) -> bool:
        return bool(self._families)

    @property
    def channels(self) -> list[LimitChannel]:
        return [channel for family in self._families.values() for channel in family.channels]

    def channel(
        self, family: LimitFamily, view: View, limit: int, constants: bytes | None
    ) -> LimitChannel:
        """The channel of these rows, made if it is not there yet: then it is to be opened when somebody has joined."""
        family = self._families.setdefault(family.key, family)
        family.owner = self
        new = LimitChannel(family, view, limit, constants)
        key = new.key
        for channel in family.channels.of(key):
            if channel.same(new):
                return channel
        family.channels.add(key, new)
        return new

    def open(self, channel: LimitChannel, *, initial: bool) -> list[bytes]:
        """Called when somebody has joined; the messages of initial values. All that was written is told."""
        is_new = channel.bound == NOWHERE
        if not (is_new or initial):
            return []
        asleep = channel.top is None
        if asleep:
            channel.wake(None)
        texts = channel.initial_texts() if initial else []
        if is_new:
            channel.bound = channel.exact_bound
            self._place(channel, added=True)
        if asleep:
            channel.top = None
        return texts

    def remove(self, channel: Channel) -> None:
        assert isinstance(channel, LimitChannel)
        family = channel.family
        family.channels.remove(channel.key, channel)
        if not family.channels:
            del self._families[family.key]
        if channel.bound != NOWHERE:
            self._place(channel, added=False)
        self._forget(channel)
        self._on_left()

    def _place(self, channel: LimitChannel, *, added: bool) -> None:
        """Puts a channel where it is found, or takes it away from there."""
        if not channel.limit or channel.view.empty:
            return
        condition = condition_of(channel.family.transform, channel.constants)
        if condition is None:
            _keep(self._ordered, channel.family.name, channel.interval, channel, added=added)
        elif condition.view.keys is None:
            for interval in condition.view.intervals:
                _keep(self._fields, condition.field, interval, channel, added=added)
        else:
            for key in condition.view.keys:
                _keep(self._fields, condition.field, hash_of(key), channel, added=added)

    def _move(self, channel: LimitChannel) -> None:
        """Puts a channel where its rows end now."""
        bound, top = channel.exact_bound, channel.top
        if bound != channel.bound:
            self._place(channel, added=False)
            channel.bound = bound
            self._place(channel, added=True)
        if top is not None:
            top.bound = top.boundary()

    # ---- a turn

    def run(self, tick: Tick) -> Iterator[int]:
        """Tells those whom a turn concerns, step by step, each giving how many messages it was."""
        self._turns += 1
        there = self._names_there()
        touched: dict[LimitChannel, None] = {}
        for name, places in self._ordered.items():
            if name is None:
                keys = [tick.keys(at) for at in range(len(tick.changes))]
                touched.update(dict.fromkeys(places.touched(keys)))
            elif name in there and (found := self._find_index(name)) is not None:
                touched.update(dict.fromkeys(places.touched(tick.entries(*found))))
        for field, places in self._fields.items():
            touched.update(dict.fromkeys(places.touched(tick.places(field))))
        for channel in touched:
            if channel.family.name in there and channel.subscriptions:
                yield self._run(channel, tick)
        if self._rows > KEPT_ROWS_MAX:
            self._let_rest()

    def _names_there(self) -> set[str | None]:
        """The indexes that are there. Those that were replaced end their feeds."""
        there: set[str | None] = set()
        for family in list(self._families.values()):
            name, ours = family.name, family.index
            found = None if name is None else self._find_index(name)
            if name is None or (found is not None and ours is not None and found[0] == ours[0]):
                there.add(name)
            elif found is not None and ours is not None:
                error = OpFailedError(
                    f"The secondary index `{name}` was replaced by a different one."
                )
                for channel in list(family.channels):
                    for subscription in channel.subscriptions:
                        subscription.fail(error)
        return there

    def _run(self, channel: LimitChannel, tick: Tick) -> int:
        told = channel.run(tick)
        if channel.top is None or not channel.subscriptions:
            return told  # it rests on, or nobody listens any more
        self._remember(channel)
        if channel.outgrown:
            self._move(channel)
        return told

    def _remember(self, channel: LimitChannel) -> None:
        self._forget(channel)
        assert channel.top is not None
        count = len(channel.top.values)
        self._awake[channel] = self._turns, count
        self._rows += count

    def _forget(self, channel: LimitChannel) -> None:
        _, count = self._awake.pop(channel, (0, 0))
        self._rows -= count

    def _let_rest(self) -> None:
        while self._rows > KEPT_ROWS_MAX:
            channel, (turn, _) = next(iter(self._awake.items()))
            if turn >= self._turns - LATELY:
                return
            if not channel.may_rest:
                self._remember(channel)
                continue
            self._forget(channel)
            self._move(channel)
            channel.top = None


Name = TypeVar("Name", bound=Hashable)


def _keep(
    groups: dict[Name, _Places],
    name: Name,
    where: int | tuple[bytes, bytes | None],
    channel: LimitChannel,
    *,
    added: bool,
) -> None:
    places = groups.get(name)
    if places is None:
        places = groups[name] = _Places()
    if isinstance(where, int):
        (places.by_key.add if added else places.by_key.remove)(where, channel)
    else:
        (places.between.add if added else places.between.remove)(where, channel)
    if not places:
        del groups[name]
