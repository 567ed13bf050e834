"""The feeds of one table, and finding those that a change touches.

What always holds: a change costs as much as there are views that it touches. Views of single keys are found through a
dictionary, those between bounds through a tree of intervals, those of rows with a certain value in a field, or one on
this side of another, in the same way by that field; only views that a reader still goes through, and those of the
whole table of which nothing is known, are asked one by one. A channel nobody listens to any more is gone. Index keys of
a change are computed once, for an index that somebody listens to.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final, TypeVar

from rethought.errors import ReqlError
from rethought.feed.channel import (
    Channel,
    Family,
    Form,
    RangeChannel,
    Transform,
    condition_of,
)
from rethought.feed.hashed import Hashed, hash_of
from rethought.feed.intervals import Intervals
from rethought.feed.limited import LimitFeeds
from rethought.feed.tick import Hit, Tick
from rethought.feed.view import FindIndex, View

REFUSED_AT_ONCE: Final = 64
"""Feeds that a change turned out not to concern, before somebody may look at the clock."""


class _IndexFeeds:
    """The channels on one index, by name, on the primary keys, or on the places of a field's values."""

    __slots__ = ("between", "by_key", "reading")

    def __init__(self) -> None:
        self.by_key: Hashed[RangeChannel] = Hashed()
        self.between: Intervals[RangeChannel] = Intervals()
        self.reading: list[RangeChannel] = []

    def __bool__(self) -> bool:
        return bool(self.by_key or self.between or self.reading)

    def add(self, view: View, channel: RangeChannel) -> None:
        if channel.reader is not None:
            self.reading.append(channel)
        elif view.keys is None:
            for interval in view.intervals:
                self.between.add(interval, channel)
        else:
            for key in {hash_of(key) for key in view.keys}:
                self.by_key.add(key, channel)

    def remove(self, view: View, channel: RangeChannel) -> None:
        if channel.reader is not None:
            self.reading.remove(channel)
        elif view.keys is None:
            for interval in view.intervals:
                self.between.remove(interval, channel)
        else:
            for key in {hash_of(key) for key in view.keys}:
                self.by_key.remove(key, channel)

    def touched(self, old: list[bytes], new: list[bytes]) -> Iterable[RangeChannel]:
        """The channels that may care about a change of a row with these keys before and after."""
        found: list[RangeChannel] = list(self.reading)
        for key in (*old, *new) if old != new else old:
            found.extend(self.by_key.of(hash_of(key)))
            if self.between:
                found.extend(self.between.holding(key))
        return dict.fromkeys(found) if len(found) > 1 else found


