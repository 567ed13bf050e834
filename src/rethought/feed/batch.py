"""What one turn means to one view: messages, made once for all who listen.

What always holds: a batch never changes; bodies are made once for each ending. A `Pending` collects batches for a
subscriber that wants changes of a row merged (squash). Made by channels, read by subscriptions.
"""

from typing import Any, NamedTuple, Protocol

from rethought.feed import messages


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
    """One row of a view before and after. `slot` tells the row, and which of its occurrences."""

    slot: tuple[bytes, int]
    old: bytes | None
    new: bytes | None
    token: bytes | None


class Pending(Protocol):
    """Changes of one channel that wait to be merged for one subscriber."""

    def add(self, batch: Any) -> None: ...

    def texts(self) -> list[bytes]: ...

    def __len__(self) -> int: ...


class EditsBatch(Batch):
    """Changes of rows that may be merged with later ones; `texts` are those of this turn alone, merged."""

    __slots__ = ("edits",)

    def __init__(self, edits: list[Edit], *, types: bool) -> None:
        merged = PendingEdits(types=types)
        for edit in edits:
            merged.put(edit)
        super().__init__(merged.texts())
        self.edits = edits


class PendingEdits:
    """Rows by slot: the first old value, the last new one."""

    __slots__ = ("_rows", "_types")

    def __init__(self, *, types: bool) -> None:
        self._types = types
        self._rows: dict[tuple[bytes, int], Edit] = {}

    def put(self, edit: Edit) -> None:
        before = self._rows.pop(edit.slot, None)
        if before is not None:
            edit = edit._replace(old=before.old)
        if edit.new != edit.old:
            self._rows[edit.slot] = edit

    def add(self, batch: EditsBatch) -> None:
        for edit in batch.edits:
            self.put(edit)

    def texts(self) -> list[bytes]:
        types = self._types
        return [
            messages.message(edit.new, edit.old, types=types, token=edit.token)
            for edit in self._rows.values()
        ]

    def __len__(self) -> int:
        return len(self._rows)
