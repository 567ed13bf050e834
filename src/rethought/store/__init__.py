"""The store: groups (SQLite files) with tables, secondary indexes, a journal, commits and snapshots.

It knows bytes in the order of bytes, and nothing of the query language. Start reading at `group`, then `commit` and
`snapshot`. Importing rooms use the names below and nothing else.
"""

from rethought.store.batch import Savepoint, Ticket, WriteBatch
from rethought.store.cache import Cache
from rethought.store.check import check_file
from rethought.store.copy import copy_group
from rethought.store.damage import place_of_index, place_of_table
from rethought.store.disk import CRASH_POINTS, Disk
from rethought.store.group import Group, open_group
from rethought.store.model import (
    META,
    Change,
    Commit,
    IndexId,
    IndexRule,
    JournalUsage,
    Listener,
    Loop,
    Page,
    Position,
    Retention,
    Size,
    TableId,
    Traffic,
    Usage,
)
from rethought.store.options import DEFAULT_OPTIONS, GroupOptions
from rethought.store.scrub import scrub
from rethought.store.snapshot import Snapshot

__all__ = [
    "CRASH_POINTS",
    "DEFAULT_OPTIONS",
    "META",
    "Cache",
    "Change",
    "Commit",
    "Disk",
    "Group",
    "GroupOptions",
    "IndexId",
    "IndexRule",
    "JournalUsage",
    "Listener",
    "Loop",
    "Page",
    "Position",
    "Retention",
    "Savepoint",
    "Size",
    "Snapshot",
    "TableId",
    "Ticket",
    "Traffic",
    "Usage",
    "WriteBatch",
    "check_file",
    "copy_group",
    "open_group",
    "place_of_index",
    "place_of_table",
    "scrub",
]
