"""What SQLite holds in memory, the page caches above all. For whoever counts the memory of queries."""

import apsw


def cache_bytes() -> int:
    """Bytes, of all groups together."""
    return int(apsw.memory_used())
