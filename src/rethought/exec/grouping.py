"""Grouped streams: rows split by one or more keys, each group with its own pipeline.

What always holds: a group exists only while it has rows; a missing key is null; groups are told apart by
`datum.order.hash_key`, so equal data are one group. Operators that need no state run on the rows of all groups;
anything else first collects each group into an array (bounded by the array limit).
"""

from collections import Counter, defaultdict
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

from rethought.datum.order import HASHED_AS_THEMSELVES, hash_key
from rethought.errors import Frame, ReqlError, ResourceLimitError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.functions import Function, share
from rethought.exec.ops import Operator, apply_all, functions_first
from rethought.exec.reductions import SKIP, Reduction, keys_of
from rethought.exec.sorting import SLOW_LOT, lots, picked, sort_keys, sort_positions
from rethought.exec.values import DATUM_CLASSES, Grouped, Stream, need_datum

if TYPE_CHECKING:
    from rethought.exec.env import Env


class GroupedStream:
    """A stream with the functions that group it. `index` groups by an index's entries after the functions."""

    value_name = "SEQUENCE"
    type_name = "GROUPED_STREAM"

    def __init__(
        self,
        stream: Stream,
        keys: list[Function],
        *,
        multi: bool,
        index: Any = None,
        ops: tuple[Operator, ...] = (),
    ) -> None:
        self.stream = stream
        self.keys = keys
        self.multi = multi
        self.index = index
        self.ops = ops
        self.groups: dict[Any, Any] = {}

    def through(self, op: Operator) -> "GroupedStream":
        return GroupedStream(
            self.stream, self.keys, multi=self.multi, index=self.index, ops=(*self.ops, op)
        )

    def reduce(self, env: "Env", reduction: Reduction) -> Grouped:
        """A reduction per group."""
        self.stream.refuse_endless()
        states: dict[Any, Any] = Counter() if reduction.counts else {}
        groups = Groups()
        functions = [*self.keys, *functions_first(self.ops, reduction.looks())]
        for chunk in self.stream.chunks(env, settled=reduction.ordered):
            env.tick()
            share(chunk, functions)
            self._step(env, chunk, reduction, states, groups)
            check_groups(env, len(states))
        names = groups.names
        finished: list[tuple[Any, Any]] = []
        for lot in lots(env, list(states.items()), SLOW_LOT):
            finished += [
                (names[key], reduction.finish(env, state))
                for key, state in lot
                if not reduction.skipped(state)
            ]
        env.made(states)
        env.made(names)
        return Grouped(env.made(finished))

    def _step(
        self,
        env: "Env",
        chunk: Chunk,
        reduction: Reduction,
        states: dict[Any, Any],
        groups: "Groups",
    ) -> None:
        split: dict[Any, list[Any]] = defaultdict(list)
        places, columns = self._keys(chunk)
        hashes = groups.of_columns(columns)
        passed = None
        if hashes is not None and places is None:
            passed = self._through_together(env, chunk, hashes)
        elif hashes is not None and not self.ops:
            passed = (chunk, hashes)
        if passed is not None:
            chunk, hashes = passed
            if reduction.counts:
                states.update(hashes)  # a Counter
                return
            values = reduction.glance(env, chunk)
            if places is not None:
                values = [values[at] for at in places]
            for value, hashed in zip(values, hashes, strict=True):
                split[hashed].append(value)
        else:
            for hashed, rows in self._split_rows(env, chunk, groups).items():
                result = apply_all(env, self.ops, of_rows(rows))
                if result.count:
                    split[hashed] = reduction.extract(env, result)
        for hashed, part in split.items():
            state = states.get(hashed, SKIP)
            if state is SKIP:
                state = reduction.start()
            states[hashed] = reduction.settle(reduction.fold(env, state, part))

    def _through_together(
        self, env: "Env", chunk: Chunk, hashes: list[Any]
    ) -> tuple[Chunk, list[Any]] | None:
        """The rows of all groups through the operators at once, None where only each group can go its own way."""
        if not all(op.aligned for op in self.ops):
            return None
        try:
            for op in self.ops:
                if not chunk.count:
                    break
                chunk, mask = op.masked(env, chunk)
                if mask is not None:
                    hashes = list(compress(hashes, mask))
        except ReqlError:  # the first group's error counts
            return None
        return chunk, hashes

    def _split_rows(self, env: "Env", chunk: Chunk, groups: "Groups") -> dict[Any, list[Any]]:
        """The rows of each group."""
        places, columns = self._keys(chunk)
        hashes = groups.of_columns(columns)
        if hashes is None:
            data = [
                [part if part is SKIP else need_datum(env, part, None) for part in column]
                for column in columns
            ]
            hashes = groups.of_columns(data)
            assert hashes is not None
        split: dict[Any, list[Any]] = defaultdict(list)
        rows = chunk.datums()
        for at, hashed in zip(places or range(chunk.count), hashes, strict=True):
            split[hashed].append(rows[at])
        return split

    def _keys(self, chunk: Chunk) -> tuple[list[int] | None, list[list[Any]]]:
        """The keys in columns. Where a row may belong to several groups it has a key for each, and the places tell
        which row that is."""
        columns = [keys_of(function, chunk) for function in self.keys]
        if self.index is not None:
            columns.append(self.index(chunk))
        if not self.multi:
            return None, columns
        places: list[int] = []
        if len(columns) == 1 and self.index is None:
            flat: list[Any] = []
            for at, value in enumerate(columns[0]):
                some = (value or [None]) if value.__class__ is list else [value]
                flat += some
                places += [at] * len(some)
            return places, [flat]
        fans: list[list[Any]] = []
        for at, parts in enumerate(zip(*columns, strict=True)):
            found = self._fan(list(parts))
            fans += found
            places += [at] * len(found)
        return places, list(map(list, zip(*fans, strict=True)))

    def _fan(self, values: list[Any]) -> list[list[Any]]:
        """Array keys give one group per element, but for an index, whose entries are elements already."""
        combined: list[list[Any]] = [[]]
        last = len(values) - 1
        for position, value in enumerate(values):
            from_index = self.index is not None and position == last
            fans = value.__class__ is list and not from_index
            choices = (value or [None]) if fans else [value]
            combined = [[*group, choice] for group in combined for choice in choices]
        return combined

    def collect(self, env: "Env", at: tuple[Frame, ...] = (0,)) -> Grouped:
        """Every group as an array."""
        self.stream.refuse_endless(at)
        limit = env.array_limit
        found = Groups()
        groups: dict[Any, list[Any]] = {}
        total = 0
        for chunk in self.stream.chunks(env, settled=True):
            env.tick()
            split = self._split_rows(env, chunk, found)
            for hashed, part in split.items():
                rows = apply_all(env, self.ops, of_rows(part))
                if not rows.count:
                    continue
                total += rows.count
                groups.setdefault(hashed, []).extend(rows.datums())
            if total > limit:
                raise ResourceLimitError(
                    f"Grouped data over size limit `{limit}`.  Try putting a reduction (like "
                    "`.reduce` or `.count`) on the end."
                )
        return Grouped([(found.names[hashed], rows) for hashed, rows in groups.items()])


