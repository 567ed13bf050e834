"""What the compiler knows of a compiled term. Handed between it and the families of terms."""

import ast
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from rethought.reql.spec import Determinism


class Kind(Enum):
    """What is known of an expression's value before it runs."""

    DATUM = auto()
    BOOL = auto()
    VALUE = auto()  # not grouped: a table, a stream, a selection, a function or a datum
    ANY = auto()  # perhaps grouped data


@dataclass(slots=True)
class Node:
    """A compiled term. `closes` tells whether it holds a function that may outlive its evaluation."""

    code: ast.expr
    kind: Kind
    determinism: Determinism = Determinism.ALWAYS
    closes: bool = False


@dataclass(slots=True, frozen=True)
class Variable:
    """A variable in scope; `fields` maps a projected row's fields to attributes."""

    name: str
    fields: dict[str, str] | None = None


PLAIN: Final = (Kind.DATUM, Kind.BOOL)
PSEUDOTYPE_KEYS: Final = frozenset(
    {"$reql_type$", "epoch_time", "timezone", "data", "type", "coordinates", "crs", "value"}
)
"""Fields that a pseudotype may have, though it is no object to look into."""
