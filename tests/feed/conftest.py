"""A node for the tests of feeds, and tables in it."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.feed.node import Node

_numbers = itertools.count()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("node") / "data")
    yield node
    node.close()


@pytest.fixture(autouse=True)
def _ended(node: Node) -> Iterator[None]:
    """What a test that failed left open ends with it."""
    yield
    node.end_queries()


@pytest.fixture
def new_table(node: Node) -> Callable[..., Any]:
    """Makes tables: `new_table("index", ..., multi=True)`."""

    def make(*indexes: str, multi: bool = False) -> Any:
        return node.table(f"t{next(_numbers)}", *indexes, multi=multi)

    return make
