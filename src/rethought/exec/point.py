"""Writes of one row with nothing special about them, the short way.

Purpose: nearly every write is of one row of a user's table, asks for no changes, and no hook, rule or transaction has
to do with it. What always holds: rows, answers and errors are those of `exec.writes`, which does all the others; an
error of the row is counted there. Called by the write terms only.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rethought.catalog.permissions import ADMIN
from rethought.datum.jsonbytes import encode
from rethought.datum.keys import primary_key
from rethought.errors import QueryLogicError, ReqlError, ResourceLimitError
from rethought.exec.functions import Rows
from rethought.exec.local import LocalTable
from rethought.exec.writes import (
    COUNTERS,
    ROW_ERRORS,
    Decide,
    Statistics,
    WriteOptions,
    check_document,
    outcome,
)

if TYPE_CHECKING:
    from rethought.exec.env import Env
    from rethought.exec.table import Table

_NONE: Final = dict.fromkeys(COUNTERS, 0)
_COUNTED: Final[dict[str, dict[str, Any]]] = {
    counter: {**_NONE, counter: 1} for counter in COUNTERS
}
_WRITTEN: Final = {counter: encode(counts) for counter, counts in _COUNTED.items()}
"""The usual answers. Bytes are no value of the language: where the answer is that of a whole query, it is this."""


def is_plain(env: "Env", table: "Table") -> bool:
    """Whether rows of this table are written the short way, when the term's options allow it."""
    return (
        table.__class__ is LocalTable
        and not env.defaults.fallback
        and env.transaction is None
        and table.handle.write_hook is None
    )


def is_hard(env: "Env", table: LocalTable, durability: str | None) -> bool:
    """Whether a write waits for the disk; refuses a user who may not write."""
    handle = table.handle
    if env.client.user != ADMIN:
        env.require("write", handle)
    return (durability or handle.durability) == "hard"


def rewrite_row(
    env: "Env", table: LocalTable, key: Any, decide: Decide, durability: str | None, whole: bool
) -> dict[str, Any] | bytes:
    """Decides and stores one row; gives the answer. `whole`: it is that of a whole query."""
    hard = is_hard(env, table, durability)
    encoded = primary_key(key)  # what can be no key fails the query, not the row
    pkey = table.primary_key

    def change(old: Any) -> Any:
        new = decide(old)
        if new is not None and new is not old:
            check_document(pkey, old, new, key)
        return new

    try:
        old, new = table.rewrite(env, encoded, change, hard)
    except ReqlError as error:
        return _failed(env, error, key, hard)
    counter = outcome(old, new)
    return _WRITTEN[counter] if whole else _COUNTED[counter].copy()


def patch_row(
    env: "Env",
    table: LocalTable,
    key: Any,
    value: Callable[[], Any] | None,
    rows: Rows | None,
    durability: str | None,
    whole: bool,
) -> dict[str, Any] | bytes | None:
    """UPDATE of one row, by a value or else by a function over rows; the answer. None, and nothing is written, when
    there is more to it than fields that take the places of others."""
    hard = is_hard(env, table, durability)
    encoded = primary_key(key)
    try:
        counter = table.patch(env, encoded, value, rows, hard)
    except ReqlError as error:
        return _failed(env, error, key, hard)
    if counter is None:
        return None
    return _WRITTEN[counter] if whole else _COUNTED[counter].copy()


def _failed(env: "Env", error: ReqlError, key: Any, hard: bool) -> dict[str, Any]:
    """The answer when a row could not be written."""
    if error.error_type not in ROW_ERRORS:
        raise error
    statistics = Statistics(env, WriteOptions(changes=False, hard=hard, hook=None))
    statistics.failed(error, key, None)
    return statistics.result()


def insert_document(
    env: "Env", table: LocalTable, document: dict[str, Any], durability: str | None
) -> dict[str, Any] | bytes | None:
    """Stores one document under a key that is free, or under a new one; the answer of a whole query. None when it
    cannot be stored: nothing was written then."""
    hard = is_hard(env, table, durability)
    answer: dict[str, Any] | bytes = _WRITTEN["inserted"]
    pkey = table.primary_key
    if pkey not in document:
        key = env.generated = env.chance.uuid()
        document = {**document, pkey: key}
        answer = {**_COUNTED["inserted"], "generated_keys": [key]}
    try:
        existing = table.insert_new(env, document, hard=hard)
    except (QueryLogicError, ResourceLimitError):
        return None
    return answer if existing is None else None
