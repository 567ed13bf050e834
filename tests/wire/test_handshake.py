"""Handshakes: every refusal with its code and text, and the ways in."""

import json
import socket
import struct

import pytest

from rethought.limits import Limits
from rethought.wire.handshake import Accepted, CheckKey, Handshake, Refused, Send
from tests.wire.client import HEADER, JSON, V0_3, V0_4, V1_0, Client, Login, Raw, frame, log_in
from tests.wire.conftest import WireServer, wire_server
from tests.wire.fake_engine import FakeEngine

PASSWORDS = {"admin": "secret", "bob": "pässword", "a,b=c": "comma", "zoë": "z"}
PROTOBUF_TEXT = b"ERROR: The PROTOBUF client protocol is no longer supported\n\0"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (struct.pack("<I", 0x3F61BA36), PROTOBUF_TEXT),
        (struct.pack("<I", 0x723081E1), PROTOBUF_TEXT),
        (struct.pack("<III", V0_4, 0, 0x271FFC41), PROTOBUF_TEXT),
        (
            b"GET / HTTP/1.1\r\n\r\n",
            b"ERROR: Received an unsupported protocol version. This port is for RethinkDB queries. "
            b"Does your client driver version not match the server?\n\0",
        ),
        (
            struct.pack("<II", V0_4, 2049),
            b"ERROR: Client provided an authorization key that is too long.\n\0",
        ),
        (
            struct.pack("<IIi", V0_4, 0, -2),
            b"ERROR: Unrecognized protocol specified: '-2'\n\0",
        ),
        (
            struct.pack("<II", V0_4, 3) + b"bad" + struct.pack("<I", JSON),
            b"ERROR: Incorrect authorization key.\n\0",
        ),
        (
            struct.pack("<II", V0_3, 2) + b"\xff\xfe" + struct.pack("<I", JSON),
            b"ERROR: Incorrect authorization key.\n\0",
        ),
    ],
)
def test_legacy_refusals_say_why_and_close(server: WireServer, sent: bytes, answer: bytes) -> None:
    with Raw(server.port) as raw:
        raw.send(sent)
        assert raw.rest() == answer


def test_the_legacy_key_is_the_password_of_admin() -> None:
    with wire_server(FakeEngine(PASSWORDS)) as server:
        for version in (V0_3, V0_4):
            with Client(server.port, version=version, key="secret") as client:
                assert client.ask(1, [1, "user"])["r"] == ["admin"]


def spoil(**changes: object) -> bytes:
    return struct.pack("<I", V1_0) + Login().first(**changes)


@pytest.mark.parametrize(
    ("sent", "code", "text"),
    [
        (spoil(protocol_version=None), 1, "Expected a number for `protocol_version`."),
        (spoil(protocol_version=True), 1, "Expected a number for `protocol_version`."),
        (spoil(protocol_version=1), 2, "Unsupported `protocol_version`."),
        (spoil(authentication_method=3), 3, "Expected a string for `authentication_method`."),
        (spoil(authentication_method="PLAIN"), 4, "Unsupported `authentication_method`."),
        (spoil(authentication=7), 5, "Expected a string for `authentication`."),
        (spoil(authentication="y,,n=a,r=b"), 15, "Channel binding is not supported"),
        (spoil(authentication="n,"), 10, "Invalid encoding"),
        (spoil(authentication="n,,n=a"), 10, "Invalid encoding"),
        (spoil(authentication="n,,n=a,r="), 10, "Invalid encoding"),
        (spoil(authentication="n,,n=a,n=b,r=c"), 10, "Invalid encoding"),
        (spoil(authentication="n,,nn=a,r=c"), 10, "Invalid encoding"),
        (spoil(authentication="n,,m=x,n=a,r=c"), 11, "Extensions not supported"),
        (spoil(authentication="n,,n==2,r=c"), 18, "Invalid username encoding"),
        (spoil(authentication="n,,n=,r=c"), 18, "Invalid username encoding"),
        (struct.pack("<I", V1_0) + b"{nonsense\0", 8, "Invalid JSON object."),
        (struct.pack("<I", V1_0) + b'"\\ud800"\0', 8, "Invalid JSON object."),
        (struct.pack("<I", V1_0) + b"[" * 2047 + b"\0", 9, "Failed to convert JSON to datum."),
        (struct.pack("<I", V1_0) + b" " * 2048, 7, "Limited read buffer size."),
    ],
)
def test_refusals_carry_their_code(server: WireServer, sent: bytes, code: int, text: str) -> None:
    with Raw(server.port) as raw:
        raw.send(sent)
        assert json.loads(raw.until_nul())["success"] is True
        refused = json.loads(raw.until_nul())
        assert refused == {"error": text, "error_code": code, "success": False}
        assert raw.rest() == b""


