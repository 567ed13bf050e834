"""Shares one page cache among all groups opened with the same options.

What always holds: the page caches of the groups' writers together hold at most `cache_bytes`, apart from a small floor
for each group. A group's part follows the pages it looked at lately, as far as its file has so many, so a database that
is busy does not go without because another one was busy yesterday. SQLite's own means (`soft_heap_limit`) bounds the
sum too, but leaves nothing for whoever comes later. `decide_shares` decides, `Cache` looks and applies, on the loop;
`group` joins and leaves.
"""

from dataclasses import dataclass
from typing import Final

import apsw

from rethought.store.model import Loop

FLOOR_BYTES: Final = 512 << 10
LOOK_EVERY_S: Final = 5.0
PAGE: Final = 4096
PAGE_IN_MEMORY: Final = 4700
"""What SQLite's cache needs for a page of 4096 bytes, with its header and the rounding of the allocator."""


@dataclass(slots=True)
class Member:
    """A group's part of the cache."""

    connection: apsw.Connection
    share: int = 0
    lookups: int = 0  # at the last look
    use: float = 1.0  # lookups of late; the older, the less they count


class Cache:
    """One for all groups that share. Made with the options."""

    def __init__(self) -> None:
        self.total: int | None = None  # bytes; None: as the first member says
        self._members: list[Member] = []
        self._watching = False

    def join(self, connection: apsw.Connection, total: int, loop: Loop) -> Member:
        if self.total is None:
            self.total = total
        member = Member(connection)
        self._members.append(member)
        self._apply()
        if not self._watching:
            self._watching = True
            loop.call_later(LOOK_EVERY_S, self._look, loop)
        return member

    def leave(self, member: Member) -> None:
        self._members.remove(member)
        self._apply()

    def resize(self, total: int) -> None:
        """From now on all members together have so many bytes."""
        self.total = total
        self._apply()

    def _look(self, loop: Loop) -> None:
        self._watching = bool(self._members)
        if not self._watching:
            return
        for member in self._members:
            status = member.connection.status
            lookups = (
                status(apsw.SQLITE_DBSTATUS_CACHE_HIT)[0]
                + status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
            )
            member.use = member.use / 2 + max(0, lookups - member.lookups)  # they wrap at 32 bits
            member.lookups = lookups
        self._apply()
        loop.call_later(LOOK_EVERY_S, self._look, loop)

    def _apply(self) -> None:
        members = self._members
        total = self.total or 0
        if len(members) == 1:
            shares = [total]
        else:
            sizes = [pages_of(member.connection) * PAGE_IN_MEMORY for member in members]
            shares = decide_shares(total, sizes, [member.use for member in members])
        for member, share in zip(members, shares, strict=True):
            if abs(share - member.share) * 8 > member.share:
                member.share = share
                member.connection.pragma("cache_size", max(10, share // PAGE_IN_MEMORY))


def pages_of(connection: apsw.Connection) -> int:
    pages = connection.pragma("page_count")
    assert isinstance(pages, int)
    return pages


def decide_shares(total: int, sizes: list[int], uses: list[float]) -> list[int]:
    """Bytes for each group, from the sizes of the files and how much they are used.

    Everybody has a floor and room to grow by a quarter; what one does not need goes to the others. What nobody needs
    yet is divided equally: files grow.
    """
    wants = [max(FLOOR_BYTES, size + size // 4) for size in sizes]
    shares = [min(FLOOR_BYTES, max(total // len(sizes), 64 << 10)) for _ in sizes]
    left = total - sum(shares)
    open_ = [at for at in range(len(sizes)) if shares[at] < wants[at]]
    while left > 0 and open_:
        weight = sum(uses[at] + 1.0 for at in open_)
        given = 0
        for at in open_:
            part = min(int(left * (uses[at] + 1.0) / weight), wants[at] - shares[at])
            shares[at] += part
            given += part
        left -= given
        still = [at for at in open_ if shares[at] < wants[at]]
        if given == 0 or len(still) == len(open_):
            break
        open_ = still
    return [share + max(0, left) // len(shares) for share in shares]
