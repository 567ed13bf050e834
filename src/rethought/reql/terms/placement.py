"""How many shards and replicas a table is to have: the optional arguments of TABLE_CREATE and RECONFIGURE.

What always holds: reading checks what the query alone shows (QueryLogicError, blamed on the argument), and
`check_placement` what depends on the servers (OpFailedError). Pure functions.
"""

from dataclasses import dataclass
from typing import Any, Final

from rethought.datum.values import to_int
from rethought.errors import OpFailedError, QueryLogicError
from rethought.exec.env import Options
from rethought.exec.values import printed, value_type, wrong_datum

OPTARGS: Final = ("shards", "replicas", "primary_replica_tag", "nonvoting_replica_tags")
SHARDS_MAX: Final = 64
DEFAULT_TAG: Final = "default"


@dataclass(frozen=True, slots=True)
class Placement:
    shards: int
    replicas: dict[str, int]  # by server tag
    primary_tag: str
    nonvoting_tags: tuple[str, ...]


def read_placement(opts: Options) -> Placement:
    """The placement a query asks for."""
    shards = 1
    if opts.has("shards"):
        shards = _integer(opts.value("shards"), "shards")
        if shards < 1:
            raise QueryLogicError("Every table must have at least one shard.", "shards")
    primary_tag = _optional_string(opts, "primary_replica_tag")
    nonvoting = _tags(opts)
    replicas = {DEFAULT_TAG: 1}
    if opts.has("replicas"):
        value = opts.value("replicas")
        if value.__class__ is dict and "$reql_type$" not in value:
            if primary_tag is None:
                raise QueryLogicError(
                    "`primary_replica_tag` must be specified when `replicas` is an OBJECT.",
                    "replicas",
                )
            replicas = {tag: _replica_count(count) for tag, count in value.items()}
        elif value.__class__ in (int, float):
            replicas = {DEFAULT_TAG: _integer(value, "replicas")}
            _refuse_tags(primary_tag, nonvoting)
        else:
            raise QueryLogicError(
                f"Expected type OBJECT or NUMBER but found {_kind(value)}:\n{printed(value)}",
                "replicas",
            )
    else:
        # without `replicas` the tags only repeat the default, and are taken as such
        return Placement(shards, replicas, DEFAULT_TAG, ())
    return Placement(shards, replicas, primary_tag or DEFAULT_TAG, nonvoting)


def check_placement(placement: Placement, tags: list[str], server: str) -> None:
    """Refuses what the servers cannot do; `tags` are those of the only server, `server` is its name."""
    if placement.shards > SHARDS_MAX:
        raise OpFailedError(f"Maximum number of shards is {SHARDS_MAX}.")
    replicas = placement.replicas
    if not any(replicas.values()):
        raise OpFailedError(
            "You must set `replicas` to at least one. `replicas` includes the primary replica; if "
            "there are zero replicas, there is nowhere to put the data."
        )
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
    used = [tag for tag, count in replicas.items() if count]
    shared = [tag for tag in used if tag in tags]
    for tag in used:
        if tag not in tags:
            raise OpFailedError(f"Could not find any servers with server tag `{tag}`.")
    if len(shared) > 1:
        raise OpFailedError(
            f"Server tags `{shared[0]}` and `{shared[1]}` overlap; the server `{server}` has both "
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


def _refuse_tags(primary_tag: str | None, nonvoting: tuple[str, ...]) -> None:
    for given, name in (
        (primary_tag is not None, "primary_replica_tag"),
        (bool(nonvoting), "nonvoting_replica_tags"),
    ):
        if given:
            raise QueryLogicError(
                f"`replicas` must be an OBJECT if `{name}` is specified.", "replicas"
            )


def _replica_count(value: Any) -> int:
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


def _optional_string(opts: Options, name: str) -> str | None:
    if not opts.has(name):
        return None
    value = opts.value(name)
    if value.__class__ is not str:
        raise wrong_datum("STRING", value, name)
    return str(value)


def _tags(opts: Options) -> tuple[str, ...]:
    name = "nonvoting_replica_tags"
    if not opts.has(name):
        return ()
    value = opts.value(name)
    if value.__class__ is not list:
        raise wrong_datum("ARRAY", value, name)
    for tag in value:
        if tag.__class__ is not str:
            raise wrong_datum("STRING", tag, name)
    return tuple(value)


def _kind(value: Any) -> str:
    from rethought.datum.values import type_name

    kind = value_type(value)
    return type_name(value) if kind == "DATUM" else kind
