"""How many shards and replicas a table is to have: the optional arguments of TABLE_CREATE and RECONFIGURE.

What always holds: reading checks what the query alone shows (QueryLogicError, blamed on the argument), and
`check_placement` what depends on the servers (OpFailedError). Pure functions.
"""

from dataclasses import dataclass
from typing import Any, Final

from rethought.catalog.catalog import check_name
from rethought.datum.text import pretty
from rethought.datum.values import is_binary, to_int, type_name
from rethought.errors import OpFailedError, QueryLogicError
from rethought.exec.env import Env, Options
from rethought.exec.values import need_datum, need_string, wrong_datum

OPTARGS: Final = ("shards", "replicas", "primary_replica_tag", "nonvoting_replica_tags")
SHARDS_MAX: Final = 64
DEFAULT_TAG: Final = "default"


@dataclass(frozen=True, slots=True)
class Placement:
    shards: int
    replicas: dict[str, int]  # by server tag
    primary_tag: str
    nonvoting_tags: tuple[str, ...]


def read_placement(env: Env, opts: Options, *, required: bool = False) -> Placement:
    """The placement a query asks for; `required`: it must name shards and replicas."""
    shards = 1
    if required:
        _require(opts, "shards")
    if opts.has("shards"):
        shards = _integer(opts.value("shards"), "shards")
        if shards < 1:
            raise QueryLogicError("Every table must have at least one shard.", "shards")
    replicas = {DEFAULT_TAG: 1}
    if required:
        _require(opts, "replicas")
    if opts.has("replicas"):
        replicas = _replicas(env, opts)
    nonvoting = _tags(env, opts)
    primary_tag = DEFAULT_TAG
    if opts.has("primary_replica_tag"):
        primary_tag = need_string(env, opts.value("primary_replica_tag"), "primary_replica_tag")
        _check_tag(primary_tag, "primary_replica_tag")
    return Placement(shards, replicas, primary_tag, nonvoting)


def _require(opts: Options, name: str) -> None:
    if not opts.has(name):
        raise QueryLogicError(f"Missing required argument `{name}`.")


def _replicas(env: Env, opts: Options) -> dict[str, int]:
    value = need_datum(env, opts.value("replicas"), "replicas")
    if value.__class__ is dict and not is_binary(value):
        if not opts.has("primary_replica_tag"):
            raise QueryLogicError(
                "`primary_replica_tag` must be specified when `replicas` is an OBJECT.", "replicas"
            )
        return {tag: _replica_count(tag, value[tag]) for tag in sorted(value)}
    if value.__class__ not in (int, float):
        raise QueryLogicError(
            f"Expected type OBJECT or NUMBER but found {type_name(value)}:\n{pretty(value)}",
            "replicas",
        )
    for name in ("primary_replica_tag", "nonvoting_replica_tags"):
        if opts.has(name):
            raise QueryLogicError(
                f"`replicas` must be an OBJECT if `{name}` is specified.", "replicas"
            )
    return {DEFAULT_TAG: _integer(value, "replicas")}


def _check_tag(tag: str, at: str) -> None:
    try:
        check_name("Server tag", tag)
    except QueryLogicError as error:
        error.at = (at,)
        raise


def check_placement(placement: Placement, tags: list[str], server: str) -> None:
    """Refuses what the servers cannot do; `tags` are those of the only server, `server` is its name."""
    replicas = placement.replicas
    if not any(replicas.values()):
        raise OpFailedError(
            "You must set `replicas` to at least one. `replicas` includes the primary replica; if "
            "there are zero replicas, there is nowhere to put the data."
        )
    if placement.shards > SHARDS_MAX:
        raise OpFailedError(f"Maximum number of shards is {SHARDS_MAX}.")
    if not replicas.get(placement.primary_tag):
        raise OpFailedError(
            f"Can't use server tag `{placement.primary_tag}` for primary replicas because you "
            f"specified no replicas in server tag `{placement.primary_tag}`."
        )
    for tag in placement.nonvoting_tags:
        if tag not in replicas:
            raise OpFailedError(
                f"You specified that the replicas in server tag `{tag}` should be non-voting, but "
                f"you didn't specify a number of replicas in server tag `{tag}`."
            )
    used = [tag for tag in sorted(replicas) if replicas[tag]]
    for tag in used:
        if tag not in tags:
            raise OpFailedError(f"Could not find any servers with server tag `{tag}`.")
    if len(used) > 1:
        raise OpFailedError(
            f"Server tags `{used[1]}` and `{used[0]}` overlap; the server `{server}` has both "
            "tags. The server tags used for replication settings for a given table must be "
            "non-overlapping."
        )
    for tag in used:
        count = replicas[tag] % (1 << 64)  # the original prints a negative number as unsigned
        if count > 1:
            raise OpFailedError(
                f"Can't put {count} replicas on servers with the tag `{tag}` because there are "
                f"only 1 servers with the tag `{tag}`. It's impossible to have more replicas of "
                "the data than there are servers."
            )


def _replica_count(tag: str, value: Any) -> int:
    _check_tag(tag, "replicas")
    if value.__class__ is not int and value.__class__ is not float:
        raise wrong_datum("NUMBER", value)
    count = _integer(value, "replicas")
    if count < 0:
        raise QueryLogicError("Can't have a negative number of replicas", "replicas")
    return count


def _integer(value: Any, name: str) -> int:
    if value.__class__ is not int and value.__class__ is not float:
        raise wrong_datum("NUMBER", value, name)
    try:
        return to_int(value)
    except QueryLogicError as error:
        error.at = (name,)
        raise


def _tags(env: Env, opts: Options) -> tuple[str, ...]:
    name = "nonvoting_replica_tags"
    if not opts.has(name):
        return ()
    value = need_datum(env, opts.value(name), name)
    if value.__class__ is not list:
        raise _wrong("ARRAY", value, name)
    for tag in value:
        if tag.__class__ is not str:
            raise _wrong("STRING", tag, name)
        _check_tag(tag, name)
    return tuple(sorted(set(value)))


def _wrong(wanted: str, value: Any, at: str) -> QueryLogicError:
    """Here the value is shown, and null is like any other."""
    return QueryLogicError(
        f"Expected type {wanted} but found {type_name(value)}:\n{pretty(value)}", at
    )
