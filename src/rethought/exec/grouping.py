"""Grouped streams: rows split by one or more keys, each group with its own pipeline.

What always holds: a group exists only while it has rows; a missing key is null; groups are told apart by
`datum.order.hash_key`, so equal data are one group. Operators that need no state run on the rows of all groups;
anything else first collects each group into an array (bounded by the array limit).
"""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from rethought.datum.order import hash_key, order_key
from rethought.errors import Frame, ResourceLimitError
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.functions import Function
from rethought.exec.ops import Operator, apply_all
from rethought.exec.reductions import SKIP, Reduction, keys_of
from rethought.exec.values import Grouped, Stream, need_datum

if TYPE_CHECKING:
    from rethought.exec.env import Env

_HASHED_AS_THEMSELVES: Final = ({str}, {int}, {str, int})


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
        if reduction.counts and not self.ops and len(self.keys) == 1 and not self._fans_out():
            return self._count(env)
        states: dict[Any, Any] = {}
        names: dict[Any, Any] = {}
        for chunk in self.stream.chunks(env, settled=reduction.ordered):
            env.tick()
            self._step(env, chunk, reduction, states, names)
        return Grouped(
            [
                (names[key], reduction.finish(env, state))
                for key, state in states.items()
                if not reduction.skipped(state)
            ]
        )

    def _fans_out(self) -> bool:
        return self.multi or self.index is not None

    def _count(self, env: "Env") -> Grouped:
        counts: Counter[Any] = Counter()
        others: dict[Any, int] = {}
        names: dict[Any, Any] = {}
        function = self.keys[0]
        for chunk in self.stream.chunks(env):
            env.tick()
            keys = keys_of(function, chunk)
            if set(map(type, keys)) in _HASHED_AS_THEMSELVES:
                counts.update(keys)
                self._check_groups(env, len(counts))
                continue
            for key in keys:
                name = None if key is SKIP else need_datum(env, key, None)
                hashed = hash_key(name)
                names.setdefault(hashed, name)
                others[hashed] = others.get(hashed, 0) + 1
            self._check_groups(env, len(others))
        for name, count in counts.items():
            env.tick()
            hashed = hash_key(name)
            names.setdefault(hashed, name)
            others[hashed] = others.get(hashed, 0) + count
        self._check_groups(env, len(others))
        return Grouped([(names[hashed], count) for hashed, count in others.items()])

    def _step(
        self,
        env: "Env",
        chunk: Chunk,
        reduction: Reduction,
        states: dict[Any, Any],
        names: dict[Any, Any],
    ) -> None:
        if self.ops:
            for hashed, part in self._split_rows(env, chunk, names).items():
                result = apply_all(env, self.ops, of_rows(part))
                if result.count:
                    state = states.get(hashed, SKIP)
                    if state is SKIP:
                        state = reduction.start()
                    states[hashed] = reduction.fold(env, state, reduction.extract(env, result))
        else:
            values = reduction.extract(env, chunk)
            split: dict[Any, list[Any]] = {}
            for value, hashes in zip(values, self._hashes(env, chunk, names), strict=True):
                for hashed in hashes:
                    split.setdefault(hashed, []).append(value)
            for hashed, part in split.items():
                state = states.get(hashed, SKIP)
                if state is SKIP:
                    state = reduction.start()
                states[hashed] = reduction.fold(env, state, part)
        self._check_groups(env, len(states))

    def _check_groups(self, env: "Env", count: int) -> None:
        if count > env.array_limit:
            raise ResourceLimitError(f"Too many groups (> {env.array_limit}).")

    def _split_rows(self, env: "Env", chunk: Chunk, names: dict[Any, Any]) -> dict[Any, list[Any]]:
        split: dict[Any, list[Any]] = {}
        for row, hashes in zip(chunk.datums(), self._hashes(env, chunk, names), strict=True):
            for hashed in hashes:
                split.setdefault(hashed, []).append(row)
        return split

    def _hashes(self, env: "Env", chunk: Chunk, names: dict[Any, Any]) -> Iterator[list[Any]]:
        """For every row the groups it belongs to."""
        columns = [keys_of(function, chunk) for function in self.keys]
        if self.index is not None:
            columns.append(self.index(chunk))
        single = len(columns) == 1
        for parts in zip(*columns, strict=True):
            values = [None if part is SKIP else need_datum(env, part, None) for part in parts]
            found = self._fan(values) if self._fans_out() else [values]
            hashes = []
            for group in found:
                name = group[0] if single else group
                hashed = hash_key(name)
                names.setdefault(hashed, name)
                hashes.append(hashed)
            yield hashes

    def _fan(self, values: list[Any]) -> list[list[Any]]:
        """Array keys (multi) and index entries give one group per element."""
        combined: list[list[Any]] = [[]]
        last = len(values) - 1
        for position, value in enumerate(values):
            from_index = self.index is not None and position == last
            if value.__class__ is list and (from_index or self.multi):
                choices = value or ([] if from_index else [None])
            else:
                choices = [value]
            combined = [[*group, choice] for group in combined for choice in choices]
        return combined

    def collect(self, env: "Env", at: tuple[Frame, ...] = (0,)) -> Grouped:
        """Every group as an array."""
        self.stream.refuse_endless(at)
        limit = env.array_limit
        names: dict[Any, Any] = {}
        groups: dict[Any, list[Any]] = {}
        total = 0
        for chunk in self.stream.chunks(env, settled=True):
            env.tick()
            for hashed, part in self._split_rows(env, chunk, names).items():
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
        return Grouped([(names[hashed], rows) for hashed, rows in groups.items()])


def sorted_groups(grouped: Grouped) -> list[tuple[Any, Any]]:
    return sorted(grouped.groups, key=lambda pair: order_key(pair[0]))
