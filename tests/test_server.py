"""A server's life: start, mistakes at the start, signals, passwords, TLS, starting again."""

import json
import os
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rethinkdb import r
from rethinkdb.errors import ReqlAuthError, ReqlDriverError

from tests.waiting import PATIENCE_S
from tests.wire.client import JSON, V0_4, Client, Raw
from tools.serverprocess import NotReadyError, ServerProcess, start

StartServer = Callable[..., ServerProcess]


def test_the_official_driver_connects_and_queries(shared_server: ServerProcess) -> None:
    with r.connect(port=shared_server.port) as connection:
        assert r.expr([1, 2, 3]).map(lambda x: x + 1).run(connection) == [2, 3, 4]
        assert set(connection.server()) == {"id", "name", "proxy"}


def test_a_new_server_has_a_database_test_and_a_private_directory(
    start_server: StartServer,
) -> None:
    server = start_server()
    with r.connect(port=server.port) as connection:
        assert "test" in r.db_list().run(connection)
    assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
    for path in server.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_start_lines(start_server: StartServer) -> None:
    lines = start_server("--server-name", "alpha").output.splitlines()
    assert lines[0].startswith("Initializing directory ")
    assert lines[1].startswith("Running rethought 0.")
    assert "Listening on driver addresses: 127.0.0.1" in "\n".join(lines)
    assert lines[-1].startswith('Server ready, "alpha" ')


def test_name_and_data_survive_a_restart(tmp_path: Path) -> None:
    first = start(tmp_path / "data", "--server-name", "alpha")
    try:
        with r.connect(port=first.port) as connection:
            r.db_create("kept").run(connection)
    finally:
        assert first.stop() == 0
    second = start(tmp_path / "data", "--server-name", "beta")
    try:
        assert 'Server ready, "alpha"' in second.output
        assert "Loading data from directory" in second.output
        with r.connect(port=second.port) as connection:
            assert "kept" in r.db_list().run(connection)
    finally:
        second.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_cleanly(tmp_path: Path, number: int) -> None:
    server = start(tmp_path / "data", "--pid-file", str(tmp_path / "pid"))
    try:
        assert (tmp_path / "pid").read_text() == f"{server.pid}\n"
        with Client(server.port) as client:
            client.ask(1, [1, 1])
            assert server.stop(number) == 0
            assert client.rest() == b""
        assert not (tmp_path / "pid").exists()
        assert "Storage engine shut down." in server.output
        assert not list((tmp_path / "data").glob("*-wal"))
    finally:
        server.kill()


def refused(directory: Path, *options: str) -> str:
    with pytest.raises(NotReadyError) as raised:
        start(directory, *options)
    text = str(raised.value)
    assert "Traceback" not in text
    return text


def test_a_directory_in_use_is_refused(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    text = f"Directory '{server.directory}' is already in use, perhaps another instance of"
    assert text in refused(server.directory)
    assert text in refused(server.directory)


def test_a_port_in_use_leaves_no_directory_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = refused(tmp_path / "new", "--driver-port", str(port))
    assert f"error: TCP socket creation failed for port {port}: Address already in use." in text
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--bind", "nonsense"], "bind ip address 'nonsense' could not be parsed"),
        (["--bind", "203.0.113.7"], "Could not find bind ip address '203.0.113.7'"),
        (["--encryption-key-file", "/nowhere"], "Could not read the encryption key"),
        (["--driver-tls-key", "/a", "--driver-tls-cert", "/b"], "Could not read /b: no such file"),
        (["--initial-password-file", "/nowhere"], "Could not read the initial password"),
    ],
)
def test_a_failed_start_says_why_and_removes_its_directory(
    tmp_path: Path, options: list[str], text: str
) -> None:
    assert text in refused(tmp_path / "new", *options)
    assert not (tmp_path / "new").exists()


