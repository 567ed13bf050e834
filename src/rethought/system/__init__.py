"""The system database `rethinkdb`: the server's configuration, status and activity as tables.

What always holds: each table is reached through `exec`'s `Table` protocol, like a user's; its rows are made when they
are read, from the catalog and from the node, and a write to a row becomes a change of the catalog. `system_tables`
builds them all; `server.py` hands the result to the catalog.
"""

from rethought.system.node import Node
from rethought.system.queries import kill_query, running_queries
from rethought.system.registry import install, system_tables

__all__ = ["Node", "install", "kill_query", "running_queries", "system_tables"]
