"""`transaction=True`: a whole write query is one commit, or nothing.

Invariants:
  1. All writes of the query are in one open batch of one group, behind a savepoint; reads of that group see them.
  2. The query neither waits nor gives way, so nobody else's write comes between.
  3. Any error, of a row too, rolls the whole query back and is its answer.
Used by the engine; `Env` asks it where to read and write.
"""

from types import TracebackType
from typing import Any

from rethought.errors import QueryLogicError
from rethought.exec.env import Env


class Transaction:
    """One query's transaction."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.group: Any = None
        self.savepoint: Any = None

    def __enter__(self) -> "Transaction":
        self.env.transaction = self
        return self

    def join(self, group: Any) -> None:
        """Called before the first write to a group."""
        if self.group is group:
            return
        if self.group is not None:
            raise QueryLogicError(
                "A transaction can only write to tables of one database.", frames=()
            )
        self.group = group
        self.savepoint = group.write().savepoint()
        self.env.hold_on()

    def snapshot(self, group: Any) -> Any:
        """What the transaction reads of a group."""
        if self.group is group:
            return group.write().snapshot()
        found = self.env.snapshots.get(group)
        if found is None:
            if self.group is None:
                group.flush()
            found = self.env.snapshots[group] = group.snapshot()
            found.acquire()
        return found

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.env.transaction = None
        self.env.undivided = False
        if self.group is None:
            return
        batch = self.group.write()
        if kind is None:
            batch.release(self.savepoint)
        else:
            batch.rollback_to(self.savepoint)
            self.env.tickets = ()