def test_a_pid_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("1")
    text = refused(tmp_path / "new", "--pid-file", str(tmp_path / "pid"))
    assert "The pid-file specified already exists." in text
    assert (tmp_path / "pid").read_text() == "1"


def test_create_prepares_a_directory_once(tmp_path: Path) -> None:
    create = [sys.executable, "-m", "rethought", "create", "-n", "alpha", "-d"]
    path = str(tmp_path / "data")
    done = subprocess.run([*create, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    again = subprocess.run([*create, path], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert f"The path '{path}' already exists.  Delete it and try again." in again.stderr
    server = start(tmp_path / "data")
    try:
        assert 'Server ready, "alpha"' in server.output
    finally:
        server.stop()


def test_the_initial_password_is_asked_for(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    server = start_server("--initial-password-file", str(tmp_path / "password"))
    with r.connect(port=server.port, password="secret") as connection:
        assert r.expr(1).run(connection) == 1
    with pytest.raises(ReqlAuthError):
        r.connect(port=server.port)
    with Client(server.port, key="secret") as client:
        assert client.ask(1, [1, 1])["r"] == [1]
    with Raw(server.port) as raw:
        raw.send(struct.pack("<III", V0_4, 0, JSON))
        assert raw.rest() == b"ERROR: Incorrect authorization key.\n\0"


def test_the_initial_password_counts_only_once(tmp_path: Path) -> None:
    server = start(tmp_path / "data", "--initial-password", "auto")
    said = next(line for line in server.lines if "Generated random admin password" in line)
    server.stop()
    password = said.split(": ")[1].strip()
    assert password not in (tmp_path / "data" / "log_file").read_text()
    server = start(tmp_path / "data", environment={"RETHOUGHT_INITIAL_PASSWORD": "other"})
    try:
        assert "Ignoring --initial-password option" in server.output
        r.connect(port=server.port, password=password).close()
    finally:
        server.stop()


def test_an_encrypted_directory_needs_its_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(os.urandom(32).hex() + "\n")
    start(tmp_path / "data", "--encryption-key-file", str(key)).stop()
    assert "encrypted with another key" in refused(tmp_path / "data")
    assert (tmp_path / "data" / "system.db").exists()
    start(tmp_path / "data", "--encryption-key-file", str(key)).stop()


def test_json_log_lines(start_server: StartServer) -> None:
    server = start_server("--log-format", "json")
    entries = [json.loads(line) for line in server.lines]
    assert entries[-1]["message"].startswith("Server ready")
    assert {"time", "uptime", "level", "message"} == set(entries[-1])


def test_a_configuration_file(start_server: StartServer, tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('server-name = "from-file"\n[limits]\nconnections-max = 1\n')
    server = start_server("--config-file", str(file))
    assert '"from-file"' in server.output
    with Client(server.port), Raw(server.port) as raw:
        raw.send(struct.pack("<III", V0_4, 0, JSON))
        assert b"Too many connections" in raw.rest()


# TLS


# A self-signed certificate for localhost (until 2120), its key, and a key that is not its own. They guard nothing.
CERTIFICATE = Path(__file__).parent / "tls" / "cert.pem"
KEY = CERTIFICATE.with_name("key.pem")
OTHER_KEY = CERTIFICATE.with_name("other-key.pem")


def tls_options(key: Path = KEY) -> list[str]:
    return ["--driver-tls-cert", str(CERTIFICATE), "--driver-tls-key", str(key)]


def test_tls_connections(start_server: StartServer) -> None:
    server = start_server(*tls_options())
    with r.connect(
        host="localhost", port=server.port, ssl={"ca_certs": str(CERTIFICATE)}
    ) as connection:
        assert r.expr(list(range(1000))).count().run(connection) == 1000
        big = "x" * 3_000_000
        assert r.expr(big).run(connection) == big
    with pytest.raises(ReqlDriverError):
        r.connect(port=server.port, timeout=5)
    server.process.send_signal(signal.SIGHUP)
    with r.connect(
        host="localhost", port=server.port, ssl={"ca_certs": str(CERTIFICATE)}
    ) as connection:
        assert r.expr(1).run(connection) == 1


def test_all_databases_share_one_cache_whose_size_can_be_changed(
    start_server: StartServer,
) -> None:
    server = start_server("--cache-size", "64")
    config = r.db("rethinkdb").table("server_config")
    status = r.db("rethinkdb").table("server_status").nth(0)["process"]["cache_size_mb"]
    in_use = (
        r.db("rethinkdb")
        .table("stats")
        .filter(lambda row: row["id"].contains("table_server"))
        .sum(lambda row: row["storage_engine"]["cache"]["in_use_bytes"])
    )
    rows = [{"id": n, "pad": "x" * 4_000} for n in range(1_000)]
    with r.connect(port=server.port) as connection:
        for name in ("one", "two", "three"):
            r.db_create(name).run(connection)
            r.db(name).table_create("t").run(connection)
            r.db(name).table("t").insert(rows, durability="soft").run(connection)
        assert status.run(connection) == 64
        assert in_use.run(connection) > 10 << 20
        assert config.update({"cache_size_mb": 4.5}).run(connection)["replaced"] == 1
        assert status.run(connection) == 4.5
        for name in ("one", "two", "three"):
            r.db(name).table("t").map(r.row["pad"].count()).sum().run(connection)
        assert in_use.run(connection) < 6 << 20
        logs = r.db("rethinkdb").table("logs")["message"].coerce_to("array").run(connection)
        assert logs[0] == "Cache size is set to 4 MB"
        config.update({"name": "renamed"}).run(connection)
        (newest,) = r.db("rethinkdb").table("logs").limit(1)["message"].run(connection)
        assert newest.startswith("Changed server's name from `")


def test_the_log_goes_back_beyond_a_restart(start_server: StartServer) -> None:
    server = start_server()
    server.stop()
    server = start_server(directory=server.directory)
    with r.connect(port=server.port) as connection:
        messages = list(r.db("rethinkdb").table("logs")["message"].run(connection))
    assert sum(message.startswith("Server ready") for message in messages) == 2
    assert messages[0].startswith("Server ready")


def test_a_log_file_that_was_moved_aside_is_opened_anew(start_server: StartServer) -> None:
    server = start_server()
    path = server.directory / "log_file"
    path.rename(server.directory / "log_file.old")
    server.process.send_signal(signal.SIGHUP)
    with r.connect(port=server.port) as connection:
        opened = (
            r.db("rethinkdb").table("logs")["message"].contains("The log file was opened anew.")
        )
        assert any(opened.run(connection) for _ in range(1_000))
    assert "The log file was opened anew." in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_a_client_certificate_can_be_required(
    start_server: StartServer,
) -> None:
    server = start_server(*tls_options(), "--driver-tls-ca", str(CERTIFICATE))

    def answer(context: ssl.SSLContext) -> bytes:
        with (
            socket.create_connection(("localhost", server.port), timeout=PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            sock.sendall(struct.pack("<III", V0_4, 0, JSON))
            try:
                return sock.recv(100)  # with TLS 1.3 the refusal comes only now
            except (ssl.SSLError, ConnectionError):
                return b""

    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    assert answer(context) == b""
    context.load_cert_chain(str(CERTIFICATE), str(KEY))
    assert answer(context) == b"SUCCESS\0"


def test_tls_mistakes_are_explained(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    assert "The private key and certificate do not match." in refused(
        directory, *tls_options(OTHER_KEY)
    )
    for option, value, text in (
        ("--tls-ciphers", "nonsense", "No secure cipher suites available."),
        ("--tls-ecdh-curve", "x", "No elliptic curve found corresponding to name 'x'."),
        ("--tls-min-protocol", "x", "Unrecognized TLS protocol version 'x'."),
    ):
        assert text in refused(directory, *tls_options(), option, value)