class TableFeeds:
    """See the module. `on_empty` is called when the last channel is gone."""

    def __init__(self, find_index: FindIndex, on_empty: Callable[[], None]) -> None:
        self.find_index = find_index
        self._on_empty = on_empty
        self._families: dict[tuple[Transform | None, Form, str | None], Family] = {}
        self._waiting: dict[RangeChannel, None] = {}  # of subscribers that are not live yet
        self.limited = LimitFeeds(find_index, self._left)
        # Where they are found:
        self._whole: dict[Family, dict[RangeChannel, None]] = {}
        self._fields: dict[str, _IndexFeeds] = {}  # of rows that are known by a field's value
        self._primary = _IndexFeeds()
        self._indexes: dict[tuple[str, bool], _IndexFeeds] = {}  # by name; whether it is for geo

    # ---- channels

    @property
    def channels(self) -> list[Channel]:
        found: list[Channel] = [*self._waiting, *self.limited.channels]
        for family in self._families.values():
            found += family.channels
        return found

    def range(
        self, view: View, transform: Transform | None, constants: bytes | None, form: Form
    ) -> RangeChannel:
        """The channel of this view and form, made if it is not there yet."""
        key = (transform, form, view.index)
        family = self._families.get(key)
        if family is None:
            family = self._families[key] = Family(transform, form, self, view.index)
        channel = family.find(view, constants)
        if channel is None:
            channel = RangeChannel(family, view, constants)
            family.add(channel)
            self._place(channel, added=True)
        return channel

    def wait(self, channel: RangeChannel) -> None:
        """Keeps the channel of a subscriber that is not live yet."""
        self._waiting[channel] = None
        if channel.reader is not None:
            self._place(channel, added=True)

    def remove(self, channel: Channel) -> None:
        assert isinstance(channel, RangeChannel)
        if channel in self._waiting:
            del self._waiting[channel]
            if channel.reader is not None:
                self._place(channel, added=False)
        else:
            self._leave(channel)
        self._left()

    def _left(self) -> None:
        if not (self._families or self.limited or self._waiting):
            self._on_empty()

    def _leave(self, channel: RangeChannel) -> None:
        family = channel.family
        family.remove(channel)
        if not family.channels:
            del self._families[family.transform, family.form, family.index]
        self._place(channel, added=False)

    def _place(self, channel: RangeChannel, *, added: bool) -> None:
        """Puts a channel where it is found, or takes it away from there."""
        view = channel.view
        if view.empty:
            return
        if not view.whole or channel.reader is not None:
            found = (view.index, view.region is not None)
            if view.index is None:
                _keep(self._primary, view, channel, added=added)
            else:
                _keep_by(self._indexes, (view.index, found[1]), view, channel, added=added)
            return
        condition = condition_of(channel.family.transform, channel.constants)
        if condition is None:
            self._keep_whole(channel, added=added)
        elif not condition.view.empty:
            _keep_by(self._fields, condition.field, condition.view, channel, added=added)

    def _keep_whole(self, channel: RangeChannel, *, added: bool) -> None:
        channels = self._whole.setdefault(channel.family, {})
        if added:
            channels[channel] = None
        else:
            del channels[channel]
            if not channels:
                del self._whole[channel.family]

    # ---- changes

    def run(self, tick: Tick) -> Iterator[int]:
        """Tells everybody what this turn means to them. Between two steps others may have their turn; each gives how
        many messages it was."""
        for family, channels in tuple(self._whole.items()):
            yield from _run_whole(family.transform, tuple(channels), tick)
        for field, group in tuple(self._fields.items()):
            yield from _run(group, tick, tick.places(field), by_field=True)
        if self._primary:
            yield from _run(self._primary, tick, [tick.keys(at) for at in range(len(tick.changes))])
        for (name, geo), group in tuple(self._indexes.items()):
            found = self.find_index(name, geo=geo)
            if found is not None:
                yield from _run(group, tick, tick.entries(*found))
        if self.limited:
            yield from self.limited.run(tick)

    def fail(self, error: ReqlError, *, limits_only: bool = False) -> None:
        """Ends the feeds of the table."""
        channels: list[Channel] = list(self.limited.channels) if limits_only else self.channels
        for channel in channels:
            for subscription in channel.subscriptions:
                subscription.fail(error)


Name = TypeVar("Name", bound=Hashable)


def _keep_by(
    groups: dict[Name, _IndexFeeds], name: Name, view: View, channel: RangeChannel, *, added: bool
) -> None:
    group = groups.get(name)
    if group is None:
        group = groups[name] = _IndexFeeds()
    _keep(group, view, channel, added=added)
    if not group:
        del groups[name]


def _keep(group: _IndexFeeds, view: View, channel: RangeChannel, *, added: bool) -> None:
    if added:
        group.add(view, channel)
    else:
        group.remove(view, channel)


def _run_whole(
    transform: Transform | None, channels: tuple[RangeChannel, ...], tick: Tick
) -> Iterator[int]:
    """The channels of a family on the whole table."""
    if transform is None:
        for channel in channels:
            yield channel.run(tick, None)
        return
    rows = tick.rows()
    refused = 0
    for channel in channels:
        if transform.admits(rows, channel.constants):
            yield channel.run(tick, None)
            continue
        refused += 1
        if refused % REFUSED_AT_ONCE == 0:
            yield 0


def _run(
    group: _IndexFeeds,
    tick: Tick,
    entries: list[tuple[list[bytes], list[bytes]]],
    *,
    by_field: bool = False,
) -> Iterator[int]:
    """The channels that are found by these keys; the keys of a field tell less than those of an index."""
    hits: dict[RangeChannel, list[Hit]] = {}
    for at, (old, new) in enumerate(entries):
        for channel in group.touched(old, new):
            hit = tick.all_hits()[at] if by_field else channel.hit(tick, at, entries[at])
            if hit is not None:
                hits.setdefault(channel, []).append(hit)
    for channel, found in hits.items():
        yield channel.run(tick, found)
