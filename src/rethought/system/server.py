"""`server_config`, `server_status` and `cluster_config`: this server and the cluster of one it makes up.

What always holds: what is written takes effect at once and is kept in the system group; the version is shown in the
form client tools parse.
"""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from rethought.catalog.records import ClusterRecord, ServerRecord
from rethought.datum.text import compact
from rethought.datum.time import make_time
from rethought.errors import OpFailedError
from rethought.system.formats import (
    check_name,
    need_field,
    read_array,
    read_name,
    refuse_others,
    within,
    wrong_format,
)
from rethought.system.node import Node
from rethought.system.table import Asking, Few, Row, Write

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.exec.env import Env

CACHE_MB_MAX: Final = 1_125_899_906_842_624
HEARTBEAT: Final = "heartbeat"


class ServerConfig(Few):
    """`server_config`."""

    def __init__(self, catalog: "Catalog") -> None:
        super().__init__(self._rows)
        self._catalog = catalog

    def _rows(self, asking: Asking) -> list[Row]:
        record = self._catalog.identity.server
        cache = "auto" if record.cache_size_mb is None else record.cache_size_mb
        return [{"id": record.id, "name": record.name, "tags": record.tags, "cache_size_mb": cache}]

    def write(self, env: "Env", asked: Write) -> None:
        assert asked.new is not None
        record = self._read(asked.new)
        env.writing(self._catalog.group)
        self._catalog.identity.set_server(record)
        env.await_ticket(self._catalog.durable())

    def _read(self, row: Row) -> ServerRecord:
        try:
            record = self._read_fields(row)
        except OpFailedError as error:
            raise OpFailedError(
                "The row you're trying to put into `rethinkdb.server_config` has the wrong format. "
                f"{error.message}"
            ) from error
        cache = record.cache_size_mb
        if cache is not None and cache > CACHE_MB_MAX:
            raise OpFailedError(
                "Error when trying to change the configuration of server "
                f"`{self._catalog.identity.name}`: The proposed cache size of {int(cache)} MB "
                f"is larger than the maximum legal value for this platform ({CACHE_MB_MAX} MB). "
                "The configuration was not changed."
            )
        return record

    def _read_fields(self, row: Row) -> ServerRecord:
        given = need_field(row, "name")
        name = within("name", lambda: read_name(given, "server"))
        listed = need_field(row, "tags")
        tags = within("tags", lambda: _read_tags(listed))
        size = need_field(row, "cache_size_mb")
        cache = within("cache_size_mb", lambda: _read_cache(size))
        refuse_others(row, ("id", "name", "tags", "cache_size_mb"))
        return msgspec.structs.replace(
            self._catalog.identity.server, name=name, tags=tags, cache_size_mb=cache
        )


def _read_tags(value: Any) -> list[str]:
    tags = read_array(value)
    for tag in tags:
        if tag.__class__ is not str:
            raise OpFailedError(f"Expected a server tag; got {compact(tag)}")
        _check_tag(tag)
    return sorted(set(tags))


def _check_tag(tag: str) -> None:
    try:
        check_name(tag, "server")
    except OpFailedError as error:
        raise OpFailedError(error.message.replace("server name", "server tag")) from error


def _read_cache(value: Any) -> int | float | None:
    if value == "auto":
        return None
    if value.__class__ is not int and value.__class__ is not float:
        raise OpFailedError(f"Expected a number or 'auto', got {compact(value)}")
    if value < 0:
        raise OpFailedError("Cache size cannot be negative.")
    size: int | float = value
    return size


class ServerStatus(Few):
    """`server_status`."""

    def __init__(self, catalog: "Catalog", node: Node) -> None:
        super().__init__(self._rows)
        self._catalog = catalog
        self._node = node

    def _rows(self, asking: Asking) -> list[Row]:
        node = self._node
        identity = self._catalog.identity
        started = make_time(round(node.started, 3), "+00:00")
        return [
            {
                "id": identity.id,
                "name": identity.name,
                "network": {
                    "canonical_addresses": [
                        {"host": host, "port": node.cluster_port} for host in node.addresses
                    ],
                    "cluster_port": node.cluster_port,
                    "connected_to": {},
                    "hostname": node.hostname,
                    "http_admin_port": node.http_port or "<no http admin>",
                    "reql_port": node.driver_port,
                    "time_connected": started,
                },
                "process": {
                    "argv": list(node.argv),
                    "cache_size_mb": node.cache_mb(),
                    "pid": node.pid,
                    "time_started": started,
                    "version": node.version,
                },
            }
        ]


class ClusterConfig(Few):
    """`cluster_config`."""

    def __init__(self, catalog: "Catalog") -> None:
        super().__init__(self._rows)
        self._catalog = catalog

    def _rows(self, asking: Asking) -> list[Row]:
        record = self._catalog.identity.cluster
        return [{"id": HEARTBEAT, "heartbeat_timeout_secs": record.heartbeat_timeout_secs}]

    def write(self, env: "Env", asked: Write) -> None:
        new = asked.new
        assert new is not None
        record = wrong_format("cluster_config", lambda: _read_cluster(new))
        env.writing(self._catalog.group)
        self._catalog.identity.set_cluster(record)
        env.await_ticket(self._catalog.durable())


def _read_cluster(row: Row) -> ClusterRecord:
    value = need_field(row, "heartbeat_timeout_secs")
    refuse_others(row, ("id", "heartbeat_timeout_secs"))

    def read() -> int | float:
        if value.__class__ is not int and value.__class__ is not float:
            raise OpFailedError(f"Expected a number; got {compact(value)}")
        if value < 2:
            raise OpFailedError("The heartbeat timeout must be at least two seconds")
        seconds: int | float = value
        return seconds

    return ClusterRecord(within("heartbeat_timeout_secs", read))
