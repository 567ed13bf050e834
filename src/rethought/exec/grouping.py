"""Grouped streams: rows split by one or more keys, each group with its own pipeline.

What always holds: a group exists only while it has rows; a missing key is null; groups are told apart by
`datum.order.hash_key`, so equal data are one group. Operators that need no state run on the rows of all groups;
anything else first collects each group into an array (bounded by the array limit).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain, compress
from typing import TYPE_CHECKING, Any

from rethought.datum.order import HASHED_AS_THEMSELVES, hash_key, order_keys
from rethought.errors import Frame, ReqlError, ResourceLimitError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.functions import Function, share
from rethought.exec.ops import Operator, apply_all, functions_first
from rethought.exec.reductions import SKIP, Reduction, keys_of
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
        return Grouped(
            [
                (names[key], reduction.finish(env, state))
                for key, state in states.items()
                if not reduction.skipped(state)
            ]
        )

    def _step(
        self,
        env: "Env",
        chunk: Chunk,
        reduction: Reduction,
        states: dict[Any, Any],
        groups: "Groups",
    ) -> None:
        columns = self._columns(chunk)
        split: dict[Any, list[Any]] = defaultdict(list)
        hashes = None if self.multi else groups.of_columns(columns)
        passed = None if hashes is None else self._through_together(env, chunk, hashes)
        if passed is not None:
            chunk, hashes = passed
            if reduction.counts:
                states.update(hashes)  # a Counter
                return
            for value, hashed in zip(reduction.glance(env, chunk), hashes, strict=True):
                split[hashed].append(value)
        elif self.ops:
            for hashed, rows in self._split_rows(env, chunk, columns, groups).items():
                result = apply_all(env, self.ops, of_rows(rows))
                if result.count:
                    split[hashed] = reduction.extract(env, result)
        else:
            values = reduction.glance(env, chunk)
            for value, some in zip(values, self._hashes(env, columns, groups), strict=True):
                for hashed in some:
                    split[hashed].append(value)
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

    def _columns(self, chunk: Chunk) -> list[list[Any]]:
        columns = [keys_of(function, chunk) for function in self.keys]
        if self.index is not None:
            columns.append(self.index(chunk))
        return columns

    def _split_rows(
        self, env: "Env", chunk: Chunk, columns: list[list[Any]], groups: "Groups"
    ) -> dict[Any, list[Any]]:
        split: dict[Any, list[Any]] = defaultdict(list)
        for row, hashes in zip(chunk.datums(), self._hashes(env, columns, groups), strict=True):
            for hashed in hashes:
                split[hashed].append(row)
        return split

    def _hashes(
        self, env: "Env", columns: list[list[Any]], groups: "Groups"
    ) -> Iterator[list[Any]]:
        """For every row the groups it belongs to."""
        single = len(columns) == 1
        for parts in zip(*columns, strict=True):
            values = [None if part is SKIP else need_datum(env, part, None) for part in parts]
            found = self._fan(values) if self.multi else [values]
            yield [groups.hash(group[0] if single else group) for group in found]

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
            split = self._split_rows(env, chunk, self._columns(chunk), found)
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


def sorted_groups(grouped: Grouped) -> list[tuple[Any, Any]]:
    keys = order_keys([name for name, _ in grouped.groups])
    return [grouped.groups[at] for at in sorted(range(len(keys)), key=keys.__getitem__)]
