"""The web side of the board, spoken to by programs that send what our page does not, or read as it would not."""

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from rethinkdb import r
from rethinkdb.errors import ReqlDriverError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from examples.board import store, web
from tests.examples.board import Board, start
from tests.waiting import PATIENCE_S
from tools.serverprocess import ServerProcess

HELLO = {"type": "hello", "name": "Test", "hue": 5}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    running = start("--port", "0")
    yield running
    running.stop()


def open_socket(port: int, **options: Any) -> ClientConnection:
    url = f"ws://127.0.0.1:{port}/board"
    return connect(url, proxy=None, open_timeout=PATIENCE_S, ping_timeout=None, **options)


@contextmanager
def visit(port: int, *, after: str | None = None, **options: Any) -> Iterator[ClientConnection]:
    """A page that has said hello."""
    with open_socket(port, **options) as page:
        say(page, **HELLO, after=after)
        yield page


def say(page: ClientConnection, **message: Any) -> None:
    page.send(json.dumps(message))


def hear(page: ClientConnection, feed: str) -> dict[str, Any]:
    """The next message of a feed, or of another kind."""
    while True:
        message: dict[str, Any] = json.loads(page.recv(PATIENCE_S))
        if message["feed"] == feed:
            return message


def hear_changes(page: ClientConnection) -> list[dict[str, Any]]:
    """The next changes of notes. (The feed may be `ready` again at any time, with a newer token.)"""
    while True:
        rows = [row for row in hear(page, "notes")["rows"] if "old_val" in row]
        if rows:
            return rows


def hear_note(page: ClientConnection, text: str) -> dict[str, Any]:
    """The next change of a note to this text."""
    while True:
        for row in hear_changes(page):
            if (row["new_val"] or {}).get("text") == text:
                return row


def hear_all(page: ClientConnection) -> tuple[list[dict[str, Any]], str]:
    """Everything the feed of notes tells until it is ready, and the token to go on from."""
    rows: list[dict[str, Any]] = []
    while True:
        for row in hear(page, "notes")["rows"]:
            if row.get("state") == "ready":
                return rows, row["resume_token"]
            rows += [row] if "state" not in row else []


def add(text: Any, **different: Any) -> dict[str, Any]:
    ids = {"id": str(uuid.uuid4()), "note": str(uuid.uuid4())}
    place = {"column": "done", "rank": 1, "color": "sun"}
    return {"type": "add", **ids, "text": text, **place, **different}


REFUSED = [
    pytest.param("{", "Input data was truncated", id="no JSON"),
    pytest.param("[]", "Expected `object`, got `array`", id="a list"),
    pytest.param("[" * 8000, "Expected `object`, got `array`", id="deep"),
    pytest.param('{"type": "drop"}', "Invalid value 'drop' - at `$.type`", id="unknown"),
    pytest.param(b"\x00\xff", "JSON is malformed", id="bytes"),
    pytest.param(add("x" * 501), "length <= 500 - at `$.text`", id="long text"),
    pytest.param(add(" \n "), "at `$.text`", id="blank text"),
    pytest.param(add(7), "Expected `str`, got `int` - at `$.text`", id="number"),
    pytest.param(add({"$reql_type$": "TIME"}), "Expected `str`, got `object`", id="object"),
    pytest.param(json.dumps(add("\ud800")), "surrogate", id="half a character"),
    pytest.param(add("x", column="attic"), "'attic' - at `$.column`", id="column"),
    pytest.param(add("x", rank=1e300), "at `$.rank`", id="rank"),
    pytest.param(add("x", note="../x"), "at `$.note`", id="key"),
    pytest.param(add("x", done=True), "unknown field `done`", id="more than asked"),
    pytest.param({"type": "here", "x": 2}, "<= 1.0 - at `$.x`", id="place"),
    pytest.param({"type": "me", "name": "y" * 31}, "length <= 30 - at `$.name`", id="name"),
]


@pytest.mark.parametrize(("message", "why"), REFUSED)
def test_what_is_no_message_is_refused_to_that_page_alone(
    board: Board, message: Any, why: str
) -> None:
    with visit(board.port) as offender, visit(board.port) as other:
        hear_all(other)
        offender.send(message if isinstance(message, str | bytes) else json.dumps(message))
        refusal = hear(offender, "refused")
        assert why in refusal["why"]
        named = message.get("id") if isinstance(message, dict) else None
        assert refusal["id"] == named
        # It may go on, and nothing came of what was refused.
        text = str(uuid.uuid4())
        say(offender, **add(text))
        assert [row["new_val"]["text"] for row in hear_changes(other)] == [text]


def test_a_message_larger_than_any_closes_that_connection_alone(board: Board) -> None:
    with visit(board.port) as offender, visit(board.port) as other:
        hear_all(other)
        offender.send(json.dumps(add("x" * web.MESSAGE_BYTES)))
        with pytest.raises(ConnectionClosed) as closed:
            hear(offender, "refused")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        say(other, **add("the other goes on"))
        hear_note(other, "the other goes on")


