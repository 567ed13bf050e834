"""TLS on the driver port: who gets in with which certificate, what is refused, counted and logged, and renewing it."""

import signal
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rethinkdb import r

from rethought.config import ConfigError, load
from rethought.wire.tls import users_of
from tests.tls.certificates import Authority, Pair
from tests.waiting import PATIENCE_S, until
from tests.wire.client import JSON, V0_4, V1_0, Login, Raw, log_in
from tools.serverprocess import ServerProcess

StartServer = Callable[..., ServerProcess]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.sign("localhost")


def options(pair: Pair) -> list[str]:
    return ["--driver-tls-cert", str(pair.certificate), "--driver-tls-key", str(pair.key)]


def context(authority: Authority, client: Pair | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(authority.certificate))
    if client is not None:
        made.load_cert_chain(str(client.certificate), str(client.key))
    return made


@contextmanager
def connected(server: ServerProcess, tls: ssl.SSLContext) -> Iterator[Raw]:
    with Raw(server.port) as raw:
        raw.sock = tls.wrap_socket(raw.sock, server_hostname="localhost")
        yield raw


def gets_in(server: ServerProcess, tls: ssl.SSLContext) -> bool:
    try:
        with connected(server, tls) as raw:
            raw.send(struct.pack("<III", V0_4, 0, JSON))
            return raw.until_nul() == b"SUCCESS"
    except (ssl.SSLError, ConnectionError, EOFError):
        return False


def test_a_driver_gets_in_and_bytes_that_come_early_are_not_lost(
    start_server: StartServer, authority: Authority, pair: Pair
) -> None:
    server = start_server(*options(pair))
    certificates = {"ca_certs": str(authority.certificate)}
    with r.connect(host="localhost", port=server.port, ssl=certificates) as connection:
        assert r.expr("x" * 3_000_000).count().run(connection) == 3_000_000
    for _ in range(20):  # the login leaves with the last message of TLS
        assert gets_in(server, context(authority))


