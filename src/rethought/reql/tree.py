"""Turns a decoded query into a tree of terms, and checks what needs no table of arguments.

What always holds in a `Term`: its number is known, its shape is right, `path` is its backtrace. Sub-trees that hold
only literals are collapsed into one DATUM term. `span` is where a literal stands in the bytes of the query (None when
the query is not worth caching), so that the plan can be used again for other literals. Called by `reql.plan` and,
for index functions, `reql.functions`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from rethought.datum.jsonbytes import RepeatedKeys
from rethought.errors import CompileError, Frame
from rethought.reql.spec import Determinism, Effect, TermSpec

DATUM: Final = 1
MAKE_ARRAY: Final = 2
MAKE_OBJ: Final = 3
VAR: Final = 10
IMPLICIT_VAR: Final = 13
FUNC: Final = 69
ASC: Final = 73
DESC: Final = 74
ARGS: Final = 154
BINARY: Final = 155

INTERNAL_VARS: Final = -7_000_000
"""Variables numbered below this are made here; clients' numbers are far from it. They never stand for r.row."""

PACE_TERMS: Final = 500

Span = tuple[
    int, int, "list[Span] | None", int
]  # start, end, children (objects: of the values), number of keys


class Term:
    """A node of the term tree. `value` holds a DATUM's value."""

    __slots__ = ("args", "optargs", "path", "span", "spec", "type", "value")

    def __init__(
        self,
        type_: int,
        args: "list[Term]",
        optargs: "dict[str, Term]",
        path: tuple[Frame, ...],
        spec: TermSpec | None = None,
        value: Any = None,
        span: tuple[int, int] | None = None,
    ) -> None:
        self.type = type_
        self.args = args
        self.optargs = optargs
        self.path = path
        self.spec = spec
        self.value = value
        self.span = span

    def has_splice(self) -> bool:
        for arg in self.args:  # noqa: SIM110 - a generator is slower
            if arg.type == ARGS:
                return True
        return False


def datum(value: Any, path: tuple[Frame, ...], span: tuple[int, int] | None = None) -> Term:
    return Term(DATUM, [], {}, path, None, value, span)


_TOKEN: Final = re.compile(
    rb'[ \t\r\n]*(?:([\[{])|([\]}])|([,:])|("(?:[^"\\]|\\.)*"|[^\s\[\]{},:"]+))', re.DOTALL
)


def scan(raw: bytes) -> Span:
    """Where each value of a valid JSON text stands."""
    root: list[Span] = []
    stack: list[tuple[int, bool, list[Span]]] = [(0, False, root)]
    position = 0
    key_next = False
    for match in _TOKEN.finditer(raw):
        kind = match.lastindex
        start, position = match.span(kind or 0)
        if kind == 4:
            if key_next:
                key_next = False
            else:
                stack[-1][2].append((start, position, None, 0))
        elif kind == 3:
            key_next = stack[-1][1] and raw[start] == 0x2C
        elif kind == 1:
            is_object = raw[start] == 0x7B
            key_next = is_object
            stack.append((start, is_object, []))
        else:
            opened, is_object, children = stack.pop()
            key_next = False
            stack[-1][2].append((opened, position, children, len(children)))
    return root[0]


_OBJECTS: Final = (dict, RepeatedKeys)
_KINDS: Final = {
    RepeatedKeys: "OBJECT",
    dict: "OBJECT",
    list: "ARRAY",
    str: "STRING",
    bool: "BOOL",
    type(None): "NULL",
}


def json_kind(value: object) -> str:
    return _KINDS.get(type(value), "NUMBER")


