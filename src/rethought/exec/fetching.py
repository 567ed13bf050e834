"""Documents read for many rows at once, by keys made of the rows.

What always holds: every row gets the document that its key would get it alone, or all of them get an error and whoever
asked reads one by one. Called by generated code (`reql.fetching`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rethought.errors import QueryLogicError
from rethought.exec.derived import SHARED_BYTES_MAX
from rethought.exec.table import need_whole

if TYPE_CHECKING:
    from rethought.exec.env import Env

KEY_TYPES: Final = frozenset({int, float, str})


class _NotFetchedError(QueryLogicError):
    """Some key is none, or an unusual one."""

    _message = "These documents are read one by one."
    at = ()
    frames = None

    def __init__(self) -> None:  # nobody sees it
        pass


_decode: Final = msgspec.json.Decoder(list[Any]).decode

Rows = Callable[[list[Any]], list[Any]]


def fetched(
    env: "Env", rows: list[Any], reads: tuple[tuple[Callable[[], Any], Rows], ...], body: Rows
) -> list[Any]:
    """The values of `body` for rows with documents beside them: of a table each, by keys made of the rows."""
    columns = [_documents(env, table(), keys(rows)) for table, keys in reads]
    return body(list(zip(rows, *columns, strict=True)))


def _documents(env: "Env", table: Any, keys: list[Any]) -> list[Any]:
    if not KEY_TYPES.issuperset(map(type, keys)):
        raise _NotFetchedError
    found = need_whole(env, table, 0).table
    assert found is not None
    places = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    encoded = [doc or b"null" for doc in found.read_many(env, list(places))]
    if max(map(len, encoded), default=0) > SHARED_BYTES_MAX:
        return _decode(b"[%b]" % b",".join([encoded[places[key]] for key in keys]))
    documents = _decode(b"[%b]" % b",".join(encoded))
    return [documents[places[key]] for key in keys]
