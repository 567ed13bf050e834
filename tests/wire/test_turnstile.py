"""Whoever runs into limits waits; nobody else does."""

import pytest

from rethought.limits import Limits
from rethought.wire.connection import Connection
from rethought.wire.turnstile import Turnstile
from tests.wire.client import HEADER, Client, frame
from tests.wire.conftest import WireServer, wire_server

PATIENT = Limits(refused_share=0.001, refused_wait_seconds=60.0, shutdown_seconds=0.05)


def test_the_wait_pays_for_the_work() -> None:
    turnstile = Turnstile(share=0.1, seconds_max=5.0)
    assert turnstile.wait(100.0, 0.002) == pytest.approx(0.02)
    assert turnstile.wait(200.0, 0.0) == 0.0


def test_those_who_come_together_wait_for_each_other() -> None:
    turnstile = Turnstile(share=0.5, seconds_max=3.0)
    assert [turnstile.wait(0.0, 0.5) for _ in range(3)] == [1.0, 2.0, 3.0]
    assert turnstile.wait(2.0, 0.5) == 2.0
    assert turnstile.wait(10.0, 0.5) == 1.0


def test_nobody_waits_for_ever_and_those_who_wait_longest_come_back_one_by_one() -> None:
    turnstile = Turnstile(share=0.5, seconds_max=4.0)
    waits = [turnstile.wait(0.0, 0.5) for _ in range(10)]
    assert waits == [1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 3.0, 4.0, 3.0, 4.0]
    assert turnstile.wait(0.0, 100.0) == 4.0


def test_without_a_share_nobody_waits() -> None:
    assert Turnstile(share=0.0, seconds_max=3.0).wait(0.0, 100.0) == 0.0


def held_back(server: WireServer) -> int:
    def count() -> int:
        members = server.listener.connections
        return sum(isinstance(each, Connection) and each.held_back for each in members)

    found = server.on_loop(count)
    assert isinstance(found, int)
    return found


def test_a_client_at_its_limit_is_answered_and_then_waits_while_others_go_on() -> None:
    with wire_server(limits=PATIENT) as server, Client(server.port) as greedy:
        greedy.send(frame(1, [1, "limit", 0.001]) + frame(2, [1, "later", "next"]))
        assert greedy.response() == (1, {"t": 1, "r": ["limit"]})
        assert held_back(server) == 1
        with Client(server.port) as other:
            for token in range(100):
                assert other.ask(token, [1, "now"])["r"] == ["now"]
        assert server.engine.started == []  # the second query of the greedy one waits unread


def test_a_client_that_waited_goes_on_where_it_was() -> None:
    limits = Limits(refused_share=0.5, refused_wait_seconds=0.01, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        frames = [frame(token, [1, "limit" if token % 3 else "now", 0.001]) for token in range(9)]
        client.send(b"".join(frames))
        assert [client.response()[0] for _ in range(9)] == list(range(9))


def test_a_refused_query_that_wants_no_answer_gets_none_and_costs_a_wait() -> None:
    with wire_server(limits=PATIENT) as server, Client(server.port) as client:
        client.send(frame(1, [1, "limit", 0.001, {"noreply": True}]))
        with Client(server.port) as other:
            while not held_back(server):
                other.ask(1, [1, "now"])
        assert not client.buffer


def test_what_a_client_sent_before_it_left_is_done_when_its_wait_is_over() -> None:
    limits = Limits(refused_share=0.5, refused_wait_seconds=0.01, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        client.send(frame(1, [1, "limit", 0.001]) + frame(2, [1, "now"]))
        client.sock.shutdown(1)
        assert [client.response()[0] for _ in range(2)] == [1, 2]
        assert client.rest() == b""


def test_a_query_that_is_too_large_is_read_as_fast_as_its_client_pays_for_it() -> None:
    limits = Limits(
        refused_share=0.001, refused_wait_seconds=60.0, query_bytes=1000, shutdown_seconds=0.05
    )
    with wire_server(limits=limits) as server, Client(server.port) as client:
        client.sock.settimeout(0.2)
        client.send(HEADER.pack(1, 50_000_000))
        try:
            while True:
                client.sock.send(b"x" * 1_000_000)
        except TimeoutError:
            pass
        assert held_back(server) == 1
        with Client(server.port) as other:
            assert other.ask(1, [1, "now"])["r"] == ["now"]


def test_without_a_share_it_is_read_to_its_end_at_once() -> None:
    limits = Limits(refused_share=0.0, query_bytes=1000, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        client.send(frame(1, b"[1," + b"x" * 5_000_000))
        assert client.response()[1]["t"] == 16
        assert client.rest() == b""
