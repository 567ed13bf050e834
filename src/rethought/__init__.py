"""Rethought: a realtime JSON document database that speaks the RethinkDB protocol.

The folders are the stops of a query, in import order: `wire` → `reql` → `exec` → `feed` → `store` → `datum`.
Only `server.py` knows all the rooms.
"""

from typing import Final

VERSION: Final = "0.1.0"
