"""This server's own settings and those of the cluster.

What always holds: a data directory keeps its server id for life; name, tags and cache size may change. Stored in the
system group.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from rethought.catalog.records import CLUSTER, SERVER, ClusterRecord, ServerRecord, decode, encode
from rethought.catalog.storing import commit

if TYPE_CHECKING:
    from rethought.store import Group


class Identity:
    """Who this server is. `server` and `cluster` are replaced as a whole."""

    def __init__(
        self,
        group: "Group",
        changed: Callable[[str, object], None],
        default: Callable[[], ServerRecord],
    ) -> None:
        self._group = group
        self._changed = changed
        stored = group.meta_get(SERVER)
        self.server = default() if stored is None else decode(stored, type=ServerRecord)
        if stored is None:
            group.meta_put(SERVER, encode(self.server))
        cluster = group.meta_get(CLUSTER)
        self.cluster = ClusterRecord() if cluster is None else decode(cluster, type=ClusterRecord)

    @property
    def id(self) -> str:
        return self.server.id

    @property
    def name(self) -> str:
        return self.server.name

    def rename(self, name: str) -> None:
        self.set_server(msgspec.structs.replace(self.server, name=name))

    def set_server(self, record: ServerRecord) -> None:
        assert record.id == self.server.id
        self._group.meta_put(SERVER, encode(record))
        commit(self._group)
        self.server = record
        self._changed("server", record)

    def set_cluster(self, record: ClusterRecord) -> None:
        self._group.meta_put(CLUSTER, encode(record))
        commit(self._group)
        self.cluster = record
        self._changed("cluster", record)
