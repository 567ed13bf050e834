"""Tokens, cursors, STOP and noreply, over a real socket and a scripted engine."""

import json

import pytest

from rethought.errors import OpFailedError
from rethought.limits import DEFAULT_LIMITS, Limits
from rethought.wire.session import HEADER, Session
from tests.wire.client import V0_3, Client, frame
from tests.wire.conftest import WireServer, wire_server
from tests.wire.fake_engine import FakeEngine

STREAM_OVER = {"t": 2, "r": [], "n": []}


def refusal(text: str) -> dict[str, object]:
    return {"t": 16, "r": [text], "b": []}


def test_a_query_is_answered_under_its_token(server: WireServer) -> None:
    with Client(server.port) as client:
        for token in (1, 0, -1, 2**63 - 1, -(2**63)):
            assert client.ask(token, [1, "now"]) == {"t": 1, "r": ["now"]}


def test_pipelined_queries_are_all_answered(server: WireServer) -> None:
    with Client(server.port) as client:
        client.send(b"".join(frame(token, [1, "now"]) for token in range(5000)))
        assert sorted(client.response()[0] for _ in range(5000)) == list(range(5000))


def test_frames_may_be_split_at_any_byte(server: WireServer) -> None:
    with Client(server.port) as client:
        data = frame(7, [1, "now"]) + frame(8, [5])
        for at in range(len(data)):
            client.send(data[:at])
            client.send(data[at:])
            assert client.response() == (7, {"t": 1, "r": ["now"]})
            assert client.response()[1]["t"] == 5


def test_a_slow_query_does_not_hold_up_others(server: WireServer) -> None:
    with Client(server.port) as client:
        client.query(1, [1, "later", "slow"])
        assert client.ask(2, [1, "now"])["r"] == ["now"]
        client.query(3, [1, "release", "slow"])
        assert {client.response()[0], client.response()[0]} == {1, 3}


def test_a_busy_engine_gets_one_query_of_a_client_in_a_turn() -> None:
    engine = FakeEngine()
    client = engine.client("admin", "127.0.0.1", 1)
    session = Session(engine, client, DEFAULT_LIMITS, wake=_nothing, clock=_standing)
    data = b"".join(frame(token, [1, "later", f"query {token}"]) for token in range(3))
    one = len(data) // 3
    engine.busy = True
    assert session.receive(data) == (one, False)
    assert session.receive(data, one) == (2 * one, False)
    engine.busy = False
    assert session.receive(data, 2 * one) == (3 * one, True)
    assert list(engine.waiting) == ["query 0", "query 1", "query 2"]


def _nothing() -> None:
    """Nobody is waiting for the end of a turn."""


def _standing() -> float:
    """No turn is over, however busy the machine is."""
    return 0.0


