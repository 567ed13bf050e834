"""Commits changes of the catalog, and finds out whether they were committed.

What always holds: `commit` returns only when the group's open batch is committed, and raises what kept it from being
so; then nothing of the batch is stored, and the caller has not changed its memory yet.
"""

from typing import TYPE_CHECKING

from rethought.errors import ReqlError

if TYPE_CHECKING:
    from rethought.store import Group


def commit(group: "Group") -> None:
    """Commits what was just written."""
    failures: list[ReqlError] = []
    ticket = group.write().ticket(False)
    ticket.add(lambda error: failures.append(error) if error is not None else None)
    group.flush()
    if failures:
        raise failures[0]
