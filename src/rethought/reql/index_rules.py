"""Makes the rule of an index whose function must be compiled (see `exec.index_rules`). Handed to the catalog by the server."""

from functools import cache

from rethought.catalog.model import IndexDefinition, Rule
from rethought.exec.index_rules import rule_for
from rethought.reql.functions import FunctionCompiler


@cache
def _compiler() -> FunctionCompiler:
    return FunctionCompiler()


def make_rule(definition: IndexDefinition) -> Rule:
    return rule_for(definition, _compiler().row_function)
