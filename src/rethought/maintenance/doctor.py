"""Examines a data directory: is everything there, readable by nobody else, and undamaged?

What always holds: nothing is changed; every file is read completely, so every page's authentication is checked; each
finding is one sentence that says what to do about it where something can be done. Used by `cli.doctor`.
"""

import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rethought.catalog.files import SUFFIX, SYSTEM_FILE
from rethought.catalog.model import IndexDefinition, LazyRule, MakeRule
from rethought.catalog.records import DATABASE, TABLE, DatabaseRecord, TableRecord, decode
from rethought.errors import InternalError, ReqlError
from rethought.maintenance.audit import check_audit, log_of
from rethought.maintenance.rotation import leftovers
from rethought.store import (
    GroupOptions,
    IndexId,
    IndexRule,
    TableId,
    check_file,
    place_of_index,
    place_of_table,
    scrub,
)
from rethought.store.check import nobody
from rethought.store.connection import damaged
from rethought.store.peek import Contents, peek

SPACE_LOW_BYTES: Final = 256 << 20

WARNING: Final = "warning"
ERROR: Final = "error"


class Finding(NamedTuple):
    """`severity` is `warning` for what is not as it should be, `error` for what is lost or damaged."""

    severity: str
    where: str
    what: str


class Step(NamedTuple):
    """What is looked at next."""

    what: str


def examine(
    directory: Path,
    options: GroupOptions,
    make_rule: MakeRule,
    *,
    key_file: Path | None = None,
    tell: Callable[[float], None] = nobody,
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> Iterator[Finding | Step]:
    """All steps and findings. Raises `ReqlError` when the key is wrong or the version another.

    `tell` hears now and then how much of a file is done, 0 to 1.
    """
    yield Step("access rights and space")
    yield from check_access(directory, key_file)
    yield from check_space(directory, free_bytes)
    system = directory / SYSTEM_FILE
    if not system.exists():
        yield Finding(
            ERROR,
            SYSTEM_FILE,
            "it is missing: without it nobody knows databases, users and rights; restore it.",
        )
        return
    try:
        records = peek(system, options).records
    except InternalError as error:
        yield Finding(ERROR, SYSTEM_FILE, error.message)
        for path in sorted(directory.glob(f"*{SUFFIX}")):
            if path != system:
                yield Step(path.name)
                yield from check_database(path, options, make_rule, tell)
        return
    databases = {
        name.removeprefix(DATABASE): decode(value, type=DatabaseRecord).name
        for name, value in records.items()
        if name.startswith(DATABASE)
    }
    yield from check_presence(directory, databases)
    audit = log_of(records)
    if audit is not None:
        yield Step(f"audit log {audit[0].path}")
        for broken, where, what in check_audit(*audit):
            yield Finding(ERROR if broken else WARNING, where, what)
    yield Step(SYSTEM_FILE)
    yield from check_contents(system, options, {}, {}, tell)
    for id_, name in sorted(databases.items(), key=lambda item: item[1]):
        path = directory / f"{id_}{SUFFIX}"
        if path.exists():
            yield Step(f"{path.name} (database {name})")
            yield from check_database(path, options, make_rule, tell)


def check_access(directory: Path, key_file: Path | None) -> Iterator[Finding]:
    """Only the owner should be able to read data, keys and the log."""
    paths = [directory, *sorted(directory.iterdir())]
    if key_file is not None:
        paths.append(key_file)
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            yield Finding(
                WARNING,
                str(path.name),
                f"others on this machine may use it (mode {mode:03o}); run: chmod go= '{path}'",
            )


def check_space(directory: Path, free_bytes: Callable[[Path], int]) -> Iterator[Finding]:
    free = free_bytes(directory)
    if free < SPACE_LOW_BYTES:
        yield Finding(WARNING, str(directory), f"only {free >> 20} MB are free on its disk.")


def check_presence(directory: Path, databases: dict[str, str]) -> Iterator[Finding]:
    """Every database has its file, and every file its database."""
    for id_, name in databases.items():
        if not (directory / f"{id_}{SUFFIX}").exists():
            yield Finding(
                ERROR, f"{id_}{SUFFIX}", f"the file of database `{name}` is missing; restore it."
            )
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        if path.name != SYSTEM_FILE and path.name.removesuffix(SUFFIX) not in databases:
            yield Finding(WARNING, path.name, "it belongs to no database.")
    for path in leftovers(directory):
        yield Finding(WARNING, path.name, "it is left over from a rotation of the key.")


def check_database(
    path: Path, options: GroupOptions, make_rule: MakeRule, tell: Callable[[float], None]
) -> Iterator[Finding]:
    try:
        contents = peek(path, options)
    except ReqlError as error:
        yield Finding(ERROR, path.name, error.message)
        return
    tables = [
        decode(value, type=TableRecord)
        for name, value in contents.records.items()
        if name.startswith(TABLE)
    ]
    yield from check_tables(path, tables, contents)
    rules: dict[IndexId, IndexRule] = {
        IndexId(index.number): LazyRule(
            IndexDefinition(index.function, multi=index.multi, geo=index.geo), make_rule
        )
        for table in tables
        for index in table.indexes
    }
    names: dict[str, str] = {}
    for table in tables:
        names[place_of_table(TableId(table.number))] = f"table `{table.name}`"
        for index in table.indexes:
            place = place_of_index(IndexId(index.number))
            names[place] = f"index `{index.name}` of table `{table.name}`"
    yield from check_contents(path, options, rules, names, tell)


def check_tables(path: Path, tables: list[TableRecord], contents: Contents) -> Iterator[Finding]:
    """What the records name is there."""
    for table in tables:
        if f"t_{table.number}" not in contents.tables:
            yield Finding(ERROR, path.name, f"the rows of table `{table.name}` are missing.")
        for index in table.indexes:
            if f"i_{index.number}" not in contents.tables:
                yield Finding(
                    ERROR,
                    path.name,
                    f"index `{index.name}` of table `{table.name}` is missing.",
                )


def check_contents(
    path: Path,
    options: GroupOptions,
    rules: dict[IndexId, IndexRule],
    names: dict[str, str],
    tell: Callable[[float], None],
) -> Iterator[Finding]:
    """`names` are those of the places where damage can be (`store.damage`)."""
    for finding in check_file(path, options, rules, tell):
        if finding is None:
            continue
        yield Finding(ERROR, path.name, finding)
        if finding == damaged(path):  # the examination ends there; the search for damage does not
            for step in scrub(path, options):
                if step.finding is not None:
                    place = names.get(step.place, f"the {step.place}")
                    yield Finding(ERROR, path.name, f"{place} cannot be read completely.")
