"""The board in the database: its tables, the query for each command, and the changefeeds that a page follows.

What always holds:
  1. A command changes its note and adds a line to `activity` in one transaction, or does neither.
  2. A command that comes twice (a page sends again what it does not know the fate of) is done once: its line in
     `activity` has its id.
  3. Who is here lives in a database of its own. A database has one journal, and from it feeds resume: a thousand moves
     of a cursor must not push a note's change out of it.
Callers: `web`.
"""

from typing import Any, Final, assert_never

from rethinkdb import RethinkDB

from examples.board.messages import Add, AnyCommand, Edit, Here, Move, Paint, Remove

r: Final = RethinkDB()
r.set_loop_type("asyncio")

NOTES: Final = r.db("board").table("notes")
ACTIVITY: Final = r.db("board").table("activity")
PEOPLE: Final = r.db("board_people").table("people")
NOW: Final = r.now().to_epoch_time()
"""When the query runs, by the clock of the database."""

NOTES_MAX: Final = 300
ACTIVITY_S: Final = 3600
"""How long a line of `activity` is kept: what the page counts, and how late a command may come twice."""
PEOPLE_S: Final = 60
"""Who was not said to be here for so long is gone, and the web process that knew of it too."""

FIRST_NOTES: Final = (
    ("ideas", "sun", "Open this page in a second window, side by side."),
    ("ideas", "mint", "Drag me to another column. Or focus me and press Alt + an arrow key."),
    ("next", "sky", "Press Pause in one window, change things in the other, then Resume."),
    ("doing", "rose", "Kill the database while you write: the command line says how."),
    ("done", "lilac", "Start the board."),
)


def connect(host: str, port: int) -> Any:
    """To be awaited, and used with `async with`, which alone closes a connection that is dead already."""
    return r.connect(host, port, timeout=20)


async def prepare(host: str, port: int) -> None:
    async with await connect(host, port) as conn:
        await create(conn)


async def create(conn: Any) -> None:
    """Make what is not there yet, one step after the other: started halfway before, it goes on."""
    for table in ("board.notes", "board.activity", "board_people.people"):
        database, name = table.split(".")
        if database not in await r.db_list().run(conn):
            await r.db_create(database).run(conn)
        if name not in await r.db(database).table_list().run(conn):
            await r.db(database).table_create(name).run(conn)
            if name == "notes":
                await NOTES.insert(first_notes()).run(conn, transaction=True)
    if "at" not in await ACTIVITY.index_list().run(conn):
        await ACTIVITY.index_create("at").run(conn)
    await ACTIVITY.index_wait("at").run(conn)


def first_notes() -> list[dict[str, Any]]:
    return [
        {"text": text, "column": column, "color": color, "rank": rank, "last": None}
        for rank, (column, color, text) in enumerate(FIRST_NOTES)
    ]


def feeds(after: str | None) -> dict[str, Any]:
    """Everything a page follows, by the name the page knows it by."""
    first = {"include_initial": True, "include_states": True}
    return {
        # Rows, each with a token. After a token only what changed since then; without one, everything first.
        "notes": NOTES.changes(**first, include_resume_tokens=True, resume_after=after),
        # Aggregates: the server keeps the numbers, and sends those that change.
        "columns": NOTES.group("column").count().changes(**first, live=True),
        "minutes": ACTIVITY.group("minute").count().changes(**first, live=True),
        # The first rows of an order.
        "latest": ACTIVITY.order_by(index=r.desc("at")).limit(8).changes(**first),
        # Squashed: of a cursor's moves while a page was busy only the last matters.
        "people": PEOPLE.changes(**first, squash=True),
    }


def write(command: AnyCommand, who: str) -> Any:
    """The query that does `command`, to be run as a transaction; false if it had been done before."""
    done_before = ACTIVITY.get(command.id).ne(None)
    note = NOTES.get(command.note).default({})  # as it is before the change
    both = note.do(lambda old: [change(command, old), ACTIVITY.insert(line(command, who, old))])
    return r.branch(done_before, False, both.do(lambda _: True))


def line(command: AnyCommand, who: str, old: Any) -> Any:
    """What `activity` says of a command: the text and the column are the note's, where the command has none."""
    verb = type(command).__name__.lower()
    known = {"id": command.id, "verb": verb, "who": who, "at": NOW, "minute": (NOW / 60).floor()}
    return old.merge(fields(command)).pluck("text", "column").merge(known)


def change(command: AnyCommand, old: Any) -> Any:
    note = NOTES.get(command.note)
    match command:
        case Add():
            full = r.error(f"The board is full: it holds {NOTES_MAX} notes.")
            insert = NOTES.insert({"id": command.note, **fields(command), "last": command.id})
            return r.branch(NOTES.count() >= NOTES_MAX, full, insert)
        case Edit() | Move() | Paint():
            # `last` tells the page that sent the command which change is its own.
            write = note.update({**fields(command), "last": command.id})
        case Remove():
            write = note.delete()
        case _:
            assert_never(command)
    return r.branch(old.has_fields("id"), write, r.error("Somebody removed this note."))


def fields(command: AnyCommand) -> dict[str, Any]:
    """What a command says of its note."""
    names = ("text", "column", "rank", "color")
    return {name: getattr(command, name) for name in names if hasattr(command, name)}


def present(page: str, name: str, hue: int) -> Any:
    """Somebody arrives, has another name, or is still here."""
    person = {"id": page, "name": name, "hue": hue, "seen": NOW}
    return PEOPLE.insert(person, conflict="update")


def point(page: str, here: Here) -> Any:
    place = {"column": here.column, "x": here.x, "y": here.y, "editing": here.editing}
    return PEOPLE.get(page).update(place)


def leave(page: str) -> Any:
    return PEOPLE.get(page).delete()


def tidy() -> Any:
    """Forget old activity (its counts follow by themselves), and people whose server went away with them."""
    return r.expr(
        [
            ACTIVITY.between(r.minval, NOW - ACTIVITY_S, index="at").delete(),
            PEOPLE.filter(r.row["seen"] < NOW - PEOPLE_S).delete(),
        ]
    )