def test_a_message_that_is_no_object_closes_without_a_word(server: WireServer) -> None:
    with Raw(server.port) as raw:
        raw.send(struct.pack("<I", V1_0) + b"[1]\0")
        raw.until_nul()
        assert raw.rest() == b""


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"authentication": 1}, 5),
        ({"authentication": "c=biws,r=NONCE"}, 10),
        ({"authentication": "c=other,r=NONCE,p=AAAA"}, 10),
        ({"authentication": "c=biws,r=wrong,p=AAAA"}, 20),
        ({"authentication": "c=biws,r=NONCE,p=!"}, 10),
        ({"authentication": "c=biws,r=NONCE,p=AAAA"}, 12),
    ],
)
def test_a_spoilt_last_message_is_refused(
    server: WireServer, message: dict[str, object], code: int
) -> None:
    with Raw(server.port) as raw:
        raw.send(struct.pack("<I", V1_0) + Login().first())
        raw.until_nul()
        nonce = json.loads(raw.until_nul())["authentication"].split(",")[0][2:]
        text = json.dumps(message).replace("NONCE", nonce)
        raw.send(text.encode() + b"\0")
        assert json.loads(raw.until_nul())["error_code"] == code


def test_users_log_in_with_their_password() -> None:
    with wire_server(FakeEngine(PASSWORDS)) as server:
        for user, password in PASSWORDS.items():
            with Raw(server.port) as raw:
                login = Login(user, password)
                answer = log_in(raw, login)
                assert answer == {"authentication": login.expected, "success": True}
                raw.send(frame(1, [1, "user"]))
                _, size = HEADER.unpack(raw.exactly(12))
                assert json.loads(raw.exactly(size))["r"] == [user]


def test_a_wrong_password_and_an_unknown_user_get_the_same_answers() -> None:
    with wire_server(FakeEngine(PASSWORDS)) as server:
        with Raw(server.port) as raw:
            assert log_in(raw, Login("bob", "wrong"))["error_code"] == 12
        salts = set()
        for _ in range(2):
            with Raw(server.port) as raw:
                login = Login("nobody", "x")
                raw.send(struct.pack("<I", V1_0) + login.first())
                raw.until_nul()
                first = json.loads(raw.until_nul())["authentication"]
                assert first.endswith(",i=4096")
                salts.add(first.split(",")[1])
                raw.send(login.final(first))
                refused = json.loads(raw.until_nul())
                assert (refused["error"], refused["error_code"]) == ("Wrong password", 12)
        assert len(salts) == 1


def test_an_empty_password_takes_one_iteration(server: WireServer) -> None:
    with Raw(server.port) as raw:
        raw.send(struct.pack("<I", V1_0) + Login().first())
        raw.until_nul()
        assert json.loads(raw.until_nul())["authentication"].endswith(",i=1")


def test_queries_may_follow_the_last_message_at_once(server: WireServer) -> None:
    with Raw(server.port) as raw:
        login = Login()
        raw.send(struct.pack("<I", V1_0) + login.first())
        raw.until_nul()
        first = json.loads(raw.until_nul())["authentication"]
        raw.send(login.final(first) + frame(1, [1, "now"]))
        raw.until_nul()
        assert struct.unpack("<qI", raw.exactly(12))[0] == 1


