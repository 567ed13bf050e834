"""The feeds of one table, and finding those that a change touches.

What always holds: a change costs as much as there are views that it touches. Views of single keys are found through a
dictionary, those between bounds through a tree of intervals, those of rows with a certain value in a field by that
value; only views that a reader still goes through, and those of the whole table, are asked one by one. A channel nobody
listens to any more is gone. Index keys of a change are computed once, for an index that somebody listens to.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from rethought.errors import ReqlError
from rethought.feed.channel import Channel, Hit, RangeChannel
from rethought.feed.intervals import Intervals
from rethought.feed.limit import LimitChannel
from rethought.feed.tick import Tick
from rethought.feed.view import FindIndex


class _Choice:
    """Channels by a value. Mostly there is one for a value: it stands there itself, as a list would cost as much."""

    __slots__ = ("_by_value",)

    def __init__(self) -> None:
        self._by_value: dict[Hashable, RangeChannel | list[RangeChannel]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_value)

    def add(self, value: Hashable, channel: RangeChannel) -> None:
        there = self._by_value.get(value)
        if there is None:
            self._by_value[value] = channel
        elif isinstance(there, list):
            there.append(channel)
        else:
            self._by_value[value] = [there, channel]

    def remove(self, value: Hashable, channel: RangeChannel) -> None:
        there = self._by_value[value]
        if isinstance(there, list) and len(there) > 1:
            there.remove(channel)
        else:
            del self._by_value[value]

    def of(self, value: Hashable) -> Iterable[RangeChannel]:
        there = self._by_value.get(value)
        if there is None:
            return ()
        return there if isinstance(there, list) else (there,)


class _IndexFeeds:
    """The channels on one index, by name, or on the primary keys."""

    __slots__ = ("between", "by_key", "reading")

    def __init__(self) -> None:
        self.by_key = _Choice()
        self.between: Intervals[RangeChannel] = Intervals()
        self.reading: list[RangeChannel] = []

    def __bool__(self) -> bool:
        return bool(self.by_key or self.between or self.reading)

    def add(self, channel: RangeChannel) -> None:
        keys = channel.view.keys
        if channel.reader is not None:
            self.reading.append(channel)
        elif keys is None:
            for interval in channel.view.intervals:
                self.between.add(interval, channel)
        else:
            for key in dict.fromkeys(keys):
                self.by_key.add(key, channel)

    def remove(self, channel: RangeChannel) -> None:
        keys = channel.view.keys
        if channel.reader is not None:
            self.reading.remove(channel)
        elif keys is None:
            for interval in channel.view.intervals:
                self.between.remove(interval, channel)
        else:
            for key in dict.fromkeys(keys):
                self.by_key.remove(key, channel)

    def touched(self, old: list[bytes], new: list[bytes]) -> Iterable[RangeChannel]:
        """The channels that may care about a change of a row with these keys before and after."""
        found: list[RangeChannel] = list(self.reading)
        for key in (*old, *new) if old != new else old:
            found.extend(self.by_key.of(key))
            if self.between:
                found.extend(self.between.holding(key))
        return dict.fromkeys(found) if len(found) > 1 else found


class TableFeeds:
    """See the module. `on_empty` is called when the last channel is gone."""

    def __init__(self, find_index: FindIndex, on_empty: Callable[[], None]) -> None:
        self.find_index = find_index
        self._on_empty = on_empty
        self._all: dict[Hashable, Channel] = {}  # by what they are shared by, or by themselves
        self._whole: list[RangeChannel] = []
        self._wanting: dict[str, _Choice] = {}  # of rows with a certain value, by field
        self._primary = _IndexFeeds()
        self._indexes: dict[
            tuple[str, bool], _IndexFeeds
        ] = {}  # by name, and whether it is a geo index
        self._limits: list[LimitChannel] = []

    # ---- channels

    @property
    def channels(self) -> list[Channel]:
        return list(self._all.values())

    def shared(self, key: Hashable | None, make: Callable[[], Any]) -> Any:
        """The channel of this key, made if it is not there yet (or if there is no key to share it by)."""
        channel = None if key is None else self._all.get(key)
        if channel is None:
            channel = make()
            channel.key = key
            self.add(channel)
        return channel

    def add(self, channel: Channel) -> None:
        self._all[channel if channel.key is None else channel.key] = channel
        channel.owner = self
        if isinstance(channel, LimitChannel):
            self._limits.append(channel)
        elif isinstance(channel, RangeChannel):
            if channel.view.whole and channel.reader is None:
                self._add_whole(channel)
            elif not channel.view.empty:
                self._group(channel).add(channel)

    def _add_whole(self, channel: RangeChannel) -> None:
        if channel.wanted is None:
            self._whole.append(channel)
            return
        field, value = channel.wanted
        choice = self._wanting.get(field)
        if choice is None:
            choice = self._wanting[field] = _Choice()
        choice.add(value, channel)

    def _remove_whole(self, channel: RangeChannel) -> None:
        if channel.wanted is None:
            self._whole.remove(channel)
            return
        field, value = channel.wanted
        choice = self._wanting[field]
        choice.remove(value, channel)
        if not choice:
            del self._wanting[field]

    def _group(self, channel: RangeChannel) -> _IndexFeeds:
        view = channel.view
        if view.index is None:
            return self._primary
        name = (view.index, view.region is not None)
        group = self._indexes.get(name)
        if group is None:
            group = self._indexes[name] = _IndexFeeds()
        return group

    def remove(self, channel: Channel) -> None:
        if self._all.pop(channel if channel.key is None else channel.key, None) is None:
            return
        if isinstance(channel, LimitChannel):
            self._limits.remove(channel)
        elif isinstance(channel, RangeChannel):
            if channel.view.whole and channel.reader is None:
                self._remove_whole(channel)
            elif not channel.view.empty:
                group = self._group(channel)
                group.remove(channel)
                if channel.view.index is not None and not group:
                    del self._indexes[channel.view.index, channel.view.region is not None]
        if not self._all:
            self._on_empty()

    # ---- changes

    def run(self, tick: Tick) -> int:
        """Tells everybody what this turn means to them; how many messages that were."""
        told = sum([channel.run(tick, None) for channel in tuple(self._whole)])
        for field, choice in tuple(self._wanting.items()):
            told += _run_wanting(field, choice, tick)
        if self._primary:
            told += _run(self._primary, tick, [tick.keys(at) for at in range(len(tick.changes))])
        for (name, geo), group in tuple(self._indexes.items()):
            found = self.find_index(name, geo=geo)
            if found is not None:
                told += _run(group, tick, tick.entries(*found))
        return told + sum([limited.run(tick) for limited in tuple(self._limits)])

    def fail(self, error: ReqlError, *, limits_only: bool = False) -> None:
        """Ends the feeds of the table."""
        channels: list[Channel] = list(self._limits) if limits_only else self.channels
        for channel in channels:
            for subscription in tuple(channel.subscriptions):
                subscription.fail(error)


def _run_wanting(field: str, choice: _Choice, tick: Tick) -> int:
    """The channels whose rows have a certain value in a field."""
    hits: dict[RangeChannel, list[Hit]] = {}
    for at, values in enumerate(tick.values_of(field)):
        for value in dict.fromkeys(values):
            for channel in choice.of(value):
                change = tick.changes[at]
                hit = Hit(at, change.old is not None, change.new is not None)
                hits.setdefault(channel, []).append(hit)
    return sum([channel.run(tick, found) for channel, found in hits.items()])


def _run(group: _IndexFeeds, tick: Tick, entries: list[tuple[list[bytes], list[bytes]]]) -> int:
    hits: dict[RangeChannel, list[Hit]] = {}
    for at, (old, new) in enumerate(entries):
        for channel in group.touched(old, new):
            hit = channel.hit(tick, at, entries[at])
            if hit is not None:
                hits.setdefault(channel, []).append(hit)
    return sum([channel.run(tick, found) for channel, found in hits.items()])
