"""The three data sets as documents, and loading them into a server.

What always holds: a document is what the data set says, plus an `id` where it has none; nothing is left out.
Callers: `examples.flights.__main__`.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rethinkdb import r

HERE: Final = Path(__file__).parent
PACKAGE: Final = HERE / "node_modules" / "vega-datasets" / "data"
DATABASE: Final = "flights"
BATCH: Final = 1000
Document = dict[str, Any]


class NoData(Exception):
    """The data sets are not here and could not be installed."""


def install() -> None:
    """Have the npm package in `node_modules`, as the lock file says."""
    if PACKAGE.exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise NoData("npm is not installed, and the data sets come as an npm package")
    done = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund"],
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not PACKAGE.exists():
        raise NoData(f"npm ci did not bring the data sets: {done.stderr.strip()[-300:]}")


def read(name: str) -> Any:
    return json.loads((PACKAGE / name).read_text())


def flights(count: int) -> list[Document]:
    """Delay in minutes, distance in miles, and the hour of departure; numbered in the order of the file."""
    rows = read("flights-200k.json")[:count]
    return [{"id": number, **row} for number, row in enumerate(rows)]


def movies() -> list[Document]:
    return [{"id": number, **row} for number, row in enumerate(read("movies.json"))]


def earthquakes() -> list[Document]:
    """One document per quake: what the agency measured, and where (longitude, latitude) as `at`."""
    return [
        {"id": feature["id"], "at": feature["geometry"]["coordinates"][:2], **feature["properties"]}
        for feature in read("earthquakes.json")["features"]
    ]


def batches(rows: list[Document], size: int = BATCH) -> Iterator[list[Document]]:
    for low in range(0, len(rows), size):
        yield rows[low : low + size]


def load(conn: Any, table: str, rows: list[Document]) -> None:
    """Create the table and fill it; the server says how many documents went in."""
    r.table_create(table).run(conn)
    inserted = 0
    for batch in batches(rows):
        inserted += r.table(table).insert(batch, durability="soft").run(conn)["inserted"]
    r.table(table).sync().run(conn)
    if inserted != len(rows):
        raise AssertionError(f"{table}: {inserted} of {len(rows)} documents were inserted")


def create_database(conn: Any) -> None:
    if DATABASE in r.db_list().run(conn):
        r.db_drop(DATABASE).run(conn)
    r.db_create(DATABASE).run(conn)
    conn.use(DATABASE)


def create_indexes(conn: Any) -> list[str]:
    """Plain, compound, multi and geospatial indexes, built over the data that is there."""
    flight, movie, quake = r.table("flights"), r.table("movies"), r.table("quakes")
    flight.index_create("delay").run(conn)
    flight.index_create("distance").run(conn)
    flight.index_create("hour_delay", [r.row["time"].floor(), r.row["delay"]]).run(conn)
    movie.index_create("genre", r.row["Major Genre"]).run(conn)
    movie.index_create("words", r.row["Title"].coerce_to("string").split(), multi=True).run(conn)
    quake.update({"where": r.point(r.row["at"][0], r.row["at"][1])}).run(conn)
    quake.index_create("where", geo=True).run(conn)
    names = []
    for table in ("flights", "movies", "quakes"):
        for status in r.table(table).index_wait().run(conn):
            assert status["ready"]
            names.append(f"{table}.{status['index']}")
    return names
