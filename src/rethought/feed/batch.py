"""What one turn means to one view: messages, made once for all who listen.

What always holds: a batch never changes; bodies are made once for each ending. A `Pending` collects batches for a
subscriber that wants changes of a row merged (squash). Made by channels, read by subscriptions.
"""

from typing import Any, NamedTuple, Protocol

from rethought.feed import messages
from rethought.feed.resume import Origin


class Batch:
    """Messages, in order."""

    __slots__ = ("_bodies", "_joined", "texts")

    def __init__(self, texts: list[bytes]) -> None:
        self.texts = texts
        self._joined: bytes | None = None
        self._bodies: dict[bytes, bytes] = {}

    @property
    def joined(self) -> bytes:
        if self._joined is None:
            self._joined = b",".join(self.texts)
        return self._joined

    @property
    def size(self) -> int:
        return len(self.joined)

    def body(self, end: bytes) -> bytes:
        """The complete response, for everybody with these notes."""
        body = self._bodies.get(end)
        if body is None:
            body = self._bodies[end] = messages.BODY_START + self.joined + end
        return body


class Edit(NamedTuple):
    """One row of a view before and after commit `seq`. `slot` tells the row, and which of its occurrences."""

    slot: tuple[bytes, int]
    old: bytes | None
    new: bytes | None
    seq: int


class Pending(Protocol):
    """Changes of one channel that wait to be merged for one subscriber."""

    def add(self, batch: Any) -> None: ...

    def texts(self) -> list[bytes]: ...

    def __len__(self) -> int: ...


class EditsBatch(Batch):
    """Changes of rows that may be merged with later ones; `texts` are those of this turn alone, merged."""

    __slots__ = ("edits",)

    def __init__(self, edits: list[Edit], pending: "PendingEdits") -> None:
        self.edits = edits
        pending.add(self)
        super().__init__(pending.texts())


class PendingEdits:
    """Rows by slot: the first old value, the last new one."""

    __slots__ = ("_first", "_form", "_last", "_origin", "_rows", "_types")

    def __init__(self, *, types: bool, origin: Origin | None = None, form: int = 0) -> None:
        self._types = types
        self._origin = origin
        self._form = form
        self._rows: dict[tuple[bytes, int], Edit] = {}
        self._first = self._last = 0  # the commits of what was added

    def add(self, batch: EditsBatch) -> None:
        rows = self._rows
        for edit in batch.edits:
            before = rows.pop(edit.slot, None)
            if before is not None:
                edit = edit._replace(old=before.old)
            if edit.new != edit.old:
                rows[edit.slot] = edit
        if batch.edits:
            self._first = self._first or batch.edits[0].seq
            self._last = batch.edits[-1].seq

    def texts(self) -> list[bytes]:
        types, origin, count = self._types, self._origin, len(self._rows)
        token = None
        texts = []
        for at, edit in enumerate(self._rows.values(), 1):
            if origin is not None:
                token = origin.merged(self._first - 1, self._last, at, count, self._form)
            texts.append(messages.message(edit.new, edit.old, types=types, token=token))
        return texts

    def __len__(self) -> int:
        return len(self._rows)
