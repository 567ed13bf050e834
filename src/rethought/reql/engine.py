"""Answers queries: plan, evaluation, response.

Purpose: the one object the wire talks to. A START becomes a plan (`reql.plan`), is evaluated in place when that is
short and cannot wait, else in a greenlet (`reql.query`), and its value becomes a response (`reql.responses`).
What always holds: see `reql.query`. One engine per node; `server` builds it.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec

from rethought.auth.verifier import Verifier
from rethought.catalog.permissions import ADMIN, denied
from rethought.conversation import Pledge, Refusal, Reply, Running
from rethought.datum.jsonbytes import encode
from rethought.errors import InternalError, ReqlError
from rethought.exec.chance import Chance, RandomBytes
from rethought.exec.env import Env
from rethought.exec.functions import Function
from rethought.exec.local import LocalTable
from rethought.exec.schedule import Scheduler, Usage
from rethought.limits import Limits
from rethought.reql.accounts import Account, Accounts
from rethought.reql.function_source import function_json
from rethought.reql.functions import compile_function
from rethought.reql.plan import PlanCache
from rethought.reql.query import Awaiting, Done, OpenQuery, Query, run_in_place
from rethought.reql.responses import failed, too_much

log = logging.getLogger("rethought.query")

COMPILED_AT_ONCE_BYTES: Final = 1_024
"""Longer queries without a plan are compiled a piece at a time."""


class Client:
    """Somebody who runs queries."""

    __slots__ = (
        "__weakref__",
        "account",
        "address",
        "catalog",
        "narrowed",
        "port",
        "rules",
        "usage",
        "user",
    )

    def __init__(self, catalog: Any, user: str, address: str, port: int) -> None:
        self.catalog = catalog
        self.user = user
        self.address = address
        self.port = port
        self.usage = Usage()
        self.account: Account | None = None  # of a user with limits
        self.narrowed = False  # whether rules or an account stand between this client and tables
        self.rules = {} if user == ADMIN else catalog.permissions.rules_of(user)

    def require(self, permission: str, target: Any) -> None:
        """Refuses what this user may not do with a table, a database or (None) everything."""
        if self.user != ADMIN:
            self.catalog.permissions.require(self.user, permission, target)

    def require_sight(self, target: Any) -> None:
        """Refuses a user who has no business with a database or a table. The system's are no secret."""
        if self.user == ADMIN or target.system:
            return
        if not self.catalog.permissions.may_see(self.user, target):
            raise denied(self.user, "read")


class Engine:
    """See the module. One per node."""

    def __init__(
        self,
        catalog: Any,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        *,
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        self.chance = Chance(random_bytes)
        self.catalog = catalog
        self.limits = limits
        self.loop = loop
        self.scheduler = Scheduler(loop, limits.work_slice_seconds)
        self.plans = PlanCache(limits)
        self._tables: dict[Any, LocalTable] = {}
        self.known_tables: dict[tuple[str, str], Any] = {}
        self.running: set[Query] = set()
        self.cursors: WeakKeyDictionary[Any, OpenQuery] = WeakKeyDictionary()  # open ones
        self.queries = 0  # started, in all
        self.logins = 0
        self.logins_refused = 0
        self.accounts = Accounts(catalog, limits)
        self.audit: Any = (
            None  # who wants to know of logins and, with `data`, of every table a query uses
        )

    # ---- what the wire calls

    def client(self, user: str, address: str, port: int) -> Client:
        client = Client(self.catalog, user, address, port)
        self.accounts.join(client)
        return client

    def login(self, user: str, address: str, outcome: str) -> None:
        self.logins += 1
        self.logins_refused += outcome != "accepted"
        if self.audit is not None:
            self.audit.login(user, address, outcome)

    def keep_audit(self, audit: Any) -> None:
        self.audit = audit
        if audit.data:
            self.accounts.told = audit.access

    def gone(self, client: Client) -> None:
        self.accounts.leave(client)

    def refusal(self, user: str, address: str) -> str | None:
        return self.accounts.refusal(user, address)

    def start(self, client: Client, body: bytes, done: Done) -> Reply | Pledge | Running | None:
        self.queries += 1
        limits = self.limits
        account = client.account
        if account is not None:
            refusal = account.take()
            if refusal is not None:
                return Refusal(b"") if asks_noreply(body) else failed(refusal)
            limits = account.limits
        env: Env
        found = self.plans.known(body)
        if found is None:
            if len(body) > COMPILED_AT_ONCE_BYTES:
                env = Env(self, client, self.catalog, limits, self.scheduler)
                return self._spawn(Query(env, None, (), done), body)
            found = self.compiled(body, None)
            if isinstance(found, Reply):
                return found
        plan, params = found
        env = Env(self, client, self.catalog, limits, self.scheduler)
        if plan.in_place:
            reply = run_in_place(env, plan, params)
            if reply is not None:
                tickets = env.tickets
                if not tickets:
                    return None if plan.noreply else reply
                if len(tickets) == 1 and not plan.noreply and not tickets[0].done:
                    return Pledge(reply.body, tickets[0])
                return Awaiting(None if plan.noreply else reply, tickets, done).answer()
        return self._spawn(Query(env, plan, params, done), body)

    def _spawn(self, query: "Query", body: bytes) -> Reply | Running | None:
        query.env.body = body
        self.scheduler.spawn(query.run, query.env.client.usage)
        return query.answer()

    def compiled(self, body: bytes, pace: Callable[[], None] | None) -> Any:
        """The plan of a query and its parameters, or the reply to one that cannot have any."""
        try:
            return self.plans.make(body, pace)
        except ReqlError as error:
            return failed(error)
        except (RecursionError, MemoryError) as error:
            return failed(too_much(error))
        except Exception:
            log.exception("a query could not be compiled")
            return failed(InternalError("The query could not be compiled.", frames=()))

    def server_info(self, client: Client) -> bytes:
        identity = self.catalog.identity
        return b'{"t":5,"r":[%b]}' % encode(
            {"id": identity.id, "name": identity.name, "proxy": False}
        )

    def verifier(self, user: str) -> Verifier | None:
        found: Verifier | None = self.catalog.users.verifier(user)
        return found

    def decoy(self, user: str) -> Verifier:
        found: Verifier = self.catalog.users.decoy(user)
        return found

    @property
    def busy(self) -> bool:
        return self.scheduler.busy

    # ---- what evaluation calls

    def table(self, handle: Any, form: str) -> Any:
        """The table behind a catalog's object."""
        if handle.system:
            return handle.bound(self, form)
        found = self._tables.get(handle)
        if found is None or handle.dropped:
            if len(self._tables) > 10_000:
                self._tables.clear()
            found = self._tables[handle] = LocalTable(handle)
        return found

    def write_hook(self, handle: Any) -> Function:
        """A table's write hook, compiled once."""
        hook = handle.write_hook
        if hook.compiled is None:
            hook.compiled = compile_function(function_json(hook.function))
        compiled: Function = hook.compiled
        return compiled

    def close(self) -> None:
        """Ends what is still running."""
        for query in list(self.running):
            query.cancel()


def asks_noreply(body: bytes) -> bool:
    """Whether the client of a query that is not compiled waits for no answer."""
    if b"noreply" not in body:
        return False
    try:
        query = msgspec.json.decode(body)
        return query[2].get("noreply") is True
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False
