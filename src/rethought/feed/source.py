"""Where a feed's table is, as the feed room sees it. A protocol: `Hub` is one, `reql.feed_sources` has another."""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from rethought.feed.subscription import Subscription
from rethought.feed.tables import TableFeeds
from rethought.feed.view import FindIndex
from rethought.store import Commit, Snapshot, TableId


class Heart(Protocol):
    """Somebody who is asked now and then."""

    def join(self, subscription: Subscription) -> None: ...

    def beat(self, source: "Source") -> None: ...


class Source(Protocol):
    """A group of tables that commit together, and its journal."""

    @property
    def seq(self) -> int:
        """The newest commit."""
        ...

    @property
    def first_seq(self) -> int:
        """The oldest one that the journal has; 0 when it has none."""
        ...

    @property
    def untold(self) -> Sequence[Commit]:
        """What a reading shows already, though the feeds have not been told yet."""
        ...

    @property
    def hearts(self) -> dict[Hashable, Heart]:
        """Those who are asked when `expect_beat` has been called and enough was committed since."""
        ...

    def expect_beat(self) -> None: ...

    def table(self, table: TableId, find_index: FindIndex) -> TableFeeds: ...

    def settle(self) -> None:
        """Everything that was written so far is told."""
        ...

    def reading(self) -> AbstractContextManager[Snapshot]:
        """The newest committed state. Whoever reads does not give way."""
        ...

    def journal(self, after: int, limit: int) -> Iterator[Commit]: ...
