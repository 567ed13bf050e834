"""Databases, tables, indexes, users and permissions: what exists, and who may use it.

What always holds: everything here is in memory and on disk at once (the system group, and for tables the group of
their database), and changes only through `Catalog`. Knows no ReQL and no sockets; the functions of indexes and write
hooks are kept as they were sent, and compiled through a factory given from outside.
"""

from rethought.catalog.catalog import Catalog, MissingFileError, open_catalog
from rethought.catalog.model import Database, Index, IndexDefinition, TableHandle, WriteHook
from rethought.catalog.permissions import Permissions
from rethought.catalog.records import FunctionRecord

__all__ = [
    "Catalog",
    "Database",
    "FunctionRecord",
    "Index",
    "IndexDefinition",
    "MissingFileError",
    "Permissions",
    "TableHandle",
    "WriteHook",
    "open_catalog",
]
