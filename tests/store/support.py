"""What the store's tests share: a loop moved by hand, documents, an index rule, a group in a temporary directory."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rethought.store import Group, GroupOptions, TableId, open_group
from tests.waiting import PATIENCE_S


class Future:
    """The part of a future the store uses."""

    def __init__(self) -> None:
        self._done = False
        self._result: Any = None

    def done(self) -> bool:
        return self._done

    def result(self) -> Any:
        assert self._done
        return self._result

    def set_result(self, result: Any) -> None:
        self._done = True
        self._result = result


class ManualLoop:
    """A loop without sockets and without time: callbacks run when a test says so."""

    def __init__(self) -> None:
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._later: list[tuple[float, Callable[..., object], tuple[Any, ...]]] = []
        self._arrived = threading.Event()

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self._calls.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        self._later.append((delay, callback, args))

    def pass_time(self, seconds: float) -> None:
        """Lets the callbacks for later come whose time it is then."""
        later, self._later = self._later, []
        for delay, callback, args in later:
            if delay <= seconds:
                self._calls.append((callback, args))
            else:
                self._later.append((delay - seconds, callback, args))

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> None:
        self._calls.append((callback, args))
        self._arrived.set()

    def create_future(self) -> Future:
        return Future()

    def turn(self) -> None:
        """Runs what was there at the beginning of the turn."""
        for _ in range(len(self._calls)):
            callback, args = self._calls.popleft()
            callback(*args)

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Turns until something holds, waiting for helper threads when there is nothing to do."""
        while not condition():
            self._arrived.clear()
            if self._calls:
                self.turn()
            elif not self._arrived.wait(PATIENCE_S) and not self._calls:
                raise TimeoutError("the store never got there")

    def settle(self) -> None:
        """Turns until nothing is left to do at once."""
        while self._calls:
            self.turn()


class FieldRule:
    """Indexes the number or the list of numbers in one field."""

    def __init__(self, field: str) -> None:
        self.field = field

    def keys(self, doc: Any) -> list[bytes]:
        value = doc.get(self.field)
        values = value if isinstance(value, list) else [] if value is None else [value]
        return [b"%06d" % each for each in values]

    def same(self, old: Any, new: Any) -> bool:
        return old.get(self.field) is new.get(self.field)

    def reads(self, fields: Any) -> bool:
        return self.field in fields

    def keys_of_chunk(self, chunk: bytes) -> list[list[bytes]]:
        return [self.keys(doc) for doc in json.loads(b"[" + chunk + b"]")]


def encode(doc: Any) -> bytes:
    return json.dumps(doc, separators=(",", ":"), sort_keys=True).encode()


def decode_all(docs: bytes) -> list[Any]:
    return list(json.loads(b"[" + docs + b"]"))


def put(group: Group, table: TableId, key: bytes, doc: Any | None) -> None:
    """Inserts, replaces or (None) deletes through the open batch."""
    batch = group.write()
    old = batch.get(table, key)
    batch.put(
        table,
        key,
        old,
        None if doc is None else encode(doc),
        None if old is None else json.loads(old),
        doc,
    )


def fill(group: Group, table: TableId, count: int, start: int = 0, **fields: Any) -> None:
    """Documents {"id": i, "a": a permutation of i} under the key of i."""
    for i in range(start, start + count):
        put(group, table, key_of(i), {"id": i, "a": i * 7919 % 1000, **fields})
    group.flush()


def key_of(i: int) -> bytes:
    return b"%08d" % i


def pages(read: Callable[[Any], Any]) -> Iterator[Any]:
    """All pages of a scan; `read` gets the resume position."""
    after = None
    while True:
        page = read(after)
        if page.count:
            yield page
        after = page.after
        if after is None:
            return


def all_documents(group: Group, table: TableId) -> dict[bytes, Any]:
    """Every document of a table by key, as its newest snapshot has them."""
    snapshot = group.snapshot().acquire()
    found = {}
    for page in pages(lambda after: snapshot.scan(table, after=after, limit=100, keys=True)):
        found.update(zip(page.keys, decode_all(page.docs), strict=True))
    snapshot.release()
    return found


def index_entries(group: Group, table: TableId, index: Any) -> list[tuple[bytes, Any]]:
    """Every (index key, id of the document), in the order of the index."""
    snapshot = group.snapshot().acquire()
    found = []
    for page in pages(
        lambda after: snapshot.index_scan(table, index, after=after, limit=100, keys=True)
    ):
        ids = [doc["id"] for doc in decode_all(page.docs)]
        found += list(zip(page.keys, ids, strict=True))
    snapshot.release()
    return found


class Opened:
    """A group with the loop it lives on; `reopen` closes and opens it again."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.loop = ManualLoop()
        self.options = GroupOptions(**options)
        self.group = open_group(path, loop=self.loop, options=self.options)

    def reopen(self, **options: Any) -> Group:
        self.group.close()
        if options:
            self.options = GroupOptions(**options)
        self.group = open_group(self.path, loop=self.loop, options=self.options)
        return self.group

    def close(self) -> None:
        self.group.close()
