"""The password of `admin`: where it may come from, who gets in, and that nothing ever shows it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rethinkdb import r
from rethinkdb.errors import ReqlAuthError

from tests.wire.client import first_answer
from tools.serverprocess import ServerProcess

PASSWORD = "correct-horse-battery"
StartServer = Callable[..., ServerProcess]


@pytest.fixture(params=["option", "option=", "file", "environment", "config file"])
def started(
    request: pytest.FixtureRequest, start_server: StartServer, tmp_path: Path
) -> Iterator[ServerProcess]:
    """A server that got its password in one of the ways there are."""
    file = tmp_path / "secret"
    match request.param:
        case "option":
            yield start_server("--initial-password", PASSWORD)
        case "option=":
            yield start_server(f"--initial-password={PASSWORD}")
        case "file":
            file.write_text(PASSWORD + "\n")
            yield start_server("--initial-password-file", str(file))
        case "environment":
            yield start_server(environment={"RETHOUGHT_INITIAL_PASSWORD": PASSWORD})
        case _:
            file.write_text(f'initial-password = "{PASSWORD}"\n')
            yield start_server("--config-file", str(file))


def test_admin_needs_it_and_nothing_shows_it(started: ServerProcess) -> None:
    for wrong in ("", "wrong", PASSWORD + "x"):
        with pytest.raises(ReqlAuthError):
            r.connect(port=started.port, password=wrong)
    shown = []
    with r.connect(port=started.port, password=PASSWORD) as connection:
        system = r.db("rethinkdb")
        user = system.table("users").get("admin")
        assert user.run(connection) == {"id": "admin", "password": True}
        for name in system.table_list().run(connection):
            shown.append(str(list(system.table(name).run(connection))))
        change = user.update({"password": PASSWORD + "2"})
        shown.append(str(change.run(connection)))
    shown.append(Path(f"/proc/{started.pid}/cmdline").read_bytes().decode())
    started.stop()
    shown.append((started.directory / "log_file").read_text())
    shown.append(started.output)
    assert [text for text in shown if PASSWORD in text] == []
    stored = b"".join(path.read_bytes() for path in started.directory.glob("*.db*"))
    assert PASSWORD.encode() not in stored


def test_admin_without_a_password_gets_in_without_one(start_server: StartServer) -> None:
    server = start_server()
    with r.connect(port=server.port) as connection:
        user = r.db("rethinkdb").table("users").get("admin")
        assert user["password"].run(connection) is False
    with pytest.raises(ReqlAuthError):
        r.connect(port=server.port, password="x")


def test_a_password_that_is_there_is_not_replaced(start_server: StartServer) -> None:
    server = start_server("--initial-password", PASSWORD)
    server.stop()
    server = start_server("--initial-password", "another", directory=server.directory)
    assert "Ignoring --initial-password option" in server.output
    r.connect(port=server.port, password=PASSWORD).close()


def test_one_that_is_made_up_is_printed_once_and_not_logged(start_server: StartServer) -> None:
    server = start_server("--initial-password", "auto")
    (line,) = (each for each in server.lines if "Generated random admin password: " in each)
    password = line.split()[-1]
    r.connect(port=server.port, password=password).close()
    assert password not in (server.directory / "log_file").read_text()


def test_an_unknown_user_looks_the_same_before_and_after_a_restart(
    start_server: StartServer,
) -> None:
    server = start_server()
    before = [first_answer(server.port, name) for name in ("nobody", "admin")]
    server.stop()
    server = start_server(directory=server.directory)
    assert [first_answer(server.port, name) for name in ("nobody", "admin")] == before
