"""What the wire room and the query engine say to each other.

What always holds: the wire knows no ReQL and the engine no sockets; between them pass whole bodies of bytes and the
handles below. Everything here is called on the loop and returns at once. `wire` calls these protocols, `reql.engine`
implements them, `web` may call them too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from rethought.auth.verifier import Verifier
from rethought.errors import ReqlError


class Running(Protocol):
    """A query that is under way. Its `done` is called once, later, unless it was cancelled."""

    def cancel(self) -> None:
        """Interrupt it; `done` is not called any more. Does nothing when it has finished."""


class Cursor(Protocol):
    """An open stream or feed of one client."""

    def more(self, done: "Callable[[Reply], None]") -> "Reply | Running":
        """The next batch: at once, or later through `done`. At most one is outstanding."""

    def close(self) -> None:
        """Let go of everything. May be called twice, and at any moment."""


class Reply(NamedTuple):
    """A complete response (JSON) and, when more is to come (t = 3), the cursor it comes from."""

    body: bytes
    cursor: Cursor | None = None


class Refusal(Reply):
    """A reply that says that a limit was reached, or nothing at all (no body); its client is made to wait."""

    seconds: float = 0.0  # spent on the query, as far as the engine knows


class Ticket(Protocol):
    """The wait for a commit."""

    def add(self, callback: "Callable[[ReqlError | None], None]") -> None:
        """Calls back once, with None when the commit is through, else with why it is not."""


class Pledge(NamedTuple):
    """A complete response that may be given once a commit is through, which it is not yet."""

    body: bytes
    ticket: Ticket


class Usage(Protocol):
    """How much of the loop's time a client used lately."""

    seconds: float


class Turns(Protocol):
    """Who has the loop when."""

    def heard(self, usage: Any, now: float, *, asks: bool = True) -> bool:
        """A client has sent something: whether that is looked at now, or when it is its turn (`line_up`). It `asks`
        unless it wants more of what it is told."""

    def answered(self, usage: Any, seconds_before: float, spent: float) -> None:
        """Several queries have been looked at; that took so long, and so much the client had used before."""

    def left(self, usage: Any) -> None:
        """A client is gone."""

    def line_up(self, usage: Any, call: Callable[[], None], *, first: bool | None = None) -> None:
        """Calls when it is the client's turn: `first` among those that use little, or after them, else by its usage."""

    def near(self, now: float) -> bool:
        """Whether somebody is there who uses little, so that nobody is to work long at a stretch."""

    @property
    def strangers(self) -> Any:
        """What those used whom nobody knows yet."""


class Client(Protocol):
    """Whom a query is run for; made by `Engine.client`, opaque to the wire."""

    @property
    def usage(self) -> Usage: ...


class Engine(Protocol):
    """Answers queries."""

    @property
    def scheduler(self) -> Turns: ...

    def client(self, user: str, address: str, port: int) -> Client:
        """Somebody who proved to be `user` and connects from `address`."""

    def refusal(self, user: str, address: str) -> str | None:
        """Why somebody who proved to be `user` may not connect from `address`; None when they may."""

    def login(self, user: str, address: str, outcome: str) -> None:
        """Somebody tried to log in; `outcome` is `accepted` or why not."""

    def gone(self, client: Client) -> None:
        """The client has left; called once."""

    def start(
        self, client: Client, body: bytes, done: Callable[[Reply | None], None]
    ) -> Reply | Pledge | Running | None:
        """Run a START query, given as received.

        A `Reply` when the answer is ready (errors are replies too), a `Pledge` when it waits for nothing but a commit,
        None for a finished noreply query, else a `Running`: then `done` follows, with None for a noreply query. `done`
        is never called before this returns.
        """

    @property
    def busy(self) -> bool:
        """Whether queries that are handed over now wait for their turn: whoever has more of them keeps them."""

    def server_info(self, client: Client) -> bytes:
        """The complete response to SERVER_INFO."""

    def verifier(self, user: str) -> Verifier | None:
        """What to check the password of `user` against; None when there is no such user."""

    def decoy(self, user: str) -> Verifier:
        """What to lead somebody on with who wants to be a user that does not exist."""
