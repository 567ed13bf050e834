"""What a geo index holds of a row, as geometries: the index itself knows only cells.

Plain functions. Used by GET_INTERSECTING and GET_NEAREST, which look at the rows that cells propose, and by feeds.
"""

from functools import lru_cache
from typing import Any

import msgspec

from rethought.datum.geo.cells import indexed_geometries
from rethought.errors import ReqlError
from rethought.exec.functions import Function


def index_function(index: Any) -> Function:
    """The function of an index, compiled once."""
    record = index.definition.function
    return _compiled(msgspec.json.encode([record.params, record.body]))


def geometries(function: Function, row: Any, *, multi: bool) -> list[dict[str, Any]]:
    """The geometries of a row, in the order of the index function's value."""
    try:
        value = function.invoke(row)
    except ReqlError:
        return []
    return indexed_geometries(value, multi=multi)


@lru_cache(maxsize=256)
def _compiled(source: bytes) -> Function:
    from rethought.catalog.records import FunctionRecord
    from rethought.reql.function_source import function_json
    from rethought.reql.functions import compile_function  # needs the table of terms

    params, body = msgspec.json.decode(source)
    return compile_function(function_json(FunctionRecord(params, body)))
