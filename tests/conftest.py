"""Fixtures for every test: a shared server, servers of a test's own, a browser and its pages.

Also what holds for every law that hypothesis tries: how long an example takes says nothing, since a machine may be
busy; in CI the examples are always the same ones.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.browser import running_browser, visiting
from tools.serverprocess import ServerProcess, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

settings.register_profile(
    "rethought",
    deadline=None,
    suppress_health_check=tuple(HealthCheck),
    derandomize=os.environ.get("CI") == "true",
    print_blob=True,
)
settings.load_profile("rethought")


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


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One browser for the tests of a module (no longer: it keeps an event loop in this thread)."""
    with running_browser() as running_one:
        yield running_one


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[Callable[..., "Page"]]:
    """Opens pages of this test alone, each as somebody else: `open_page(url, color_scheme="dark")`."""
    with ExitStack() as stack:

        def open_one(url: str, **options: Any) -> "Page":
            return stack.enter_context(visiting(browser, url, **options))

        yield open_one
