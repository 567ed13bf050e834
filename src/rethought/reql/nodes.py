"""What the compiler knows of a compiled term. Handed between it and the families of terms."""

import ast
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from rethought.reql.spec import Arg, Determinism


class Known(Enum):
    """What class a datum certainly is of."""

    NULL = auto()
    BOOL = auto()
    INT = auto()
    NUMBER = auto()
    STRING = auto()
    TIME = auto()


NUMERIC: Final = frozenset({Known.INT, Known.NUMBER})


SATISFIES: Final = {
    Arg.STRING: (Known.STRING,),
    Arg.NUMBER: tuple(NUMERIC),
    Arg.INT: (Known.INT,),
    Arg.TIME: (Known.TIME,),
}
"""What an argument of some kind may be known to be; then it needs no check."""


class Kind(Enum):
    """What is known of an expression's value before it runs."""

    DATUM = auto()
    BOOL = auto()
    VALUE = auto()  # not grouped: a table, a stream, a selection, a function or a datum
    ANY = auto()  # perhaps grouped data


@dataclass(slots=True)
class Node:
    """A compiled term. `closes` tells whether it holds a function that may outlive its evaluation.

    Only who compiled it as an operand (`Compiler.operand`) gets one that is `loose`, which may give a float of at most
    2**53 in size where a canonical number is an int, or `unset`, which may give UNSET for a field that a row lacks.
    """

    code: ast.expr
    kind: Kind
    determinism: Determinism = Determinism.ALWAYS
    closes: bool = False
    known: Known | None = None
    loose: bool = False
    unset: bool = False


@dataclass(slots=True, frozen=True)
class Variable:
    """A variable in scope; `fields` maps a projected row's fields to attributes."""

    name: str
    fields: dict[str, str] | None = None


_KNOWN: Final = {
    type(None): Known.NULL,
    bool: Known.BOOL,
    int: Known.NUMBER,
    float: Known.NUMBER,
    str: Known.STRING,
}


def known_of(value: object) -> Known | None:
    """What is known of a literal in every query of a plan."""
    return _KNOWN.get(value.__class__)


PLAIN: Final = (Kind.DATUM, Kind.BOOL)
PSEUDOTYPE_KEYS: Final = frozenset(
    {"$reql_type$", "epoch_time", "timezone", "data", "type", "coordinates", "crs", "value"}
)
"""Fields that a pseudotype may have, though it is no object to look into."""

CHECKS: Final = {
    Arg.STRING: "a if a.__class__ is str else slow",
    Arg.NUMBER: "a if a.__class__ is int or a.__class__ is float else slow",
    Arg.INT: "a if a.__class__ is int else slow",
    Arg.ARRAY: "a if a.__class__ is list else slow",
    Arg.INT_DATUM: "a if a.__class__ is int else slow",
    Arg.ARRAY_DATUM: "a if a.__class__ is list else slow",
    Arg.TIME: 'a if a.__class__ is dict and a.get("$reql_type$") == "TIME" else slow',
}
"""The usual case of a kind of argument; what is no such thing goes to `need_...`."""
