"""What a page may send, checked once, at the door: kinds, sizes and characters.

What always holds: a message that is not exactly one of these is refused with a sentence that says what is wrong with
it, and the page goes on; past this module every field is of its type and within its bounds.
Callers: `web` decodes, `store` turns commands into queries.
"""

from typing import Annotated, Final, Literal

import msgspec

TEXT_MAX: Final = 500
COLUMNS: Final = ("ideas", "next", "doing", "done")

Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Name = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=30)]
Text = Annotated[str, msgspec.Meta(pattern=r"\S", max_length=TEXT_MAX)]
Column = Literal["ideas", "next", "doing", "done"]
Color = Literal["sun", "coral", "rose", "lilac", "sky", "mint"]
Hue = Annotated[int, msgspec.Meta(ge=0, lt=360)]
Rank = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
"""Where a note stands in its column: a new one between two others gets the number between theirs."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """One message of a page; `type` says which."""


class Hello(Message, frozen=True, tag="hello"):
    """The first message. `after` is the resume token of the last change that the page has seen."""

    name: Name
    hue: Hue
    after: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class Me(Message, frozen=True, tag="me"):
    """Somebody has another name now."""

    name: Name


class Here(Message, frozen=True, tag="here"):
    """Where somebody points: in a column (x as a part of its width), and which note they write in."""

    column: Column | None = None
    x: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0
    y: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 0
    editing: Id | None = None


class Command(Message, frozen=True):
    """Changes a note. `id` is of the command: sent again after a cut, it is still done only once."""

    id: Id
    note: Id


class Add(Command, frozen=True, tag="add"):
    text: Text
    column: Column
    rank: Rank
    color: Color


class Edit(Command, frozen=True, tag="edit"):
    text: Text


class Move(Command, frozen=True, tag="move"):
    column: Column
    rank: Rank


class Paint(Command, frozen=True, tag="paint"):
    color: Color


class Remove(Command, frozen=True, tag="remove"):
    pass


AnyCommand = Add | Edit | Move | Paint | Remove

hello: Final = msgspec.json.Decoder(Hello)
message: Final = msgspec.json.Decoder(Me | Here | AnyCommand)


class Named(msgspec.Struct):
    """All that is read of a message that was refused: which one it was."""

    id: Id


def refused_id(data: str | bytes) -> str | None:
    try:
        return msgspec.json.decode(data, type=Named).id
    except (msgspec.MsgspecError, ValueError):
        return None
