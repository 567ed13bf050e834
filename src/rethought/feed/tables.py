"""The feeds of one table, and finding those that a change touches.

What always holds: a view by single keys is found through a dictionary, so a change costs as much as there are views
that want it; views between bounds are asked one by one; a channel nobody listens to any more is gone. Index keys of a
change are computed once, for an index that somebody listens to.
"""

from collections.abc import Callable, Hashable
from typing import Any

from rethought.errors import ReqlError
from rethought.feed.channel import Channel, Hit, RangeChannel
from rethought.feed.limit import LimitChannel
from rethought.feed.tick import Tick
from rethought.feed.view import FindIndex

ByKey = dict[bytes, list[RangeChannel]]


class _IndexFeeds:
    """The channels on one index, by name."""

    __slots__ = ("by_key", "others")

    def __init__(self) -> None:
        self.by_key: ByKey = {}
        self.others: list[RangeChannel] = []

    def add(self, channel: RangeChannel) -> None:
        keys = channel.view.keys
        if keys is None or channel.reader is not None:
            self.others.append(channel)
            return
        for key in dict.fromkeys(keys):
            self.by_key.setdefault(key, []).append(channel)

    def remove(self, channel: RangeChannel) -> None:
        keys = channel.view.keys
        if keys is None or channel.reader is not None:
            self.others.remove(channel)
            return
        for key in dict.fromkeys(keys):
            channels = self.by_key[key]
            channels.remove(channel)
            if not channels:
                del self.by_key[key]

    def __bool__(self) -> bool:
        return bool(self.by_key or self.others)


class TableFeeds:
    """See the module. `on_empty` is called when the last channel is gone."""

    def __init__(self, find_index: FindIndex, on_empty: Callable[[], None]) -> None:
        self.find_index = find_index
        self._on_empty = on_empty
        self._whole: list[RangeChannel] = []
        self._wanting: dict[str, dict[Hashable, list[RangeChannel]]] = {}  # by field and value
        self._primary = _IndexFeeds()
        self._indexes: dict[str, _IndexFeeds] = {}
        self._limits: list[LimitChannel] = []
        self._shared: dict[Hashable, Channel] = {}
        self._all: set[Channel] = set()

    # ---- channels

    def shared(self, key: Hashable | None, make: Callable[[], Any]) -> Any:
        """The channel of this key, made if it is not there yet (or if there is no key to share it by)."""
        channel = None if key is None else self._shared.get(key)
        if channel is None:
            channel = make()
            if key is not None:
                self._shared[key] = channel
                channel.key = key
            self.add(channel)
        return channel

    def add(self, channel: Channel) -> None:
        self._all.add(channel)
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
        else:
            field, value = channel.wanted
            self._wanting.setdefault(field, {}).setdefault(value, []).append(channel)

    def _remove_whole(self, channel: RangeChannel) -> None:
        if channel.wanted is None:
            self._whole.remove(channel)
            return
        field, value = channel.wanted
        by_value = self._wanting[field]
        by_value[value].remove(channel)
        if not by_value[value]:
            del by_value[value]
        if not by_value:
            del self._wanting[field]

    def _group(self, channel: RangeChannel) -> _IndexFeeds:
        name = channel.view.index
        return self._primary if name is None else self._indexes.setdefault(name, _IndexFeeds())

    def remove(self, channel: Channel) -> None:
        if channel not in self._all:
            return
        self._all.discard(channel)
        if channel.key is not None:
            self._shared.pop(channel.key, None)
        if isinstance(channel, LimitChannel):
            self._limits.remove(channel)
        elif isinstance(channel, RangeChannel):
            if channel.view.whole and channel.reader is None:
                self._remove_whole(channel)
            elif not channel.view.empty:
                group = self._group(channel)
                group.remove(channel)
                if channel.view.index is not None and not group:
                    del self._indexes[channel.view.index]
        if not self._all:
            self._on_empty()

    # ---- changes

    def run(self, tick: Tick) -> int:
        """Tells everybody what this turn means to them; how many messages that were."""
        told = sum([channel.run(tick, None) for channel in tuple(self._whole)])
        for field, by_value in tuple(self._wanting.items()):
            told += _run_wanting(field, by_value, tick)
        if self._primary:
            told += _run(self._primary, tick, [tick.keys(at) for at in range(len(tick.changes))])
        for name, group in tuple(self._indexes.items()):
            found = self.find_index(name)
            if found is not None:
                told += _run(group, tick, tick.entries(*found))
        return told + sum([limited.run(tick) for limited in tuple(self._limits)])

    def fail(self, error: ReqlError, *, limits_only: bool = False) -> None:
        """Ends the feeds of the table."""
        channels: list[Channel] = list(self._limits if limits_only else self._all)
        for channel in channels:
            for subscription in tuple(channel.subscriptions):
                subscription.fail(error)


def _run_wanting(field: str, by_value: dict[Hashable, list[RangeChannel]], tick: Tick) -> int:
    """The channels whose rows have a certain value in a field."""
    hits: dict[RangeChannel, list[Hit]] = {}
    for at, values in enumerate(tick.values_of(field)):
        for value in dict.fromkeys(values):
            for channel in by_value.get(value, ()):
                change = tick.changes[at]
                hit = Hit(at, change.old is not None, change.new is not None)
                hits.setdefault(channel, []).append(hit)
    return sum([channel.run(tick, found) for channel, found in hits.items()])


def _run(group: _IndexFeeds, tick: Tick, entries: list[tuple[list[bytes], list[bytes]]]) -> int:
    hits: dict[RangeChannel, list[Hit]] = {}
    by_key = group.by_key
    for at, (old, new) in enumerate(entries):
        touched: list[RangeChannel] = list(group.others)
        if by_key:
            for key in dict.fromkeys((*old, *new)):
                touched.extend(by_key.get(key, ()))
        for channel in dict.fromkeys(touched) if len(touched) > 1 else touched:
            hit = channel.hit(tick, at, entries[at])
            if hit is not None:
                hits.setdefault(channel, []).append(hit)
    return sum([channel.run(tick, found) for channel, found in hits.items()])
