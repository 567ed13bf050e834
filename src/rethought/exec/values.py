"""The values of ReQL that are not data, and the conversions between them.

What always holds: a datum is plain Python; everything else is one of the classes here or a `Stream`. Error texts name
values as the protocol does (`TABLE`, `SELECTION`, `SEQUENCE`, ...). Used by generated code and by every term.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from rethought.catalog.model import Database
from rethought.datum.jsonbytes import decode
from rethought.datum.text import pretty, truncated
from rethought.datum.values import MAXVAL, MINVAL, is_pseudotype, type_name
from rethought.errors import (
    Frame,
    NonExistenceError,
    QueryLogicError,
    ReqlError,
    ResourceLimitError,
)
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.env import too_many
from rethought.exec.functions import Function

if TYPE_CHECKING:
    from rethought.exec.env import Env
    from rethought.exec.ops import Operator
    from rethought.exec.table import Table

DATUM_CLASSES: Final = frozenset(
    {type(None), bool, int, float, str, list, dict, type(MINVAL), type(MAXVAL)}
)
ARRAY_CHUNK: Final = 500


class Source:
    """Where a stream's rows come from."""

    infinite = False
    feed = False
    by_row = False  # a row goes through all operators before the next one does

    def chunks(self, env: "Env", want: int) -> Iterator[Chunk]:
        """The rows; `want` is how many the reader needs at first (a hint)."""
        raise NotImplementedError

    def settled(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The rows in the order that the original would give them."""
        return chunks


class Rows(Source):
    """Rows that are at hand."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def chunks(self, env: "Env", want: int) -> Iterator[Chunk]:
        rows = self.rows
        if len(rows) <= ARRAY_CHUNK:
            if rows:
                yield Chunk(len(rows), rows=rows)
            return
        for start in range(0, len(rows), ARRAY_CHUNK):
            part = rows[start : start + ARRAY_CHUNK]
            yield Chunk(len(part), rows=part)


class Encoded(Source):
    """Encoded rows that are at hand."""

    def __init__(self, docs: list[Any]) -> None:
        self.docs = docs

    def chunks(self, env: "Env", want: int) -> Iterator[Chunk]:
        for start in range(0, len(self.docs), ARRAY_CHUNK):
            part = self.docs[start : start + ARRAY_CHUNK]
            yield Chunk(len(part), docs=part)


class Generated(Source):
    """Rows made by a generator of chunks."""

    def __init__(
        self,
        make: "Callable[[Env], Iterator[Chunk]]",
        *,
        infinite: bool = False,
        feed: bool = False,
    ) -> None:
        self.make = make
        self.infinite = infinite
        self.feed = feed

    def chunks(self, env: "Env", want: int) -> Iterator[Chunk]:
        return self.make(env)


class Stream:
    """A lazy sequence: a source and the operators on its way. `table` is set for selections (whose rows are the
    table's own documents); `array` for SELECTION<ARRAY> and arrays that stay encoded."""

    __slots__ = ("array", "joined", "ops", "source", "table")

    def __init__(
        self,
        source: Source,
        ops: "tuple[Operator, ...]" = (),
        *,
        table: "Table | None" = None,
        array: bool = False,
        joined: bool = False,
    ) -> None:
        self.source = source
        self.ops = ops
        self.table = table
        self.array = array
        self.joined = joined

    def chunks(self, env: "Env", want: int = 0, *, settled: bool = False) -> Iterator[Chunk]:
        """The rows. `settled`: their order will be seen, so it had better be the original's."""
        ops = self.ops
        source = self.source
        if ops and not want:
            want = ops[0].want
        chunks = source.chunks(env, want)
        if settled:
            chunks = source.settled(chunks)
        if source.by_row and ops and ops[0].stateless:
            steps = next((at for at, op in enumerate(ops) if not op.stateless), len(ops))
            chunks = row_by_row(env, source, chunks, ops[:steps])
            ops = ops[steps:]
        for op in ops:
            chunks = op.run(env, chunks)
        return chunks

    def through(self, op: "Operator") -> "Stream":
        """The same stream with one more operator."""
        return Stream(
            self.source,
            (*self.ops, op),
            table=self.table if op.keeps_rows else None,
            array=self.array,
        )

    @property
    def infinite(self) -> bool:
        return self.source.infinite and not any(op.ends for op in self.ops)

    @property
    def feed(self) -> bool:
        return self.source.feed

    def rows(self, env: "Env", *, settled: bool = False) -> Iterator[Any]:
        for chunk in self.chunks(env, settled=settled):
            env.tick()
            yield from chunk.datums()

    def to_list(self, env: "Env", at: Frame | None = None) -> list[Any]:
        """All rows as an array."""
        self.refuse_endless()
        limit = env.array_limit
        out: list[Any] = []
        for chunk in self.chunks(env):
            env.tick()
            out.extend(chunk.datums())
            if len(out) > limit:
                raise ResourceLimitError(too_many(limit), *(() if at is None else (at,)))
        if len(out) > 1 and out[0] is out[-1] and out[0].__class__ in (str, list, dict):
            from rethought.exec.weight import check_weight

            check_weight(env, out)  # one large value many times over
        return env.made(out)

    def refuse_endless(self, at: tuple[Frame, ...] = (0,)) -> None:
        """For terms that need every row; `at` is where the blame is."""
        if self.source.feed:
            raise QueryLogicError(
                "Cannot call a terminal (`reduce`, `count`, etc.) on an infinite stream "
                "(such as a changefeed).",
                *at,
            )
        if self.infinite:
            raise QueryLogicError(
                "Cannot use an infinite stream with an aggregation function "
                "(`reduce`, `count`, etc.) or coerce it to an array.",
                *at,
            )

    @property
    def type_name(self) -> str:
        if self.table is None:
            return "ARRAY" if self.array else "STREAM"
        return "SELECTION<ARRAY>" if self.array else "SELECTION<STREAM>"


def row_by_row(
    env: "Env", source: Source, chunks: Iterator[Chunk], ops: "tuple[Operator, ...]"
) -> Iterator[Chunk]:
    """Chunks through operators, with the errors of a row after row evaluation: when a chunk fails, it is done again a
    row at a time, so that the first row's error comes first, whichever operator raises it."""
    first = True
    for chunk in chunks:
        given = 0
        try:
            for result in _through(env, chunk, ops):
                given += result.count
                yield result
        except ReqlError:
            if first and not given:
                chunk = next(source.settled(iter((chunk,))))
            for at in range(chunk.count):
                for result in _through(env, chunk.slice(at, at + 1), ops):
                    if given >= result.count:
                        given -= result.count
                    else:
                        yield result.slice(given, result.count)
                        given = 0
            raise
        first = False


def _through(env: "Env", chunk: Chunk, ops: "tuple[Operator, ...]") -> Iterator[Chunk]:
    chunks: Iterator[Chunk] = iter((chunk,))
    for op in ops:
        chunks = op.run(env, chunks)
    return chunks


class SingleSelection:
    """One row of a table (or null), read when somebody looks at it. `key` is the primary key's datum."""

    __slots__ = ("_document", "_env", "_read", "_value", "key", "table")

    def __init__(self, table: "Table", key: Any, document: Any, env: "Env | None" = None) -> None:
        self.table = table
        self.key = key
        self._document = document  # encoded, None when there is no such row
        self._env = env  # set while the row has not been read
        self._read = False
        self._value: Any = None

    @property
    def document(self) -> Any:
        """The encoded row, None when there is none."""
        env = self._env
        if env is not None:
            self._env = None
            self._document = self.table.read(env, self.key)
        return self._document

    def datum(self) -> Any:
        if not self._read:
            document = self.document
            self._read = True
            if document is not None:
                self._value = decode(document)
        return self._value


class Grouped:
    """Grouped data: pairs of group and reduction, sorted by group when it leaves."""

    __slots__ = ("groups",)

    def __init__(self, groups: list[tuple[Any, Any]]) -> None:
        self.groups = groups


class Ordering:
    """What ASC and DESC make."""

    __slots__ = ("descending", "key")

    def __init__(self, key: Any, *, descending: bool) -> None:
        self.key = key
        self.descending = descending


def is_datum(value: Any) -> bool:
    return value.__class__ in DATUM_CLASSES


# ---- names


def value_type(value: Any) -> str:
    """The name in `Expected type ... but found ...` messages."""
    kind = value.__class__
    if kind in DATUM_CLASSES:
        return "DATUM"
    if isinstance(value, Stream):
        name: str | None = getattr(value, "value_name", None)
        if name is not None:
            return name
        return "SELECTION" if value.table is not None else "SEQUENCE"
    if isinstance(value, SingleSelection):
        return "SINGLE_SELECTION"
    if isinstance(value, Function):
        return "FUNCTION"
    if isinstance(value, Grouped):
        return "GROUPED_DATA"
    if isinstance(value, Database):
        return "DATABASE"
    return str(getattr(value, "value_name", "SEQUENCE"))


def reql_type(value: Any) -> str:
    """What `type_of` answers."""
    if is_datum(value):
        return type_name(value)
    if isinstance(value, Stream):
        return str(value.type_name)
    if isinstance(value, SingleSelection):
        return "SELECTION<OBJECT>"
    if isinstance(value, Function):
        return "FUNCTION"
    if isinstance(value, Grouped):
        return "GROUPED_DATA"
    if isinstance(value, Database):
        return "DB"
    return str(getattr(value, "type_name", "GROUPED_STREAM"))


def printed(value: Any) -> str:
    """How error messages show a value."""
    if is_datum(value):
        return pretty(value)
    if isinstance(value, SingleSelection):
        return pretty(value.datum())
    if isinstance(value, Database):
        return f'db("{value.name}")'
    if isinstance(value, Stream):
        shown: Callable[[], str] | None = getattr(value, "printed", None)
        if shown is not None:
            return shown()
        if value.table is not None:
            return f"SELECTION ON table({value.table.name})"
        return "VALUE SEQUENCE"
    return f"VALUE {value_type(value)}"


def wrong_value(wanted: str, value: Any, *at: Frame) -> QueryLogicError:
    """`Expected type X but found Y:` with the value."""
    null = value is None or (isinstance(value, SingleSelection) and value.document is None)
    error = NonExistenceError if null else QueryLogicError
    return error(f"Expected type {wanted} but found {value_type(value)}:\n{printed(value)}", *at)


def wrong_datum(wanted: str, value: Any, *at: Frame) -> QueryLogicError:
    """`Expected type X but found Y.` for data; what is none, as an optional argument may be, is told so."""
    if not is_datum(value):
        return wrong_value("DATUM", value, *at)
    error = NonExistenceError if value is None else QueryLogicError
    return error(f"Expected type {wanted} but found {type_name(value)}.", *at)


# ---- conversions (the names of generated code)


def _blame(at: Frame | None) -> tuple[Frame, ...]:
    return () if at is None else (at,)


def need_datum(env: "Env", value: Any, at: Frame | None) -> Any:
    if value.__class__ in DATUM_CLASSES:
        return value
    if isinstance(value, SingleSelection):
        return value.datum()
    if isinstance(value, Stream) and value.array and value.table is None:
        return value.to_list(env)
    if isinstance(value, Ordering):  # in an array it is what it orders by
        return need_datum(env, value.key, at)
    raise wrong_value("DATUM", value, *_blame(at))


def need_string(env: "Env", value: Any, at: Frame | None) -> str:
    datum = need_datum(env, value, at)
    if datum.__class__ is not str:
        raise wrong_datum("STRING", datum, *_blame(at))
    result: str = datum
    return result


def need_number(env: "Env", value: Any, at: Frame | None) -> int | float:
    datum = need_datum(env, value, at)
    if datum.__class__ is not int and datum.__class__ is not float:
        raise wrong_datum("NUMBER", datum, *_blame(at))
    result: int | float = datum
    return result


def need_int(env: "Env", value: Any, at: Frame | None) -> int:
    from rethought.datum.values import to_int

    number = need_number(env, value, at)
    try:
        return to_int(number)
    except QueryLogicError as error:
        error.at = _blame(at)
        raise


def need_array(env: "Env", value: Any, at: Frame | None) -> list[Any]:
    datum = need_datum(env, value, at)
    if datum.__class__ is not list:
        raise wrong_datum("ARRAY", datum, *_blame(at))
    result: list[Any] = datum
    return result


def need_int_datum(env: "Env", value: Any, at: Frame | None) -> int:
    """As `need_int`, but only what is no datum at all is blamed on the argument."""
    return need_int(env, need_datum(env, value, at), None)


def need_array_datum(env: "Env", value: Any, at: Frame | None) -> list[Any]:
    """As `need_array`, but only what is no datum at all is blamed on the argument."""
    return need_array(env, need_datum(env, value, at), None)


def need_object(env: "Env", value: Any, at: Frame | None) -> dict[str, Any]:
    datum = need_datum(env, value, at)
    if datum.__class__ is not dict or "$reql_type$" in datum:
        raise wrong_datum("OBJECT", datum, *_blame(at))
    result: dict[str, Any] = datum
    return result


def need_time(env: "Env", value: Any, at: Frame | None) -> dict[str, Any]:
    """Any pseudotype: that it has no `epoch_time` is found by the term, as in the original."""
    return _need_pseudotype(need_datum(env, value, at), "TIME", at)


def need_geometry(env: "Env", value: Any, at: Frame | None) -> dict[str, Any]:
    """Any pseudotype: that it has no `type` is found by the term."""
    return _need_pseudotype(need_datum(env, value, at), "GEOMETRY", at)


def _need_pseudotype(value: Any, name: str, at: Frame | None) -> dict[str, Any]:
    if not is_pseudotype(value):
        raise QueryLogicError(f"Not a {name} pseudotype: `{truncated(value)}`.", *_blame(at))
    result: dict[str, Any] = value
    return result


def need_database(env: "Env", value: Any, at: Frame | None) -> Database:
    if isinstance(value, Database):
        return value
    raise wrong_value("DATABASE", value, *_blame(at))


def need_function(env: "Env", value: Any, at: Frame | None) -> Function:
    if isinstance(value, Function):
        return value
    raise wrong_value("FUNCTION", value, *_blame(at))


def need_sequence(env: "Env", value: Any, at: Frame | None) -> Any:
    """A stream, or a list for an array."""
    kind = value.__class__
    if kind is list or isinstance(value, Stream):
        return value
    if isinstance(value, SingleSelection | Function | Database | Grouped):
        raise wrong_value("SEQUENCE", value, *_blame(at))
    if isinstance(getattr(value, "groups", None), dict):
        return value
    if isinstance(value, Ordering):  # UNION takes one, as what it orders by
        return need_sequence(env, value.key, at)
    error = NonExistenceError if value is None else QueryLogicError
    raise error(f"Cannot convert {type_name(value)} to SEQUENCE")


def need_table(env: "Env", value: Any, at: Frame | None) -> Any:
    """The catalog's object of a whole table."""
    if getattr(value, "value_name", None) != "TABLE":
        raise wrong_value("TABLE", value, *_blame(at))
    return value.table.handle


def need_selection(env: "Env", value: Any, at: Frame | None) -> Any:
    """Rows of a table: something that can be written to."""
    if isinstance(value, SingleSelection):
        return value
    if isinstance(value, Stream) and value.table is not None:
        return value
    raise wrong_value("SELECTION", value, *_blame(at))


def as_stream(sequence: Any, at: Frame = 0) -> Stream:
    """A sequence as a stream, arrays included. Groups are none."""
    if sequence.__class__ is list:
        return Stream(Rows(sequence))
    if not isinstance(sequence, Stream):
        raise groups_are_no_stream(at)
    return sequence


def groups_are_no_stream(*at: Frame) -> QueryLogicError:
    return QueryLogicError(
        "Cannot treat the output of `group` as a stream (did you mean to `ungroup`?).", *at
    )


def is_array(sequence: Any) -> bool:
    """Whether a sequence is an array, or rows of a table that are all there."""
    return sequence.__class__ is list or (isinstance(sequence, Stream) and sequence.array)


def finish(env: "Env", original: Any, stream: Stream) -> Any:
    """A transformed sequence: an array again when it came from an array."""
    return stream.to_list(env) if is_array(original) else stream


__all__ = ["Chunk", "Database", "Grouped", "SingleSelection", "Stream", "of_rows"]
