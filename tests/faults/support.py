"""What the fault tests share: a server of their own, a table with indexes, and looking at both from outside."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.client import CONTINUE, Connection, kind_of
from bench.terms import Term, field, row, start, term

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


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
