"""Writing rows: one row's fate, and the statistics of a write query.

Invariants:
  1. A row is decided on its newest stored state, inside the group's open batch; its old document, its new one and its
     index entries change together or not at all.
  2. An error of one row is counted (`errors`, `first_error`) and changes nothing of that row; other rows go on.
  3. In a transaction the first error of a row ends the whole query instead.
Called by the write terms only.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.keys import primary_key as encoded_key
from rethought.datum.order import equal, order_key
from rethought.datum.text import pretty
from rethought.datum.values import MAXVAL, MINVAL, check_storable, type_name
from rethought.errors import QueryLogicError, ReqlError, RowDeniedError
from rethought.exec.functions import Function
from rethought.exec.settling import part_of
from rethought.exec.table import Table
from rethought.exec.values import wrong_datum

if TYPE_CHECKING:
    from rethought.exec.env import Env

Decide = Callable[[Any], Any]
"""The new document of a row (null: none) from its old one."""

Row = dict[str, Any] | None
"""Types of functions that are made for each query have names here: an annotation is evaluated whenever its `def` is."""

COUNTERS: Final = ("deleted", "errors", "inserted", "replaced", "skipped", "unchanged")
_CHANGING: Final = frozenset({"inserted", "replaced", "deleted"})
_MISSING: Final = object()


class WriteOptions:
    """How a write query was asked for. `changes` is False, True or "always"."""

    __slots__ = ("changes", "hard", "hook")

    def __init__(self, *, changes: bool | str, hard: bool, hook: Function | None) -> None:
        self.changes = changes
        self.hard = hard
        self.hook = hook


class Statistics:
    """The answer of a query that rewrites rows, as it grows."""

    def __init__(self, env: "Env", options: WriteOptions) -> None:
        self.env = env
        self.options = options
        self.counts = dict.fromkeys(COUNTERS, 0)
        self.first_error: str | None = None
        self.changes: list[Any] = []
        self.changes_dropped = False
        self.generated_keys: list[str] = []

    def changed(self, counter: str, key: Any, old: Any, new: Any) -> None:
        """A row was written, or there was nothing to write."""
        self.counts[counter] += 1
        wanted = self.options.changes
        if wanted is not False:
            shown = wanted == "always" or counter in _CHANGING
            change = {"new_val": new, "old_val": old}
            self.note(key, old if new is None else new, change if shown else None)

    def failed(self, error: ReqlError, key: Any, old: Any, new: Any = _MISSING) -> None:
        """A row that storage refused, or whose new document could not be made. `new` is that document if it could."""
        if self.env.transaction is not None:
            raise error
        self.counts["errors"] += 1
        self.blame(error.message, key)
        wanted = self.options.changes
        if wanted == "always":
            change = {"error": error.message, "new_val": old, "old_val": old}
            self.note(key, old if new is _MISSING else new, change)
        elif wanted:
            self.note(key, None, None)

    def blame(self, message: str, key: Any) -> None:
        if self.first_error is None:
            self.first_error = message

    def note(self, key: Any, document: Any, change: dict[str, Any] | None) -> None:
        """The change that writing a row brought, None when there is nothing to tell. `document` is what there is now,
        or would be."""
        if change is None:
            return
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
            out["changes"] = self.changes
            if self.changes_dropped:
                warnings.append(f"Too many changes, array truncated to {limit}.")
        if warnings:
            out["warnings"] = warnings
        return out


class InsertStatistics(Statistics):
    """The answer of an insert.

    The original inserts a batch at a time, every part of the table on its own, and puts the changes in the order of the
    documents afterwards: which error is the first, and where a change stands, follow from that.
    """

    def __init__(self, env: "Env", options: WriteOptions, primary_key: str) -> None:
        super().__init__(env, options)
        self._primary_key = primary_key
        self._rejection: str | None = None  # the first of this batch
        self._errors: list[tuple[str, Any]] = []
        self._noted: list[tuple[Any, Any, dict[str, Any] | None]] = []

    def inserted(self, key: Any, document: dict[str, Any]) -> None:
        if self.options.changes is False:
            self.counts["inserted"] += 1
        else:
            self.changed("inserted", key, None, document)

    def rejected(self, error: ReqlError) -> None:
        """A document that no key can be made for."""
        self.unmade(error)
        if self.options.changes is not False:
            change = {"error": error.message, "new_val": None, "old_val": None}
            self._noted.append((_MISSING, None, change))

    def unmade(self, error: ReqlError) -> None:
        """A document that there is none of: what makes it failed."""
        if self.env.transaction is not None:
            raise error
        self.counts["errors"] += 1
        if self._rejection is None:
            self._rejection = error.message

    def blame(self, message: str, key: Any) -> None:
        if self.first_error is None:
            self._errors.append((message, key))

    def note(self, key: Any, document: Any, change: dict[str, Any] | None) -> None:
        self._noted.append((key, document, change))

    def end_batch(self) -> None:
        """Called after every batch of documents."""
        if self._rejection is not None or self._errors:
            self._settle_errors()
        if self._noted:
            noted, self._noted = self._noted, []
            for change in self._in_order(noted):
                super().note(None, None, change)

    def _settle_errors(self) -> None:
        """What can have no key is found before anything is written; then a part of the table comes after the other."""
        if self.first_error is None:
            self.first_error = self._rejection
        if self.first_error is None:
            self.first_error = min(self._errors, key=lambda error: _part(error[1]))[0]
        self._rejection = None
        self._errors.clear()

    def _in_order(self, noted: list[tuple[Any, Any, dict[str, Any] | None]]) -> list[Any]:
        """The changes of a batch. Where one is missing, the one of the next greater key takes its place."""
        written = [entry for entry in noted if entry[0] is not _MISSING]
        if not written:
            return [noted[0][2]]
        told = [entry for entry in written if entry[2] is not None]
        limit = self.env.array_limit
        if len(told) > limit:
            self.changes_dropped = True
            told = sorted(told, key=lambda entry: _part(entry[0]))[:limit]
        places = sorted(((self._place(entry), at) for at, entry in enumerate(told)))
        changes = []
        for key, _, change in noted:
            if key is _MISSING:
                changes.append(change)
                continue
            at = bisect_left(places, (order_key(key), -1))
            if at < len(places):
                changes.append(told[places.pop(at)[1]][2])
        return changes

    def _place(self, entry: tuple[Any, Any, dict[str, Any] | None]) -> Any:
        """The key by which a change is found again."""
        key, document, _ = entry
        if not is_object(document):  # the original cannot tell whose change it is, and says so
            raise wrong_datum("OBJECT", document)
        return order_key(document.get(self._primary_key, key))


def _part(key: Any) -> int:
    """The part of the table that a key belongs to; a bound is no key, and is refused before it is one."""
    return 0 if key is MINVAL or key is MAXVAL else part_of(key)


def write_row(env: "Env", table: Table, key: Any, decide: Decide, statistics: Statistics) -> None:
    """Decides and stores one row."""
    options = statistics.options
    primary_key = table.primary_key
    seen: Any = None
    made: Any = _MISSING

    def change(old: Row) -> Row:
        nonlocal seen, made
        seen = old
        made = _MISSING
        new = decide(old)
        if options.hook is not None:
            new = hooked(env, options.hook, primary_key, old, new)
        made = new
        if new is not None and new is not old:
            check_document(primary_key, old, shown_of(table, new), key)
        return new  # type: ignore[no-any-return]

    try:
        old, new = table.modify(env, key, change, hard=options.hard)
    except ReqlError as error:
        if error.error_type not in ROW_ERRORS and not isinstance(error, RowDeniedError):
            raise
        statistics.failed(error, key, seen, made)
        return
    statistics.changed(outcome(old, new), key, old, shown_of(table, new))


def shown_of(table: Table, document: Any) -> Any:
    """What an answer may say of a document that is written: all of it, but no password."""
    handle = table.handle
    return handle.shown(document) if handle.system else document


ROW_ERRORS: Final = frozenset({2000000, 3000000, 3100000, 5000000, 4100000})


def outcome(old: Any, new: Any) -> str:
    if old is None:
        return "skipped" if new is None else "inserted"
    if new is None:
        return "deleted"
    return "unchanged" if new is old else "replaced"


def is_object(value: Any) -> bool:
    """Whether the protocol's storage takes a value for an object: also a time or a geometry, but not binary."""
    return value.__class__ is dict and value.get("$reql_type$") != "BINARY"


