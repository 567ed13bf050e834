"""With a key, nothing a client stored can be read in any file, whatever the moment; a wrong key touches nothing."""

import os
from pathlib import Path

import pytest
from rethinkdb import r

from tools.serverprocess import NotReadyError, running, start

MARKERS = (
    b"PLAIN-DOCUMENT",
    b"PLAIN-KEY",
    b"PLAIN-INDEX",
    b"PLAIN-OLD",
    b"plain_table",
    b"plain_user",
)


def seen(directory: Path) -> set[bytes]:
    """Markers found in any file but the log, which names tables."""
    found = set()
    for path in directory.rglob("*"):
        if path.is_file() and path.name != "log_file":
            content = path.read_bytes()
            found |= {marker for marker in MARKERS if marker in content}
            found |= {m for m in MARKERS if m.decode().encode("utf-16-le") in content}
    return found


def fill(port: int) -> None:
    """Documents, indexes, a journal with old values, users; large enough that nothing stays in memory only."""
    with r.connect(port=port) as connection:
        r.table_create("plain_table").run(connection)
        rows = r.table("plain_table")
        rows.index_create("tag").run(connection)
        rows.index_wait().run(connection)
        for part in range(10):
            rows.insert(
                [
                    {
                        "id": f"PLAIN-KEY-{part}-{n}",
                        "tag": f"PLAIN-INDEX-{n}",
                        "text": "PLAIN-OLD" * 50,
                    }
                    for n in range(200)
                ]
            ).run(connection)
        rows.update({"text": "PLAIN-DOCUMENT" * 50}).run(connection)
        rows.order_by("text").limit(3).run(connection)
        r.db("rethinkdb").table("users").insert({"id": "plain_user", "password": "p"}).run(
            connection
        )


def test_no_plaintext_is_in_any_file_while_it_runs_or_after(tmp_path: Path) -> None:
    key, directory, scratch = tmp_path / "key", tmp_path / "data", tmp_path / "scratch"
    key.write_text(os.urandom(32).hex())
    scratch.mkdir()
    environment = {"TMPDIR": str(scratch), "SQLITE_TMPDIR": str(scratch)}
    with running(
        directory, "--encryption-key-file", str(key), "--cache-size", "1", environment=environment
    ) as server:
        fill(server.port)
        assert any(path.name.endswith("-wal") for path in directory.iterdir())
        assert seen(directory) | seen(scratch) == set()
    assert seen(directory) | seen(scratch) == set()


def test_the_search_would_find_plaintext(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"xx PLAIN-DOCUMENT xx")
    assert seen(tmp_path) == {b"PLAIN-DOCUMENT"}


def test_a_wrong_or_missing_key_touches_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    right = os.urandom(32).hex()
    start(directory, environment={"RETHOUGHT_ENCRYPTION_KEY": right}).stop()

    def files() -> dict[str, bytes]:
        return {
            path.name: path.read_bytes() for path in directory.iterdir() if path.suffix == ".db"
        }

    before = files()
    for environment in ({}, {"RETHOUGHT_ENCRYPTION_KEY": os.urandom(32).hex()}):
        with pytest.raises(NotReadyError) as raised:
            start(directory, environment=environment)
        assert "is encrypted with another key" in str(raised.value)
        assert files() == before
    with pytest.raises(NotReadyError, match="should be 64 hexadecimal digits"):
        start(directory, environment={"RETHOUGHT_ENCRYPTION_KEY": "short"})
    start(directory, environment={"RETHOUGHT_ENCRYPTION_KEY": right}).stop()


def test_a_wrong_key_after_a_crash_leaves_the_log_to_the_right_one(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    right = {"RETHOUGHT_ENCRYPTION_KEY": os.urandom(32).hex()}
    server = start(directory, environment=right)
    with r.connect(port=server.port) as connection:
        r.table_create("t").run(connection)
        r.table("t").insert([{"id": n} for n in range(100)]).run(connection)
    server.kill()

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in directory.iterdir() if ".db" in path.name}

    before = files()
    assert any(name.endswith("-wal") for name in before)
    for environment in ({}, {"RETHOUGHT_ENCRYPTION_KEY": os.urandom(32).hex()}):
        with pytest.raises(NotReadyError, match="is encrypted with another key"):
            start(directory, environment=environment)
        assert files() == before
    server = start(directory, environment=right)
    try:
        with r.connect(port=server.port) as connection:
            assert r.table("t").count().run(connection) == 100
    finally:
        server.stop()
