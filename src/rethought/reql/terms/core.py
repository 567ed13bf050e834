"""Literals, variables, functions and control: what the language is held together by."""

import ast
from typing import Any, Final

from rethought.errors import CompileError, QueryLogicError, ResourceLimitError, UserError
from rethought.exec.env import Env, too_many
from rethought.exec.functions import Function
from rethought.exec.ops import EmptyError
from rethought.exec.values import reql_type, wrong_datum
from rethought.reql.compiler import (
    PLAIN,
    SPREAD_MAX,
    UNIT_HEIGHT,
    UNIT_TERMS,
    Compiler,
    Kind,
    Node,
)
from rethought.reql.expressions import at_line
from rethought.reql.holding import keep
from rethought.reql.spec import (
    ANY_NUMBER,
    Arg,
    TermSpec,
    at_least,
    between,
    exactly,
)
from rethought.reql.spec import (
    Grouped as OnGroups,
)
from rethought.reql.splicing import not_spliced, splice
from rethought.reql.tree import DATUM, Term

ARRAY_INLINE_MAX: Final = 32

# ---- arrays and objects


def make_array(env: Env, *elements: Any) -> list[Any]:
    """DATUM... -> ARRAY. Raises ResourceLimitError past the array limit."""
    if len(elements) > env.array_limit:
        raise ResourceLimitError(too_many(env.array_limit))
    return list(elements)


def array_of_terms(c: Compiler, term: Term) -> Node:
    if not (c.shortcuts and c.depth and 0 < len(term.args) <= ARRAY_INLINE_MAX):
        return c.plain(term)
    nodes = [c.compile(arg) for arg in term.args]
    return c.grouped(term, nodes[0], lambda first: _array(c, term, [first, *nodes[1:]]))


def _array(c: Compiler, term: Term, nodes: list[Node]) -> Node:
    line = c.line(term)
    elements = [c.check(node, Arg.DATUM, line, at) for at, node in enumerate(nodes)]
    code = c.inline(
        "a if env.array_limit >= count else make_array(env, *a)",
        {
            "a": at_line(ast.List(elements, ast.Load()), line),
            "env": c.name("env", line),
            "count": c.constant(len(nodes), line),
        },
        line,
    )
    return c.node(term, code, nodes, Kind.DATUM)


def make_object(c: Compiler, term: Term) -> Node:
    """{key: term} -> OBJECT. The fields are evaluated in order of their names."""
    line = c.line(term)
    nodes = {name: c.compile(term.optargs[name]) for name in sorted(term.optargs)}
    keys: list[ast.expr | None] = [c.constant(name, line) for name in nodes]
    values = [c.datum(node, line, name) for name, node in nodes.items()]
    code: ast.expr = at_line(ast.Dict(keys, values), line)
    if len(keys) > UNIT_TERMS:  # {**some, **more}
        lots: list[ast.expr] = []
        for at in range(0, len(keys), UNIT_TERMS):
            lot = ast.Dict(keys[at : at + UNIT_TERMS], values[at : at + UNIT_TERMS])
            lots.append(c.apart(line, at_line(lot, line)))
        code = at_line(ast.Dict([None] * len(lots), lots), line)
    result: ast.expr = code
    if "$reql_type$" in nodes:
        result = c.call("checked_object", [code], line)
    return c.node(term, result, list(nodes.values()), Kind.DATUM)


def checked_object(value: dict[str, Any]) -> Any:
    from rethought.datum.values import from_json

    return from_json(value)


# ---- variables


def variable(c: Compiler, term: Term) -> Node:
    if len(term.args) != 1:
        raise CompileError("A variable term has the wrong number of arguments.", frames=term.path)
    name = term.args[0]
    if name.type != DATUM:
        raise CompileError("A variable term has a non-datum argument.", frames=term.path)
    if name.value.__class__ not in (int, float):
        raise CompileError("A variable term has a non-numeric name datum.", frames=term.path)
    number = c.number(name)
    found = c.scope.get(number)
    if found is None:
        raise CompileError("Variable name not found.", frames=term.path)
    c.uses[number] = c.uses.get(number, 0) + 1
    return Node(c.name(found.name, c.line(term)), Kind.DATUM)


def implicit_variable(c: Compiler, term: Term) -> Node:
    if not c.implicit:
        raise CompileError("r.row is not defined in this context.", frames=term.path)
    if len(c.implicit) > 1:
        raise CompileError(
            "Cannot use r.row in nested queries.  Use functions instead.", frames=term.path
        )
    number = c.implicit[0]
    c.uses[number] = c.uses.get(number, 0) + 1
    return Node(c.name(c.scope[number].name, c.line(term)), Kind.DATUM)


