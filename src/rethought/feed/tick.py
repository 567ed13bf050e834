"""What changed in one table in one turn of the loop.

What always holds: changes stand in commit order; decoding, index keys and messages are made when somebody asks, once.
Made by `tables`, read by channels.
"""

from typing import Any, NamedTuple

from rethought.feed.conditions import place
from rethought.feed.documents import Documents
from rethought.store import Change, IndexRule

NO_KEYS: list[bytes] = []


class Hit(NamedTuple):
    """A change that touches a view: how often the old and the new row are in what was read, and in the rest."""

    at: int
    old: int
    new: int
    old_unread: int = 0
    new_unread: int = 0


class Tick:
    """See the module. `seqs` and `numbers` say which commit a change is of, and which of its changes."""

    __slots__ = ("_documents", "_entries", "_hits", "_plain", "changes", "numbers", "seqs")

    def __init__(self, changes: list[Change], seqs: list[int], numbers: list[int]) -> None:
        self.changes = changes
        self.seqs = seqs
        self.numbers = numbers
        self._documents: list[tuple[Documents, dict[int, int]] | None] = [None, None]
        self._entries: dict[int, list[tuple[list[bytes], list[bytes]]]] = {}
        self._hits: list[Any] | None = None
        self._plain: list[bytes] | None = None

    def side(self, side: int) -> list[bytes | None]:
        """The old (0) or new (1) documents."""
        if side:
            return [change.new for change in self.changes]
        return [change.old for change in self.changes]

    def _all(self, side: int) -> tuple[Documents, dict[int, int]]:
        known = self._documents[side]
        if known is None:
            docs: list[bytes] = []
            at: dict[int, int] = {}
            for number, doc in enumerate(self.side(side)):
                if doc is not None:
                    at[number] = len(docs)
                    docs.append(doc)
            known = self._documents[side] = (Documents(docs), at)
        return known

    def documents(self, side: int, places: list[int]) -> Documents:
        """Those documents of one side that these changes have (all of them do); the places ascend."""
        documents, at = self._all(side)
        return documents.some([at[place] for place in places])

    def entries(self, number: int, rule: IndexRule) -> list[tuple[list[bytes], list[bytes]]]:
        """For each change the index keys before and after."""
        known = self._entries.get(number)
        if known is None:
            columns = []
            for side in (0, 1):
                documents, at = self._all(side)
                keys = [rule.keys(document) for document in documents.data()]
                columns.append(
                    [keys[at[n]] if n in at else NO_KEYS for n in range(len(self.changes))]
                )
            known = self._entries[number] = list(zip(*columns, strict=True))
        return known

    def keys(self, at: int) -> tuple[list[bytes], list[bytes]]:
        """The same for the primary key."""
        _, key, old, new = self.changes[at]
        return ([] if old is None else [key], [] if new is None else [key])

    def places(self, field: str) -> list[tuple[list[bytes], list[bytes]]]:
        """For each change where a field's value lies, before and after, if the document has it."""
        columns: list[list[list[bytes]]] = []
        for side in (0, 1):
            documents, at = self._all(side)
            column = [NO_KEYS] * len(self.changes)
            rows = documents.data()
            for number, which in at.items():
                row = rows[which]
                if field in row:
                    column[number] = [place(row[field])]
            columns.append(column)
        return list(zip(*columns, strict=True))

    def rows(self) -> list[Any]:
        """All documents, before and after."""
        return [row for side in (0, 1) for row in self._all(side)[0].data()]

    def all_hits(self) -> list[Any]:
        """Every change, once."""
        if self._hits is None:
            self._hits = [
                Hit(at, change.old is not None, change.new is not None)
                for at, change in enumerate(self.changes)
            ]
        return self._hits

    def plain_texts(self) -> list[bytes]:
        """The messages of a feed on the whole table with no options: documents as they are."""
        if self._plain is None:
            self._plain = [
                b'{"new_val":%b,"old_val":%b}' % (new or b"null", old or b"null")
                for _, _, old, new in self.changes
            ]
        return self._plain