class Written:
    """A session without a socket, and what it sends, in order."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.engine = FakeEngine()
        self.told_to_send = 0
        self.session = Session(
            self.engine, "admin", limits, wake=_nothing, send=self._send, clock=_standing
        )

    def _send(self) -> None:
        self.told_to_send += 1

    def receive(self, *queries: tuple[int, object]) -> None:
        data = b"".join(frame(token, query) for token, query in queries)
        assert self.session.receive(data) == (len(data), True)

    def sent(self) -> list[tuple[int, object]]:
        out = self.session.take_out()
        tokens = [HEADER.unpack(header) for header in out[::2]]
        assert [size for _, size in tokens] == [len(body) for body in out[1::2]]
        return [
            (token, json.loads(body)["r"])
            for (token, _), body in zip(tokens, out[1::2], strict=True)
        ]


def test_writes_are_answered_when_their_commit_is_through() -> None:
    client = Written()
    client.receive((1, [1, "write", "a"]), (2, [1, "now"]), (3, [1, "write", "a"]))
    assert client.sent() == [(2, ["now"])]
    assert not client.session.idle
    client.engine.settle("a")
    assert client.told_to_send == 1
    assert client.sent() == [(1, ["written"]), (3, ["written"])]
    assert client.session.idle


def test_every_write_hears_of_its_own_commit() -> None:
    client = Written()
    client.receive(*((n, [1, "write", "ab"[n % 2]]) for n in range(4)), (4, [1, "write", "a"]))
    client.engine.settle("b", OpFailedError("The disk is full."))
    assert client.sent() == [(1, ["The disk is full."]), (3, ["The disk is full."])]
    client.receive((1, [1, "write", "a"]))
    client.engine.settle("a")
    assert sorted(client.sent()) == [(n, ["written"]) for n in (0, 1, 2, 4)]


def test_the_token_of_a_write_is_not_free_before_its_commit() -> None:
    client = Written()
    client.receive((1, [1, "write", "a"]), (1, [1, "now"]), (1, [2]))
    duplicate = ["ERROR: duplicate token 1"]
    assert client.sent() == [(1, duplicate), (1, duplicate)]
    client.engine.settle("a")
    client.receive((1, [1, "now"]))
    assert client.sent() == [(1, ["written"]), (1, ["now"])]


def test_a_write_that_was_stopped_is_answered_by_the_end_of_its_stream() -> None:
    client = Written()
    client.receive((1, [1, "write", "a"]), (2, [1, "write", "a"]), (1, [3]))
    assert client.sent() == [(1, []), (1, [])]
    client.receive((1, [1, "write", "b"]))
    client.engine.settle("a")
    assert client.sent() == [(2, ["written"])]
    client.engine.settle("b")
    assert client.sent() == [(1, ["written"])]
    assert client.session.idle


def test_writes_that_wait_count_as_queries_under_way() -> None:
    client = Written(Limits(queries_max=2))
    data = b"".join(frame(token, [1, "write", "a"]) for token in range(3))
    read, only_bytes_missing = client.session.receive(data)
    assert (read, only_bytes_missing) == (len(data) // 3 * 2, False)
    assert client.session.full
    client.engine.settle("a")
    assert client.session.receive(data, read) == (len(data), True)


def test_who_left_hears_of_no_commit() -> None:
    client = Written()
    client.receive((1, [1, "write", "a"]))
    client.session.close()
    client.engine.settle("a")
    assert (client.sent(), client.told_to_send) == ([], 0)


def test_a_serial_client_gets_its_answers_in_order() -> None:
    with wire_server() as server, Client(server.port, version=V0_3) as client:
        client.send(frame(1, [1, "later", "slow"]) + frame(2, [1, "now"]))
        with Client(server.port) as other:
            # The second query of the serial client has not reached the engine while the first is under way.
            while "slow" not in server.engine.waiting:
                other.ask(1, [1, "now"])
            other.ask(1, [1, "release", "slow"])
        assert [client.response()[0] for _ in range(2)] == [1, 2]


def test_a_serial_client_gets_empty_batches_of_an_idle_feed() -> None:
    limits = Limits(serial_feed_seconds=0.01, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port, version=V0_3) as client:
        client.ask(1, [1, "feed", "feed"])
        empty = {"t": 3, "r": [], "n": [1]}
        assert [client.ask(1, [2]) for _ in range(3)] == [empty] * 3
        server.on_loop(lambda: server.engine.release("feed"))
        assert client.ask(1, [2])["r"] == ["change"]
        assert client.ask(1, [3]) == STREAM_OVER
        assert client.ask(1, [1, "open"])["r"] == [0]


@pytest.mark.parametrize("kind", [1, 4])
def test_a_live_token_cannot_be_used_again(server: WireServer, kind: int) -> None:
    with Client(server.port) as client:
        client.query(1, [1, "later", "slow"])
        assert client.ask(1, [kind, "now"]) == refusal("ERROR: duplicate token 1")
        client.ask(2, [1, "stream", 3])
        assert client.ask(2, [kind, "now"]) == refusal("ERROR: duplicate token 2")


def test_a_token_is_free_again_after_its_last_answer(server: WireServer) -> None:
    with Client(server.port) as client:
        assert client.ask(1, [1, "stream", 2])["t"] == 3
        assert client.ask(1, [2]) == {"t": 3, "r": [1], "n": []}
        assert client.ask(1, [2]) == {"t": 2, "r": [0], "n": []}
        assert client.ask(1, [2]) == refusal("Token 1 not in stream cache.")
        assert client.ask(1, [1, "now"])["t"] == 1


@pytest.mark.parametrize("kind", [2, 3])
def test_continue_and_stop_need_a_live_token(server: WireServer, kind: int) -> None:
    with Client(server.port) as client:
        assert client.ask(-5, [kind]) == refusal("Token -5 not in stream cache.")


def test_stop_closes_an_idle_cursor(server: WireServer) -> None:
    with Client(server.port) as client:
        client.ask(1, [1, "stream", 3])
        assert client.ask(1, [3]) == STREAM_OVER
        assert client.ask(2, [1, "open"])["r"] == [0]
        assert client.ask(1, [1, "now"])["t"] == 1


def test_stop_ends_an_outstanding_continue_too(server: WireServer) -> None:
    with Client(server.port) as client:
        client.ask(1, [1, "feed", "feed"])
        client.query(1, [2])
        client.query(1, [3])
        assert [client.response() for _ in range(2)] == [(1, STREAM_OVER)] * 2
        assert client.ask(2, [1, "cancelled"])["r"] == [["feed"]]
        assert client.ask(2, [1, "open"])["r"] == [0]


def test_stop_interrupts_a_running_query(server: WireServer) -> None:
    with Client(server.port) as client:
        client.send(frame(1, [1, "later", "slow"]) + frame(1, [3]))
        assert [client.response() for _ in range(2)] == [(1, STREAM_OVER)] * 2
        assert client.ask(1, [1, "cancelled"])["r"] == [["slow"]]


def test_two_outstanding_continues_are_served_one_after_another(server: WireServer) -> None:
    with Client(server.port) as client:
        client.ask(1, [1, "feed", "feed"])
        client.send(frame(1, [2]) * 2)
        for _ in range(2):
            client.query(2, [1, "release", "feed"])
            answers = dict(client.response() for _ in range(2))
            assert answers[1] == {"t": 3, "r": ["change"], "n": [1]}


def test_a_continue_behind_the_end_of_a_stream_is_refused(server: WireServer) -> None:
    with Client(server.port) as client:
        client.ask(1, [1, "feed", "feed"])
        client.send(frame(1, [2]) * 2 + frame(2, [1, "release", "end-feed"]))
        answers = [client.response() for _ in range(3)]
        assert (1, {"t": 2, "r": ["end"], "n": []}) in answers
        assert (1, refusal("ERROR: duplicate token 1")) in answers


def test_a_continue_may_come_before_the_first_batch(server: WireServer) -> None:
    with Client(server.port) as client:
        client.send(frame(1, [1, "later", "slow"]) + frame(1, [2]))
        client.query(2, [1, "release", "fresh-slow"])
        answers = [client.response() for _ in range(3)]
        assert [body["t"] for token, body in answers if token == 1] == [3, 3]


def test_noreply_queries_are_not_answered(server: WireServer) -> None:
    with Client(server.port) as client:
        client.query(1, [1, "none", {"noreply": True}])
        assert client.ask(2, [4]) == {"t": 4, "r": []}


def test_noreply_wait_waits_for_the_noreply_queries_before_it(server: WireServer) -> None:
    with Client(server.port) as client:
        noreply = {"noreply": True}
        client.query(1, [1, ["later", "first"], noreply])
        client.query(2, [1, ["later", "second"], {"noreply": [1, True]} | noreply])
        client.query(3, [1, "later", "with an answer"])
        client.query(4, [4])
        client.query(5, [1, ["later", "too late"], noreply])
        assert client.ask(6, [1, "release", "first"])["t"] == 1
        client.query(7, [1, "release", "second"])
        assert {client.response()[0], client.response()[0]} == {4, 7}


def test_noreply_wait_can_be_stopped(server: WireServer) -> None:
    with Client(server.port) as client:
        client.query(1, [1, ["later", "first"], {"noreply": True}])
        client.send(frame(2, [4]) + frame(2, [3]))
        assert [client.response() for _ in range(2)] == [(2, STREAM_OVER)] * 2


def test_a_bug_in_the_engine_is_an_internal_error_for_that_query_alone(server: WireServer) -> None:
    with Client(server.port) as client:
        answer = client.ask(1, [1, "bug"])
        assert (answer["t"], answer["e"]) == (18, 1000000)
        assert client.ask(1, [1, "now"])["t"] == 1


def test_a_disconnect_cancels_everything(server: WireServer) -> None:
    with Client(server.port) as client:
        client.query(1, [1, "later", "slow"])
        client.ask(2, [1, "feed", "feed"])
        client.query(2, [2])
        client.ask(3, [1, "stream", 3])
    with Client(server.port) as client:
        while client.ask(1, [1, "open"])["r"] != [0]:
            pass
        assert sorted(client.ask(1, [1, "cancelled"])["r"][0]) == ["feed", "slow"]


def test_what_was_sent_before_a_disconnect_is_still_started(server: WireServer) -> None:
    with Client(server.port) as client:
        for token in range(3000):
            client.query(token, [1, ["later", f"q{token}"], {"noreply": True}])
            if token % 3 == 0:
                client.query(-1, [1, "release", f"q{token}"])
    with Client(server.port) as client:
        while "q0" not in server.engine.started:
            client.ask(1, [1, "now"])


def test_queries_past_the_limit_wait_until_others_have_finished() -> None:
    limits = Limits(queries_max=2, shutdown_seconds=0.05)
    with (
        wire_server(limits=limits) as server,
        Client(server.port) as client,
        Client(server.port) as other,
    ):
        client.send(b"".join(frame(token, [1, "later", f"q{token}"]) for token in range(5)))
        while len(server.engine.started) < 2:
            other.ask(1, [1, "now"])
        other.ask(1, [1, "now"])
        assert server.engine.started == ["q0", "q1"]
        for token in range(5):
            while f"q{token}" not in server.engine.waiting:
                other.ask(1, [1, "now"])
            assert len(server.engine.waiting) <= 2
            other.ask(1, [1, "release", f"q{token}"])
            assert client.response()[0] == token


def test_waiting_feeds_do_not_count_as_queries_under_way() -> None:
    limits = Limits(queries_max=2, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        for token in range(10):
            client.ask(token, [1, "feed", f"feed{token}"])
            client.query(token, [2])
        assert client.ask(99, [1, "now"])["t"] == 1


def test_cursors_past_the_limit_are_refused() -> None:
    limits = Limits(cursors_max=2, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        assert [client.ask(token, [1, "stream", 3])["t"] for token in (1, 2)] == [3, 3]
        answer = client.ask(3, [1, "stream", 3])
        assert (answer["t"], answer["e"]) == (18, 2000000)
        assert client.ask(4, [1, "open"])["r"] == [2]
        client.ask(1, [3])
        assert client.ask(3, [1, "stream", 3])["t"] == 3


def test_a_response_that_is_too_large_becomes_an_error() -> None:
    limits = Limits(response_bytes=100, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        answer = client.ask(1, [1, "big", 200])
        assert (answer["t"], answer["e"]) == (18, 2000000)
        assert answer["r"][0].startswith("Response size (")
        assert client.ask(1, [1, "now"])["t"] == 1
