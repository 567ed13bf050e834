"""What is known of the rows of a feed from the text of its query: a field of theirs, and where its value lies.

A filter that compares a field with a constant (`row["age"] > 5`, also as one of several conditions) is found like a
range of an index on that field, though there is none: only changes of rows whose value lies there are looked at.
What always holds: a condition admits every row that has a value in the feed, and may admit others; `place` never puts
a larger value before a smaller one, and may put different ones at one place. Pure. Made from the text by
`reql.feed_text`, used by `tables`.
"""

from typing import Any, NamedTuple

from rethought.datum.keys import index_key
from rethought.feed.view import View

_NULL = b"C"  # the order of types by name: after BOOL, before NUMBER
_OBJECT = b"O"  # after NUMBER, before PTYPE


class Condition(NamedTuple):
    """`view` is of places, both bounds belong to it."""

    field: str
    view: View


def place(value: Any) -> bytes:
    """Where a value lies among all values."""
    return index_key(value) or _place(value)[0]


def _place(value: Any) -> tuple[bytes, bool]:
    """The place of a value that can be no key, and whether all of it is in there."""
    if value is None:
        return _NULL, True
    if value.__class__ is not list:
        return _OBJECT, False
    found = b"A"
    for item in value:
        key = index_key(item)
        part, whole = (key, True) if key is not None else _place(item)
        found += part
        if not whole:
            return found, False  # what follows does not matter among arrays of one place
        found += b"\0"
    return found, True
