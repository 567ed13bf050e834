"""Fixtures for every test: a shared server, and servers of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tools.serverprocess import ServerProcess, running


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests of a worker that only need some server; make databases of your own in it."""
    with running(tmp_path_factory.mktemp("shared") / "data") as server:
        yield server


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers of this test alone: `start_server("--cache-size", "100", directory=...)`."""
    with ExitStack() as stack:

        def start(
            *options: str,
            directory: Path | None = None,
            environment: dict[str, str] | None = None,
        ) -> ServerProcess:
            server = running(directory or tmp_path / "data", *options, environment=environment)
            return stack.enter_context(server)

        yield start
