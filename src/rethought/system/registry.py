"""The list of system tables: name, id, where rows come from, what they follow from.

What always holds: ids are the protocol's own, the same on every server. Adding a system table is its content and a row
here, in each of the tables that say something about it.
"""

from typing import TYPE_CHECKING, Final

from rethought.system.access import PermissionsContent, UsersContent
from rethought.system.activity import Issues, Jobs, Logs
from rethought.system.journals import JournalConfig, JournalStatus
from rethought.system.node import Node
from rethought.system.scratch import Scratch
from rethought.system.server import ClusterConfig, ServerConfig, ServerStatus
from rethought.system.stats import Stats
from rethought.system.table import NO_REFUSALS, Content, Few, Refusals, SystemTable
from rethought.system.tables import DatabaseConfig, TableConfig, TableStatus

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from rethought.catalog import Catalog

IDS: Final = {
    "table_config": "4c16a05c-fbdd-5cbf-9e28-57d927474b01",
    "server_config": "528a6285-67b5-5a84-a90d-051a3f44db1c",
    "db_config": "77e2a360-e196-5a6e-8a02-341743cfe122",
    "cluster_config": "2678573f-3a6c-525b-9bc9-60389f644458",
    "table_status": "bd984e39-2e8b-5ef3-9ca8-cec6a9de24a1",
    "server_status": "63c45d34-1c3a-58f8-8815-d08d028931c4",
    "current_issues": "5ed95837-774b-5cde-bb9a-09f8b93b1786",
    "users": "664a9e0b-8871-51f2-b85c-e0abcb12d3cd",
    "permissions": "c8083c3a-17a1-5451-bf91-47caa60650be",
    "jobs": "69be2167-342c-5d03-918c-730335195ed2",
    "stats": "e078b99f-bbc4-5960-bd94-c74a5826a77d",
    "logs": "3cb0d6bd-57a9-5c7f-b33d-00224d31a18d",
    "journal_config": "7b0a6a4b-5a1c-5b1e-9d54-3b5f1f0a9e11",
    "journal_status": "0f6d9c52-8f3e-5d70-8a3b-6d1d2c4f7e22",
    "_debug_scratch": "cd30ca12-d885-5a1c-9f2b-c7c4d360846d",
    "_debug_stats": "a3c774e7-17a0-539c-84e7-d91100035596",
    "_debug_table_status": "59519c39-df02-5737-b9ca-5f516f8c5d7d",
}

TOPICS: Final[dict[str, frozenset[str]]] = {
    "table_config": frozenset({"table", "index", "database", "server"}),
    "server_config": frozenset({"server"}),
    "db_config": frozenset({"database"}),
    "cluster_config": frozenset({"cluster"}),
    "table_status": frozenset({"table", "database", "server"}),
    "server_status": frozenset({"server"}),
    "users": frozenset({"user"}),
    "permissions": frozenset({"permission", "user", "table", "database"}),
    "journal_config": frozenset({"database"}),
    "_debug_scratch": frozenset({"scratch"}),
    "_debug_table_status": frozenset({"table", "database", "server"}),
}
"""What in the catalog a table's rows follow from; tables without a row here are polled for changes."""


def _never(name: str, noun: str = "table") -> Refusals:
    return Refusals(*[f"It's illegal to write to the `rethinkdb.{name}` {noun}."] * 3)


def _only_updates(name: str, noun: str) -> Refusals:
    return Refusals(
        insert=f"It's illegal to insert new rows into the `rethinkdb.{name}` {noun}.",
        delete=f"It's illegal to delete rows from the `rethinkdb.{name}` {noun}.",
    )


_ONLY_DELETIONS: Final = (
    "The `rethinkdb.jobs` system table only allows deletions, not inserts or updates."
)

REFUSALS: Final[dict[str, Refusals]] = {
    "server_config": _only_updates("server_config", "system table"),
    "cluster_config": _only_updates("cluster_config", "table"),
    "table_status": _never("table_status"),
    "server_status": _never("server_status"),
    "current_issues": _never("current_issues"),
    "jobs": Refusals(insert=_ONLY_DELETIONS, update=_ONLY_DELETIONS),
    "stats": _never("stats"),
    "journal_config": _only_updates("journal_config", "system table"),
    "journal_status": _never("journal_status", "system table"),
    "logs": _never("logs", "system table"),
    "_debug_stats": _never("_debug_stats"),
    "_debug_table_status": _never("table_status"),
}
"""What tables refuse whatever the row; what is left is up to their content."""

UNLISTED: Final = frozenset(
    {"journal_config", "journal_status", "_debug_scratch", "_debug_stats", "_debug_table_status"}
)
"""What TABLE_LIST leaves out: it gives exactly the names that the original gives."""

OWN_ORDER: Final = frozenset({"logs"})
"""A scan gives these rows as their content does, and a feed tells of new ones only."""


def install(catalog: "Catalog", node: Node, loop: "AbstractEventLoop") -> None:
    """Puts the system database into the catalog."""
    catalog.add_system_database(dict(system_tables(catalog, node, loop)))


def system_tables(
    catalog: "Catalog", node: Node, loop: "AbstractEventLoop | None" = None
) -> dict[str, SystemTable]:
    """All system tables by name. Without a loop, changes are noticed at once and never polled."""
    stats = Stats(catalog, node, loop).rows
    contents: dict[str, Content] = {
        "table_config": TableConfig(catalog),
        "server_config": ServerConfig(catalog),
        "db_config": DatabaseConfig(catalog),
        "cluster_config": ClusterConfig(catalog),
        "table_status": TableStatus(catalog),
        "server_status": ServerStatus(catalog, node),
        "current_issues": Few(Issues(catalog, node).rows),
        "users": UsersContent(catalog),
        "permissions": PermissionsContent(catalog),
        "jobs": Jobs(catalog, node),
        "stats": Few(stats),
        "journal_config": JournalConfig(catalog),
        "journal_status": JournalStatus(catalog),
        "logs": Few(Logs(catalog, node).rows),
        "_debug_scratch": Scratch(catalog),
        "_debug_stats": Few(stats),
        "_debug_table_status": TableStatus(catalog),
    }
    return {
        name: SystemTable(
            name,
            IDS[name],
            content,
            catalog,
            topics=TOPICS.get(name),
            refusals=REFUSALS.get(name, NO_REFUSALS),
            own_order=name in OWN_ORDER,
            listed=name not in UNLISTED,
            loop=loop,
        )
        for name, content in contents.items()
    }
