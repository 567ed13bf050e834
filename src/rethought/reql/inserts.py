"""Plans of inserts, found by the bytes before the documents.

Documents have as many shapes as there are documents, so an insert is known by what comes before the first of them:
the table. What always holds: a plan answers only plain inserts (literal documents, ordinary options); anything else
goes the long way and gets the exact answer there. Called by `reql.plan`.
"""

from typing import Any, Final

import msgspec

from rethought.datum.jsonbytes import has_repeated_keys
from rethought.errors import ReqlError
from rethought.exec.env import Env, MustWait, Options
from rethought.limits import Limits
from rethought.reql.compiled import Plan, tree_literal
from rethought.reql.compiler import Compiler, finished
from rethought.reql.literals import NotLiteralError, literal_of
from rethought.reql.terms import SPECS
from rethought.reql.terms.writes import insert_
from rethought.reql.tree import TreeBuilder

INSERT_PREFIX: Final = b"[1,[56,["
IN_PLACE_MAX: Final = 8
PREFIX_BYTES_MAX: Final = 1_024
PREFIXES_MAX: Final = 2_048

_INSERT: Final = 56
_TABLE: Final = 15
_OPTIONS: Final = frozenset({"conflict", "durability", "return_changes"})
_VALUES: Final = frozenset({"hard", "soft", "error", "replace", "update", "always"})
_UNUSUAL: Final = (
    NotLiteralError,
    ReqlError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
)
"""What an odd query makes of the checks here; the long way says what is wrong with it."""
_DURABILITIES: Final = ("soft", "hard")
_decode: Final = msgspec.json.Decoder().decode


class InsertPlans:
    """The plans by prefix."""

    def __init__(self) -> None:
        self._plans: dict[bytes, Plan] = {}

    def find(self, body: bytes) -> tuple[Plan, tuple[Any, ...]] | None:
        plan = self._plans.get(body[: body.find(b"{")])
        if plan is None or b"\\u0000" in body:
            return None
        try:
            query = _decode(body)
            term = query[1]
            documents = literal_of(term[1][1])
            options = term[2] if len(term) > 2 else {}
            if len(query) > 2:
                settings = query[2]
                if settings:
                    if settings.keys() != {"durability"}:
                        return None
                    options = {**settings, **options}
            if options and not _ordinary(options):
                return None
            if len(term[1]) != 2 or len(term) > 3 or len(query) > 3:
                return None
            if has_repeated_keys(body, query):
                return None
        except _UNUSUAL:
            return None
        return plan, (documents, options)

    def learn(self, body: bytes, term: Any, limits: Limits) -> None:
        """Remembers the table of an insert that was not known yet."""
        if term.__class__ is not list or len(term) < 2 or term[0] != _INSERT:
            return
        prefix = body[: body.find(b"{")]
        if prefix in self._plans or len(prefix) > PREFIX_BYTES_MAX:
            return
        table = _table_of(prefix)
        if table is None:
            return
        if len(self._plans) >= PREFIXES_MAX:
            self._plans.clear()
        self._plans[prefix] = _compile(table)


def _table_of(prefix: bytes) -> Any:
    """The table term when the prefix is an insert up to its first document, with a literal table."""
    for closing in (b"{}]]]", b"{}]]]]]"):
        try:
            query = _decode(prefix + closing)
        except ValueError:
            continue
        if len(query) == 2 and len(query[1]) == 2 and len(query[1][1]) == 2:
            table, documents = query[1][1]
            if documents not in ({}, [2, [{}]]):
                return None
            if table.__class__ is list and len(table) == 2 and table[0] == _TABLE:
                return table
    return None


def _ordinary(options: dict[str, Any]) -> bool:
    if len(options) == 1 and options.get("durability") in _DURABILITIES:
        return True
    return options.keys() <= _OPTIONS and all(
        value is True or value is False or (value.__class__ is str and value in _VALUES)
        for value in options.values()
    )


def _compile(table: Any) -> Plan:
    compiler = Compiler(SPECS, parametrize=False)
    path_of_table = (0,)
    tree = TreeBuilder(SPECS, tree_literal).build(table, None, path_of_table)
    find_table = finished(compiler, compiler.code(compiler.compile(tree).code))

    def run(env: Env, params: tuple[Any, ...]) -> Any:
        documents, options = params
        if env.in_place and documents.__class__ is list and len(documents) > IN_PLACE_MAX:
            raise MustWait
        given = {name: lambda value=value: value for name, value in options.items()}
        target = find_table(env, ())
        return insert_(env, target, documents, Options(env, given))

    return Plan(
        run,
        {},
        noreply=False,
        profile=False,
        transaction=False,
        in_place=True,
        writes=True,
    )
