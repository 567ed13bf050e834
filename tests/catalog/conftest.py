"""A catalog over real files, on a loop of its own."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rethought.catalog import Catalog, open_catalog
from rethought.catalog.model import IndexDefinition, Rule
from rethought.store import GroupOptions, Ticket, open_group
from rethought.store.group import Group
from tests.waiting import PATIENCE_S


class FieldRule:
    """An index rule without a compiler: every index is on the field `f`."""

    def keys(self, doc: dict[str, Any]) -> list[bytes]:
        return [repr(doc["f"]).encode()] if "f" in doc else []

    def same(self, old: dict[str, Any], new: dict[str, Any]) -> bool:
        return False

    def reads(self, fields: Any) -> bool:
        return True

    def keys_of_chunk(self, chunk: bytes) -> list[list[bytes]]:
        return [self.keys(doc) for doc in json.loads(b"[" + chunk + b"]")]


def field_rule(_: IndexDefinition) -> Rule:
    return FieldRule()


class Home:
    """A data directory whose catalog can be opened again and again."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.directory = directory
        self.loop = loop
        self.groups: list[Group] = []

    def open_group(self, path: Path) -> Group:
        group = open_group(path, loop=self.loop, options=GroupOptions(cache_bytes=1 << 20))
        self.groups.append(group)
        return group

    def open(self) -> Catalog:
        return open_catalog(self.directory, self.open_group, field_rule, server_name="here")

    def reopen(self, catalog: Catalog) -> Catalog:
        self.turn()
        catalog.close()
        return self.open()

    def turn(self) -> None:
        """Lets the loop run what is due."""
        self.loop.run_until_complete(asyncio.sleep(0))

    def wait(self, ticket: Ticket) -> None:
        """Until a ticket is done; raises its error."""
        done = self.loop.create_future()
        ticket.add(lambda error: done.set_exception(error) if error else done.set_result(None))
        self.loop.run_until_complete(asyncio.wait_for(done, PATIENCE_S))

    def files(self) -> set[str]:
        return {path.name for path in self.directory.glob("*.db")}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    loop = asyncio.new_event_loop()
    home = Home(tmp_path, loop)
    yield home
    for group in home.groups:
        group.close()
    loop.close()


@pytest.fixture
def catalog(home: Home) -> Catalog:
    return home.open()
