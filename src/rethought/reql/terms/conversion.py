"""COERCE_TO and INFO: values as other types, and what a value is."""

import sys
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

from rethought.datum.binary import binary_bytes
from rethought.datum.coercion import coerce, object_of_pairs
from rethought.datum.text import compact, pretty
from rethought.datum.values import MAXVAL, MINVAL, is_binary
from rethought.errors import NonExistenceError, QueryLogicError
from rethought.exec.env import Env
from rethought.exec.functions import Function
from rethought.exec.table import Range, Selection
from rethought.exec.values import (
    DATUM_CLASSES,
    Database,
    SingleSelection,
    Stream,
    is_datum,
    reql_type,
)
from rethought.reql.checks import within_array_limit
from rethought.reql.spec import Arg, Grouped, TermSpec, exactly

_TYPES: Final = frozenset(
    {
        "DB",
        "TABLE",
        "TABLE_SLICE",
        "SELECTION<STREAM>",
        "SELECTION<ARRAY>",
        "STREAM",
        "SELECTION<OBJECT>",
        "DATUM",
        "FUNCTION",
        "GROUPED_DATA",
        "NULL",
        "BINARY",
        "BOOL",
        "NUMBER",
        "STRING",
        "ARRAY",
        "OBJECT",
        "MINVAL",
        "MAXVAL",
    }
)

_SUPERTYPES: Final[dict[str, tuple[str, ...]]] = {
    "TABLE": ("TABLE", "TABLE_SLICE", "SELECTION<STREAM>", "STREAM"),
    "TABLE_SLICE": ("TABLE_SLICE", "SELECTION<STREAM>", "STREAM"),
    "SELECTION<STREAM>": ("SELECTION<STREAM>", "STREAM"),
    "STREAM": ("STREAM",),
}

_UPPER: Final = str.maketrans(ascii_lowercase, ascii_uppercase)


def coerce_to(env: Env, value: Any, name: str) -> Any:
    """any, STRING -> any"""
    wanted = name.translate(_UPPER)
    if wanted not in _TYPES:
        raise QueryLogicError(f"Unknown Type: {wanted}")
    if isinstance(value, SingleSelection):
        if wanted in ("SELECTION<OBJECT>", "DATUM"):
            return value
        return _coerce_datum(env, value.datum(), wanted)
    if isinstance(value, Stream) and value.array and value.table is None:
        value = value.to_list(env)
    if value.__class__ in DATUM_CLASSES:
        # What can be a sequence somewhere counts as one here: every datum.
        return value if wanted == "STREAM" else _coerce_datum(env, value, wanted)
    if wanted == "BOOL":
        return True
    if isinstance(value, Stream):
        return _coerce_stream(env, value, wanted)
    have = reql_type(value)
    if have == wanted:
        return value
    raise QueryLogicError(f"Cannot coerce {have} to {wanted}.", 0)


def _coerce_datum(env: Env, value: Any, wanted: str) -> Any:
    if wanted == "ARRAY" and value.__class__ is dict and not is_binary(value):
        within_array_limit(env, max(len(value), 2 if value else 0))  # each pair is one as well
    try:
        return coerce(value, wanted, env.tick)
    except QueryLogicError as error:
        if error.message.startswith("Cannot coerce "):
            error.at = (0,)
        if value is None and not isinstance(error, NonExistenceError):
            raise NonExistenceError(error.message, *error.at) from None
        raise


def _coerce_stream(env: Env, stream: Stream, wanted: str) -> Any:
    # Here, and only here, an array of rows is not told from a stream of them.
    have = "SELECTION<STREAM>" if stream.array else stream.type_name
    if wanted in _SUPERTYPES.get(have, ()):
        return stream
    if wanted in ("ARRAY", "DATUM"):
        return stream.to_list(env)
    if wanted == "OBJECT":
        return object_of_pairs(stream.to_list(env))
    raise QueryLogicError(f"Cannot coerce {have} to {wanted}.", 0)


# ---- info


def info(env: Env, value: Any) -> dict[str, Any]:
    """any -> OBJECT"""
    kind = reql_type(value)
    if isinstance(value, Database):
        return {"type": "DB", "name": value.name, "id": value.id}
    if isinstance(value, Selection):
        if kind == "TABLE":
            return _table(env, value)
        if kind == "TABLE_SLICE":
            return _slice(env, value)
    if isinstance(value, Stream) and value.table is not None:
        return {"type": kind, "table": _table(env, Selection(value.table, Range()))}
    if isinstance(value, SingleSelection):
        return {"type": kind, "table": _table(env, Selection(value.table, Range()))}
    if isinstance(value, Function):
        return {"type": kind, "source_code": _source(value)}
    if not is_datum(value) or value is None or value is MINVAL or value is MAXVAL:
        return {"type": kind}
    if kind == "PTYPE<BINARY>":
        return {"type": kind, "count": len(binary_bytes(value)), "value": compact(value)}
    return {"type": kind, "value": pretty(value, sys.maxsize)}


def _table(env: Env, selection: Selection) -> dict[str, Any]:
    table = selection.table
    assert table is not None
    env.require("read", table.handle)
    count = table.count(env, Range()) or 0
    shards = getattr(table.handle, "shards", 1)
    return {
        "type": "TABLE",
        "name": table.name,
        "id": table.id,
        "primary_key": table.primary_key,
        "indexes": sorted(getattr(table.handle, "indexes", {})),
        "db": {"type": "DB", "name": table.db.name, "id": table.db.id},
        "doc_count_estimates": [(count + at) // shards for at in range(shards)],
    }


def _slice(env: Env, selection: Selection) -> dict[str, Any]:
    selected = selection.range
    table = selection.table
    assert table is not None
    index = selected.index
    if index is None and (selected.descending is not None or selected.bounded):
        index = table.primary_key
    order = {None: "UNORDERED", False: "ASCENDING", True: "DESCENDING"}[selected.descending]
    out = {
        "type": "TABLE_SLICE",
        "table": _table(env, Selection(table, Range())),
        "index": index,
        "sorting": order,
    }
    for side, bound, is_open, free, impossible in (
        ("left", selected.lower, selected.lower_open, MINVAL, MAXVAL),
        ("right", selected.upper, selected.upper_open, MAXVAL, MINVAL),
    ):
        if bound is free:
            out[f"{side}_bound_type"] = "unbounded"
        elif bound is impossible:
            out[f"{side}_bound_type"] = "unachievable"
        else:
            out[f"{side}_bound"] = bound
            out[f"{side}_bound_type"] = "open" if is_open else "closed"
    return out


def _source(function: Function) -> str:
    from rethought.reql.function_source import source_of
    from rethought.reql.printing import describe_function

    if function.term is None:
        return "function"
    source = source_of(function)
    return describe_function(list(source.params), source.body)


TERMS: Final = (
    TermSpec(
        51,
        "coerce_to",
        exactly(2),
        run=coerce_to,
        args=(Arg.ANY, Arg.STRING),
        datum=False,
    ),
    TermSpec(79, "info", exactly(1), run=info, args=(Arg.ANY,), grouped=Grouped.WHOLE),
)
