"""Rules: which rows of a table a user may read or write, as ReQL functions that are kept with its permissions.

What always holds: a rule is a deterministic function of one row that reads nothing else; it is compiled once, until it
is changed. Rows of `permissions` show rules as text and as binary that can be written back, as write hooks are shown.
"""

from typing import Any, Final

from rethought.catalog.permissions import RULED, Rules
from rethought.catalog.records import FunctionRecord
from rethought.datum.binary import binary, binary_bytes
from rethought.datum.text import compact
from rethought.errors import OpFailedError, ReqlError
from rethought.exec.functions import Function
from rethought.exec.ruled import MeteredTable, Rule, RuledTable, ToldTable
from rethought.exec.table import Table
from rethought.reql.function_binary import decode_rule, encode_rule
from rethought.reql.function_source import Captured, function_json, source_of
from rethought.reql.printing import print_function

COMPILED_MAX: Final = 10_000

_compiled: dict[tuple[str, str], tuple[Rules, Rule]] = {}


def narrowed(client: Any, table: Table) -> Table:
    """The table as a user with rules or a limit of rows sees it."""
    account = client.account
    if account is not None and account.rows_max is not None:
        table = MeteredTable(table, client.user, account.rows_max)
    if account is not None and account.told is not None:
        table = ToldTable(table, client, account.told)
    rules = client.rules.get(table.id)
    if rules is None:
        return table
    key = (client.user, table.id)
    known = _compiled.get(key)
    if known is None or known[0] is not rules:
        if len(_compiled) >= COMPILED_MAX:
            _compiled.clear()
        known = _compiled[key] = (rules, _compile(client.user, rules))
    return RuledTable(table, known[1])


def _compile(user: str, rules: Rules) -> Rule:
    functions = {name: _function(rule) for name, rule in rules.items()}
    return Rule(user, functions.get("read"), functions.get("write"))


def _function(rule: FunctionRecord) -> Function:
    from rethought.reql.functions import (
        compile_function,
    )  # it needs the table of terms, which needs this module

    return compile_function(function_json(rule), project=True)


# ---- as they are granted


def rule_of(name: str, function: Function, captured: Captured) -> FunctionRecord:
    """What to keep of a function that was granted. Raises OpFailedError."""
    if function.determinism:
        raise OpFailedError(
            f"Could not prove the rule for `{name}` deterministic.  Rules may not depend on "
            "anything but the row."
        )
    return _checked(name, source_of(function, captured))


def _checked(name: str, record: FunctionRecord) -> FunctionRecord:
    if len(record.params) != 1:
        raise OpFailedError(f"The rule for `{name}` must be a function of one row.")
    return record


def check_rules(rules: Rules, *, on_table: bool) -> None:
    """Raises OpFailedError for rules where there can be none."""
    for name in rules:
        if name not in RULED:
            raise OpFailedError(f"The permission `{name}` cannot have a rule.")
        if not on_table:
            raise OpFailedError("Rules are only valid for the tables of users.")


# ---- as they are shown


def shown(rules: Rules) -> dict[str, Any]:
    """The `rules` of a row of `permissions`."""
    return {
        name: {
            "function": binary(encode_rule(rule.params, rule.body)),
            "query": print_function(rule.params, rule.body),
        }
        for name, rule in sorted(rules.items())
    }


def parse_rules(value: Any) -> dict[str, FunctionRecord]:
    """The rules of a row that somebody writes: for each permission what was shown, or its `function` alone."""
    if value.__class__ is not dict or "$reql_type$" in value:
        raise OpFailedError(f"Expected an object for `rules`, got {compact(value)}.")
    return {name: _parse(name, part) for name, part in value.items()}


def _parse(name: str, value: Any) -> FunctionRecord:
    if value.__class__ is dict and "function" in value:
        value = value["function"]
    if value.__class__ is not dict or value.get("$reql_type$") != "BINARY":
        raise OpFailedError(f"Expected a rule for `{name}`, got {compact(value)}.")
    try:
        record = FunctionRecord(*decode_rule(binary_bytes(value)))
        function = _function(record)
    except ReqlError as error:
        raise OpFailedError(f"The rule for `{name}` cannot be used: {error.message}") from error
    if function.determinism:
        raise OpFailedError(f"Could not prove the rule for `{name}` deterministic.")
    return _checked(name, record)
