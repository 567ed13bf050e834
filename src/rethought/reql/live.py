"""Aggregates that stay up to date: `changes(live=True)` on count, sum, avg, min and max, also of groups.

Purpose: follow the rows below the aggregate as a feed, and tell how its value changes.
Invariants:
  1. A message's new value is what the aggregate would give on the state of the table it speaks of; sums of floats are
     exact before they are rounded, so adding and taking away leaves nothing behind.
  2. Values are told once for all changes that came together, and only when they differ; an aggregate of no rows is null
     (count and sum: 0).
  3. When changes were lost to a full queue, the rows are read again; nobody but the reader's patience notices.
Memory: a number for count, sum and avg; a key and a row for each row with min and max. Made by `reql.terms.changes`.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, Protocol

from rethought.datum.jsonbytes import encode
from rethought.datum.order import equal, hash_key, order_key
from rethought.datum.values import number
from rethought.exec.chunk import Chunk, of_rows
from rethought.exec.env import Env
from rethought.exec.functions import Function
from rethought.exec.reductions import SKIP, Average, Count, Extreme, Reduction, Sum, keys_of
from rethought.exec.values import Source, need_datum
from rethought.feed.messages import POINT, RANGE
from rethought.reql.feeds import FeedSource, Settings

Group = tuple[Any, Any]
"""A group's key for dictionaries, and its name."""

WHOLE: Final[Group] = (None, None)


class Tally(Protocol):
    """An aggregate's state. Values are what `Reduction.extract` gives, never SKIP."""

    rows: int

    def add(self, value: Any) -> None: ...

    def remove(self, value: Any) -> None: ...

    def value(self) -> Any: ...


class CountTally:
    """How many."""

    def __init__(self) -> None:
        self.rows = 0

    def add(self, value: Any) -> None:
        self.rows += 1

    def remove(self, value: Any) -> None:
        self.rows -= 1

    def value(self) -> Any:
        return self.rows


class SumTally(CountTally):
    """The sum of numbers, exact."""

    def __init__(self) -> None:
        super().__init__()
        self.total: int | Fraction = 0

    def add(self, value: Any) -> None:
        self.rows += 1
        self.total += value if value.__class__ is int else Fraction(value)

    def remove(self, value: Any) -> None:
        self.rows -= 1
        self.total -= value if value.__class__ is int else Fraction(value)

    def value(self) -> Any:
        return number(_rounded(self.total))


class AverageTally(SumTally):
    """Sum and number."""

    def value(self) -> Any:
        return number(_rounded(Fraction(self.total) / self.rows)) if self.rows else None


def _rounded(exact: int | Fraction) -> int | float:
    if exact.denominator == 1 and -(2**53) <= exact <= 2**53:
        return int(exact)
    return float(exact)


class ExtremeTally:
    """The row with the smallest or largest key; of equal ones always the same."""

    def __init__(self, sign: int) -> None:
        self.rows = 0
        self._sign = sign
        self._sorted: list[tuple[Any, bytes]] = []
        self._values: dict[bytes, Any] = {}

    def add(self, value: Any) -> None:
        key, row = value
        text = encode(row)
        insort(self._sorted, (order_key(key), text))
        self._values[text] = row
        self.rows += 1

    def remove(self, value: Any) -> None:
        key, row = value
        text = encode(row)
        at = bisect_left(self._sorted, (order_key(key), text))
        del self._sorted[at]
        self.rows -= 1

    def value(self) -> Any:
        if not self._sorted:
            return None
        return self._values[self._sorted[0 if self._sign > 0 else -1][1]]


def tally_of(reduction: Reduction) -> Callable[[], Tally]:
    """What keeps the state of a reduction."""
    if isinstance(reduction, Extreme):
        sign = reduction.sign
        return lambda: ExtremeTally(sign)
    if isinstance(reduction, Average):
        return AverageTally
    if isinstance(reduction, Sum):
        return SumTally
    assert isinstance(reduction, Count)
    return CountTally