def check_groups(env: "Env", count: int) -> None:
    if count > env.array_limit:
        raise ResourceLimitError(f"Too many groups (> {env.array_limit}).")


class Groups:
    """The groups of one run: what tells them apart, and their names."""

    def __init__(self) -> None:
        self.names: dict[Any, Any] = {}
        self._arrays = _Arrays(self.names)
        self._marks: dict[Any, Any] = {}

    def hash(self, name: Any) -> Any:
        """What tells a group apart: its name, or a mark where Python does not tell names apart as the protocol does."""
        if name.__class__ is list:
            if HASHED_AS_THEMSELVES.issuperset(map(type, name)):
                return self._arrays[tuple(name)]
            return self._arrays[tuple(map(self.hash, name))]
        hashed = hash_key(name)
        if hashed.__class__ is tuple:
            hashed = self._marks.setdefault(hashed, _Mark())
        self.names.setdefault(hashed, name)
        return hashed

    def of_columns(self, columns: list[list[Any]]) -> list[Any] | None:
        """The same for the name that each row has in these columns, None where something in them is no datum."""
        told = [self._told(column) for column in columns]
        if None in told:
            return None
        if len(told) > 1:
            return list(map(self._arrays.__getitem__, zip(*told, strict=True)))
        (single,) = told
        assert single is not None
        names = self.names
        for key in set(single):
            names.setdefault(key, key)
        return single

    def _told(self, column: list[Any]) -> list[Any] | None:
        """What tells the values apart."""
        if SKIP in column:
            column = [None if key is SKIP else key for key in column]
        kinds = set(map(type, column))
        if kinds <= HASHED_AS_THEMSELVES:
            return column
        if kinds == {list} and HASHED_AS_THEMSELVES.issuperset(
            map(type, chain.from_iterable(column))
        ):
            return list(map(self._arrays.__getitem__, map(tuple, column)))
        return list(map(self.hash, column)) if kinds <= DATUM_CLASSES else None


class _Mark:
    """Stands for a group; told apart by identity."""

    __slots__ = ()


class _Arrays(dict[tuple[Any, ...], Any]):
    """The marks of groups named by arrays, by what tells their elements apart."""

    def __init__(self, names: dict[Any, Any]) -> None:
        self._names = names

    def __missing__(self, told: tuple[Any, ...]) -> Any:
        mark = self[told] = _Mark()
        names = self._names
        names[mark] = [names[part] if part.__class__ is _Mark else part for part in told]
        return mark


def sorted_groups(env: "Env", grouped: Grouped) -> list[tuple[Any, Any]]:
    groups = grouped.groups
    names = [name for name, _ in groups]
    keys, plain = sort_keys(env, names)
    order = list(range(len(names)))
    order = sort_positions(env, order, keys.__getitem__, descending=False, plain=plain)
    return picked(env, groups, order)