def func(c: Compiler, term: Term) -> Node:
    return c.function(term, want=Kind.ANY)


# ---- calling


def funcall(c: Compiler, term: Term) -> Node:
    """FUNCTION, DATUM... -> any"""
    function, *args = term.args
    line = c.line(term)
    nodes = [c.compile(arg) for arg in args]
    if not nodes:
        return _call(c, term, function, [], line)
    return c.grouped(
        term, nodes[0], lambda first: _call(c, term, function, [first, *nodes[1:]], line)
    )


_FUNC: Final = 69


def _call(c: Compiler, term: Term, function: Term, nodes: list[Node], line: int) -> Node:
    args = [c.datum(node, line, index + 1) for index, node in enumerate(nodes)]
    if function.type == _FUNC and len(c.parameters(function)) == len(args):
        numbers = c.parameters(function)
        if len(set(numbers)) == len(numbers):
            before = c.scope
            body = _function_body(c, function, numbers)
            assert c.scope is before
            inner = c.lambda_([c.variable_name(n) for n in numbers], body.code, line)
            code: ast.expr = ast.Call(
                inner, args, [], lineno=line, col_offset=0, end_lineno=line, end_col_offset=0
            )
            return c.node(term, code, [body, *nodes], body.kind)
    callee = c.function(function, shortcut="constant", want=Kind.ANY)
    code = c.call("invoke", [callee.code, *args], line)
    return c.node(term, code, [callee, *nodes], Kind.ANY)


def _function_body(c: Compiler, function: Term, numbers: list[int]) -> Node:
    from rethought.reql.compiler import Variable

    before = c.scope
    c.scope = {**before, **{n: Variable(c.variable_name(n)) for n in numbers}}
    if len(numbers) == 1:
        c.implicit.append(numbers[0])
    c.depth += 1
    try:
        body = c.compile(function.args[1])
        return c.spread(numbers, body, c.line(function), SPREAD_MAX)
    finally:
        c.scope = before
        c.depth -= 1
        if len(numbers) == 1:
            c.implicit.pop()


def invoke(function: Function, *args: Any) -> Any:
    return function.invoke(*args)


# ---- choosing


def branch(c: Compiler, term: Term) -> Node:
    """BOOL, any, [BOOL, any...] any -> any"""
    line = c.line(term)
    if len(term.args) % 2 == 0:
        nodes = [c.compile(arg) for arg in term.args]
        return c.node(term, c.call("branch_even", [], line), nodes, Kind.ANY)
    first = c.compile(term.args[0])
    return c.grouped(term, first, lambda test: _branch(c, term, test, line))


def branch_even() -> Any:
    raise QueryLogicError("Cannot call `branch` term with an even number of arguments.")


def _branch(c: Compiler, term: Term, first: Node, line: int) -> Node:
    nodes = [first, *(c.compile(arg) for arg in term.args[1:])]
    code = nodes[-1].code
    for index in range(len(nodes) - 3, -1, -2):
        if index and index % UNIT_HEIGHT == 0:
            code = c.apart(line, code)
        code = ast.IfExp(
            c.truth(nodes[index], line, index),
            nodes[index + 1].code,
            code,
            lineno=line,
            col_offset=0,
            end_lineno=line,
            end_col_offset=0,
        )
    results = [nodes[-1], *nodes[1::2]]
    if all(node.kind is Kind.BOOL for node in results):
        kind = Kind.BOOL
    elif all(node.kind in PLAIN for node in results):
        kind = Kind.DATUM
    else:
        kind = Kind.ANY
    return c.node(term, code, nodes, kind)


