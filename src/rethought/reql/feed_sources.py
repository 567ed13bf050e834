"""Where the feeds of a node come from: a hub per group with feeds, and what stands for one for system tables.

What always holds: a hub exists as long as somebody listens; when a table is dropped, leaves its group or gets another
number of shards, its feeds end with `Changefeed aborted (unavailable).`. One `Feeds` per engine, made when the first
feed is opened.
"""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Final
from weakref import WeakValueDictionary

from rethought.datum.jsonbytes import encode
from rethought.datum.keys import primary_key
from rethought.errors import OpFailedError, ReqlError
from rethought.exec.table import Range
from rethought.feed.hub import Hub, run
from rethought.feed.source import Heart, Source
from rethought.feed.subscription import Subscription
from rethought.feed.tables import TableFeeds
from rethought.feed.tick import Tick
from rethought.feed.view import FindIndex, FoundIndex, View
from rethought.store import Change, Commit, Page, TableId

NUMBER: Final = TableId(1)
"""Of the only table of a system source."""


def aborted() -> ReqlError:
    return OpFailedError("Changefeed aborted (unavailable).", frames=())


class Feeds:
    """See the module."""

    def __init__(self, catalog: Any, loop: Any) -> None:
        self.loop = loop
        self.cursors: dict[Any, Any] = {}  # by Env: who reads a feed's stream
        self._hubs: dict[Any, Hub] = {}
        self._system: dict[tuple[Any, str, str], SystemSource] = {}
        self._handles: dict[Any, tuple[Hub, int]] = {}  # with the number of shards
        # What stands before CHANGES, for all whose text is the same, while somebody follows it.
        self.transforms: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self.guarded: dict[Any, Any] = {}  # by subscription, of users but admin
        self._checking = False
        catalog.watch(self._catalog_changed)

    def source(self, env: Any, table: Any) -> tuple[Source, TableId]:
        """Where a table's changes come from, and its number there."""
        handle = table.handle
        if handle.system:
            return self._system_source(env, table), NUMBER
        group = handle.group
        hub = self._hubs.get(group)
        if hub is None:
            hub = self._hubs[group] = Hub(group, self.loop, lambda: self._forget(group))
        self._handles[handle] = hub, handle.shards
        return hub, handle.number

    def subscriptions(self) -> set[Subscription]:
        """Everybody who follows something."""
        sources: list[Hub | SystemSource] = [*self._hubs.values(), *self._system.values()]
        return {
            subscription
            for source in sources
            for feeds in source.tables
            for channel in feeds.channels
            for subscription in channel.subscriptions
        }

    def _forget(self, group: Any) -> None:
        self._hubs.pop(group, None)
        self._handles = {
            handle: known for handle, known in self._handles.items() if known[0].group is not group
        }

    def _system_source(self, env: Any, table: Any) -> "SystemSource":
        key = (table.handle, table.format, env.client.user)
        source = self._system.get(key)
        if source is None:
            source = SystemSource(env, table, lambda: self._system.pop(key, None))
            self._system[key] = source
        return source

    def _catalog_changed(self, topic: str, what: Any) -> None:
        if topic == "permission" and self.guarded and not self._checking:
            self._checking = True
            self.loop.call_soon(self._check_rights)
        if topic != "table":
            return
        hub, shards = self._handles.get(what, (None, 0))
        if hub is None:
            return
        if what.dropped or what.group is not hub.group or what.shards != shards:
            self._handles.pop(what, None)
            hub.fail(what.number, aborted())

    def _check_rights(self) -> None:
        """A right was given or taken: feeds that may not be read any more end."""
        self._checking = False
        for subscription, guard in list(self.guarded.items()):
            refusal = guard.refusal()
            if refusal is not None:
                subscription.cut(refusal)


def feeds_of(engine: Any) -> Feeds:
    """The feeds of a node."""
    feeds: Feeds | None = getattr(engine, "feeds", None)
    if feeds is None:
        feeds = engine.feeds = Feeds(engine.catalog, engine.loop)
    return feeds


def index_finder(handle: Any) -> FindIndex:
    """The indexes of a table by name, as they are when asked."""

    def find(name: str, *, geo: bool = False) -> FoundIndex | None:
        index = handle.indexes.get(name)
        return None if index is None or index.geo is not geo else (index.number, index.rule)

    return find


def _no_index(name: str, *, geo: bool = False) -> None:
    """System tables have none."""


class SystemSource:
    """The rows of a system table as a source: what the table tells of its changes, and the rows as last told."""

    seq = 0
    first_seq = 0

    def __init__(self, env: Any, table: Any, on_empty: Callable[[], Any]) -> None:
        self._on_empty = on_empty
        self._feeds = TableFeeds(_no_index, self._emptied)
        self._rows: dict[bytes, bytes] = {}
        self._stop = table.handle.subscribe(self._changed, table.format, env.client.user)
        for chunk in table.chunks(env, Range(), 0):
            for row in chunk.datums():
                self._rows[primary_key(row[table.primary_key])] = encode(row)

    @property
    def tables(self) -> list[TableFeeds]:
        return [self._feeds]

    def table(self, table: TableId, find_index: FindIndex) -> TableFeeds:
        return self._feeds

    def _emptied(self) -> None:
        self._stop()
        self._on_empty()

    def _changed(self, key: Any, _old: Any, new: Any) -> None:
        """Tells of a change, unless the rows were read after it."""
        encoded = primary_key(key)
        before = self._rows.get(encoded)
        after = None if new is None else encode(new)
        if before == after:
            return
        if after is None:
            del self._rows[encoded]
        else:
            self._rows[encoded] = after
        for _ in run(self._feeds, Tick([Change(NUMBER, encoded, before, after)], [0], [0])):
            pass

    def settle(self) -> None:
        """Nothing is ever untold: the rows are those that were told of."""

    def reading(self) -> Any:
        return nullcontext(self)

    untold: Sequence[Commit] = ()
    hearts: Final[dict[Hashable, Heart]] = {}

    def expect_beat(self) -> None:
        """There are no tokens."""

    def journal(self, after: int, limit: int) -> Iterator[Commit]:
        return iter(())

    # ---- as a snapshot

    def get(self, table: TableId, key: bytes) -> bytes | None:
        return self._rows.get(key)

    def get_many(self, table: TableId, keys: list[bytes]) -> dict[bytes, bytes]:
        return {key: self._rows[key] for key in keys if key in self._rows}

    def scan(
        self,
        table: TableId,
        lower: bytes | None = None,
        upper: bytes | None = None,
        *,
        lower_open: bool = False,
        upper_open: bool = False,
        descending: bool = False,
        after: bytes | None = None,
        limit: int,
    ) -> Page:
        """As `Snapshot.scan`, in the order of the keys."""
        view = View(None, lower, upper, lower_open, upper_open)
        keys = [key for key in sorted(self._rows) if view.holds(key)]
        if after is not None:
            keys = keys[bisect_left(keys, after + b"\0") :]
        part = keys[:limit]
        docs = b",".join([self._rows[key] for key in part])
        return Page(docs, len(part), part[-1] if len(part) < len(keys) else None)
