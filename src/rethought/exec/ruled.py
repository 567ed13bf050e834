"""A table as a user with rules sees it: only the rows for which the rules hold.

Invariants:
  1. A row for which the rule for reading does not hold is, for this user, not there: no read, count, join, index or
     feed shows it, a write passes it over, and an insert over its key is refused without showing it.
  2. A write is refused, as an error of that row, when the old or the new row does not satisfy the rules for reading and
     writing.
  3. A rule that raises an error does not hold.
Made by `reql.rules` for users with rules; everybody else has the table itself, and pays nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import TYPE_CHECKING, Any

from rethought.datum.jsonbytes import decode
from rethought.errors import ReqlError, ResourceLimitError, RowDeniedError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.functions import Function
from rethought.exec.ops import Filter
from rethought.exec.table import Change, Range, Table, counted_keys

if TYPE_CHECKING:
    from rethought.exec.env import Env


class RowRule(Filter):
    """A rule as an operator. It never fails: where its function does, it does not hold."""

    def apply(self, env: "Env", chunk: Chunk) -> Chunk:
        mask = self.mask(chunk)
        return chunk.keep(mask, mask.count(True))

    def mask(self, chunk: Chunk) -> list[bool]:
        predicate = self.predicate
        try:
            mask = predicate.found(chunk, False)
        except (ReqlError, RecursionError):
            return [self.accepts(row) for row in chunk.datums()]
        if predicate.boolean:
            return mask
        return [value is not None and value is not False for value in mask]

    def accepts(self, row: Any) -> bool:
        try:
            (value,) = self.predicate.over_chunk(of_rows([row]))
        except (ReqlError, RecursionError):
            return False
        return value is not None and value is not False


class Rule:
    """What a user may do with which rows of a table. None: with every row."""

    __slots__ = ("read", "user", "write")

    def __init__(self, user: str, read: Function | None, write: Function | None) -> None:
        self.user = user
        self.read = None if read is None else RowRule(read)
        self.write = None if write is None else RowRule(write)

    def may_read(self, row: Any) -> bool:
        return self.read is None or self.read.accepts(row)

    def may_write(self, row: Any) -> bool:
        return self.may_read(row) and (self.write is None or self.write.accepts(row))

    def denied(self) -> RowDeniedError:
        return RowDeniedError(f"User `{self.user}` does not have the required `write` permission.")


class TableOver:
    """A table over another one; what the methods promise is in `exec.table.Table`."""

    __slots__ = ("_table",)

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def name(self) -> str:
        return self._table.name

    @property
    def db(self) -> Any:
        return self._table.db

    @property
    def id(self) -> str:
        return self._table.id

    @property
    def primary_key(self) -> str:
        return self._table.primary_key

    @property
    def durability(self) -> str:
        return self._table.durability

    @property
    def handle(self) -> Any:
        return self._table.handle

    @property
    def format(self) -> str:
        form: str = self._table.format  # type: ignore[attr-defined]
        return form

    def followed(self) -> None:
        """A feed of the table begins."""
        if isinstance(self._table, TableOver):
            self._table.followed()

    def index(self, name: str) -> Any:
        return self._table.index(name)

    def sync(self, env: "Env") -> None:
        self._table.sync(env)


class RuledTable(TableOver):
    """See the module."""

    __slots__ = ("rule",)

    def __init__(self, table: Table, rule: Rule) -> None:
        super().__init__(table)
        self.rule = rule

    # ---- reads

    def _shown(self, document: bytes | None) -> bytes | None:
        if document is None or self.rule.read is None or self.rule.may_read(decode(document)):
            return document
        return None

    def read(self, env: "Env", key: Any) -> bytes | None:
        return self._shown(self._table.read(env, key))

    def read_many(self, env: "Env", keys: list[Any]) -> list[bytes | None]:
        return [self._shown(document) for document in self._table.read_many(env, keys)]

    def chunks(self, env: "Env", selected: Range, want: int) -> Iterator[Chunk]:
        return self._filtered(env, self._table.chunks(env, selected, want))

    def range_chunks(
        self, env: "Env", index: Any, ranges: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Chunk]:
        return self._filtered(env, self._table.range_chunks(env, index, ranges))

    def _filtered(self, env: "Env", chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        rule = self.rule.read
        if rule is None:
            yield from chunks
            return
        for chunk in chunks:
            kept = rule.apply(env, chunk)
            if kept.count:
                yield kept
            else:
                env.tick()

    def keyed_chunks(self, env: "Env", selected: Range) -> Iterator[tuple[Chunk, list[Any]]]:
        rule = self.rule.read
        for chunk, keys in self._table.keyed_chunks(env, selected):
            if rule is None:
                yield chunk, keys
                continue
            mask = rule.mask(chunk)
            if True in mask:
                yield chunk.keep(mask, mask.count(True)), list(compress(keys, mask))
            else:
                env.tick()

    def key_counts(self, env: "Env", selected: Range) -> Iterator[list[tuple[Any, int]]]:
        return counted_keys(self.keyed_chunks(env, selected))

    def count(self, env: "Env", selected: Range) -> int | None:
        return self._table.count(env, selected) if self.rule.read is None else None

    # ---- writes

    def modify(self, env: "Env", key: Any, change: Change, *, hard: bool) -> tuple[Any, Any]:
        rule = self.rule
        hidden = False

        def allowed(old: dict[str, Any] | None) -> dict[str, Any] | None:
            nonlocal hidden
            if old is not None and not rule.may_read(old):
                hidden = True
                if change(None) is not None:
                    raise rule.denied()
                return old
            new = change(old)
            if new is not old:
                for row in (old, new):
                    if row is not None and not rule.may_write(row):
                        raise rule.denied()
            return new

        found = self._table.modify(env, key, allowed, hard=hard)
        return (None, None) if hidden else found

    def insert_new(self, env: "Env", doc: dict[str, Any], *, hard: bool) -> Any:
        if not self.rule.may_write(doc):
            raise self.rule.denied()
        existing = self._table.insert_new(env, doc, hard=hard)
        if existing is not None and not self.rule.may_read(existing):
            raise self.rule.denied()
        return existing


class MeteredTable(TableOver):
    """A table that counts the rows a query reads, for a user who may not read many at once."""

    __slots__ = ("_rows_max", "_user")

    rule = None

    def __init__(self, table: Table, user: str, rows_max: int) -> None:
        super().__init__(table)
        self._user = user
        self._rows_max = rows_max

    def _count(self, env: "Env", rows: int) -> None:
        env.rows_read += rows
        if env.rows_read > self._rows_max:
            raise ResourceLimitError(
                f"The query reads too many rows (limit {self._rows_max} for user `{self._user}`)."
            )

    def _counted(self, env: "Env", chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self._count(env, chunk.count)
            yield chunk

    def read(self, env: "Env", key: Any) -> bytes | None:
        self._count(env, 1)
        return self._table.read(env, key)

    def read_many(self, env: "Env", keys: list[Any]) -> list[bytes | None]:
        self._count(env, len(keys))
        return self._table.read_many(env, keys)

    def chunks(self, env: "Env", selected: Range, want: int) -> Iterator[Chunk]:
        return self._counted(env, self._table.chunks(env, selected, want))

    def range_chunks(
        self, env: "Env", index: Any, ranges: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Chunk]:
        return self._counted(env, self._table.range_chunks(env, index, ranges))

    def keyed_chunks(self, env: "Env", selected: Range) -> Iterator[tuple[Chunk, list[Any]]]:
        for chunk, keys in self._table.keyed_chunks(env, selected):
            self._count(env, chunk.count)
            yield chunk, keys

    def key_counts(self, env: "Env", selected: Range) -> Iterator[list[tuple[Any, int]]]:
        return counted_keys(self.keyed_chunks(env, selected))

    def count(self, env: "Env", selected: Range) -> int | None:
        return self._table.count(env, selected)

    def modify(self, env: "Env", key: Any, change: Change, *, hard: bool) -> tuple[Any, Any]:
        self._count(env, 1)
        return self._table.modify(env, key, change, hard=hard)

    def insert_new(self, env: "Env", doc: dict[str, Any], *, hard: bool) -> Any:
        return self._table.insert_new(env, doc, hard=hard)


class ToldTable(TableOver):
    """A table whose first reading and first writing by a query is told to whoever keeps a record."""

    __slots__ = ("_client", "_tell", "_told")

    rule = None

    def __init__(self, table: Table, client: Any, tell: Callable[[Any, Any, str], None]) -> None:
        super().__init__(table)
        self._client = client
        self._tell = tell
        self._told: set[str] = set()

    def followed(self) -> None:
        self._note("read")

    def _note(self, kind: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._tell(self._client, self.handle, kind)

    def read(self, env: "Env", key: Any) -> bytes | None:
        self._note("read")
        return self._table.read(env, key)

    def read_many(self, env: "Env", keys: list[Any]) -> list[bytes | None]:
        self._note("read")
        return self._table.read_many(env, keys)

    def chunks(self, env: "Env", selected: Range, want: int) -> Iterator[Chunk]:
        self._note("read")
        return self._table.chunks(env, selected, want)

    def range_chunks(
        self, env: "Env", index: Any, ranges: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Chunk]:
        self._note("read")
        return self._table.range_chunks(env, index, ranges)

    def keyed_chunks(self, env: "Env", selected: Range) -> Iterator[tuple[Chunk, list[Any]]]:
        self._note("read")
        return self._table.keyed_chunks(env, selected)

    def key_counts(self, env: "Env", selected: Range) -> Iterator[list[tuple[Any, int]]]:
        self._note("read")
        return self._table.key_counts(env, selected)

    def count(self, env: "Env", selected: Range) -> int | None:
        self._note("read")
        return self._table.count(env, selected)

    def modify(self, env: "Env", key: Any, change: Change, *, hard: bool) -> tuple[Any, Any]:
        self._note("write")
        return self._table.modify(env, key, change, hard=hard)

    def insert_new(self, env: "Env", doc: dict[str, Any], *, hard: bool) -> Any:
        self._note("write")
        return self._table.insert_new(env, doc, hard=hard)