def _logic(c: Compiler, term: Term, *, stop_on: bool) -> Node:
    line = c.line(term)
    if not term.args:
        return Node(c.constant(not stop_on, line), Kind.BOOL)
    first = c.compile(term.args[0])
    rest = [c.compile(arg) for arg in term.args[1:]]

    def build(start: Node) -> Node:
        nodes = [start, *rest]
        if all(node.kind is Kind.BOOL for node in nodes):
            operator: ast.boolop = ast.Or() if stop_on else ast.And()
            code: ast.expr = nodes[0].code
            if len(nodes) > 1:
                code = ast.BoolOp(
                    operator,
                    [node.code for node in nodes],
                    lineno=line,
                    col_offset=0,
                    end_lineno=line,
                    end_col_offset=0,
                )
            return c.node(term, code, nodes, Kind.BOOL)
        code = c.datum(nodes[-1], line, len(nodes) - 1)
        template = (
            "a if a is not None and a is not False else later"
            if stop_on
            else "later if a is not None and a is not False else a"
        )
        for index in range(len(nodes) - 2, -1, -1):
            if index % UNIT_HEIGHT == UNIT_HEIGHT - 1:
                code = c.apart(line, code)
            code = _choose(c, template, c.datum(nodes[index], line, index), code, line)
        return c.node(term, code, nodes, Kind.DATUM)

    return c.grouped(term, first, build)


def _choose(c: Compiler, template: str, a: ast.expr, b: ast.expr, line: int) -> ast.expr:
    """Fills a template whose argument `later` is evaluated only when it is chosen."""
    return c.inline(template, {"a": a, "later": b}, line, lazy=("later",))


def or_(c: Compiler, term: Term) -> Node:
    return _logic(c, term, stop_on=True)


def and_(c: Compiler, term: Term) -> Node:
    return _logic(c, term, stop_on=False)


def not_(env: Env, value: Any) -> bool:
    return value is None or value is False


# ---- errors


def error(env: Env, *message: str) -> Any:
    """[STRING] -> never"""
    if message:
        raise UserError(message[0].partition("\0")[0])  # where C's strings end
    raise EmptyError


_GET_FIELD: Final = (31, 170)


def default(c: Compiler, term: Term) -> Node:
    """any, any -> any"""
    from rethought.reql.terms.fields import field_or

    line = c.line(term)
    fallback_term = term.args[1]
    fallback = (
        c.function(fallback_term, want=Kind.ANY)
        if fallback_term.type == _FUNC
        else c.compile(fallback_term)
    )
    quick = field_or(c, term, fallback) if c.shortcuts else None
    if quick is not None:
        return quick
    value = c.compile(term.args[0])
    code: ast.expr = c.call(
        "default_",
        [
            c.name("env", line),
            c.lambda_([], value.code, line),
            c.lambda_([], fallback.code, line),
        ],
        line,
    )
    both = value.kind in PLAIN and fallback.kind in PLAIN
    return c.node(term, code, [value, fallback], Kind.DATUM if both else Kind.ANY)


# ---- looking at values


def type_of(env: Env, value: Any) -> str:
    return reql_type(value)


def args_alone(env: Env, value: Any) -> Any:
    """r.args where it is nobody's argument."""
    if value.__class__ is not list:
        raise wrong_datum("ARRAY", value)
    return value


TERMS: Final = (
    TermSpec(
        2,
        "make_array",
        ANY_NUMBER,
        run=make_array,
        compile=array_of_terms,
        names={"make_array": make_array},
    ),
    TermSpec(
        3, "make_obj", ANY_NUMBER, compile=make_object, names={"checked_object": checked_object}
    ),
    TermSpec(10, "var", ANY_NUMBER, compile=variable),
    TermSpec(12, "error", between(0, 1), run=error, args=(Arg.STRING,)),
    TermSpec(13, "implicit_var", exactly(0), compile=implicit_variable),
    TermSpec(
        23,
        "not",
        exactly(1),
        run=not_,
        args=(Arg.DATUM,),
        boolean=True,
        inline="a is None or a is False",
    ),
    TermSpec(52, "typeof", exactly(1), run=type_of, args=(Arg.ANY,), grouped=OnGroups.WHOLE),
    TermSpec(
        64,
        "funcall",
        at_least(1),
        compile=funcall,
        optargs=("_SHORTCUT_", "_EVAL_FLAGS_"),
        names={"invoke": invoke},
        datum=False,
    ),
    TermSpec(
        65,
        "branch",
        at_least(3),
        compile=branch,
        datum=False,
        names={"branch_even": branch_even},
    ),
    TermSpec(66, "or", ANY_NUMBER, compile=or_),
    TermSpec(67, "and", ANY_NUMBER, compile=and_),
    TermSpec(69, "func", ANY_NUMBER, compile=func, datum=False),
    TermSpec(92, "error", exactly(2), compile=default, grouped=OnGroups.WHOLE, datum=False),
    TermSpec(
        154,
        "args",
        exactly(1),
        run=args_alone,
        names={"hold": keep, "not_spliced": not_spliced, "splice": splice},
    ),
)
