"""How much memory is set aside for pages, and what happens when an operator changes it.

What always holds: a size given at one start counts for the next ones too, until another is given or `auto`; a change
through `rethinkdb.server_config` takes effect at once; `auto` is worked out when it is asked for, not at each look.
Called by `server.py`.
"""

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import structs

from rethought.catalog.records import SERVER, ServerRecord, decode
from rethought.config import Config

if TYPE_CHECKING:
    from rethought.catalog import Catalog
    from rethought.store import Cache, Group

log = logging.getLogger("rethought.server")

MEGABYTE: Final = 1 << 20
AUTO_RESERVED_MB: Final = 1_024
AUTO_MIN_MB: Final = 100


def first_size(config: Config, system: "Group") -> int:
    """Bytes at the start: as given now, else as given before, else half of what is left for us."""
    if config.cache_size is not None:
        return size_of(None if config.cache_size == "auto" else float(config.cache_size))
    record = system.meta_get(SERVER)
    return size_of(None if record is None else decode(record, type=ServerRecord).cache_size_mb)


def size_of(megabytes: float | None) -> int:
    """In bytes; None is `auto`."""
    if megabytes is not None:
        return int(megabytes * MEGABYTE)
    return max(AUTO_MIN_MB, (available_megabytes() - AUTO_RESERVED_MB) // 2) * MEGABYTE


def keep_cache_size(config: Config, catalog: "Catalog", cache: "Cache") -> None:
    """Notes what was given now, and follows what is set later."""
    server = catalog.identity.server
    if config.cache_size is not None:
        kept = None if config.cache_size == "auto" else float(config.cache_size)
        if kept != server.cache_size_mb:
            catalog.identity.set_server(structs.replace(server, cache_size_mb=kept))
            catalog.group.flush()
    if cache.total is None:  # there is no database yet
        cache.total = first_size(config, catalog.group)
    known = catalog.identity.server

    def changed(topic: str, _: object) -> None:
        nonlocal known
        before, known = known, catalog.identity.server
        if topic != "server":
            return
        if known.name != before.name:
            log.info("Changed server's name from `%s` to `%s`.", before.name, known.name)
        if known.cache_size_mb != before.cache_size_mb:
            cache.resize(size_of(known.cache_size_mb))
            tell(known, cache)

    catalog.watch(changed)
    tell(known, cache)


def tell(server: ServerRecord, cache: "Cache") -> None:
    text = (
        "Automatically using cache size of %d MB"
        if server.cache_size_mb is None
        else "Cache size is set to %d MB"
    )
    log.info(text, (cache.total or 0) // MEGABYTE)


def available_megabytes() -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MEGABYTE // 2
