"""The options that INSERT, UPDATE, REPLACE and DELETE share.

What always holds: they are looked at in the order in which the original finds fault with them. Called by the terms that
write rows.
"""

from typing import Final

from rethought.datum.values import is_truthy
from rethought.errors import QueryLogicError
from rethought.exec.env import Env, Options
from rethought.exec.functions import Function
from rethought.exec.table import Table
from rethought.exec.values import need_string, wrong_datum
from rethought.exec.writes import WriteOptions
from rethought.reql.spec import Effect

WRITES: Final = Effect.WRITE | Effect.FORBIDS_WRITES
OPTIONS: Final = ("durability", "return_changes", "ignore_write_hook", "return_vals")


class Wanted:
    """The options of a write as they were given, before its table is known. They are read in the order in which their
    errors count. `conflict` is only asked for by INSERT: a function, the name of a rule, None for the rule `error`."""

    __slots__ = ("changes", "conflict", "durability", "ignore_hook")

    def __init__(self, opts: Options, env: Env | None = None) -> None:
        self.changes: bool | str = False
        self.conflict: Function | str | None = None
        self.durability: str | None = None
        self.ignore_hook = False
        if opts or opts.fallback:
            self.changes = _return_changes(opts)
            if env is not None:
                self.conflict = _conflict(env, opts)
            self.durability = _durability(opts)
            self.ignore_hook = truth_of(opts, "ignore_write_hook")

    def on(self, env: Env, table: Table) -> WriteOptions:
        """How the rows of this table are written."""
        handle = table.handle
        if self.ignore_hook:
            env.require("config", handle)
        hook = None
        if handle.write_hook is not None and not self.ignore_hook:
            hook = env.engine.write_hook(handle)
        durability = self.durability or table.durability
        return WriteOptions(changes=self.changes, hard=durability == "hard", hook=hook)


def _return_changes(opts: Options) -> bool | str:
    if opts.has("return_vals"):
        raise QueryLogicError(
            "Error: encountered obsolete optarg `return_vals`.  Use `return_changes` instead."
        )
    changes = opts.value("return_changes")
    if changes.__class__ is str:
        if changes != "always":
            raise QueryLogicError(
                f"Invalid return_changes value `{changes}` (options are `true`, `false`, and "
                "`'always'`.)"
            )
        return "always"
    return is_truthy(changes)


def _durability(opts: Options) -> str | None:
    if not opts.has("durability"):
        return None
    at = opts.blame("durability")
    durability = opts.value("durability")
    if durability not in ("hard", "soft"):
        if durability.__class__ is not str:
            raise wrong_datum("STRING", durability, *at)
        raise QueryLogicError(
            f'Durability option `{durability}` unrecognized (options are "hard" and "soft").',
            *at,
        )
    return str(durability)


def truth_of(opts: Options, name: str) -> bool:
    return opts.has(name) and is_truthy(opts.value(name))


def _conflict(env: Env, opts: Options) -> Function | str | None:
    if not opts.has("conflict"):
        return None
    conflict = opts.whatever("conflict")
    if isinstance(conflict, Function):
        return conflict
    conflict = need_string(env, conflict, "conflict")
    if conflict not in ("error", "replace", "update"):
        raise QueryLogicError(
            f'Conflict option `{conflict}` unrecognized (options are "error", "replace" and '
            '"update").',
            "conflict",
        )
    return None if conflict == "error" else conflict
