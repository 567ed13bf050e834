"""Writing rows: one row's fate, and the statistics of a write query.

Invariants:
  1. A row is decided on its newest stored state, inside the group's open batch; its old document, its new one and its
     index entries change together or not at all.
  2. An error of one row is counted (`errors`, `first_error`) and changes nothing of that row; other rows go on.
  3. In a transaction the first error of a row ends the whole query instead.
Called by the write terms only.
"""

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.text import pretty
from rethought.datum.values import check_storable, type_name
from rethought.errors import QueryLogicError, ReqlError, RowDeniedError
from rethought.exec.functions import Function
from rethought.exec.table import Table

if TYPE_CHECKING:
    from rethought.exec.env import Env

Decide = Callable[[Any], Any]
"""The new document of a row (null: none) from its old one."""

COUNTERS: Final = ("deleted", "errors", "inserted", "replaced", "skipped", "unchanged")


class WriteOptions:
    """How a write query was asked for. `changes` is False, True or "always"."""

    __slots__ = ("changes", "hard", "hook")

    def __init__(self, *, changes: bool | str, hard: bool, hook: Function | None) -> None:
        self.changes = changes
        self.hard = hard
        self.hook = hook


class Statistics:
    """The answer of a write query as it grows."""

    def __init__(self, env: "Env", options: WriteOptions) -> None:
        self.env = env
        self.options = options
        self.counts = dict.fromkeys(COUNTERS, 0)
        self.first_error: str | None = None
        self._batch_rejected = True
        self._rejected = 0
        self.changes: list[Any] = []
        self.changes_dropped = False
        self.generated_keys: list[str] = []

    def changed(self, counter: str, old: Any, new: Any) -> None:
        self.counts[counter] += 1
        wanted = self.options.changes
        if wanted is False:
            return
        if wanted == "always" or counter in ("inserted", "replaced", "deleted"):
            self._add_change({"new_val": new, "old_val": old})

    def failed(self, error: ReqlError, old: Any = None) -> None:
        """A row that storage refused, or whose new document could not be made."""
        if self.env.transaction is not None:
            raise error
        self.counts["errors"] += 1
        if self.first_error is None:
            self.first_error = error.message
        if self.options.changes == "always":
            self._add_change({"error": error.message, "new_val": old, "old_val": old})

    def begin_batch(self) -> None:
        """A batch of documents to insert begins: those that cannot be stored are found before others are tried."""
        self._batch_rejected = self.first_error is not None

    def rejected(self, error: ReqlError) -> None:
        """A document that cannot be stored at all."""
        if self.env.transaction is not None:
            raise error
        self.counts["errors"] += 1
        self._rejected += 1
        if not self._batch_rejected or self.first_error is None:
            self._batch_rejected = True
            self.first_error = error.message
        if self.options.changes is not False:
            self._add_change({"error": error.message, "new_val": None, "old_val": None})

    def _add_change(self, change: dict[str, Any]) -> None:
        if len(self.changes) < self.env.array_limit:
            self.changes.append(change)
        else:
            self.changes_dropped = True

    def result(self, *, changes: bool = True) -> dict[str, Any]:
        out: dict[str, Any] = dict(self.counts)
        if self.first_error is not None:
            out["first_error"] = self.first_error
        warnings = []
        limit = self.env.array_limit
        if self.generated_keys:
            keys = self.generated_keys
            if len(keys) > limit:
                warnings.append(
                    f"Too many generated keys ({len(keys)}), array truncated to {limit}."
                )
                keys = keys[:limit]
            out["generated_keys"] = keys
        if self.options.changes is not False and changes:
            alone = self._rejected == sum(self.counts.values())  # the original lists only one then
            out["changes"] = self.changes[:1] if alone else self.changes
            if self.changes_dropped:
                warnings.append(f"Too many changes, array truncated to {limit}.")
        if warnings:
            out["warnings"] = warnings
        return out


def write_row(env: "Env", table: Table, key: Any, decide: Decide, statistics: Statistics) -> None:
    """Decides and stores one row."""
    options = statistics.options
    seen: Any = None

    def change(old: dict[str, Any] | None) -> dict[str, Any] | None:
        nonlocal seen
        seen = old
        new = decide(old)
        if new is not None:
            check_document(table.primary_key, old, new, key)
        if options.hook is not None and new is not old:
            new = hooked(env, options.hook, key, old, new)
            if new is not None:
                check_document(table.primary_key, old, new, key)
        return new  # type: ignore[no-any-return]

    try:
        old, new = table.modify(env, key, change, hard=options.hard)
    except ReqlError as error:
        if error.error_type not in ROW_ERRORS and not isinstance(error, RowDeniedError):
            raise
        statistics.failed(error, seen)
        return
    statistics.changed(outcome(old, new), old, new)


ROW_ERRORS: Final = frozenset({2000000, 3000000, 3100000, 5000000, 4100000})


def outcome(old: Any, new: Any) -> str:
    if old is None:
        return "skipped" if new is None else "inserted"
    if new is None:
        return "deleted"
    return "unchanged" if new is old else "replaced"


def check_document(primary_key: str, old: Any, new: Any, key: Any) -> None:
    """Refuses what cannot be stored in place of `old` under `key`."""
    if new.__class__ is not dict or "$reql_type$" in new:
        if new.__class__ is dict and new["$reql_type$"] == "LITERAL":
            check_storable(new)
        raise QueryLogicError(
            f"Inserted value must be an OBJECT (got {type_name(new)}):\n{pretty(new)}"
        )
    found = new.get(primary_key, _MISSING)
    if found is _MISSING:
        raise QueryLogicError(
            f"Inserted object must have primary key `{primary_key}`:\n{pretty(new)}"
        )
    if found.__class__ is not key.__class__ or found != key:
        from rethought.datum.order import equal

        if not equal(found, key):
            if old is None:
                raise QueryLogicError(
                    f"Primary key `{primary_key}` cannot be changed (null -> {pretty(new)})"
                )
            raise QueryLogicError(
                f"Primary key `{primary_key}` cannot be changed (`{pretty(old)}` -> "
                f"`{pretty(new)}`)."
            )


_MISSING: Final = object()


def hooked(env: "Env", hook: Function, key: Any, old: Any, new: Any) -> Any:
    """What the table's write hook makes of a change."""
    context = {
        "primary_key": key,
        "timestamp": {
            "$reql_type$": "TIME",
            "epoch_time": round(time(), 3),
            "timezone": "+00:00",
        },
    }
    try:
        result = hook.invoke(context, old, new)
    except ReqlError as error:
        raise QueryLogicError(f"Error in write hook: {error.message}") from None
    if new is None and result is not None:
        raise QueryLogicError(
            "A write hook function must not turn a deletion into a replace/insert."
        )
    if new is not None and result is None:
        raise QueryLogicError(
            "A write hook function must not turn a replace/insert into a deletion."
        )
    return result