@pytest.mark.parametrize("start", [b"", struct.pack("<I", V1_0), struct.pack("<II", V0_4, 10)])
def test_a_handshake_that_stops_half_way_times_out(start: bytes) -> None:
    with (
        wire_server(limits=Limits(handshake_seconds=0.05, shutdown_seconds=0.05)) as server,
        Raw(server.port) as raw,
    ):
        raw.send(start)
        raw.rest()  # ends only when the server closes


def test_one_connection_too_many_is_told_so() -> None:
    limits = Limits(connections_max=1, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        with Raw(server.port) as raw:
            raw.send(struct.pack("<III", V0_4, 0, JSON))
            assert raw.rest() == b"ERROR: Too many connections (limit 1).\n\0"
        with Raw(server.port) as raw:
            raw.send(struct.pack("<I", V1_0))
            assert json.loads(raw.until_nul())["error"] == "Too many connections (limit 1)."
        assert client.ask(1, [1, "now"])["t"] == 1


def test_the_handshake_does_not_depend_on_how_bytes_arrive() -> None:
    engine = FakeEngine()

    def make() -> Handshake:
        return Handshake(
            lookup=engine.verifier,
            decoy=engine.decoy,
            random_bytes=bytes,
            message_bytes_max=2048,
        )

    login = Login()
    login.nonce = "fixed"
    login.bare = "n=admin,r=fixed"
    opening = struct.pack("<I", V1_0) + login.first()
    whole = make().receive(opening)
    assert [type(step) for step in whole] == [Send, Send]
    for at in range(len(opening)):
        handshake = make()
        assert handshake.receive(opening[:at]) + handshake.receive(opening[at:]) == whole
    legacy = struct.pack("<III", V0_4, 0, JSON) + b"rest"
    for at in range(len(legacy)):
        handshake = make()
        steps = handshake.receive(legacy[:at]) + handshake.receive(legacy[at:])
        assert [type(step) for step in steps] == [CheckKey]
        accepted = handshake.key_checked(True)
        assert isinstance(accepted, Accepted)
        assert accepted.rest == b"rest"
        assert isinstance(make().receive(b"\0\0\0\0")[0], Refused)


def test_a_port_scan_leaves_nothing_behind(server: WireServer) -> None:
    for _ in range(50):
        socket.create_connection(("127.0.0.1", server.port)).close()
    with Client(server.port) as client:
        assert client.ask(1, [1, "now"])["t"] == 1
        while server.on_loop(lambda: len(server.listener._members)) != 1:
            pass


def test_a_login_has_its_turns_while_somebody_is_there_who_must_not_wait(
    server: WireServer,
) -> None:
    turns = server.engine.scheduler
    turns.now = False
    with Raw(server.port) as client:
        client.send(struct.pack("<II", V0_4, 0))
        while not server.on_loop(lambda: bool(turns.line)):
            pass
        client.send(struct.pack("<I", JSON))  # which may come before its turn or after
        assert not server.listener.connections
        server.on_loop(turns.turn)
        while not server.listener.connections:
            server.on_loop(lambda: turns.line and turns.turn())
        assert client.until_nul() == b"SUCCESS"


def test_somebody_who_says_much_before_it_is_heard_is_refused_at_once(server: WireServer) -> None:
    server.engine.scheduler.now = False
    with Raw(server.port) as client:
        client.send(struct.pack("<I", V1_0) + b"x" * 100_000)
        assert b"Limited read buffer size" in client.rest()


def test_the_turn_of_a_login_that_was_given_up_does_nothing(server: WireServer) -> None:
    turns = server.engine.scheduler
    turns.now = False
    with Raw(server.port) as client:
        client.send(struct.pack("<III", V0_4, 0, JSON))
        while not server.on_loop(lambda: bool(turns.line)):
            pass
    while server.on_loop(lambda: bool(server.listener._members)):
        pass
    server.on_loop(turns.turn)
    assert not server.listener.connections
