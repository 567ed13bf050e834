"""Functions of a row that read documents by keys made of it: `row -> users.get(row("author"))("name")`.

What always holds: only the projected form of a function is compiled so. Documents are read for many rows at once and
put beside them; what cannot be had that way raises, and then the function as a whole reads them one by one, where it
wants them (`exec.fetching`). Called by the compiler.
"""

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rethought.reql.nodes import Kind, Variable
from rethought.reql.projecting import FIELD_TERMS, fields_read
from rethought.reql.spec import Effect, TermSpec
from rethought.reql.tree import DATUM, FUNC, INTERNAL_VARS, MAKE_ARRAY, MAKE_OBJ, VAR, Term, datum

if TYPE_CHECKING:
    from rethought.reql.compiler import Compiler

CHANGES: Final = -3
"""The term of what is merged into a row (`reql.merging`)."""
_DB: Final = 14
_TABLE: Final = 15
_GET: Final = 16
_FIRST_READ: Final = INTERNAL_VARS - 100

_TAKES: Final = frozenset({*FIELD_TERMS, 17, 18, 32, 33, 34, 35, 65, 66, 67, 92, CHANGES})
"""Terms that take a row of a table for the document that it is, as they do with objects made by terms."""
_MAKES: Final = frozenset({MAKE_ARRAY, MAKE_OBJ})


@dataclass(slots=True, frozen=True)
class Read:
    """One document for each row: the variable that stands for it, and where it comes from."""

    variable: int
    table: Term
    key: Term
    rows: tuple[int, ...]  # the variables that stand for the row


class Reads:
    """Finds what a body reads. `specs` is the table of terms, `row` the number of the body's variable."""

    def __init__(self, specs: dict[int, TermSpec], row: int) -> None:
        self.specs = specs
        self.rows: tuple[int, ...] = (row,)
        self.found: list[Read] = []

    def rest(self, term: Term, *, taken: bool = True) -> Term:
        """The same body with a variable in the place of each document that can be read beforehand."""
        if term.type == DATUM or term.type == FUNC:
            return term
        if term.type == _GET:
            return self._variable(term) if taken and self._is_read(term) else term
        takes = term.type in _TAKES or term.type in _MAKES
        args = [self._argument(term, arg, taken=takes) for arg in term.args]
        optargs = {
            name: self.rest(arg, taken=term.type == MAKE_OBJ) for name, arg in term.optargs.items()
        }
        if args == term.args and optargs == term.optargs:  # compared by identity
            return term
        return Term(term.type, args, optargs, term.path, term.spec, term.value, term.span)

    def _argument(self, term: Term, arg: Term, *, taken: bool) -> Term:
        """An argument of `term`; what is merged may be a function of the same row."""
        if term.type != CHANGES or arg.type != FUNC:
            return self.rest(arg, taken=taken)
        first = arg.args[0]
        numbers = first.value if first.type == DATUM else [part.value for part in first.args]
        before = self.rows
        self.rows = (*before, numbers[0])
        body = self.rest(arg.args[1])
        self.rows = before
        if body is arg.args[1]:
            return arg
        return Term(FUNC, [first, body], arg.optargs, arg.path, arg.spec, arg.value, arg.span)

    def _is_read(self, term: Term) -> bool:
        if len(term.args) != 2 or term.optargs or not _is_table(term.args[0]):
            return False
        key = term.args[1]
        return not self._reads(key) and fields_read(self.rows, key) is not None

    def _reads(self, term: Term) -> bool:
        if term.spec is not None and term.spec.effect & Effect.READ:
            return True
        return any(map(self._reads, (*term.args, *term.optargs.values())))

    def _variable(self, term: Term) -> Term:
        number = _FIRST_READ - len(self.found)
        self.found.append(Read(number, term.args[0], term.args[1], self.rows))
        name = datum(number, term.path)
        return Term(VAR, [name], {}, term.path, self.specs[VAR])


def _is_table(term: Term) -> bool:
    """Whether a table is named by nothing but literals."""
    if term.type != _TABLE or term.optargs:
        return False
    return all(
        arg.type == DATUM or (arg.type == _DB and len(arg.args) == 1 and arg.args[0].type == DATUM)
        for arg in term.args
    )


def compile_reads(
    c: "Compiler", reads: list[Read], fields: dict[str, str], body: ast.expr, line: int
) -> ast.expr:
    """`body`, a function of rows with documents beside them, as a function of projected rows."""
    parts: list[ast.expr] = []
    for read in reads:
        table = c.compile(read.table)
        number = read.rows[-1]
        row = Variable(c.variable_name(read.rows[0]), fields)
        key = c.body(number, read.key, Kind.DATUM, line, dict.fromkeys(read.rows, row))
        keys = c.each([row.name], key.code, line, closes=key.closes)
        parts.append(c.tuple_([c.lambda_([], table.code, line), keys], line))
    call = c.call(
        "fetched",
        [c.name("env", line), c.name("rows", line), c.tuple_(parts, line), body],
        line,
    )
    return c.lambda_(["rows"], call, line)
