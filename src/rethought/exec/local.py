"""A user's table on this node, over its group in the store.

What always holds: reads go through the query's snapshot, a page at a time, and go on by key in the next one; a row is
changed on the newest state under the group's single writer. Built by the engine for a catalog's handle; the rest of
`exec` sees only `Table`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from rethought.catalog.permissions import ADMIN
from rethought.datum.jsonbytes import decode, decode_parts
from rethought.datum.keys import decode_key, index_bound, primary_bound, primary_key
from rethought.datum.values import MAXVAL, MINVAL, TYPE_KEY, document_bytes
from rethought.errors import OpFailedError, QueryLogicError, ReqlError, ResourceLimitError
from rethought.exec.chunk import Chunk
from rethought.exec.functions import FLAT, Rows
from rethought.exec.table import Change, Range, check_readable
from rethought.store.model import Page
from rethought.store.snapshot import EMPTY

if TYPE_CHECKING:
    from rethought.exec.env import Env

FIRST_PAGE: Final = 200
PAGE: Final = 1500
PAGE_MIN: Final = 100
PAGE_S: Final = 0.002
"""So long may the work with a page take, and that much less in a short slice."""
PAGE_GROWTH: Final = 4
"""A page is at most so many times larger or smaller than the last: one may have taken long for other reasons."""
TALLY: Final = 10_000
"""So many keys are counted at once."""
_END: Final = object()


def page_size(env: "Env", most: int) -> int:
    """How many rows to read at once, by what the last ones took; of them nobody knows what they are to be."""
    fair = int(PAGE_S / env.row_s) if env.row_s else most
    return min(most, env.lot(max(PAGE_MIN, fair)))


class LocalTable:
    """See `exec.table.Table` for what the methods promise."""

    __slots__ = ("handle", "id", "number", "primary_key")

    rule: Final = None

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.id = handle.id
        self.primary_key = handle.primary_key
        self.number = handle.number

    # what may change while the table lives is asked of the catalog's object

    @property
    def name(self) -> str:
        name: str = self.handle.name
        return name

    @property
    def db(self) -> Any:
        return self.handle.db

    @property
    def durability(self) -> str:
        durability: str = self.handle.durability
        return durability

    @property
    def group(self) -> Any:
        return self.handle.db.group

    def _check(self) -> None:
        if self.handle.dropped:
            raise OpFailedError(f"Table `{self.db.name}.{self.name}` does not exist.")

    # ---- reads

    def read(self, env: "Env", key: Any) -> bytes | None:
        if key is MINVAL or key is MAXVAL:
            return None
        handle = self.handle
        if env.client.user != ADMIN:
            check_readable(env, handle)
        handle.reads += 1
        found: bytes | None = env.snapshot(handle.db.group).get(self.number, primary_key(key))
        return found

    def read_many(self, env: "Env", keys: list[Any]) -> list[bytes | None]:
        check_readable(env, self.handle)
        encoded = [primary_key(key) for key in keys]
        found = env.snapshot(self.group).get_many(self.number, list(dict.fromkeys(encoded)))
        self.handle.reads += len(found)
        return [found.get(key) for key in encoded]

    def index(self, name: str) -> Any:
        self._check()
        index = self.handle.indexes.get(name)
        if index is None:
            raise OpFailedError(
                f"Index `{name}` was not found on table `{self.db.name}.{self.name}`.", frames=()
            )
        if not self.group.index_ready(index.number):
            raise OpFailedError(
                f"Index `{name}` on table `{self.db.name}.{self.name}` was accessed before its "
                "construction was finished.",
                frames=(),
            )
        return index

    def _plain_index(self, name: str) -> Any:
        index = self.index(name)
        if index.geo:
            raise QueryLogicError(
                f"Index `{name}` is a geospatial index.  Only get_nearest and get_intersecting "
                "can use a geospatial index.",
                frames=(),
            )
        return index

    def chunks(self, env: "Env", selected: Range, want: int) -> Iterator[Chunk]:
        self._check()
        check_readable(env, self.handle)
        first = min(want, PAGE) if want else FIRST_PAGE
        if selected.index is None or selected.index == self.primary_key:
            return self._primary_chunks(env, selected, first)
        index = self._plain_index(selected.index)
        return self._index_chunks(env, selected, index.number, first)

    def _primary_chunks(self, env: "Env", selected: Range, first: int) -> Iterator[Chunk]:
        number = self.number
        if selected.keys is not None:
            size = env.lot(PAGE)
            for start in range(0, len(selected.keys), size):
                part = list(selected.keys[start : start + size])
                with _AT_ROOT:
                    docs = [doc for doc in self.read_many(env, part) if doc is not None]
                if docs:
                    yield Chunk(len(docs), docs=docs)
                else:
                    env.tick()
            return
        unordered = selected.whole and selected.descending is None
        lower = upper = None
        if not unordered:
            lower, upper = _bounds(selected, primary_bound)
            if lower is _END:
                return

        def read(snapshot: Any, after: Any, limit: int) -> Any:
            if unordered:
                return snapshot.scan_any(number, after, limit)
            return snapshot.scan(
                number,
                lower,
                upper,
                lower_open=selected.lower_open,
                upper_open=selected.upper_open,
                descending=bool(selected.descending),
                after=after,
                limit=limit,
            )

        for page in self._pages(env, read, first):
            yield Chunk(page.count, raw=page.docs)

    def few(self, env: "Env", selected: Range, most: int) -> Page | None:
        """The first documents of a range; None when that is no matter of one read."""
        self._check()
        check_readable(env, self.handle)
        number, keys = self.number, selected.keys
        if selected.index is None or selected.index == self.primary_key:
            if keys is not None:
                return None
            if selected.whole and selected.descending is None:
                page = env.snapshot(self.group).scan_any(number, None, most, alone=True)
                return self._counted(page)
            lower, upper = _bounds(selected, primary_bound)
            index = None
        else:
            index = self._plain_index(selected.index).number
            if keys is None:
                lower, upper = _bounds(selected, index_bound)
            elif len(keys) == 1:
                with _AT_ROOT:
                    lower = upper = index_bound(keys[0])
            else:
                return None
        if lower is _END:
            return EMPTY
        snapshot = env.snapshot(self.group)
        lower_open, upper_open = selected.lower_open, selected.upper_open
        descending = bool(selected.descending)
        if index is None:
            read = snapshot.scan
            ends = (number, lower, upper)
        else:
            read = snapshot.index_scan
            ends = (number, index, lower, upper)  # type: ignore[assignment]
        page = read(
            *ends,
            lower_open=lower_open,
            upper_open=upper_open,
            descending=descending,
            limit=most,
            alone=True,
        )
        return self._counted(page)

    def _counted(self, page: Page) -> Page:
        self.handle.reads += page.count
        return page

    def _pages(self, env: "Env", read: Callable[[Any, Any, int], Any], limit: int) -> Iterator[Any]:
        """Page after page of the query's snapshot of that moment, while the user may read. They are as large as others
        can wait for what is done with a page."""
        after = None
        limit = page_size(env, limit)
        while True:
            before = env.worked()
            page = read(env.snapshot(self.group), after, limit)
            if page.count:
                self.handle.reads += page.count
                yield page
                env.row_s = (env.worked() - before) / page.count
            after = page.after
            if after is None:
                return
            check_readable(env, self.handle)
            limit = max(limit // PAGE_GROWTH, page_size(env, min(PAGE, PAGE_GROWTH * limit)))

    def _index_chunks(self, env: "Env", selected: Range, index: Any, first: int) -> Iterator[Chunk]:
        if selected.keys is not None:
            with _AT_ROOT:
                keys = [index_bound(key) for key in selected.keys]
            for key in keys:
                yield from self._index_documents(env, index, (key, key), selected, first)
            return
        bounds = _bounds(selected, index_bound)
        if bounds[0] is not _END:
            yield from self._index_documents(env, index, bounds, selected, first)

    def _index_documents(
        self, env: "Env", index: Any, bounds: tuple[Any, Any], selected: Range, first: int
    ) -> Iterator[Chunk]:
        for page in self._index_pages(env, index, bounds, selected, first):
            yield Chunk(page.count, raw=page.docs)

    def _index_pages(
        self,
        env: "Env",
        index: Any,
        bounds: tuple[Any, Any],
        selected: Range,
        limit: int,
        *,
        keys: bool = False,
    ) -> Iterator[Any]:
        def read(snapshot: Any, after: Any, limit: int) -> Any:
            return snapshot.index_scan(
                self.number,
                index,
                bounds[0],
                bounds[1],
                lower_open=selected.lower_open,
                upper_open=selected.upper_open,
                descending=bool(selected.descending),
                after=after,
                limit=limit,
                keys=keys,
            )

        return self._pages(env, read, limit)

    def keyed_chunks(self, env: "Env", selected: Range) -> Iterator[tuple[Chunk, list[Any]]]:
        self._check()
        check_readable(env, self.handle)
        assert selected.index is not None
        index = self._plain_index(selected.index)
        lower, upper = _bounds(selected, index_bound)
        if lower is _END:
            return
        for page in self._index_pages(env, index.number, (lower, upper), selected, PAGE, keys=True):
            values = {key: decode_key(key) for key in dict.fromkeys(page.keys)}
            yield Chunk(page.count, raw=page.docs), [values[key] for key in page.keys]

    def key_counts(self, env: "Env", selected: Range) -> Iterator[list[tuple[Any, int]]]:
        self._check()
        check_readable(env, self.handle)
        assert selected.index is not None
        index = self._plain_index(selected.index)
        bounds = _bounds(selected, index_bound)
        if bounds[0] is _END:
            return
        for counts in self._tallies(env, index.number, bounds, selected):
            yield [(decode_key(key), count) for key, count in counts]

    def _tallies(
        self, env: "Env", index: Any, bounds: tuple[Any, Any], selected: Range
    ) -> Iterator[list[tuple[bytes, int]]]:
        after = None
        while True:
            tally = env.snapshot(self.group).index_tally(
                self.number,
                index,
                *bounds,
                lower_open=selected.lower_open,
                upper_open=selected.upper_open,
                descending=bool(selected.descending),
                after=after,
                limit=env.lot(TALLY),
            )
            yield tally.counts
            after = tally.after
            if after is None:
                return
            env.tick()
            check_readable(env, self.handle)

    def range_chunks(
        self, env: "Env", index: Any, ranges: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Chunk]:
        check_readable(env, self.handle)
        for bounds in ranges:
            yield from self._index_documents(env, index.number, bounds, Range(), PAGE)

    def count(self, env: "Env", selected: Range) -> int | None:
        self._check()
        check_readable(env, self.handle)
        if selected.whole and (selected.index is None or selected.index == self.primary_key):
            total: int = env.snapshot(self.group).count(self.number)
            return total
        if selected.index is not None and selected.index != self.primary_key:
            return self._count_entries(env, selected)
        return None if selected.keys is not None else self._count_range(env, selected)

    def _count_entries(self, env: "Env", selected: Range) -> int:
        index = self._plain_index(selected.index or "").number
        if selected.keys is None:
            ranges = [_bounds(selected, index_bound)]
        else:
            with _AT_ROOT:
                ranges = [(bound, bound) for bound in map(index_bound, selected.keys)]
        total = 0
        for bounds in ranges:
            if bounds[0] is not _END:
                for counts in self._tallies(env, index, bounds, selected):
                    total += sum([count for _, count in counts])
        return total

    def _count_range(self, env: "Env", selected: Range) -> int:
        lower, upper = _bounds(selected, primary_bound)
        if lower is _END:
            return 0
        total: int = 0
        after = None
        while True:
            snapshot = env.snapshot(self.group)
            count, after = snapshot.count_scan(
                self.number,
                lower,
                upper,
                lower_open=selected.lower_open,
                upper_open=selected.upper_open,
                after=after,
                limit=env.lot(TALLY),
            )
            total += count
            if after is None:
                return total
            env.tick()
            check_readable(env, self.handle)

    # ---- writes

    def modify(self, env: "Env", key: Any, change: Change, *, hard: bool) -> tuple[Any, Any]:
        return self.rewrite(env, primary_key(key), change, hard)

    def rewrite(self, env: "Env", encoded: bytes, change: Change, hard: bool) -> tuple[Any, Any]:
        """As `modify`, for an encoded key."""
        number = self.number
        handle = self.handle
        group = handle.db.group
        while True:
            batch = env.writing(group)
            if handle.dropped:
                self._check()
            before = batch.get(number, encoded)
            old: Any = None if before is None else decode(before)
            pauses = env.pauses
            new = change(old)
            if env.pauses == pauses:
                break
            # Others had their turn while the function ran: its result counts if the row is still the same.
            batch = env.writing(group)
            self._check()
            if batch.get(number, encoded) == before:
                break
        if new is None:
            after = None
        elif new is old:
            return old, old
        else:
            after = document_bytes(new)
        if after != before:
            batch.put(number, encoded, before, after, old, new)
            env.wrote(batch, hard)
        elif before is not None:
            new = old
        return old, new

    def patch(
        self,
        env: "Env",
        encoded: bytes,
        value: Callable[[], Any] | None,
        rows: Rows | None,
        hard: bool,
    ) -> str | None:
        """Puts fields in the place of a row's: those of a value, or else what a function over rows makes of it. Gives
        the counter of what came of it; None, and nothing is done, for a change that is not as plain as that."""
        handle = self.handle
        number = self.number
        batch = env.writing(handle.db.group)
        if handle.dropped:
            self._check()
        before = batch.get(number, encoded)
        if before is None:
            return "skipped"
        pauses = env.pauses
        old: dict[str, Any]
        if value is not None:
            fields = value()
            if fields.__class__ is not dict:
                return None
            followed = batch.reads(number, fields.keys())
            old = decode(before) if followed else decode_parts(before)  # type: ignore[assignment]
        else:
            assert rows is not None
            old = decode(before)  # type: ignore[assignment]
            fields = rows([old])[0]
            if fields.__class__ is not dict:
                return None
            followed = batch.reads(number, fields.keys())
        for item in fields.values():
            if item.__class__ not in FLAT and not (
                item.__class__ is list and FLAT.issuperset(map(type, item))
            ):
                return None
        if (
            env.pauses != pauses
            or self.primary_key in fields
            or TYPE_KEY in fields
            or TYPE_KEY in old
        ):
            return None
        new = {**old, **fields}
        after = document_bytes(new)
        if after == before:
            return "unchanged"
        if followed:
            batch.put(number, encoded, before, after, old, new)
        else:
            batch.replace(number, encoded, before, after)
        env.wrote(batch, hard)
        return "replaced"

    def insert_new(self, env: "Env", doc: dict[str, Any], *, hard: bool) -> Any:
        document = document_bytes(doc)
        encoded = primary_key(doc[self.primary_key])
        batch = env.writing(self.group)
        self._check()
        existing = batch.insert(self.number, encoded, document, doc)
        if existing is not None:
            return decode(existing)
        env.wrote(batch, hard)
        return None

    def insert_many(self, env: "Env", docs: list[dict[str, Any]], *, hard: bool, more: bool) -> int:
        """Stores documents in this order, up to the first whose key is taken; how many. None when one of them is no
        document that can be stored. `more`: others follow."""
        pkey = self.primary_key
        try:
            documents = list(map(document_bytes, docs))
            keys = [primary_key(doc[pkey]) for doc in docs]
        except (QueryLogicError, ResourceLimitError):
            return 0
        batch = env.writing(self.group)
        self._check()
        lingers = more and batch.only_of(env)
        try:
            stored: int = batch.insert_many(self.number, keys, documents, docs)
        except ReqlError:
            env.wrote(batch, hard)
            raise
        if stored:
            env.wrote(batch, hard)
            if lingers:
                batch.linger(env)
        return stored

    def sync(self, env: "Env") -> None:
        self._check()
        env.await_ticket(env.writing(self.group).ticket(True))


class _AtRoot:
    """Errors of reading a table have no place in the query. A class: queries come here often, for a generator."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, ReqlError):
            error.frames = ()


_AT_ROOT: Final = _AtRoot()


def _bounds(selected: Range, encode_bound: Any) -> tuple[Any, Any]:
    """The encoded bounds (None: open ended); the first is _END when nothing can lie between them."""
    lower, upper = selected.lower, selected.upper
    if lower is MAXVAL or upper is MINVAL:
        return _END, None
    with _AT_ROOT:
        low = None if lower is MINVAL else encode_bound(lower)
        high = None if upper is MAXVAL else encode_bound(upper)
    if low is not None and high is not None and low > high:
        return _END, None
    return low, high
