"""A scripted engine: the term of a query says what becomes of it, so wire tests need no ReQL.

[1, "now"]              answered at once            [1, "none"]       answered with None (noreply, finished)
[1, "later", NAME]      under way until released    [1, "release", NAME]   releases it (and is answered)
[1, "stream", N]        N batches, all at once      [1, "feed", NAME]      a feed; each release is one batch
[1, "big", N]           a response of N bytes       [1, "bug"]             raises
[1, "write", NAME]      a pledge, kept or broken when the commit of that name is `settled`
[1, "limit", SECONDS]   a limit, reached after that much work; with noreply no answer
[1, "cancelled"]        what was cancelled so far   [1, "open"]            how many cursors are open
"""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from rethought.auth.verifier import Verifier, decoy_verifier, make_verifier
from rethought.conversation import Pledge, Refusal, Reply
from rethought.errors import ReqlError

Done = Callable[[Any], None]


class FakeRunning:
    def __init__(self, engine: "FakeEngine", name: str, done: Done) -> None:
        self.engine = engine
        self.name = name
        self.done = done
        engine.waiting[name] = self

    def cancel(self) -> None:
        if self.engine.waiting.get(self.name) is self:
            del self.engine.waiting[self.name]
            self.engine.cancelled.append(self.name)


class FakeCursor:
    def __init__(self, engine: "FakeEngine", name: str | None, batches: int) -> None:
        self.engine = engine
        self.name = name
        self.left = batches
        engine.open += 1
        self.closed = False

    def more(self, done: Done) -> Reply | FakeRunning:
        assert not self.closed
        if self.name is None:
            self.left -= 1
            if not self.left:
                self.close()
                return Reply(sequence(2, [self.left]), None)
            return Reply(sequence(3, [self.left]), self)
        return FakeRunning(self.engine, self.name, done)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.engine.open -= 1


class FakeTicket:
    def __init__(self) -> None:
        self.callbacks: list[Callable[[ReqlError | None], object]] = []

    def add(self, callback: Callable[[ReqlError | None], object]) -> None:
        self.callbacks.append(callback)


class FakeClient(str):
    """A user's name, and what a client is asked for besides."""

    __slots__ = ("usage",)


class FakeTurns:
    """It is everybody's turn, until a test says that all have to wait for theirs."""

    strangers = None

    def __init__(self) -> None:
        self.now = True
        self.line: list[Callable[[], None]] = []

    def heard(self, usage: object, now: float, *, asks: bool = True) -> bool:
        return self.now

    def left(self, usage: object) -> None:
        pass

    def answered(self, usage: object, seconds_before: float, spent: float) -> None:
        pass

    def near(self, now: float) -> bool:
        return not self.now

    def line_up(
        self, usage: object, call: Callable[[], None], *, first: bool | None = None
    ) -> None:
        if self.now:
            call()
        else:
            self.line.append(call)

    def turn(self) -> None:
        """Of whoever is first in the line."""
        self.line.pop(0)()


class FakeEngine:
    busy = False

    def __init__(self, passwords: dict[str, str] | None = None) -> None:
        self.refusals: dict[str, str] = {}
        self.left: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.verifiers = {
            user: make_verifier(password) for user, password in (passwords or {"admin": ""}).items()
        }
        self.waiting: dict[str, FakeRunning] = {}
        self.cancelled: list[str] = []
        self.open = 0
        self.started: list[str] = []
        self.tickets: dict[str, FakeTicket] = {}
        self.scheduler = FakeTurns()

    def client(self, user: str, address: str, port: int) -> FakeClient:
        client = FakeClient(user)
        client.usage = SimpleNamespace(seconds=0.0)
        return client

    def refusal(self, user: str, address: str) -> str | None:
        return self.refusals.get(user)

    def login(self, user: str, address: str, outcome: str) -> None:
        self.logins.append((user, outcome))

    def gone(self, client: str) -> None:
        self.left.append(client)

    def verifier(self, user: str) -> Verifier | None:
        return self.verifiers.get(user)

    def decoy(self, user: str) -> Verifier:
        return decoy_verifier(b"secret", user, (4096,))

    def server_info(self, client: str) -> bytes:
        return b'{"t":5,"r":[{"id":"fake","name":"fake","proxy":false}]}'

    def start(self, client: str, body: bytes, done: Done) -> Reply | Pledge | FakeRunning | None:
        try:
            _, what, *arguments = json.loads(body)[:3]
            arguments = [each for each in arguments if not isinstance(each, dict)]
        except (ValueError, UnicodeDecodeError, RecursionError):
            return Reply(atom("unreadable"), None)
        if isinstance(what, list):
            what, *arguments = what
        noreply = b'"noreply":true' in body.replace(b" ", b"")
        match what, arguments:
            case "none", _:
                return None
            case "later", [name]:
                self.started.append(name)
                if noreply:
                    return FakeRunning(self, name, lambda _: done(None))
                return FakeRunning(self, name, done)
            case "release", [name]:
                self.release(name)
            case "write", [name]:
                return Pledge(atom("written"), self.tickets.setdefault(name, FakeTicket()))
            case "stream", [count]:
                return Reply(sequence(3, []), FakeCursor(self, None, count))
            case "feed", [name]:
                return Reply(sequence(3, [], [1]), FakeCursor(self, name, 0))
            case "big", [size]:
                return Reply(atom("x" * size), None)
            case "limit", [seconds]:
                refusal = Refusal(b"" if noreply else atom("limit"))
                refusal.seconds = seconds
                return refusal
            case "bug", _:
                raise ZeroDivisionError("on purpose")
            case "user", _:
                return Reply(atom(client), None)
            case "cancelled", _:
                return Reply(atom(self.cancelled), None)
            case "open", _:
                return Reply(atom(self.open), None)
        return Reply(atom(what), None)

    def settle(self, name: str, error: ReqlError | None = None) -> None:
        """The commit of that name is through, or failed."""
        for callback in self.tickets.pop(name).callbacks:
            callback(error)

    def release(self, name: str) -> None:
        """Finish what waits under that name: `end-` ends a feed, `fresh-` makes a START a stream."""
        running = self.waiting.pop(name.removeprefix("end-").removeprefix("fresh-"))
        if name.startswith("end-"):
            running.done(Reply(sequence(2, ["end"], []), None))
        elif name.startswith("fresh-"):
            running.done(Reply(sequence(3, [], []), FakeCursor(self, None, 2)))
        elif name.startswith("feed"):
            cursor = FakeCursor(self, running.name, 0)
            self.open -= 1  # the same feed goes on
            running.done(Reply(sequence(3, ["change"], [1]), cursor))
        else:
            running.done(Reply(atom("released"), None))


def atom(value: Any) -> bytes:
    return json.dumps({"t": 1, "r": [value]}, separators=(",", ":")).encode()


def sequence(kind: int, rows: list[Any], notes: list[int] | None = None) -> bytes:
    return json.dumps({"t": kind, "r": rows, "n": notes or []}, separators=(",", ":")).encode()
