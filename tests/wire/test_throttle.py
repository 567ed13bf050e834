"""Guessing passwords gets slower and slower; a typing mistake costs nothing."""

import struct

from rethought.limits import Limits
from rethought.wire.throttle import ADDRESSES_MAX, FORGET_SECONDS, Throttle
from tests.wire.client import JSON, V0_4, Client, Login, Raw, log_in
from tests.wire.conftest import wire_server
from tests.wire.fake_engine import FakeEngine


def test_the_delay_doubles_after_the_first_mistakes() -> None:
    throttle = Throttle(1.0, 64)
    assert [throttle.failed("a", "u", 0) for _ in range(8)] == [0, 0, 0, 0.1, 0.2, 0.4, 0.8, 1.0]
    assert throttle.failed("b", "v", 0) == 0


def test_success_and_time_make_it_forget() -> None:
    throttle = Throttle(1.0, 64)
    for _ in range(5):
        throttle.failed("a", "u", 0)
    throttle.succeeded("a", "u")
    assert throttle.failed("a", "u", 0) == 0
    for _ in range(5):
        throttle.failed("a", "u", 1)
    assert throttle.failed("a", "u", 2 + FORGET_SECONDS) == 0


def test_it_remembers_a_bounded_number_of_addresses() -> None:
    throttle = Throttle(1.0, 64)
    for number in range(ADDRESSES_MAX + 10):
        throttle.failed(str(number), "u", 0)
    assert len(throttle._failures) == ADDRESSES_MAX


def test_a_delayed_refusal_still_comes_and_others_are_let_in_meanwhile() -> None:
    limits = Limits(login_delay_seconds=0.02, shutdown_seconds=0.05)
    with wire_server(FakeEngine({"admin": "secret"}), limits) as server:
        for _ in range(6):
            with Raw(server.port) as raw:
                assert log_in(raw, Login("admin", "wrong"))["error_code"] == 12
            with Raw(server.port) as raw:
                raw.send(struct.pack("<III", V0_4, 0, JSON))
                assert raw.rest() == b"ERROR: Incorrect authorization key.\n\0"
        with Client(server.port, key="secret") as client:
            assert client.ask(1, [1, "now"])["t"] == 1
