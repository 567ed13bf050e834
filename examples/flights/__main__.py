"""Runs the whole example and tells what happens; the exit status is 0 when every answer was right."""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rethinkdb import r

from examples.flights import crash, dashboard, data
from examples.flights.questions import Facts, create_genres, questions, same
from tools.serverprocess import start


def say(line: str) -> None:
    print(line, flush=True)


def fill(conn: Any, facts: Facts) -> None:
    data.create_database(conn)
    for name, rows in (
        ("flights", facts.flights),
        ("movies", facts.movies),
        ("quakes", facts.quakes),
    ):
        begin = time.perf_counter()
        data.load(conn, name, rows)
        say(f"  {name}: {len(rows):,} documents in {time.perf_counter() - begin:.1f} s")
    say(f"  indexes: {', '.join(data.create_indexes(conn))}")
    say(f"  genres: {create_genres(conn)} documents, made by a query")


def ask(conn: Any, facts: Facts) -> int:
    """Ask everything; how many answers were wrong."""
    wrong = 0
    for question in questions():
        begin = time.perf_counter()
        answer = question.ask().run(conn)
        if not isinstance(answer, dict | int | float | str):
            answer = list(answer)
        taken = time.perf_counter() - begin
        expected = question.expect(facts)
        right = same(answer, expected)
        say(f"  {'ok   ' if right else 'WRONG'} {taken * 1000:7.1f} ms  {question.words}")
        if not right:
            wrong += 1
            say(f"        got      {str(answer)[:300]}\n        expected {str(expected)[:300]}")
    return wrong


def run(count: int, rounds: int, writes: int) -> int:
    data.install()
    facts = Facts(data.flights(count), data.movies(), data.earthquakes())
    with tempfile.TemporaryDirectory(prefix="rethought-flights-") as folder:
        server = start(Path(folder) / "data")
        try:
            conn = r.connect("127.0.0.1", server.port)
            say("Loading")
            fill(conn, facts)
            say("Asking; each answer is compared with plain Python over the same files")
            wrong = ask(conn, facts)
            conn.close()
            say("Following a dashboard while another process writes")
            dashboard.run(server.port, say)
            say("Killing the server in the middle of writing")
            server = crash.run(server, rounds, writes, say)
        finally:
            server.stop()
    say("Everything was right." if not wrong else f"{wrong} answers were wrong.")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="examples.flights", description=__doc__)
    parser.add_argument("--flights", type=int, default=200_000, help="how many (default all)")
    parser.add_argument("--crashes", type=int, default=3, help="how often the server is killed")
    parser.add_argument("--writes", type=int, default=300, help="acknowledged before each kill")
    given = parser.parse_args()
    try:
        return run(given.flights, given.crashes, given.writes)
    except data.NoData as error:
        say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
