"""The notebook: how it is set up, and what somebody who is logged in does with it."""

from typing import Any

from rethinkdb import r

NOTES = r.db("notebook").table("notes")


def create(admin: Any, people: dict[str, str]) -> None:
    """Made by the administrator: the table, the users, and which notes are whose."""
    r.db_create("notebook").run(admin)
    r.db("notebook").table_create("notes").run(admin)
    NOTES.index_create("owner").run(admin)
    NOTES.index_wait("owner").run(admin)
    for name, password in people.items():
        r.db("rethinkdb").table("users").insert({"id": name, "password": password}).run(admin)
        NOTES.grant(name, rights(name)).run(admin)


def rights(name: str) -> dict[str, Any]:
    """Functions of a note instead of true: for which notes somebody has the right."""
    return {
        "read": lambda note: (note["owner"] == name) | note["shared"],
        "write": lambda note: note["owner"] == name,
    }


def write(conn: Any, owner: str, text: str, *, shared: bool = False) -> str:
    """The key of the new note. Raises ValueError when it may not be written."""
    note = {"owner": owner, "text": text, "shared": shared}
    result = NOTES.insert(note).run(conn)
    if result["errors"]:
        raise ValueError(result["first_error"])
    key: str = result["generated_keys"][0]
    return key


def share(conn: Any, key: str) -> None:
    NOTES.get(key).update({"shared": True}).run(conn)


def texts(conn: Any) -> list[str]:
    """Every note that can be seen."""
    return sorted(NOTES["text"].run(conn))


def follow(conn: Any) -> Any:
    """What becomes visible, changes and vanishes."""
    return NOTES.changes().run(conn)
