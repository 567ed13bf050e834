"""What the catalog keeps on disk, record by record.

What always holds: a record is one msgspec struct under one name of a group's meta records; a newer field has a default,
so that older files open. The system group holds databases, users, permissions and the server; a database's group holds
its tables, so that its file describes itself. Called by the rest of `catalog` only.
"""

from typing import Any, Final

import msgspec

DATABASE: Final = "database/"  # + uuid -> DatabaseRecord, in the system group
CREATING: Final = "creating/"  # + uuid: a database file that may be there, but does not count yet
DROPPING: Final = "dropping/"  # + uuid: a database file that does not count any more
USER: Final = "user/"  # + name -> UserRecord
DECOYS: Final = "decoys"  # a secret that the salts of users who do not exist are made from
USER_SETTINGS: Final = "user_settings/"  # + name -> UserSettings
PERMISSION: Final = "permission/"  # + JSON array of its scope -> PermissionRecord
SERVER: Final = "server"
CLUSTER: Final = "cluster"
TABLE: Final = "table/"  # + uuid -> TableRecord, in the database's group
OWNER: Final = "owner"  # in the database's group: which database the file belongs to


class FunctionRecord(msgspec.Struct, frozen=True):
    """A ReQL function as it was sent: the variables' numbers and the body's term tree."""

    params: list[int]
    body: Any


class IndexRecord(msgspec.Struct, frozen=True):
    name: str
    number: int
    function: FunctionRecord
    multi: bool = False
    geo: bool = False


class TableRecord(msgspec.Struct, frozen=True):
    name: str
    number: int
    primary_key: str = "id"
    durability: str = "hard"
    write_acks: str = "majority"
    shards: int = 1
    indexes: list[IndexRecord] = []
    write_hook: FunctionRecord | None = None
    moved_from: str | None = None  # id of a database that may still hold the table as it was before


class UserLimits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one user may take; None is as much as everybody."""

    connections: int | None = None
    queries_per_second: float | None = None
    query_seconds: float | None = None
    query_memory_bytes: int | None = None
    query_rows: int | None = None  # rows read by one query


class UserSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What there is to a user besides the password."""

    networks: list[str] = []  # from where it may connect; empty: from everywhere
    limits: UserLimits = UserLimits()


class DatabaseRecord(msgspec.Struct, frozen=True):
    name: str


class OwnerRecord(msgspec.Struct, frozen=True):
    id: str


class ServerRecord(msgspec.Struct, frozen=True):
    id: str
    name: str
    tags: list[str] = msgspec.field(default_factory=lambda: ["default"])
    cache_size_mb: int | float | None = None  # None: chosen by the server


class ClusterRecord(msgspec.Struct, frozen=True):
    heartbeat_timeout_secs: int | float = 10


class PermissionRecord(msgspec.Struct, frozen=True):
    """The settings of one scope; a permission that is not named is inherited."""

    settings: dict[str, bool]
    rules: dict[str, FunctionRecord] = {}  # by permission: the rows it is for, all when it has none


encode = msgspec.json.Encoder().encode
decode = msgspec.json.decode
