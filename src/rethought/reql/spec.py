"""The shape of a row in the table of terms.

One row per term says all there is to know of it: number, name, arguments, optional arguments, effect, determinism,
how it treats grouped input, and the function that runs it. Nothing else lists terms. Families of rows live in
`reql/terms/`; `reql/terms/__init__.py` joins them by naming each.

A plain term is one function `run(env, *arguments)`; when the row has `optargs`, `run(env, *arguments, opts=opts)`.
Arguments arrive evaluated, checked against `args` left to right, with the protocol's type error (and its backtrace
frame) already raised for a wrong one. A term that needs more (laziness, functions over rows) has `compile` instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, Flag, IntEnum, auto
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rethought.reql.compiler import Compiler, Node
    from rethought.reql.nodes import Known
    from rethought.reql.tree import Term


class Arg(Enum):
    """What an argument must be; a wrong one raises `Expected type {X} but found {Y}.` blamed on that argument."""

    ANY = auto()  # handed over as it is (a stream, a table, a function, a datum)
    DATUM = auto()  # a single selection becomes its document; streams and the like are refused
    STRING = auto()
    NUMBER = auto()  # Python int or float, never bool
    INT = auto()  # as NUMBER, then `Number not an integer: {v}`; arrives as int
    ARRAY = auto()  # list
    INT_DATUM = auto()  # as INT and ARRAY; but that a datum is no such thing is blamed on the term
    ARRAY_DATUM = auto()
    OBJECT = auto()  # dict that is not a pseudotype
    TIME = auto()  # `Not a TIME pseudotype: {v}.`
    GEOMETRY = auto()  # `Not a GEOMETRY pseudotype: {v}.`
    SEQUENCE = auto()  # a stream, table, selection or array; else `Cannot convert {T} to SEQUENCE`
    TABLE = auto()
    WHOLE = auto()  # a table as it is, in no order; arrives as its `Selection`
    SLICE = auto()  # the same or a part of it: between, ordered by an index
    SELECTION = auto()
    DB = auto()
    FUNCTION = auto()  # no implicit conversion: `Expected type FUNCTION but found DATUM:\n{v}`


class Determinism(IntEnum):
    """How far a term's result is fixed by its arguments; a tree is as bad as its worst term."""

    ALWAYS = 0
    NOW = 1  # constant within a query
    GEO = 2  # may differ between machines
    NEVER = 3


class Effect(Flag):
    """What a term does besides computing."""

    NONE = 0
    READ = auto()  # reads a table
    WRITE = auto()  # a write or meta term in the sense of the nesting rule
    FORBIDS_WRITES = auto()  # no write below its arguments other than the first


class Grouped(Enum):
    """What a term does when its first argument is grouped data."""

    MAP = auto()  # runs once per group
    STREAM = auto()  # handled inside the term, per group and lazily
    WHOLE = auto()  # sees the grouped value itself
    REJECT = auto()  # refuses it


@dataclass(frozen=True, slots=True)
class TermSpec:
    """One row of the table of terms.

    `arity` is (least, most) positional arguments, most None when open; `args` are the kinds of the first ones,
    `rest` the kind of those after. Exactly one of `run` and `compile` is given. `datum` promises that the result is
    a datum whatever the arguments are, `boolean` that it is true or false, `known` of which class it is; all let the
    compiler skip checks.
    With `eager`, that many arguments are evaluated before the term runs; those after arrive as functions, for the term
    to call when it comes to them, because what it finds wrong before counts more than an error of theirs.
    `inline` is the fast case as a Python expression over `a`, `b`, ... and `slow` (a call of `run`), for example
    `"a + b if a.__class__ is b.__class__ is str else slow"`.
    """

    type: int
    name: str
    arity: tuple[int, int | None]
    run: Callable[..., Any] | None = None
    compile: "Callable[[Compiler, Term], Node] | None" = None
    args: tuple[Arg, ...] = ()
    rest: Arg = Arg.DATUM
    eager: int | None = None
    optargs: tuple[str, ...] = ()
    effect: Effect = Effect.NONE
    determinism: Determinism = Determinism.ALWAYS
    grouped: Grouped = Grouped.MAP
    datum: bool = True
    boolean: bool = False
    known: "Known | None" = None
    inline: str | None = None
    names: Mapping[str, Any] = field(
        default_factory=dict
    )  # what `inline` refers to besides its arguments


def exactly(count: int) -> tuple[int, int]:
    return (count, count)


def at_least(count: int) -> tuple[int, None]:
    return (count, None)


def between(least: int, most: int) -> tuple[int, int]:
    return (least, most)


ANY_NUMBER: Final = (0, None)


def arity_message(least: int, most: int | None, found: int) -> str:
    if most is None:
        wanted = f"{least} or more arguments"
    elif least == most:
        wanted = f"{least} argument{'' if least == 1 else 's'}"
    else:
        wanted = f"between {least} and {most} arguments"
    return f"Expected {wanted} but found {found}."
