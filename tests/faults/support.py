"""What the fault tests share: a server of their own, a table with indexes, and looking at both from outside."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.client import CONTINUE, Connection, kind_of
from bench.terms import Term, field, row, start, term
from tests.waiting import PATIENCE_S

TABLE: Term = term("table", term("db", "faults"), "things")


def prepare(port: int) -> Connection:
    """A connection to a server that has the table `faults.things` with the indexes `n` and `pair`."""
    client = Connection(port)
    client.value(start(term("db_create", "faults")))
    client.value(start(term("table_create", term("db", "faults"), "things")))
    client.value(start(term("index_create", TABLE, "n")))
    pair = row(term("make_array", term("mod", field("n"), 7), field("n")))
    client.value(start(term("index_create", TABLE, "pair", pair)))
    client.drain(start(term("index_wait", TABLE)))
    return client


def rows(client: Connection, query: Term, **options: Any) -> Iterator[Any]:
    """Every row of a query's answer."""
    answer = client.ask(start(query, **options))
    while True:
        kind = kind_of(answer)
        content = json.loads(answer)["r"]
        yield from content[0] if kind == 1 and isinstance(content[0], list) else content
        if kind != 3:
            return
        client.socket.sendall(client.frame_again(CONTINUE, client.token))
        while not (found := client.frames()):
            client.receive()
        answer = found[0]


def check_indexes(client: Connection) -> dict[Any, Any]:
    """Both indexes hold exactly the table's documents, in order; returns the documents by key."""
    things = {thing["id"]: thing for thing in rows(client, TABLE)}
    assert client.value(start(term("count", TABLE))) == len(things)
    for index, key in (
        ("n", lambda thing: thing["n"]),
        ("pair", lambda thing: [thing["n"] % 7, thing["n"]]),
    ):
        listed = list(rows(client, term("order_by", TABLE, index=index)))
        assert [key(thing) for thing in listed] == sorted(key(thing) for thing in things.values())
        assert {thing["id"]: thing for thing in listed} == things
    return things


@dataclasses.dataclass
class Follower:
    """Builds the rows of a query from its changes alone, resuming after each crash where it stopped.

    Rows are counted: one that moves between two parts of a union is in both for a moment.
    """

    query: Term
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    board: Counter[str] = dataclasses.field(default_factory=Counter)
    token: str | None = None
    client: Connection | None = None

    def connect(self, port: int) -> Connection:
        self.client = Connection(port)
        self.client.socket.settimeout(PATIENCE_S)
        where = {"include_initial": True} if self.token is None else {"resume_after": self.token}
        if self.token is None:
            self.board.clear()
        feed = term("changes", self.query, include_resume_tokens=True, **where, **self.options)
        self.client.socket.sendall(self.client.frame(start(feed)))
        return self.client

    def close(self) -> None:
        if self.client is not None:
            self.client.close()

    def take(self) -> int:
        """Apply what came. Counts as no write."""
        assert self.client is not None
        self.client.receive()
        for body in self.client.frames():
            answer = json.loads(body)
            assert answer["t"] == 3, answer
            for change in answer["r"]:
                self.apply(change)
            with suppress(OSError):
                self.client.socket.sendall(self.client.frame_again(CONTINUE, self.client.token))
        return 0

    def apply(self, change: dict[str, Any]) -> None:
        if "resume_token" in change:
            self.token = change["resume_token"]
        old, new = change.get("old_val"), change.get("new_val")
        if old is not None:
            text = json.dumps(old)
            assert self.board[text], f"{self.query}: a change is missing, or came twice: {change}"
            self.board[text] -= 1
        if new is not None:
            self.board[json.dumps(new)] += 1

    def expected(self, client: Connection) -> Counter[str]:
        """What the query gives now."""
        return Counter(json.dumps(thing) for thing in rows(client, self.query) if thing is not None)

    def take_until(self, board: Counter[str]) -> None:
        while self.board != board:
            self.take()


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