def test_clients_without_tls_or_with_another_are_cut_logged_and_counted(
    start_server: StartServer, authority: Authority, pair: Pair
) -> None:
    server = start_server(*options(pair), "--http-port", "0", "--tls-min-protocol", "TLSv1.3")
    with Raw(server.port) as raw:
        raw.send(struct.pack("<III", V0_4, 0, JSON))
        assert b"SUCCESS" not in raw.rest()
    old = context(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert not gets_in(server, old)
    assert gets_in(server, context(authority))
    assert "rethought_tls_failures_total 2" in metrics(server)
    server.stop()
    log = (server.directory / "log_file").read_text()
    assert log.count("Driver connection TLS handshake failed: 127.0.0.1:") == 2
    assert "wrong version number" in log.lower() or "http request" in log.lower()
    assert "unsupported protocol" in log.lower()


def metrics(server: ServerProcess) -> str:
    import re
    from urllib.request import urlopen

    found = re.search(r"HTTP connections on port (\d+)", server.output)
    assert found is not None
    with urlopen(f"http://127.0.0.1:{found[1]}/metrics", timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode()
    return text


def test_ciphers_are_those_that_were_asked_for(
    start_server: StartServer, authority: Authority, pair: Pair
) -> None:
    server = start_server(*options(pair), "--tls-ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384")
    tls = context(authority)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with connected(server, tls) as raw:
        assert raw.sock.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"  # type: ignore[attr-defined]
    tls.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert not gets_in(server, tls)


def test_a_certificate_of_the_authority_is_needed(
    start_server: StartServer, authority: Authority, pair: Pair
) -> None:
    server = start_server(*options(pair), "--driver-tls-ca", str(authority.certificate))
    stranger = Authority(authority.folder, "stranger").sign("admin")
    assert gets_in(server, context(authority, authority.sign("anybody")))
    assert not gets_in(server, context(authority))
    assert not gets_in(server, context(authority, stranger))
    assert not gets_in(server, context(authority, authority.sign("late", hours=-1)))


@pytest.mark.parametrize("where", ["cn", "san"])
def test_a_certificate_says_who_somebody_may_be(
    start_server: StartServer, authority: Authority, pair: Pair, where: str
) -> None:
    server = start_server(
        *options(pair), "--driver-tls-ca", str(authority.certificate), "--driver-tls-user", where
    )

    def answer(client: Pair, user: str, password: str = "") -> str:
        with connected(server, context(authority, client)) as raw:
            found = log_in(raw, Login(user, password))
        return "in" if found["success"] else str(found["error"])

    if where == "cn":
        admin, bob = authority.sign("admin"), authority.sign("bob")
    else:
        admin = authority.sign("x", dns=("y", "admin"))
        bob = authority.sign("admin", mail=("bob@example.org",))
    name = "bob" if where == "cn" else "bob@example.org"
    assert gets_in(server, context(authority, admin))
    with connected(server, context(authority, admin)) as raw:
        raw.send(struct.pack("<III", V0_4, 0, JSON))
        assert raw.until_nul() == b"SUCCESS"
        users = [15, [[14, ["rethinkdb"]], "users"]]
        from tests.wire.client import HEADER, frame

        raw.send(frame(1, [1, [56, [users, {"id": name, "password": False}]]]))
        _, size = HEADER.unpack(raw.exactly(HEADER.size))
        assert b'"inserted":1' in raw.exactly(size)
    assert answer(admin, "admin") == "in"
    assert answer(bob, name) == "in"
    assert answer(bob, "admin") == "The client's certificate is not for the user `admin`."
    assert answer(admin, name) == f"The client's certificate is not for the user `{name}`."
    assert answer(bob, name, "wrong") == "Wrong password"
    assert not gets_in(server, context(authority, bob))  # as admin, by the old protocol


def test_names_in_certificates() -> None:
    certificate = {
        "subject": ((("countryName", "XX"),), (("commonName", "bob"),)),
        "subjectAltName": (("DNS", "amy"), ("email", "eve@x"), ("IP Address", "10.0.0.1")),
    }
    assert users_of(certificate, "cn") == {"bob"}
    assert users_of(certificate, "san") == {"amy", "eve@x"}
    assert users_of({}, "cn") == users_of({}, "san") == frozenset()


def test_settings_that_do_not_fit() -> None:
    pair = {"driver_tls_key": "k", "driver_tls_cert": "c"}
    with pytest.raises(ConfigError, match="--driver-tls-user needs --driver-tls-ca"):
        load({**pair, "driver_tls_user": "cn"}, {})
    with pytest.raises(ConfigError, match="driver-tls-user should be 'cn' or 'san', got 'dn'"):
        load({**pair, "driver_tls_ca": "a", "driver_tls_user": "dn"}, {})


def test_renewed_certificates_and_authorities_count_after_a_signal(
    start_server: StartServer, authority: Authority, tmp_path: Path
) -> None:
    first = authority.sign("localhost")
    files = Pair(tmp_path / "cert.pem", tmp_path / "key.pem")
    trusted = tmp_path / "ca.pem"

    def install(pair: Pair, issuer: Authority) -> None:
        files.certificate.write_bytes(pair.certificate.read_bytes())
        files.key.write_bytes(pair.key.read_bytes())
        trusted.write_bytes(issuer.certificate.read_bytes())

    install(first, authority)
    server = start_server(*options(files), "--driver-tls-ca", str(trusted))
    client = authority.sign("anybody")
    with connected(server, context(authority, client)) as before:
        other = Authority(authority.folder, "other")
        install(other.sign("localhost"), other)
        server.process.send_signal(signal.SIGHUP)
        wait_for(server, "The certificate was reloaded.")
        assert gets_in(server, context(other, other.sign("anybody")))
        assert not gets_in(server, context(other, client))  # of the old authority
        before.send(struct.pack("<I", V1_0))
        assert b"server_version" in before.until_nul()  # what was open stays so
        files.key.write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        wait_for(server, "The certificate was not reloaded: Could not use ")
        assert gets_in(server, context(other, other.sign("anybody")))


def wait_for(server: ServerProcess, text: str) -> None:
    log = server.directory / "log_file"
    until(lambda: text in log.read_text())


def test_connections_that_never_speak_tls_end_and_are_limited(
    start_server: StartServer, pair: Pair
) -> None:
    limits = ["--limit", "handshakes_per_address=3", "--limit", "handshake_seconds=0.5"]
    server = start_server(*options(pair), *limits)
    silent = [
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) for _ in range(9)
    ]
    for each in silent:
        assert each.recv(10) == b""
        each.close()


def test_mistakes_in_files_are_explained(tmp_path: Path, authority: Authority, pair: Pair) -> None:
    from rethought.wire.tls import TlsError, make_context

    empty = tmp_path / "empty.pem"
    empty.write_text("")
    other = authority.sign("localhost")
    usual = {
        "certificate": pair.certificate,
        "key": pair.key,
        "authority": None,
        "min_protocol": "TLSv1.2",
        "ciphers": "EECDH+AESGCM",
        "curve": "prime256v1",
        "dh_params": None,
    }
    for change, text in (
        ({"certificate": tmp_path / "none"}, f"Could not read {tmp_path}/none: no such file"),
        ({"key": other.key}, "The private key and certificate do not match."),
        ({"certificate": empty}, f"Could not use {empty} with {pair.key}: "),
        ({"authority": empty}, f"Could not read {empty}: "),
        ({"authority": tmp_path / "none"}, f"Could not read {tmp_path}/none: "),
        ({"dh_params": empty}, f"Could not read {empty}: "),
        ({"ciphers": "nonsense"}, "No secure cipher suites available."),
        ({"curve": "nonsense"}, "No elliptic curve found corresponding to name 'nonsense'."),
    ):
        with pytest.raises(TlsError) as raised:
            make_context(**{**usual, **change})  # type: ignore[arg-type]
        assert str(raised.value).startswith(text), change
