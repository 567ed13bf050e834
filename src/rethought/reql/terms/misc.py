"""Values out of nothing: identifiers, binary, the two bounds, and the literal of merges."""

import uuid as uuids
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rethought.datum.values import (
    MAXVAL,
    MINVAL,
    STRAY_LITERAL,
    TYPE_KEY,
    Datum,
    binary,
    is_binary,
)
from rethought.errors import QueryLogicError
from rethought.reql.checks import wrong_type
from rethought.reql.compiler import Kind, Node
from rethought.reql.spec import Arg, Determinism, Grouped, TermSpec, between, exactly
from rethought.reql.tree import PACE_TERMS

if TYPE_CHECKING:
    from rethought.exec.env import Env
    from rethought.reql.compiler import Compiler
    from rethought.reql.tree import Term

NAMESPACE: Final = uuids.UUID("91461c99-f89d-49d2-af96-d8e2e14e9b58")
"""The protocol's own namespace for identifiers made from a name."""


def uuid(env: "Env", *name: str) -> str:
    """-> STRING: random | STRING -> STRING: always the same one for a name"""
    return str(uuids.uuid5(NAMESPACE, name[0])) if name else env.chance.uuid()


def compile_uuid(c: "Compiler", term: "Term") -> Node:
    """A random identifier is never the same twice, one made from a name always."""
    node = c.plain(term)
    if term.args:
        return node
    return Node(node.code, node.kind, Determinism.NEVER, node.closes)


def binary_(env: "Env", value: Datum) -> Datum:
    """STRING -> BINARY: its bytes as UTF-8 | BINARY -> BINARY"""
    if isinstance(value, str):
        return binary(value.encode())
    if is_binary(value):
        return value
    raise wrong_type("STRING", value)


def literal(env: "Env", *value: Datum) -> Datum:
    """[DATUM] -> a marker that merging replaces by the value, or by nothing"""
    return {TYPE_KEY: "LITERAL", "value": value[0]} if value else {TYPE_KEY: "LITERAL"}


def stray_literal(env: "Env") -> Datum:
    raise QueryLogicError(STRAY_LITERAL)


def compile_stray(c: "Compiler", term: "Term") -> Node:
    """A literal where none may be: an error, but only when it is evaluated."""
    line = c.line(term)
    return Node(c.call("stray_literal", [c.name("env", line)], line), Kind.DATUM)


_DATUM: Final = 1
_MARKER: Final = 137
_STRAY: Final = TermSpec(_MARKER, "literal", between(0, 1), compile=compile_stray)

_MAKE_OBJECT: Final = 3
_BRANCH, _FUNCALL, _FUNCTION, _DEFAULT, _ARGS, _ARRAY = 65, 64, 69, 92, 154, 2
_HANDS_ON: Final = frozenset({_BRANCH, _FUNCALL, _FUNCTION, _DEFAULT, _ARGS})
"""Terms whose value is that of an argument: a literal is legal there where it is legal for them."""

_FILTER, _MERGE, _UPDATE = 39, 35, 53
_TAKES: Final = frozenset({_FILTER, _MERGE, _UPDATE})
"""Terms that know what to do with literals in the arguments behind their first."""


def mark_stray_literals(root: "Term", pace: Callable[[], None] | None = None) -> None:
    """Turns every literal of the tree that no merge, update or filter will see into the error it must raise."""
    pending = [(root, False)]
    seen = 0
    while pending:
        term, legal = pending.pop()
        seen += 1
        if pace is not None and seen % PACE_TERMS == 0:
            pace()
        if term.type == _MARKER and not legal:
            term.spec = _STRAY
        takes, hands_on = term.type in _TAKES, legal and term.type in _HANDS_ON
        for at, arg in enumerate(term.args):
            if hands_on and term.type == _ARGS and arg.type == _ARRAY:
                pending.extend((part, True) for part in arg.args)
            elif arg.type != _DATUM:
                pending.append((arg, hands_on or (takes and at > 0)))
        for part in term.optargs.values():
            pending.append((part, legal and term.type == _MAKE_OBJECT))


def minval(env: "Env") -> Datum:
    """-> less than everything else"""
    return MINVAL


def maxval(env: "Env") -> Datum:
    """-> more than everything else"""
    return MAXVAL


TERMS: Final = (
    TermSpec(169, "uuid", between(0, 1), run=uuid, compile=compile_uuid, args=(Arg.STRING,)),
    TermSpec(155, "binary", exactly(1), run=binary_),
    TermSpec(
        _MARKER,
        "literal",
        between(0, 1),
        run=literal,
        grouped=Grouped.WHOLE,
        names={"stray_literal": stray_literal},
    ),
    TermSpec(180, "minval", exactly(0), run=minval),
    TermSpec(181, "maxval", exactly(0), run=maxval),
)
