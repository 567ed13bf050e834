"""What compiling a query gives: a plan, ready to run with parameters. Made by `reql.plan` and `reql.inserts`."""

from collections.abc import Callable
from typing import Any

from rethought.datum.jsonbytes import BUGGY_CLIENT
from rethought.datum.kinds import NonFiniteError
from rethought.datum.values import from_json
from rethought.errors import ClientError, CompileError, Frame, QueryLogicError

Match = Callable[[bytes], tuple[Any, ...] | None]
"""The parameters of a query with these bytes, None when it is not the plan's."""


class Plan:
    """A compiled query. `run(env, p)` gives its value; `globals` are the global optional arguments."""

    __slots__ = (
        "globals",
        "home",
        "in_place",
        "match",
        "noreply",
        "parts",
        "profile",
        "run",
        "transaction",
        "writes",
    )

    def __init__(
        self,
        run: Callable[..., Any],
        global_optargs: dict[str, Callable[..., Any]],
        *,
        noreply: bool,
        profile: bool,
        transaction: bool,
        in_place: bool,
        writes: bool,
    ) -> None:
        self.run = run
        self.globals = global_optargs
        self.home = global_optargs.pop("db", None)
        self.noreply = noreply
        self.profile = profile
        self.transaction = transaction
        self.in_place = in_place
        self.writes = writes
        self.match: Match | None = None
        self.parts: list[Any] = []  # of a long query, which is not kept: what there is to be freed


def tree_literal(value: Any, path: tuple[Frame, ...]) -> Any:
    """A scalar of the tree as a datum. A number that no double holds is no JSON, however it is spelled."""
    try:
        return from_json(value)
    except NonFiniteError:
        raise ClientError(BUGGY_CLIENT) from None
    except QueryLogicError as error:
        raise CompileError(error.message, frames=path) from None
