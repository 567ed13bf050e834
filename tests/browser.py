"""A real browser for tests of pages: Chromium without a window, driven by playwright.

What always holds: the browser is the machine's own (`CHROMIUM` names another), started with an empty profile and
nothing that calls home; each page has a context, so storage and cookies, of its own; a page that raised, logged an
error or was refused a resource fails its test. Without a browser a test is skipped, in CI (`CI=true`) it fails.
Callers: the fixtures `browser` and `open_page` in `conftest.py`. Wait with `expect`, never for a while.
"""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS: Final = (
    "--no-sandbox",
    "--disable-dev-shm-usage",  # which is too small in many containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS: Final = 1000 * PATIENCE_S
LASTING: Final = """
{
  const after = window.setTimeout;
  const lasts = (ms) => Number.isInteger(ms) && ms >= 6_000;
  window.setTimeout = (work, ms, ...rest) => after(work, lasts(ms) ? 1e9 : ms, ...rest);
}
"""
"""What a page would take back after some seconds stays, for however long a busy machine takes to look at it."""


def find_browser() -> str:
    """The program; skips or fails the test when there is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    for program in PROGRAMS:
        if path := shutil.which(program):
            return path
    missing("Chromium is not installed (Debian: apt-get install chromium; or set CHROMIUM)")


def missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running_browser() -> Iterator["Browser"]:
    """A browser for the length of a `with` block.

    Playwright keeps an event loop of its own in this thread meanwhile, so that `asyncio.run` cannot be called here.
    """
    path = find_browser()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("the Python package playwright is not installed (make setup)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=list(OPTIONS), timeout=PATIENCE_MS
        )
        try:
            yield browser
        finally:
            browser.close()


def expect(actual: "Page | Locator") -> Any:
    """Playwright's `expect`, which waits for what it expects. (Imported late: most test runs need no browser.)"""
    from playwright.sync_api import expect as expectation

    expectation.set_options(timeout=PATIENCE_MS)
    return expectation(actual)


@contextmanager
def visiting(
    browser: "Browser", url: str, *, forgiven: tuple[str, ...] = (), **context: Any
) -> Iterator["Page"]:
    """A page at `url`. In the end it must not have complained, except of what contains a text of `forgiven`."""
    complaints: list[str] = []
    owner = browser.new_context(**context)
    owner.set_default_timeout(PATIENCE_MS)
    try:
        owner.add_init_script(LASTING)
        page = owner.new_page()
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.goto(url)
        yield page
        assert not [text for text in complaints if not any(part in text for part in forgiven)]
    finally:
        owner.close()


@dataclass
class Tunnel:
    """A way to a port that can be cut, as the network would: `url` instead of the server's own."""

    target: int
    listening: socket.socket
    port: int = 0
    open: bool = True
    ends: set[socket.socket] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self) -> None:
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            try:
                with self.lock:
                    if not self.open:
                        raise ConnectionRefusedError
                    far = socket.create_connection(("127.0.0.1", self.target))
                    self.ends |= {near, far}
            except OSError:
                near.close()
                continue
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        self.hang_up({source, sink})

    def hang_up(self, ends: set[socket.socket]) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self.lock:
            self.ends -= ends

    def cut(self) -> None:
        """Every connection ends in the middle of whatever it carries, and none comes through any more."""
        with self.lock:
            self.open = False
            ends = set(self.ends)
        self.hang_up(ends)

    def mend(self) -> None:
        with self.lock:
            self.open = True


@contextmanager
def tunnel(target: int) -> Iterator[Tunnel]:
    """A way to `target` on the loopback interface that can be cut and mended."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        way = Tunnel(target, listening, listening.getsockname()[1])
        server = threading.Thread(target=way.serve)
        server.start()
        try:
            yield way
        finally:
            way.cut()
            listening.shutdown(socket.SHUT_RDWR)
            server.join()
