"""GRANT: what a user may do, everywhere, in a database or with a table; with a table also with which rows.

A function instead of `true` is a rule: `table.grant("bob", {"read": lambda row: row["owner"] == "bob"})`.
"""

import ast
from collections.abc import Mapping
from typing import Any, Final

from rethought.catalog.model import SYSTEM_DATABASE_ID
from rethought.catalog.permissions import ADMIN, parse_permissions, scope_of
from rethought.catalog.records import FunctionRecord
from rethought.errors import OpFailedError
from rethought.exec.env import Env
from rethought.exec.functions import Function
from rethought.exec.values import need_datum, need_string
from rethought.reql.compiler import Compiler, Kind, Node
from rethought.reql.function_source import Captured, free_variables
from rethought.reql.rules import check_rules, rule_of
from rethought.reql.spec import Arg, Determinism, Effect, TermSpec, between
from rethought.reql.terms.admin import begin, changed, database_or_table
from rethought.reql.terms.indexes import pin_literals
from rethought.reql.tree import FUNC, MAKE_OBJ, Term


def compile_grant(c: Compiler, term: Term) -> Node:
    """[DB | TABLE,] STRING, OBJECT -> OBJECT"""
    wanted = term.args[-1]
    rules = {name: part for name, part in wanted.optargs.items() if part.type == FUNC}
    if wanted.type != MAKE_OBJ or not rules:
        return c.plain(term)
    line = c.line(term)
    others = {name: part for name, part in wanted.optargs.items() if name not in rules}
    plain = Term(wanted.type, wanted.args, others, wanted.path, wanted.spec)
    nodes = [c.compile(arg) for arg in (*term.args[:-1], plain)]
    functions = {}
    outside: set[int] = set()
    for name, part in rules.items():
        functions[name] = c.function(part, want=Kind.ANY)
        outside |= free_variables(part)
        pin_literals(c, part)
    captured: dict[int, ast.expr] = {
        number: c.name(c.scope[number].name, line) for number in sorted(outside & c.scope.keys())
    }
    code = c.call(
        "grant_rules",
        [
            c.name("env", line),
            _dict(c, captured, line),
            _dict(c, {name: node.code for name, node in functions.items()}, line),
            *(node.code for node in nodes),
        ],
        line,
    )
    return c.node(term, code, [*nodes, *functions.values()], Kind.DATUM)


def _dict(c: Compiler, values: Mapping[Any, ast.expr], line: int) -> ast.expr:
    return ast.Dict(
        [c.constant(key, line) for key in values],
        list(values.values()),
        lineno=line,
        col_offset=0,
        end_lineno=line,
        end_col_offset=0,
    )


def grant(env: Env, *args: Any) -> Any:
    return _grant(env, {}, args)


def grant_rules(env: Env, captured: Captured, functions: dict[str, Function], *args: Any) -> Any:
    return _grant(env, {name: rule_of(name, f, captured) for name, f in functions.items()}, args)


def _grant(env: Env, rules: dict[str, FunctionRecord], args: tuple[Any, ...]) -> Any:
    target = database_or_table(env, args[0]) if len(args) == 3 else None
    user = need_string(env, args[-2], len(args) - 2)
    wanted = need_datum(env, args[-1], len(args) - 1)
    permissions = env.catalog.system_table("permissions")
    env.require("read", permissions)
    env.require("write", permissions)
    if user == ADMIN:
        raise OpFailedError(f"The permissions of the user `{ADMIN}` can't be modified.")
    if user not in env.catalog.users:
        raise OpFailedError(f"User `{user}` not found.")
    changes = parse_permissions(wanted, everywhere=target is None)
    scope = (user, *scope_of(target))
    check_rules(rules, on_table=scope[2] is not None and scope[1] != SYSTEM_DATABASE_ID)
    changes.update(dict.fromkeys(rules, True))
    begin(env, env.catalog.group)
    old, new = env.catalog.permissions.grant(scope, changes, rules)
    changed(env, env.catalog.group)
    return {"granted": 1, "permissions_changes": [{"old_val": old, "new_val": new}]}


TERMS: Final = (
    TermSpec(
        188,
        "grant",
        between(2, 3),
        grant,
        compile=compile_grant,
        rest=Arg.ANY,
        effect=Effect.READ | Effect.WRITE,
        determinism=Determinism.NEVER,
        names={"grant_rules": grant_rules},
    ),
)