@dataclass(frozen=True, slots=True)
class LiveSource(Source):
    """The aggregate of a feed's rows, as a feed. `keys` are the functions that group the rows, None without groups."""

    feed = True
    infinite = True

    rows: FeedSource
    settings: Settings
    reduction: Reduction
    keys: tuple[Function, ...] | None = None

    @property
    def feed_kind(self) -> int:
        return POINT if self.keys is None else RANGE

    @property
    def tells_states(self) -> bool:
        return self.settings.states

    def chunks(self, env: Env, want: int) -> Iterator[Chunk]:
        settings = self.settings
        inner = replace(
            self.rows,
            settings=replace(settings, initial=True, states=True, types=False, offsets=False),
        )
        told: dict[Any, tuple[Any, Any]] = {}  # by group: its name and the value that was told
        if settings.states and settings.initial:
            yield of_rows([_state("initializing", settings)])
        first = True
        while True:
            follower = Follower(env, self.reduction, self.keys)
            for chunk in inner.chunks(env, 0):
                env.tick()
                follower.take(chunk)
                if follower.lost:
                    break
                if not follower.ready:
                    continue
                messages = self._messages(follower, told, silent=first and not settings.initial)
                if first:
                    first = False
                    if settings.states:
                        messages.append(_state("ready", settings))
                if messages:
                    yield of_rows(messages)
            if not follower.lost:
                return

    def _messages(
        self, follower: "Follower", told: dict[Any, tuple[Any, Any]], *, silent: bool
    ) -> list[dict[str, Any]]:
        """What has changed since the last time; `silent` only takes note of it."""
        messages = []
        now = follower.values()
        touched = {*now, *told} if follower.fresh else follower.touched
        for hashed in sorted(touched, key=lambda each: order_key(_name(each, now, told))):
            name, new = now.get(hashed, (None, SKIP))
            old_name, old = told.get(hashed, (name, SKIP))
            if new is SKIP:
                told.pop(hashed, None)
            else:
                told[hashed] = (name, new)
            if not silent and (new is SKIP or old is SKIP or not equal(new, old)):
                messages.append(self._message(old_name if new is SKIP else name, new, old))
        follower.touched = set()
        follower.fresh = False
        return [message for message in messages if message]

    def _message(self, name: Any, new: Any, old: Any) -> dict[str, Any]:
        if new is SKIP and old is SKIP:
            return {}
        message: dict[str, Any] = {"new_val": None if new is SKIP else new}
        kind = "initial"
        if self.keys is not None:
            message["group"] = name
        if old is not SKIP or self.keys is not None:
            message["old_val"] = None if old is SKIP else old
            kind = "add" if old is SKIP else "remove" if new is SKIP else "change"
        if self.settings.types:
            message["type"] = kind
        return message


def _name(hashed: Any, now: dict[Any, Any], told: dict[Any, Any]) -> Any:
    found = now.get(hashed) or told.get(hashed)
    return None if found is None else found[0]


def _state(name: str, settings: Settings) -> dict[str, Any]:
    return {"state": name, "type": "state"} if settings.types else {"state": name}


class Follower:
    """The state of one reading: a tally for each group. `lost`: changes are missing, start again."""

    def __init__(self, env: Env, reduction: Reduction, keys: tuple[Function, ...] | None) -> None:
        self.ready = False
        self.lost = False
        self.fresh = True  # nothing was told yet: everything may differ
        self.touched: set[Any] = set()
        self._env = env
        self._reduction = reduction
        self._keys = keys
        self._new_tally = tally_of(reduction)
        self._tallies: dict[Any, Tally] = {}
        self._names: dict[Any, Any] = {}
        if keys is None:
            self._tallies[None] = self._new_tally()
            self._names[None] = None

    def values(self) -> dict[Any, tuple[Any, Any]]:
        """Name and value of the groups that were touched; of all at first."""
        groups = self._tallies if self.fresh else self.touched
        return {
            hashed: (self._names[hashed], self._tallies[hashed].value())
            for hashed in groups
            if hashed in self._tallies
        }

    def take(self, chunk: Chunk) -> None:
        """Works through messages of the rows' feed."""
        gone, come = [], []
        for message in chunk.datums():
            if "error" in message:
                self.lost = True
                return
            if message.get("state") == "ready":
                self.ready = True
            old, new = message.get("old_val"), message.get("new_val")
            if old is not None:
                gone.append(old)
            if new is not None:
                come.append(new)
        self._apply(come, add=True)
        self._apply(gone, add=False)

    def _apply(self, rows: list[Any], *, add: bool) -> None:
        if not rows:
            return
        chunk = of_rows(rows)
        values = self._reduction.extract(self._env, chunk)
        for value, (hashed, name) in zip(values, self._groups(chunk), strict=True):
            if not self._takes_part(value):
                continue
            tally = self._tallies.get(hashed)
            if tally is None:
                tally = self._tallies[hashed] = self._new_tally()
                self._names[hashed] = name
            self.touched.add(hashed)
            if add:
                tally.add(value)
            else:
                tally.remove(value)
                if not tally.rows and self._keys is not None:
                    del self._tallies[hashed]

    def _takes_part(self, value: Any) -> bool:
        if value is SKIP:
            return False
        reduction = self._reduction
        return not isinstance(reduction, Sum) or reduction.is_number(value)

    def _groups(self, chunk: Chunk) -> list[Group]:
        if self._keys is None:
            return [WHOLE] * chunk.count
        columns = [keys_of(function, chunk) for function in self._keys]
        groups = []
        for parts in zip(*columns, strict=True):
            names = [None if part is SKIP else need_datum(self._env, part, None) for part in parts]
            name = names[0] if len(names) == 1 else names
            groups.append((hash_key(name), name))
        return groups
