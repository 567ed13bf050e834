"""`status`, `doctor` and `rotate-key` as an operator runs them: what they print, and with which status they end."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rethinkdb import r

from rethought.store.connection import connect
from tests.waiting import PATIENCE_S
from tools.serverprocess import ServerProcess, running, start

StartServer = Callable[..., ServerProcess]


TLS = Path(__file__).parent.parent / "tls"


def rethought(*arguments: object, environment: dict[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "rethought", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_S,
        env={**os.environ, **(environment or {})},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def fill(port: int, password: str = "") -> None:
    with r.connect(port=port, password=password) as connection:
        r.table_create("t").run(connection)
        r.table("t").index_create("a").run(connection)
        r.table("t").index_wait().run(connection)
        r.table("t").insert([{"id": n, "a": n % 7} for n in range(500)]).run(connection)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory a server has used and left."""
    directory = tmp_path_factory.mktemp("sound") / "data"
    with running(directory) as server:
        fill(server.port)
    return directory


@pytest.fixture
def directory(sound: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copy = tmp_path / "data"
    copy.mkdir(mode=0o700)
    for path in sound.iterdir():
        (copy / path.name).touch(mode=0o600)
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def database_file(directory: Path) -> Path:
    (path,) = (path for path in directory.glob("*.db") if path.name != "system.db")
    return path


def test_status_of_a_running_server(start_server: StartServer, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("geheim\n")
    server = start_server("--initial-password-file", str(password), "-n", "alpha")
    fill(server.port, "geheim")
    where = ("--connect", f"127.0.0.1:{server.port}")
    status, text = rethought("status", *where, "--password-file", password)
    assert status == 0
    assert text.startswith("alpha (")
    assert "1 of 1 tables ready" in text
    status, text = rethought("status", *where, "--password-file", password, "--json")
    found = json.loads(text)
    assert found["tables"] == [{"name": "test.t", "ready": True}]
    assert found["scrub"] == {"database": None, "progress": 0, "finished": None}
    status, text = rethought("status", *where)
    assert status == 1
    assert "Wrong password" in text
    status, text = rethought("status", *where, environment={"RETHOUGHT_PASSWORD": "geheim"})
    assert status == 0
    status, text = rethought("status", *where, "--tls")
    assert status == 1
    assert "Could not speak TLS" in text
    status, text = rethought("status", *where, "--password-file", tmp_path / "nowhere")
    assert status == 1
    assert "Could not read the password" in text


def test_status_over_tls(start_server: StartServer) -> None:
    cert, key = TLS / "cert.pem", TLS / "key.pem"
    server = start_server("--driver-tls-cert", str(cert), "--driver-tls-key", str(key))
    where = ("--connect", f"localhost:{server.port}")
    status, text = rethought("status", *where, "--tls-ca", cert)
    assert status == 0, text
    status, text = rethought("status", *where, "--tls")
    assert status == 1
    assert "Could not speak TLS" in text
    status, text = rethought("status", *where)
    assert status == 1
    assert "give --tls or --tls-ca" in text
    status, text = rethought("status", *where, "--tls-ca", TLS / "nowhere.pem")
    assert status == 1
    assert "The files for TLS cannot be used" in text


def test_status_of_nobody() -> None:
    status, text = rethought("status", "--connect", "127.0.0.1:1")
    assert status == 1
    assert "nothing listens there. Is a server running?" in text
    assert len(text.splitlines()) == 1


def test_a_sound_directory_is_well(directory: Path) -> None:
    status, text = rethought("doctor", "-d", directory)
    assert (status, text.splitlines()[-1]) == (0, "All is well.")
    assert "(database test)" in text


def test_a_directory_in_use_or_absent_is_not_examined(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    status, text = rethought("doctor", "-d", server.directory)
    assert status == 1
    assert "is already in use" in text
    assert rethought("doctor", "-d", tmp_path / "nowhere")[0] == 1


def test_open_access_rights_are_a_warning(directory: Path) -> None:
    database_file(directory).chmod(0o644)
    status, text = rethought("doctor", "-d", directory)
    assert status == 2
    assert "mode 644" in text


def test_a_damaged_page_is_found(directory: Path) -> None:
    path = database_file(directory)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    status, text = rethought("doctor", "-d", directory)
    assert status == 3
    assert "damaged" in text
    assert "cannot be read completely" in text


def test_a_damaged_system_file_does_not_keep_the_others_from_being_examined(
    directory: Path,
) -> None:
    path = directory / "system.db"
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096):  # the first one says what the file is
        content[page * 4096 + 100] ^= 1
    path.write_bytes(content)
    status, text = rethought("doctor", "-d", directory)
    assert status == 3
    assert "system.db: The database file `system.db` is damaged" in text
    assert f"Checking {database_file(directory).name}" in text


def test_status_of_a_server_with_damage_is_not_well(
    directory: Path, start_server: StartServer
) -> None:
    connection = connect(database_file(directory), None, vfs="unix-excl", cache_bytes=1 << 20)
    connection.execute("DELETE FROM i_2")
    connection.close()
    server = start_server("--scrub-days", "0.000005", directory=directory)
    with r.connect(port=server.port) as conn:
        issues = r.db("rethinkdb").table("current_issues").changes(include_initial=True)
        assert issues.run(conn).next(wait=PATIENCE_S)["new_val"]["critical"]
    status, text = rethought("status", "--connect", f"127.0.0.1:{server.port}")
    assert status == 2
    assert "critical: There is damage in index `a` of table `test.t`" in text


def test_an_index_that_differs_from_its_table_is_found(directory: Path) -> None:
    connection = connect(database_file(directory), None, vfs="unix-excl", cache_bytes=1 << 20)
    connection.execute("DELETE FROM i_2 WHERE r = 17")
    connection.close()
    status, text = rethought("doctor", "-d", directory)
    assert status == 3
    assert "index 2 of table 1: 1 entries are missing" in text


def test_another_version_is_said(directory: Path) -> None:
    connection = connect(directory / "system.db", None, vfs="unix-excl", cache_bytes=1 << 20)
    connection.pragma("user_version", 99)
    connection.close()
    status, text = rethought("doctor", "-d", directory)
    assert status == 1
    assert "has format version 99" in text


def test_long_work_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    from rethought.cli.doctor import Progress

    progress = Progress(terminal=True)
    progress._told -= 1
    progress.tell(0.42)
    progress.tell(0.43)  # too soon
    progress.end()
    assert capsys.readouterr().out == "  42%\r     \r"
    progress = Progress(terminal=False)
    progress._told -= 11
    progress.tell(0.5)
    assert capsys.readouterr().out == "  50%\n"


def test_an_audit_log_that_was_edited_is_found(start_server: StartServer, tmp_path: Path) -> None:
    audit = tmp_path / "audit.log"
    server = start_server("--audit-log", str(audit), "--audit-size", "1", "--audit-files", "2")
    fill(server.port)
    server.stop()
    status, text = rethought("doctor", "-d", server.directory)
    assert (status, text.splitlines()[-1]) == (0, "All is well.")
    assert f"Checking audit log {audit}" in text
    audit.write_text(audit.read_text().replace('"table":"t"', '"table":"u"', 1))
    status, text = rethought("doctor", "-d", server.directory)
    assert status == 3
    assert "is not as it was written" in text


def test_a_missing_file_is_found(directory: Path) -> None:
    database_file(directory).unlink()
    status, text = rethought("doctor", "-d", directory)
    assert status == 3
    assert "the file of database `test` is missing" in text


def test_the_key_is_rotated_and_the_data_stays(directory: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(os.urandom(32).hex())
    status, text = rethought("rotate-key", "-d", directory, "--new-key-file", key)
    assert (status, text.splitlines()[-1]) == (0, "All files have the new key.")
    assert rethought("doctor", "-d", directory)[0] == 1
    assert rethought("doctor", "-d", directory, "--encryption-key-file", key)[0] == 0
    server = start(directory, "--encryption-key-file", str(key))
    try:
        with r.connect(port=server.port) as connection:
            assert r.table("t").get_all(3, index="a").count().run(connection) == 71
    finally:
        server.stop()
    status, text = rethought("rotate-key", "-d", directory, "--remove-key")
    assert status == 1
    assert "encrypted with another key" in text
    assert rethought("rotate-key", "-d", directory)[0] == 1
