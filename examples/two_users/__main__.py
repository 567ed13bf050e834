"""Runs the example and tells what happens; the exit status is 0 when every step was right."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from rethinkdb import r
from rethinkdb.errors import ReqlAuthError, ReqlPermissionError

from examples.two_users import notebook
from tools.serverprocess import running

PEOPLE = {"alice": "correct horse", "bob": "battery staple"}

wrong: list[str] = []


def check(what: str, seen: Any, expected: Any) -> None:
    right = seen == expected
    print(f"  {'ok   ' if right else 'WRONG'} {what}", flush=True)
    if not right:
        wrong.append(what)
        print(f"        {seen!r} instead of {expected!r}", flush=True)


def error_of(kind: type[Exception], do: Any) -> str:
    """The message of what must fail."""
    try:
        do()
    except kind as error:
        return str(getattr(error, "message", error))
    return "nothing"


def play(port: int) -> None:
    def log_in(user: str, password: str) -> Any:
        return r.connect(port=port, user=user, password=password)

    admin = r.connect(port=port)
    notebook.create(admin, PEOPLE)
    check(
        "a wrong password and a wrong name get the same answer",
        error_of(ReqlAuthError, lambda: log_in("alice", "guess")),
        error_of(ReqlAuthError, lambda: log_in("mallory", "guess")),
    )
    alice, bob = (log_in(*person) for person in PEOPLE.items())

    feed = notebook.follow(bob)
    key = notebook.write(alice, "alice", "a secret")
    notebook.write(bob, "bob", "a shopping list")
    check("alice sees her note", notebook.texts(alice), ["a secret"])
    check("bob sees his", notebook.texts(bob), ["a shopping list"])
    check("bob does not find hers by its key", notebook.NOTES.get(key).run(bob), None)
    check("nor by her name", notebook.NOTES.get_all("alice", index="owner").count().run(bob), 0)
    check("his feed tells of his note", feed.next()["new_val"]["text"], "a shopping list")

    notebook.share(alice, key)
    check("his feed tells when she shares", feed.next()["new_val"]["text"], "a secret")
    check("now he sees it", notebook.texts(bob), ["a secret", "a shopping list"])
    denied = "User `bob` does not have the required `write` permission."
    result = notebook.NOTES.get(key).update({"text": "ha"}).run(bob)
    check("but he may not change it", result["first_error"], denied)
    refused = error_of(ValueError, lambda: notebook.write(bob, "alice", "ha"))
    check("nor write in her name", refused, denied)
    refused = error_of(ReqlPermissionError, lambda: r.db_create("own").run(bob))
    check("nor make a database", "`config`" in refused, True)

    notebook.NOTES.grant("bob", {"read": None, "write": None}).run(admin)
    refused = error_of(ReqlPermissionError, feed.next)
    check("without the right to read, his feed ends", "`read`" in refused, True)
    check("alice goes on", notebook.texts(alice), ["a secret"])
    for conn in (alice, bob, admin):
        conn.close()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data") as server:
        play(server.port)
    print("Everything was right." if not wrong else f"{len(wrong)} wrong.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
