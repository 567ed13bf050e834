"""Plans of inserts, found by the bytes before the documents.

Documents have as many shapes as there are documents, so an insert is known by what comes before the first of them:
the table. What always holds: a plan answers only plain inserts (literal documents, ordinary options); anything else
goes the long way and gets the exact answer there. Called by `reql.plan`.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from rethought.datum.jsonbytes import has_repeated_keys
from rethought.errors import ReqlError
from rethought.exec.env import DEFAULT_DATABASE, Env, MustWait, Options
from rethought.exec.point import insert_document, is_plain
from rethought.limits import Limits
from rethought.reql.compiled import Plan, tree_literal
from rethought.reql.compiler import Compiler, finished
from rethought.reql.decoding import LOT_BYTES, joined, lots
from rethought.reql.literals import NotLiteralError, literal_in_steps, literal_of
from rethought.reql.terms import SPECS
from rethought.reql.terms.writes import insert_
from rethought.reql.tree import MAKE_ARRAY, TreeBuilder, datum

INSERT_PREFIX: Final = b"[1,[56,["
IN_PLACE_MAX: Final = 8
PREFIX_BYTES_MAX: Final = 1_024
PREFIXES_MAX: Final = 2_048

_INSERT: Final = 56
_DB: Final = 14
_TABLE: Final = 15
_SETTINGS: Final = frozenset({"durability", "db"})
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
    """The plans by prefix, and by the database of tables without one where the query names it."""

    def __init__(self) -> None:
        self._plans: dict[tuple[bytes, str | None], Plan] = {}

    def find(self, body: bytes) -> tuple[Plan, tuple[Any, ...]] | None:
        prefix = body[: body.find(b"{")]
        plan = self._plans.get((prefix, None))
        if plan is None or b"\\u0000" in body:
            return None
        try:
            query = _decode(body)
            term = query[1]
            documents = literal_of(term[1][1])
            if len(term[1]) != 2 or len(term) > 3 or len(query) > 3:
                return None
            settings = query[2] if len(query) > 2 else {}
            options = _options(term[2] if len(term) > 2 else {}, settings)
            if options is None or (not _is_flat(body, query) and has_repeated_keys(body, query)):
                return None
            if "db" in settings:
                plan = self._learned(prefix, _home(settings["db"]))
        except _UNUSUAL:
            return None
        return None if plan is None else (plan, (documents, options))

    def find_in_steps(
        self, body: bytes, pace: Callable[[], None]
    ) -> tuple[Plan, tuple[Any, ...]] | None:
        """As `find`, for a long query: documents are decoded some at a time, and `pace` is called in between."""
        prefix = body[: body.find(b"{")]
        plan = self._learned(prefix)
        if plan is None or b"\\u0000" in body:
            return None
        try:
            query = _decode_outline(body)
            pace()
            rows = query.term.args[1]
            settings = _object(query.settings)
            options = _options(_object(query.term.options), settings)
            if options is None:
                return None
            if "db" in settings:
                plan = self._learned(prefix, _home(settings["db"]))
            documents = _documents_in_steps(rows, pace)
        except _UNUSUAL:
            return None
        if plan is None or documents is None:
            return None
        return plan, (documents, options)

    def learn(self, body: bytes, term: Any, limits: Limits) -> None:
        """Remembers the table of an insert that was not known yet."""
        if term.__class__ is not list or len(term) < 2 or term[0] != _INSERT:
            return
        self._learned(body[: body.find(b"{")])

    def _learned(self, prefix: bytes, home: str | None = None) -> Plan | None:
        """The plan for a prefix, made when there is none yet."""
        plan = self._plans.get((prefix, home))
        if plan is not None or len(prefix) + len(home or "") > PREFIX_BYTES_MAX:
            return plan
        table = _table_of(prefix)
        if table is None:
            return None
        if len(self._plans) >= PREFIXES_MAX:
            self._plans.clear()
        plan = self._plans[prefix, home] = _compile(table, home)
        return plan


class _Term(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    number: msgspec.Raw
    args: tuple[msgspec.Raw, msgspec.Raw]
    options: msgspec.Raw = msgspec.Raw(b"{}")


class _Query(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An insert whose parts are still to be decoded."""

    kind: msgspec.Raw
    term: _Term
    settings: msgspec.Raw = msgspec.Raw(b"{}")