def missing_key(primary_key: str, document: Any) -> QueryLogicError:
    return QueryLogicError(
        f"Inserted object must have primary key `{primary_key}`:\n{pretty(document)}"
    )


def changed_key(primary_key: str, old: Any, new: Any) -> QueryLogicError:
    return QueryLogicError(
        f"Primary key `{primary_key}` cannot be changed (`{pretty(old)}` -> `{pretty(new)}`)."
    )


def check_document(primary_key: str, old: Any, new: Any, key: Any) -> None:
    """Refuses what cannot be stored in place of `old` under `key`."""
    if not is_object(new):
        raise QueryLogicError(
            f"Inserted value must be an OBJECT (got {type_name(new)}):\n{pretty(new)}"
        )
    if new.get("$reql_type$") == "LITERAL":
        check_storable(new)
    found = new.get(primary_key, _MISSING)
    if found is _MISSING:
        raise missing_key(primary_key, new)
    if (found.__class__ is key.__class__ and found == key) or equal(found, key):
        return
    if old is not None:
        raise changed_key(primary_key, old, new)
    encoded_key(found)
    raise QueryLogicError(f"Primary key `{primary_key}` cannot be changed (null -> {pretty(new)})")


def hooked(env: "Env", hook: Function, primary_key: str, old: Any, new: Any) -> Any:
    """What the table's write hook makes of a change."""
    document = old if new is None else new
    if document is not None and not is_object(document):
        raise wrong_datum("OBJECT", document)
    context = {
        "primary_key": None if document is None else document.get(primary_key),
        "timestamp": env.now,
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
