"""Plans of inserts, found by the bytes before the documents.

Documents have as many shapes as there are documents, so an insert is known by what comes before the first of them:
the table. What always holds: a plan answers only plain inserts (literal documents, ordinary options); anything else
goes the long way and gets the exact answer there. Called by `reql.plan`.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from rethought.datum.jsonbytes import has_repeated_keys
from rethought.errors import ReqlError
from rethought.exec.env import DEFAULT_DATABASE, Env, MustWait, Options
from rethought.exec.point import insert_document, is_plain
from rethought.limits import Limits
from rethought.reql.compiled import Plan, tree_literal
from rethought.reql.compiler import Compiler
from rethought.reql.decoding import LOT_BYTES, decoded_in_steps, joined, lots
from rethought.reql.literals import NotLiteralError, literal_in_steps, literal_of
from rethought.reql.terms import SPECS
from rethought.reql.terms.inserting import insert_
from rethought.reql.tree import MAKE_ARRAY, TreeBuilder, datum

INSERT_PREFIX: Final = b"[1,[56,["
IN_PLACE_MAX: Final = 8
PREFIX_BYTES_MAX: Final = 1_024
PREFIXES_MAX: Final = 2_048
TAIL_BYTES_MAX: Final = 256
TAILS_MAX: Final = 8

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


class Given(NamedTuple):
    """The options of an insert. `durability` is of use when there are no others: then `ordinary` is true."""

    options: dict[str, Any]
    ordinary: bool
    durability: str | None


class Known:
    """What is known of inserts that begin alike: their plan, and how those of one document have ended."""

    __slots__ = ("plan", "tails")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tails: list[tuple[bytes, int, Plan, Given]] = []  # the second is the negative length


class InsertPlans:
    """The plans by prefix, and by the database of tables without one where the query names it."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, str | None], Known] = {}

    def find(self, body: bytes) -> tuple[Plan, tuple[Any, ...]] | None:
        start = body.find(b"{")
        prefix = body[:start]
        known = self._known.get((prefix, None))
        if known is None:
            return None
        for tail, before, plan, given in known.tails:
            if body.endswith(tail):
                document = _document(body[start:before])
                if document is not None:
                    return plan, (document, given)
        if b"\\u0000" in body:
            return None
        try:
            query = _decode(body)
            term = query[1]
            documents = literal_of(term[1][1])
            if len(term[1]) != 2 or len(term) > 3 or len(query) > 3:
                return None
            settings = query[2] if len(query) > 2 else {}
            found = _given(term[2] if len(term) > 2 else {}, settings)
            if found is None or has_repeated_keys(body, query):
                return None
            made = self._plan(known, prefix, settings)
        except _UNUSUAL:
            return None
        if made is None:
            return None
        if documents.__class__ is dict and len(known.tails) < TAILS_MAX:
            _learn_tail(known, body, start, made, found)
        return made, (documents, found)

    def find_in_steps(
        self, body: bytes, pace: Callable[[], None]
    ) -> tuple[Plan, tuple[Any, ...]] | None:
        """As `find`, for a long query: documents are decoded some at a time, and `pace` is called in between."""
        prefix = body[: body.find(b"{")]
        known = self._learned(prefix)
        if known is None or b"\\u0000" in body:
            return None
        try:
            query = _decode_outline(body)
            pace()
            rows = query.term.args[1]
            settings = _object(query.settings)
            found = _given(_object(query.term.options), settings)
            if found is None:
                return None
            plan = self._plan(known, prefix, settings)
            documents = _documents_in_steps(rows, pace)
        except _UNUSUAL:
            return None
        if plan is None or documents is None:
            return None
        return plan, (documents, found)

    def learn(self, body: bytes, term: Any, limits: Limits) -> None:
        """Remembers the table of an insert that was not known yet."""
        if term.__class__ is not list or len(term) < 2 or term[0] != _INSERT:
            return
        self._learned(body[: body.find(b"{")])

    def _plan(self, known: Known, prefix: bytes, settings: dict[str, Any]) -> Plan | None:
        if "db" not in settings:
            return known.plan
        found = self._learned(prefix, _home(settings["db"]))
        return None if found is None else found.plan

    def _learned(self, prefix: bytes, home: str | None = None) -> Known | None:
        """What is known of a prefix, its plan made when there is none yet."""
        known = self._known.get((prefix, home))
        if known is not None or len(prefix) + len(home or "") > PREFIX_BYTES_MAX:
            return known
        table = _table_of(prefix)
        if table is None:
            return None
        if len(self._known) >= PREFIXES_MAX:
            self._known.clear()
        known = self._known[prefix, home] = Known(_compile(table, home))
        return known


def _document(text: bytes) -> Any:
    """The document when the text is one, whole and literal; None for anything else. Between a beginning and an end that
    are known it is all that can be there."""
    if b"\\" in text and b"\\u0000" in text:
        return None
    try:
        document = _decode(text)
        if document.__class__ is not dict:
            return None
        if text.count(b":") != len(document) and has_repeated_keys(text, document):
            return None
        return literal_of(document)
    except _UNUSUAL:
        return None


def _learn_tail(known: Known, body: bytes, start: int, plan: Plan, given: Given) -> None:
    """Remembers how an insert of one document ends after the document, which begins at `start`."""
    rows = bytes(_decode_outline(body).term.args[1])
    tail = body[start + len(rows) :]
    if (
        body.startswith(rows, start)
        and len(tail) <= TAIL_BYTES_MAX
        and len(known.tails) < TAILS_MAX
    ):
        known.tails.append((tail, -len(tail), plan, given))


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
    if len(text) <= 2 * LOT_BYTES:
        values = _decode(text)
        if has_repeated_keys(text, values):
            raise NotLiteralError
        return [literal_of(value) for value in values]
    values = decoded_in_steps(text, pace)
    if values is None:
        raise NotLiteralError
    return [literal_in_steps(value, pace) for value in values]


def _given(options: Any, settings: Any) -> Given | None:
    """The options of an insert, those of the whole query included; None for any that are not ordinary."""
    if settings:
        if not settings.keys() <= _SETTINGS:
            return None
        if "durability" in settings:
            options = {"durability": settings["durability"], **options}
    if options and not _ordinary(options):
        return None
    durability = options.get("durability")
    usual = durability in _DURABILITIES and len(options) == 1
    return Given(options, usual or not options, durability)


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
    find_table = compiler.code(compiler.compile(tree).code)

    def run(env: Env, params: tuple[Any, ...]) -> Any:
        documents, given = params
        target = find_table(env, ())
        if documents.__class__ is dict:
            if given.ordinary and is_plain(env, target.table) and "$reql_type$" not in documents:
                answer = insert_document(env, target.table, documents, given.durability)
                if answer is not None:
                    return answer
        elif env.in_place and documents.__class__ is list and len(documents) > IN_PLACE_MAX:
            raise MustWait
        options = {name: lambda value=value: value for name, value in given.options.items()}
        return insert_(env, target, documents, Options(env, options))

    return Plan(
        run,
        options,
        noreply=False,
        profile=False,
        transaction=False,
        in_place=True,
        writes=True,
    )
