"""Where the blame is when CHANGES refuses its source: backtrace frames relative to the term.

What always holds: a stream that cannot be followed is blamed on the term that made it, whatever was put behind it; a
function that is not deterministic on its own body. Found when a query is compiled, used when it is refused. Pure.
"""

from typing import Final

from rethought.errors import Frame
from rethought.reql.spec import Determinism
from rethought.reql.tree import DATUM, FUNC, MAKE_ARRAY, Term

_MAP: Final = 38
_UNION: Final = 44
_GROUP: Final = 144
_THROUGH: Final = frozenset({30, 31, 32, 33, 34, 35, _MAP, 39, 70, 71, 96, 170})
"""Terms that change the stream they get rather than make one: slice, get_field, has_fields, pluck, without, merge, map,
filter, skip, limit, with_fields, bracket."""

Frames = tuple[Frame, ...]


def eager_at(source: Term) -> Frames:
    """Of a source that is no stream from a table."""
    if source.type == _GROUP:
        return ()
    frames: list[Frame] = [0]
    while source.args and source.type != DATUM:
        if source.type == _UNION:
            at = _eager_part(source)
        elif _is_through(source):
            at = 0
        else:
            break
        frames.append(at)
        source = source.args[at]
    return tuple(frames)


def _is_through(term: Term) -> bool:
    return term.type in _THROUGH and (term.type != _MAP or len(term.args) == 2)


def _eager_part(union: Term) -> int:
    """The first part that does not come from a table, if one can be told."""
    for at, part in enumerate(union.args):
        while _is_through(part):
            part = part.args[0]
        if part.type in (DATUM, MAKE_ARRAY):
            return at
    return 0


def random_at(source: Term) -> Frames:
    """Of a source with a function that is not deterministic: the first that rows meet."""
    found: Frames = ()
    frames: list[Frame] = [0]
    while source.args and source.type != DATUM:
        for at, function in enumerate(source.args[1:], 1):
            if _random(function):
                found = (*frames, at, 1) if function.type == FUNC else (*frames, at)
        frames.append(0)
        source = source.args[0]
    return found


def _random(term: Term) -> bool:
    if term.spec is not None and term.spec.determinism >= Determinism.NEVER:
        return True
    return any(_random(part) for part in (*term.args, *term.optargs.values()))
