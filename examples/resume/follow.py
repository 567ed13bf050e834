"""Copies all that happens to a table into a file, one message a line, whatever fails in between.

    python -m examples.resume.follow PORT FILE

The file is all that is kept: its last line says where to go on.
"""

import json
import os
import sys
import time
from pathlib import Path

from rethinkdb import r
from rethinkdb.errors import ReqlDriverError, ReqlOpFailedError

ORDERS = r.db("shop").table("orders")


def place(path: Path) -> str | None:
    """The token to go on from; None to begin anew. What was cut off in the midst of a line is removed."""
    written = path.read_bytes() if path.exists() else b""
    complete = written[: written.rfind(b"\n") + 1]
    token = None
    if complete:
        token = json.loads(complete.splitlines()[-1]).get("resume_token")
    if path.exists():
        os.truncate(
            path, len(complete) if token else 0
        )  # killed among the initial values: read them again
    return token


def follow(port: int, path: Path) -> None:
    conn = r.connect(port=port)
    feed = ORDERS.changes(
        include_initial=True,  # when there is no token
        include_states=True,  # the end of the initial values has a token, too
        include_resume_tokens=True,
        resume_after=place(path),
    ).run(conn)
    with path.open("a") as file:
        for message in feed:
            file.write(json.dumps(message) + "\n")
            file.flush()


def main(port: int, path: Path) -> None:
    while True:
        try:
            follow(port, path)
        except ReqlOpFailedError as error:
            if "Cannot resume" not in error.message:
                raise
            path.unlink()  # away for too long: the table is read anew
        except ReqlDriverError:
            time.sleep(0.1)  # the server is not there; it will be


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
