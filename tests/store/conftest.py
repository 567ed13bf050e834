"""Fixtures of the store's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.support import Opened


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens groups with options; closes them at the end."""
    made: list[Opened] = []

    def make(name: str = "test.db", **options: Any) -> Opened:
        made.append(Opened(tmp_path / name, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
