"""Starts the board: a database of its own, started again whenever it ends, and the web application before it."""

import argparse
import asyncio
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvicorn
from rethinkdb.errors import ReqlDriverError

from examples.board import store
from examples.board.web import MESSAGE_BYTES, application
from tools.serverprocess import NotReadyError, start

CONNECTIONS = 300
LOOPBACK = ("localhost", "127.0.0.1")


def say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def database(directory: Path) -> Iterator[int]:
    """A server on `directory` that is started again, on the same port, whenever it ends; its port."""
    server = start(directory)
    ending = threading.Event()

    def watch() -> None:
        nonlocal server
        while True:
            status = server.process.wait()
            ending.wait(
                0 if status else 2
            )  # Ctrl-C reaches both processes: the end of this one is near
            while not ending.is_set():
                try:
                    server = start(directory, "--driver-port", str(server.port))
                except NotReadyError as error:
                    say(str(error))
                    ending.wait(1)
                    continue
                say(f"The database ended ({status}); started again as process {server.pid}")
                break
            if ending.is_set():
                server.stop()
                return

    say(f"Database   port {server.port}, process {server.pid}, data in {directory}")
    say(f"           kill -9 {server.pid} while you write: the board goes on")
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield server.port
    finally:
        ending.set()
        server.stop()
        watcher.join()


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def run(given: argparse.Namespace) -> None:
    """Raises OSError when the page's port is taken, ReqlDriverError when there is no database."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server((given.host, given.port)))
        place = given.database
        if place is None:
            folder = given.data or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
            place = ("127.0.0.1", stack.enter_context(database(folder)))
        asyncio.run(store.prepare(*place))
        config = uvicorn.Config(
            application(place, [*LOOPBACK] if given.host in LOOPBACK else ["*"]),
            ws_max_size=MESSAGE_BYTES,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=1,
            log_level="warning",
        )
        say(f"Board      http://{given.host}:{listening.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listening])


def main() -> int:
    parser = argparse.ArgumentParser(prog="examples.board", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder to keep the notes in (default: forget)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8008, help="port of the page; 0 is any free")
    parser.add_argument("--database", type=address, help="host:port of a server that is running")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        run(parser.parse_args())
    except (OSError, ReqlDriverError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        say("")
    return 0


if __name__ == "__main__":
    sys.exit(main())