@pytest.mark.parametrize("first", ["{}", '{"type": "me", "name": "x"}', b"\xff", "hello"])
def test_who_does_not_say_hello_is_sent_away(board: Board, first: Any) -> None:
    with open_socket(board.port) as page:
        page.send(first)
        with pytest.raises(ConnectionClosed) as closed:
            page.recv(PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == web.REFUSED
        assert closed.value.rcvd.reason


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://elsewhere.example"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_a_page_of_another_site_is_refused(board: Board, headers: Any, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, visit(board.port, **headers):
        pass
    assert refused.value.response.status_code == status


def test_another_name_of_this_machine_is_refused(board: Board) -> None:
    """A name that somebody else gave this address makes us no page of theirs."""
    with socket.create_connection(("127.0.0.1", board.port)) as conn:
        conn.sendall(b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n")
        assert conn.makefile("rb").readline().split()[1] == b"400"


def test_a_page_goes_on_after_its_token(board: Board) -> None:
    with visit(board.port) as page:
        before, token = hear_all(page)
        assert {row["new_val"]["text"] for row in before} >= {"Start the board."}
    with visit(board.port) as other:
        for text in ("one", "two"):
            say(other, **add(text))
        hear_note(other, "two")
    with visit(board.port, after=token) as page:
        assert hear(page, "welcome")["resumed"]
        missed, _ = hear_all(page)
        assert [row["new_val"]["text"] for row in missed] == ["one", "two"]


@pytest.mark.parametrize("token", ["", "no token", "A" * 200])
def test_a_page_whose_token_is_of_no_use_reads_anew(board: Board, token: str) -> None:
    with visit(board.port, after=token) as page:
        assert not hear(page, "welcome")["resumed"]
        rows, _ = hear_all(page)
        assert len(rows) >= 5


def test_a_command_that_comes_twice_is_done_once(board: Board) -> None:
    with visit(board.port) as page, visit(board.port) as again:
        hear_all(page)
        one = add("once")
        say(page, **one)
        hear_note(page, "once")
        removal = {"type": "remove", "id": str(uuid.uuid4()), "note": one["note"]}
        say(page, **removal)
        assert hear_changes(page)[0]["new_val"] is None
        activity = r.db("board").table("activity").get_all(one["id"], removal["id"])
        lines = board.rows(activity.order_by("at").pluck("verb", "who", "text", "column"))
        same = {"who": "Test", "text": "once", "column": "done"}
        assert lines == [{"verb": "add", **same}, {"verb": "remove", **same}]
        for command in (one, removal):
            say(again, **command)
            assert hear(again, "known")["id"] == command["id"]
        assert one["note"] not in board.rows(r.db("board").table("notes")["id"])
        edit = {"type": "edit", "id": str(uuid.uuid4()), "note": one["note"], "text": "late"}
        say(page, **edit)
        assert hear(page, "refused")["why"] == "Somebody removed this note."
        assert edit["id"] not in board.rows(r.db("board").table("activity")["id"])


def test_commands_of_a_page_are_done_in_their_order(board: Board) -> None:
    with visit(board.port) as page:
        hear_all(page)
        one = add("0")
        say(page, **one)
        for number in range(1, 100):
            edit = {"type": "edit", "id": str(uuid.uuid4()), "note": one["note"]}
            say(page, **edit, text=str(number))
        told: list[str] = []
        while told[-1:] != ["99"]:
            told += [row["new_val"]["text"] for row in hear_changes(page)]
        assert told == [str(number) for number in range(100)]


def test_a_full_board_takes_no_more(board: Board) -> None:
    notes = r.db("board").table("notes")
    filling = [{"column": "done", "color": "sun", "rank": 9, "text": "x", "filling": True}]
    with r.connect("127.0.0.1", board.database_port) as conn, visit(board.port) as page:
        notes.insert(filling * (store.NOTES_MAX - notes.count().run(conn))).run(conn)
        say(page, **add("one too many"))
        why = hear(page, "refused")["why"]
        notes.filter({"filling": True}).delete().run(conn)
    assert why == f"The board is full: it holds {store.NOTES_MAX} notes."


def test_the_web_side_ends_though_its_driver_keeps_a_cancelling_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = asyncio.Event()

    async def connecting(*_: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ReqlDriverError("an answer came just then") from None

    async def run() -> None:
        application = web.application(("127.0.0.1", 1), ["*"])
        async with asyncio.timeout(PATIENCE_S), application.router.lifespan_context(application):
            await begun.wait()

    monkeypatch.setattr(store, "connect", connecting)
    asyncio.run(run())


@contextmanager
def serving(database: int, send_s: float) -> Iterator[int]:
    """The web side in a thread, for the settings that its command line does not have; its port."""
    asyncio.run(store.prepare("127.0.0.1", database))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        application = web.application(("127.0.0.1", database), ["*"], send_s=send_s)
        server = uvicorn.Server(uvicorn.Config(application, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def test_a_page_that_reads_nothing_is_let_go_and_holds_up_nobody(
    shared_server: ServerProcess,
) -> None:
    with (
        serving(shared_server.port, send_s=0.3) as port,
        serving(shared_server.port, send_s=PATIENCE_S) as port_of_the_patient,
    ):
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", port))
        options: dict[str, Any] = {"sock": narrow, "compression": None, "max_queue": 1}
        with visit(port_of_the_patient) as other, visit(port, **options) as slow:
            hear_all(other)
            _, token = hear_all(slow)
            one = add("x")
            say(other, **one)
            last = ""
            for number in range(1500):
                last = f"{number} " + "y" * 490
                edit = {"type": "edit", "id": str(uuid.uuid4()), "note": one["note"]}
                say(other, **edit, text=last)
                hear_note(other, last)
            with pytest.raises(ConnectionClosed):
                hear_note(slow, "what it will not hear")
        # It comes again, and has missed nothing.
        with visit(port_of_the_patient, after=token) as back:
            assert hear(back, "welcome")["resumed"]
            missed, _ = hear_all(back)
            assert len(missed) == 1501
            assert missed[-1]["new_val"]["text"] == last
