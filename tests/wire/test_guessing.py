"""Guessing on many connections at once is no faster than on a few, and locks out nobody who is known."""

import json
import struct
from contextlib import ExitStack
from typing import Any

import pytest

from rethought.limits import Limits
from rethought.wire import throttle
from rethought.wire.throttle import Throttle, place
from tests.wire.client import V1_0, Login, Raw, log_in
from tests.wire.conftest import WireServer, wire_server
from tests.wire.fake_engine import FakeEngine

LIMITS = Limits(
    login_delay_seconds=60.0, guesses_per_user=5, refused_wait_seconds=0.001, shutdown_seconds=0.05
)


def halfway(stack: ExitStack, server: WireServer, login: Login) -> tuple[Raw, bytes]:
    """A connection that has everything but its last message, and that message."""
    raw = stack.enter_context(Raw(server.port))
    raw.send(struct.pack("<I", V1_0) + login.first())
    raw.until_nul()
    answer = json.loads(raw.until_nul())
    return raw, login.final(answer["authentication"])


@pytest.mark.parametrize("user", ["bob", "nobody"])
def test_forty_guesses_at_once_are_mostly_not_looked_at(
    user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        throttle, "FIRST_DELAY_SECONDS", 60.0
    )  # no delay is over before all have guessed
    engine = FakeEngine({"admin": "", "bob": "right"})
    with wire_server(engine, LIMITS) as server, ExitStack() as stack:
        opened = [halfway(stack, server, Login(user, "wrong")) for _ in range(40)]
        for raw, proof in opened:
            raw.send(proof)
        while server.on_loop(lambda: len(engine.logins)) != 40:
            pass
        outcomes = [outcome for _, outcome in engine.logins]
        assert (
            outcomes.count("wrong password") == 3 + 5
        )  # those without a delay, and those being delayed
        assert outcomes.count("too many guesses") == 32
        assert len(server.listener.guessing()) == 2  # the address and the name


def test_who_logged_in_from_there_before_is_not_locked_out() -> None:
    engine = FakeEngine({"admin": "", "bob": "right"})
    with wire_server(engine, LIMITS) as server, ExitStack() as stack:
        server.on_loop(lambda: [server.listener.failed("10.0.0.9", "bob") for _ in range(10)])
        refused = log_in(stack.enter_context(Raw(server.port)), Login("bob", "right"))
        assert refused["error"] == "Wrong password"
        server.on_loop(lambda: server.listener.throttle.succeeded("127.0.0.1", "bob"))
        assert log_in(stack.enter_context(Raw(server.port)), Login("bob", "right"))["success"]


def test_guesses_are_looked_at_again_when_the_delays_are_over() -> None:
    guesses = Throttle(5.0, 2)
    over = [guesses.begin("10.0.0.1", "bob") for _ in range(2)]
    assert not guesses.may_guess("10.0.0.2", "bob")
    assert guesses.may_guess("10.0.0.1", "ann")
    over[0]()
    assert guesses.may_guess("10.0.0.2", "bob")
    over[1]()
    assert not guesses._under_way


@pytest.mark.parametrize(
    ("address", "stands_for"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("::1", "::1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(address: str, stands_for: str) -> None:
    assert place(address) == stands_for


def unfinished(server: WireServer) -> Any:
    return server.on_loop(lambda: dict(server.listener._greetings))


def test_logins_under_way_are_limited_by_address() -> None:
    limits = Limits(handshakes_per_address=3, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server:
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(Raw(server.port)).send(struct.pack("<I", V1_0))
            while unfinished(server) != {"127.0.0.1": 3}:
                pass
            refusal = log_in_refused(stack.enter_context(Raw(server.port)))
            assert refusal == "Too many logins under way from this address (limit 3)."
        while unfinished(server):
            pass
        with Raw(server.port) as raw:
            assert log_in(raw, Login())["success"]


def log_in_refused(raw: Raw) -> Any:
    raw.send(struct.pack("<I", V1_0))
    return json.loads(raw.until_nul())["error"]


def test_those_who_are_far_too_many_are_cut_without_a_word() -> None:
    limits = Limits(handshakes_per_address=2, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, ExitStack() as stack:
        waiting = [stack.enter_context(Raw(server.port)) for _ in range(8)]
        while unfinished(server) != {"127.0.0.1": 4}:
            pass
        assert [raw.rest() for raw in waiting[4:]] == [b""] * 4