class TreeBuilder:
    """Builds the tree of one query. `specs` is the table of terms; `literal` canonicalises literals."""

    def __init__(self, specs: dict[int, TermSpec], literal: Any) -> None:
        self.specs = specs
        self.literal = literal
        self.keep_arrays = (
            False  # arrays stay terms, so that their size is checked when they are made
        )
        self.array_limit = 100_000
        self.pace: Callable[[], None] | None = None
        self._built = 0

    def build(self, json: Any, span: Span | None, path: tuple[Frame, ...]) -> Term:
        self._built += 1
        if self._built % PACE_TERMS == 0 and self.pace is not None:
            self.pace()
        kind = json.__class__
        if kind is list:
            return self._term(json, span, path)
        if kind is dict or kind is RepeatedKeys:
            return self._object(json, span, path)
        return datum(self.literal(json, path), path, span[:2] if span else None)

    def _object(self, json: dict[str, Any], span: Span | None, path: tuple[Frame, ...]) -> Term:
        if json.__class__ is RepeatedKeys:
            raise CompileError(f"Duplicate object key: {json.repeated}.", frames=path)
        spans = _children(span, json)
        fields: dict[str, Term] = {}
        for index, (key, value) in enumerate(json.items()):
            name = key.partition("\0")[0]
            if name in fields:
                raise CompileError(f"Duplicate object key: {name}.", frames=path)
            fields[name] = self.build(value, spans[index] if spans else None, (*path, name))
        return self._make_obj(fields, span, path)

    def _make_obj(
        self, fields: dict[str, Term], span: Span | None, path: tuple[Frame, ...]
    ) -> Term:
        if all(field.type == DATUM for field in fields.values()) and "$reql_type$" not in fields:
            value = {name: field.value for name, field in fields.items()}
            return datum(value, path, span[:2] if span else None)
        return Term(MAKE_OBJ, [], fields, path, self.specs[MAKE_OBJ])

    def _term(self, json: list[Any], span: Span | None, path: tuple[Frame, ...]) -> Term:
        count = len(json)
        if not 1 <= count <= 3:
            raise CompileError(
                f"Expected between 1 and 3 elements in a raw term, but found {count}.", frames=path
            )
        head: Any = json[0]
        if json_kind(head) != "NUMBER":
            raise CompileError(
                f"Expected a TermType as a NUMBER but found {json_kind(head)}.", frames=path
            )
        spans = _children(span, json)
        if head == DATUM:
            return self._datum(json, spans, path)
        spec = self.specs.get(head)
        if spec is None:
            number = head if head == int(head) else 0
            raise CompileError(f"Unrecognized TermType: {int(number)}.", frames=path)
        args_json: Sequence[Any] = ()
        optargs_json: dict[str, Any] = {}
        args_at = optargs_at = 0
        if count >= 2:
            second = json[1]
            if second.__class__ is list:
                args_json, args_at = second, 1
            elif second.__class__ in _OBJECTS:
                optargs_json, optargs_at = second, 1
            else:
                raise CompileError(
                    "Second element in a Term is neither arguments nor optional arguments.",
                    frames=path,
                )
        if count == 3:
            if optargs_at:
                raise CompileError(
                    "Second and third element in a term are both optional arguments.", frames=path
                )
            if json[2].__class__ not in _OBJECTS:
                raise CompileError(
                    "Third element in a Term is not optional arguments.", frames=path
                )
            optargs_json, optargs_at = json[2], 2
        args = self._args(args_json, spans[args_at] if spans and args_at else None, path)
        optargs_span = spans[optargs_at] if spans and optargs_at else None
        optargs = self._optargs(optargs_json, optargs_span, path)
        if head == MAKE_OBJ:
            if args:
                raise CompileError("MAKE_OBJ term must not have any args.", frames=path)
            return Term(MAKE_OBJ, [], optargs, path, spec)
        if head == MAKE_ARRAY and not self.keep_arrays:
            return self._array(Term(head, args, optargs, path, spec), span)
        if head == FUNC and self.keep_arrays and args and args[0].type == MAKE_ARRAY:
            # Its variables are no array that the query makes.
            below = spans[args_at][2] if spans and args_at else None
            args = [self._array(args[0], below[0] if below else None), *args[1:]]
        return Term(head, args, optargs, path, spec)

    def _array(self, term: Term, span: Span | None) -> Term:
        """An array of literals as one literal."""
        args = term.args
        if term.optargs or len(args) > self.array_limit or any(arg.type != DATUM for arg in args):
            return term
        return datum([arg.value for arg in args], term.path, span[:2] if span else None)

    def _datum(self, json: list[Any], spans: list[Span] | None, path: tuple[Frame, ...]) -> Term:
        if len(json) != 2:
            raise CompileError(
                f"Expected 3 items in array, but found {len(json) + 1}.", frames=path
            )
        inner = json[1]
        if inner.__class__ is list or inner.__class__ in _OBJECTS:
            return self.build(inner, None, path)
        return datum(self.literal(inner, path), path, spans[1][:2] if spans else None)

    def _args(self, json: Sequence[Any], span: Span | None, path: tuple[Frame, ...]) -> list[Term]:
        spans = _children(span, json)
        return [
            self.build(arg, spans[index] if spans else None, (*path, index))
            for index, arg in enumerate(json)
        ]

    def _optargs(
        self, json: dict[str, Any], span: Span | None, path: tuple[Frame, ...]
    ) -> dict[str, Term]:
        if json.__class__ is RepeatedKeys:
            raise CompileError(f"Duplicate optional argument: {json.repeated}", frames=path)
        spans = _children(span, json)
        return {
            name: self.build(value, spans[index] if spans else None, (*path, name))
            for index, (name, value) in enumerate(json.items())
        }


