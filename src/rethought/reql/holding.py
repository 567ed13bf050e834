"""What a function over rows computes from no row: `r.now().sub(3600)` in a filter is evaluated once for a query.

What always holds: it is evaluated where it would be for the first row that wants it, so an error is raised where and
when it would be; only terms whose value is the same for every row, and that read nothing, are held. Called by the
compiler; `keep` by generated code.
"""

from typing import TYPE_CHECKING, Any, Final

from rethought.reql.nodes import Node, Variable
from rethought.reql.spec import Determinism, Effect, TermSpec, exactly
from rethought.reql.tree import ARGS, DATUM, FUNC, IMPLICIT_VAR, INTERNAL_VARS, MAKE_OBJ, VAR, Term

if TYPE_CHECKING:
    from rethought.reql.compiler import Compiler

_FIRST_HELD: Final = INTERNAL_VARS - 1_000
_UNFIT: Final = frozenset({VAR, IMPLICIT_VAR, FUNC, ARGS, 12, 137, 92, 64, 169})
"""Variables, functions, r.args, r.error, r.literal, default and do: what depends on where it stands; and r.uuid, which
the original counts as deterministic."""

_UUID: Final = 169


def hold(c: "Compiler", term: Term, held: dict[int, Variable]) -> Term:
    """The same body; terms that are evaluated once have a place in `held`."""
    if term.type == DATUM or term.spec is None:
        return term
    if term.type != MAKE_OBJ and _is_constant(term):  # what is merged is looked into
        number = _FIRST_HELD - len(held)
        held[number] = Variable(c.variable_name(number))
        return Term(HELD.type, [term], {}, term.path, HELD, number)
    args = [hold(c, arg, held) for arg in term.args]
    optargs = {name: hold(c, arg, held) for name, arg in term.optargs.items()}
    if args == term.args and optargs == term.optargs:  # compared by identity
        return term
    return Term(term.type, args, optargs, term.path, term.spec, term.value, term.span)


def _is_constant(term: Term) -> bool:
    """Whether a term is a datum that no row has a part in, and takes some work to make."""
    if term.type == DATUM:
        return True
    spec = term.spec
    if spec is None or term.type in _UNFIT or not spec.datum or spec.effect is not Effect.NONE:
        return False
    if spec.determinism > Determinism.NOW or (term.type == _UUID and not term.args):
        return False
    return all(map(_is_constant, (*term.args, *term.optargs.values())))


def _held(c: "Compiler", term: Term) -> Node:
    node = c.compile(term.args[0])
    line = c.line(term)
    cell = c.name(c.scope[term.value].name, line)
    code = c.inline(
        "cell[0] if cell else hold(cell, later)",
        {"cell": cell, "hold": c.name("hold", line), "later": c.datum(node, line)},
        line,
        lazy=("hold", "later"),
    )
    return Node(code, node.kind, node.determinism, known=node.known)


def keep(cell: list[Any], value: Any) -> Any:
    """A value that is wanted for the first time."""
    cell.append(value)
    return value


HELD: Final = TermSpec(-6, "held", exactly(1), compile=_held)
