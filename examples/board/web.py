"""The web side: a page is one WebSocket, one connection to the database, and a task for each feed.

What always holds:
  1. Nothing is kept here between two connections of a page. Whatever goes wrong (the network, this process, the
     database), the page connects again and says which change it saw last; the journal has the rest.
  2. A page that reads slowly slows only its own feeds: they wait for it, the database bounds what waits, and after
     `SEND_S` seconds without progress the page is let go.
  3. One page's commands are done one after the other; what it may not send is refused to it alone.
Callers: `__main__`.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from rethinkdb.errors import (
    ReqlDriverError,
    ReqlError,
    ReqlOpFailedError,
    ReqlQueryLogicError,
    ReqlRuntimeError,
)
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from examples.board import messages, store
from examples.board.messages import COLUMNS, TEXT_MAX, Here, Me

PAGE: Final = Path(__file__).parent / "page"
MESSAGE_BYTES: Final = 16 * 1024
"""What a page may send at once; the web server closes the connection of one that sends more."""
WAITING: Final = 1000
"""How many changes of a feed wait in the database for a slow page, before it is told to resume instead."""
STAY_S: Final = 15
TIDY_S: Final = 20
AWAY, REFUSED = 1013, 1008
"""Codes of closing: try again later; not with me."""

log = logging.getLogger("board")


@dataclass(slots=True)
class Page:
    """One open page. Its name changes, the rest stays."""

    socket: WebSocket
    conn: Any
    name: str
    hue: int
    send_s: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, **message: Any) -> None:
        """Raises TimeoutError when the page does not take it."""
        async with self.turn, asyncio.timeout(self.send_s):
            await self.socket.send_text(msgspec.json.encode(message).decode())


async def talk(socket: WebSocket, *, connect: Callable[[], Any], send_s: float) -> None:
    """One page, from its first message to its last."""
    if foreign(socket):
        await socket.close(REFUSED)
        return
    await socket.accept()
    try:
        hello = messages.hello.decode(await receive(socket))
        async with await connect() as conn:
            await serve(Page(socket, conn, hello.name, hello.hue, send_s), hello.after)
    except* WebSocketDisconnect:
        pass
    except* msgspec.MsgspecError as wrong:
        await close(socket, REFUSED, str(wrong.exceptions[0]))
    except* (ReqlError, TimeoutError, OSError) as away:
        log.info("page let go: %r", away.exceptions)
        await close(socket, AWAY, "the board is away for a moment")


def foreign(socket: WebSocket) -> bool:
    """A page of another site may open a WebSocket to us in its visitor's name; it says where it is from."""
    origin = socket.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != socket.headers.get("host")


async def receive(socket: WebSocket) -> str | bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    data: str | bytes = message["text"] if "text" in message else message["bytes"]
    return data


async def close(socket: WebSocket, code: int, reason: str) -> None:
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(1):
            await socket.close(code, reason[:120])


async def serve(page: Page, after: str | None) -> None:
    run = partial(lambda query, **how: query.run(page.conn, **how), changefeed_queue_size=WAITING)
    resumed = after is not None
    try:
        cursors = {name: await run(query) for name, query in store.feeds(after).items()}
    except (ReqlOpFailedError, ReqlQueryLogicError) as why:
        # Too long away: the journal has forgotten. Or no token of this board. Then everything, from the start.
        log.info("cannot resume: %s", why.message)
        resumed = False
        cursors = {name: await run(query) for name, query in store.feeds(None).items()}
    about = {"now": time.time(), "columns": COLUMNS, "text_max": TEXT_MAX}
    await page.send(feed="welcome", me=page.id, resumed=resumed, **about)
    await be_present(page)
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, cursor in cursors.items():
                tasks.create_task(follow(page, name, cursor))
            tasks.create_task(obey(page))
            tasks.create_task(stay(page))
    finally:
        with suppress(ReqlError):
            await store.leave(page.id).run(page.conn, durability="soft")


async def follow(page: Page, name: str, cursor: Any) -> None:
    """Pass a feed on, as it comes: what has arrived together leaves together."""
    while True:
        rows = [await cursor.next()]
        while cursor.items:
            rows.append(await cursor.next())
        if any("error" in row for row in rows):
            raise TimeoutError("the page is too slow; it will resume")
        await page.send(feed=name, rows=rows)


async def obey(page: Page) -> None:
    """Do what the page asks, one thing after the other."""
    while True:
        data = await receive(page.socket)
        try:
            await do(page, messages.message.decode(data))
        except ReqlRuntimeError as no:
            await page.send(feed="refused", id=messages.refused_id(data), why=no.message)
        except msgspec.MsgspecError as wrong:
            await page.send(feed="refused", id=messages.refused_id(data), why=str(wrong))


async def do(page: Page, message: Me | Here | messages.AnyCommand) -> None:
    match message:
        case Me():
            page.name = message.name
            await be_present(page)
        case Here():
            await store.point(page.id, message).run(page.conn, durability="soft")
        case _:
            if not await store.write(message, page.name).run(page.conn, transaction=True):
                await page.send(feed="known", id=message.id)


async def be_present(page: Page) -> None:
    await store.present(page.id, page.name, page.hue).run(page.conn, durability="soft")


async def stay(page: Page) -> None:
    """The page hears of it in its feed of people, and knows that its connection is alive."""
    while True:
        await asyncio.sleep(STAY_S)
        await be_present(page)


async def tidy(connect: Callable[[], Any], ending: asyncio.Event) -> None:
    """Now and then, until it ends. To be cancelled is not enough: when an answer comes just then, the driver keeps that
    to itself."""
    while not ending.is_set():
        with suppress(ReqlDriverError, ReqlError):
            async with await connect() as conn:
                await store.tidy().run(conn, durability="soft")
        with suppress(TimeoutError):
            async with asyncio.timeout(TIDY_S):
                await ending.wait()


def application(database: tuple[str, int], hosts: list[str], *, send_s: float = 20) -> Starlette:
    """The web application, for a prepared database at (host, port), answering to the names `hosts`."""
    connect = partial(store.connect, *database)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(tidy(connect, ending))
            yield
            ending.set()
            task.cancel()

    return Starlette(
        routes=[
            WebSocketRoute("/board", partial(talk, connect=connect, send_s=send_s)),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
        lifespan=lifespan,
    )
