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
from rethought.errors import ReqlError
from rethought.maintenance.audit import check_audit, log_of
from rethought.maintenance.rotation import leftovers
from rethought.store import GroupOptions, IndexId, IndexRule, check_file
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
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> Iterator[Finding | Step]:
    """All steps and findings. Raises `ReqlError` when the key is wrong or the version another."""
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
    records = peek(system, options).records
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
    yield from check_contents(system, options, {})
    for id_, name in sorted(databases.items(), key=lambda item: item[1]):
        path = directory / f"{id_}{SUFFIX}"
        if path.exists():
            yield Step(f"{path.name} (database {name})")
            yield from check_database(path, options, make_rule)


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


def check_database(path: Path, options: GroupOptions, make_rule: MakeRule) -> Iterator[Finding]:
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
    yield from check_contents(path, options, rules)


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
    path: Path, options: GroupOptions, rules: dict[IndexId, IndexRule]
) -> Iterator[Finding]:
    for finding in check_file(path, options, rules):
        if finding is not None:
            yield Finding(ERROR, path.name, finding)