def _children(span: Span | None, json: Sequence[Any] | dict[str, Any]) -> list[Span] | None:
    if span is None or span[2] is None or len(span[2]) != len(json):
        return None
    return span[2]


_NO_WRITES: Final = "Cannot nest writes or meta ops in stream operations.  Use FOR_EACH instead."


def check_nesting(root: Term, pace: Callable[[], None] | None = None) -> None:
    """Refuses writes below stream operations, and ASC / DESC where they do not belong."""
    pending: list[tuple[Iterator[Term], Term | None, bool]] = [(iter([root]), None, False)]
    seen = 0
    while pending:
        parts, parent, forbidden = pending[-1]
        term = next(parts, None)
        if term is None:
            pending.pop()
            continue
        seen += 1
        if pace is not None and seen % PACE_TERMS == 0:
            pace()
        spec = term.spec
        if spec is None:  # a literal
            continue
        below = forbidden
        if spec.effect:
            if forbidden and Effect.WRITE in spec.effect:
                raise CompileError(_NO_WRITES, frames=term.path)
            below = forbidden or Effect.FORBIDS_WRITES in spec.effect
        if term.type in (ASC, DESC) and not _takes_order(parent):
            name = "ASC" if term.type == ASC else "DESC"
            raise CompileError(
                f"{name} may only be used as an argument to ORDER_BY or UNION.", frames=term.path
            )
        # The last of these is the next to be looked at: of several errors the first one counts.
        if term.optargs:
            pending.append((iter(term.optargs.values()), term, below))
        if term.args:
            pending.append((islice(term.args, 1, None), term, below))
            pending.append((iter(term.args[:1]), term, forbidden))


_ORDER_BY: Final = 41
_UNION: Final = 44


def _takes_order(parent: Term | None) -> bool:
    return parent is not None and parent.type in (_ORDER_BY, _UNION, MAKE_ARRAY)


def subtree(term: Term) -> list[Term]:
    """A term and all below it."""
    found = [term]
    for part in found:
        found.extend(part.args)
        found.extend(part.optargs.values())
    return found


def worst_of(term: Term) -> Determinism:
    """The determinism of a term, as far as the table of terms tells."""
    return max(
        (part.spec.determinism for part in subtree(term) if part.spec is not None),
        default=Determinism.ALWAYS,
    )
