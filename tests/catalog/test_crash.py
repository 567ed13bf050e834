"""The catalog after a crash: at every point where the store could die, the directory is opened again.

A crash is a copy of the directory's files as they are at that moment (invariant 1 of `catalog.catalog`).
"""

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rethought.catalog import Catalog, open_catalog
from rethought.catalog.moving import move_table
from rethought.store import Disk, Group, GroupOptions, Ticket, open_group
from tests.catalog.conftest import field_rule
from tests.catalog.test_catalog import FIELD, put
from tests.waiting import PATIENCE_S


class Witness(Disk):
    """Copies the directory whenever the store passes a crash point."""

    def __init__(self, directory: Path, copies: Path) -> None:
        self.directory = directory
        self.copies = copies
        self.points: list[str] = []
        self.watching = False

    def reached(self, point: str) -> None:
        if self.watching and threading.current_thread() is threading.main_thread():
            target = self.copies / f"{len(self.points):03}"
            shutil.copytree(self.directory, target)
            self.points.append(point)


class Rig:
    """A catalog whose every step is witnessed, and a way to open what was copied."""

    def __init__(self, tmp_path: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = tmp_path / "data"
        self.directory.mkdir()
        (tmp_path / "copies").mkdir()
        self.disk = Witness(self.directory, tmp_path / "copies")

    def open(self, directory: Path, disk: Disk) -> Catalog:
        options = GroupOptions(cache_bytes=1 << 20, disk=disk)

        def group(path: Path) -> Group:
            return open_group(path, loop=self.loop, options=options)

        return open_catalog(directory, group, field_rule)

    def settle(self, ticket: Ticket) -> None:
        done = self.loop.create_future()
        ticket.add(done.set_result)
        self.loop.run_until_complete(asyncio.wait_for(done, PATIENCE_S))


def prepared(catalog: Catalog) -> None:
    """Two databases, one with a table of 20 rows and an index."""
    catalog.create_database("other")
    table = catalog.create_table(catalog.create_database("d"), "t")
    for at in range(20):
        put(catalog, table, b"%02d" % at, {"id": at, "f": at})
    catalog.create_index(table, "i", FIELD)


def shape(catalog: Catalog) -> dict[str, dict[str, tuple[int, tuple[str, ...]]]]:
    """What there is: databases, their tables, rows and indexes of each."""
    return {
        database.name: {
            table.name: (
                table.group.snapshot().count(table.number),
                tuple(table.indexes),
            )
            for table in database.tables.values()
        }
        for database in catalog.user_databases()
    }


STEPS: dict[str, Callable[[Catalog], object]] = {
    "create database": lambda c: c.create_database("new"),
    "drop database": lambda c: c.drop_database(c.database("d")),
    "create table": lambda c: c.create_table(c.database("d"), "new"),
    "drop table": lambda c: c.drop_table(c.database("d").tables["t"]),
    "create index": lambda c: c.create_index(c.database("d").tables["t"], "j", FIELD),
    "drop index": lambda c: c.drop_index(c.database("d").tables["t"], "i"),
    "rename database": lambda c: c.rename_database(c.database("d"), "e"),
    "move table": lambda c: move_table(
        c.database("d").tables["t"], c.database("other"), "moved", c.changed
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_complete_or_absent_wherever_the_process_dies(tmp_path: Path, step: str) -> None:
    rig = Rig(tmp_path)
    catalog = rig.open(rig.directory, rig.disk)
    prepared(catalog)
    rig.settle(catalog.durable(catalog.database("d").group))
    before = shape(catalog)

    rig.disk.watching = True
    STEPS[step](catalog)
    for database in catalog.user_databases():
        rig.settle(catalog.durable(database.group))
    rig.settle(catalog.durable())
    rig.disk.watching = False
    after = shape(catalog)
    catalog.close()

    assert before != after
    assert len(rig.disk.points) >= 2
    seen = []
    for copy in sorted(rig.disk.copies.iterdir()):
        found = rig.open(copy, Disk())
        seen.append(shape(found))
        files = {path.name for path in copy.glob("*.db")}
        expected = {f"{database.id}.db" for database in found.user_databases()}
        assert files == expected | {"system.db"}
        assert found.unknown_files == []
        found.close()
    assert all(each in (before, after) for each in seen), seen
    assert seen == sorted(seen, key=lambda each: each == after)  # never back
    rig.loop.close()