_decode_outline: Final = msgspec.json.Decoder(_Query).decode
_decode_array: Final = msgspec.json.Decoder(tuple[int, list[msgspec.Raw]]).decode


def _object(raw: msgspec.Raw) -> Any:
    value = _decode(raw)
    if has_repeated_keys(bytes(raw), value):
        raise NotLiteralError
    return value


def _documents_in_steps(rows: msgspec.Raw, pace: Callable[[], None]) -> Any:
    """The documents of an insert, one or an array of them."""
    if bytes(memoryview(rows)[:1]) != b"[":
        return _lot_in_steps([rows], pace)[0]
    number, parts = _decode_array(rows)
    if number != MAKE_ARRAY:
        return None
    documents: list[Any] = []
    for lot in lots(parts):
        documents += _lot_in_steps(lot, pace)
        pace()
    return documents


def _lot_in_steps(lot: list[msgspec.Raw], pace: Callable[[], None]) -> list[Any]:
    text = joined(lot)
    values = _decode(text)
    if has_repeated_keys(text, values):
        raise NotLiteralError
    if len(text) <= 2 * LOT_BYTES:
        return [literal_of(value) for value in values]
    return [literal_in_steps(value, pace) for value in values]


def _is_flat(body: bytes, query: Any) -> bool:
    """Whether there are as many colons in a query of one document as it has keys: then it names no key twice."""
    _, term, *settings = query
    document = term[1][1]
    keys = len(document) + sum(map(len, settings)) + sum(map(len, term[2:]))
    return document.__class__ is dict and body.count(b":") == keys


def _options(given: Any, settings: Any) -> dict[str, Any] | None:
    """The options of an insert, those of the whole query included; None for any that are not ordinary."""
    options: dict[str, Any] = given
    if settings:
        if not settings.keys() <= _SETTINGS:
            return None
        if "durability" in settings:
            options = {"durability": settings["durability"], **given}
    return options if not options or _ordinary(options) else None


def _home(term: Any) -> str:
    """The name in `r.db(name)`."""
    number, args = term
    if number != _DB or number is True or len(args) != 1 or args[0].__class__ is not str:
        raise NotLiteralError
    name: str = args[0]
    return name


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


def _compile(table: Any, home: str | None) -> Plan:
    compiler = Compiler(SPECS, parametrize=False)
    compiler.home = datum(home or DEFAULT_DATABASE, ())
    path_of_table = (0,)
    tree = TreeBuilder(SPECS, tree_literal).build(table, None, path_of_table)
    options = {}
    if home is not None:
        database = TreeBuilder(SPECS, tree_literal).build([_DB, [home]], None, ())
        options["db"] = compiler.code(compiler.compile(database).code)
    find_table = finished(compiler, compiler.code(compiler.compile(tree).code))

    def run(env: Env, params: tuple[Any, ...]) -> Any:
        documents, options = params
        if env.in_place and documents.__class__ is list and len(documents) > IN_PLACE_MAX:
            raise MustWait
        target = find_table(env, ())
        if documents.__class__ is dict and len(options) < 2 and "$reql_type$" not in documents:
            durability = options.get("durability")
            if (not options or durability in _DURABILITIES) and is_plain(env, target.table):
                answer = insert_document(env, target.table, documents, durability)
                if answer is not None:
                    return answer
        given = {name: lambda value=value: value for name, value in options.items()}
        return insert_(env, target, documents, Options(env, given))

    return Plan(
        run,
        options,
        noreply=False,
        profile=False,
        transaction=False,
        in_place=True,
        writes=True,
    )
