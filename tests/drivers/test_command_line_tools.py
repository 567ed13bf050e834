"""The command-line tools of the official Python driver, unmodified: dump, restore, export, import, index-rebuild."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rethinkdb import r

from tools.serverprocess import ServerProcess, running

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running(tmp_path_factory.mktemp("tools") / "data") as process:
        yield process


@pytest.fixture
def conn(server: ServerProcess) -> Iterator[Any]:
    connection = r.connect("127.0.0.1", server.port)
    for name in r.db_list().run(connection):
        if name != "rethinkdb":
            r.db_drop(name).run(connection)
    yield connection
    connection.close()


def tool(server: ServerProcess, name: str, *arguments: str) -> str:
    command = [str(BIN / f"rethinkdb-{name}"), "-c", f"127.0.0.1:{server.port}", *arguments]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={"PATH": str(BIN), "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def fill(conn: Any) -> dict[str, list[Any]]:
    """Two tables with all kinds of values, indexes and a write hook; their documents."""
    r.db_create("shop").run(conn)
    shop = r.db("shop")
    shop.table_create("things", primary_key="key").run(conn)
    shop.table_create("empty").run(conn)
    things = shop.table("things")
    things.insert(
        [
            {
                "key": 1,
                "name": "a",
                "when": r.epoch_time(1_600_000_000.5),
                "raw": r.binary(b"\0\xff"),
            },
            {"key": "two", "tags": ["x", "y"], "deep": {"er": {"null": None}}},
            {
                "key": [3, "c"],
                "where": r.point(1, 2),
                "big": 1.5e300,
                "text": "späte Grüße \U0001f41f",
            },
        ]
    ).run(conn)
    things.insert(r.range(3000).map(lambda n: {"key": n + 10, "n": n})).run(conn)
    things.index_create("name").run(conn)
    things.index_create("tags", multi=True).run(conn)
    things.index_create("where", geo=True).run(conn)
    things.index_create("odd", lambda row: [row["n"] % 2, row["n"]]).run(conn)
    things.index_wait().run(conn)
    # It leaves these documents alone: the tools set it while the last of them are still on their way.
    things.set_write_hook(
        lambda context, old, new: r.branch(
            new.default({}).has_fields("bait"), new.merge({"hooked": True}), new
        )
    ).run(conn)
    return contents(conn)


def contents(conn: Any) -> dict[str, list[Any]]:
    """Every document of the database in wire form, in a fixed order."""
    found = {}
    for name in sorted(r.db("shop").table_list().run(conn)):
        rows = r.db("shop").table(name).run(conn, time_format="raw", binary_format="raw")
        found[name] = sorted(json.dumps(row, sort_keys=True) for row in rows)
    return found


def structure(conn: Any) -> Any:
    """What a table is besides its documents."""
    things = r.db("shop").table("things")
    things.index_wait().run(conn)
    indexes = things.index_status().without("query", "outdated", "progress").run(conn)
    functions = sorted(bytes(one["function"]) for one in things.index_status().run(conn))
    return (
        sorted((one["index"], one["multi"], one["geo"], one["ready"]) for one in indexes),
        functions,
        things.config()["primary_key"].run(conn),
        bytes(things.get_write_hook()["function"].run(conn)),
    )


def test_what_was_dumped_is_restored(server: ServerProcess, conn: Any, tmp_path: Path) -> None:
    before, shape = fill(conn), structure(conn)
    archive = tmp_path / "dump.tar.gz"
    tool(server, "dump", "-f", str(archive))
    r.db_drop("shop").run(conn)
    tool(server, "restore", str(archive))
    assert contents(conn) == before
    assert structure(conn) == shape
    assert r.db("shop").table("things").get_all("x", index="tags").count().run(conn) == 1
    assert r.db("shop").table("things").between([1, 0], [1, 9], index="odd").count().run(conn) == 4


def test_what_was_exported_is_imported(server: ServerProcess, conn: Any, tmp_path: Path) -> None:
    before = fill(conn)
    folder = tmp_path / "export"
    tool(server, "export", "-d", str(folder))
    r.db_drop("shop").run(conn)
    tool(server, "import", "-d", str(folder))
    assert contents(conn) == before


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("csv",), "id,name\n1,Ada\n2,Grace\n"),
        # Without --pkey the tool sends a null, which the original refuses as well.
        (("json", "--pkey", "id"), '{"id": "1", "name": "Ada"}\n{"id": "2", "name": "Grace"}\n'),
    ],
)
def test_a_file_is_imported(
    server: ServerProcess, conn: Any, tmp_path: Path, options: tuple[str, ...], text: str
) -> None:
    r.db_create("shop").run(conn)
    file = tmp_path / f"rows.{options[0]}"
    file.write_text(text)
    tool(server, "import", "-f", str(file), "--table", "shop.people", "--format", *options)
    rows = r.db("shop").table("people").order_by("id").run(conn)
    assert rows == [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Grace"}]


def test_indexes_are_rebuilt(server: ServerProcess, conn: Any) -> None:
    fill(conn)
    shape = structure(conn)
    tool(server, "index-rebuild", "-r", "shop.things", "--force")
    assert structure(conn) == shape
