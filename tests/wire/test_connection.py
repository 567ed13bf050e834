"""What a connection holds back, refuses and survives."""

import socket
from collections.abc import Callable

from rethought.conversation import Reply
from rethought.limits import Limits
from rethought.wire.session import Session
from tests.wire.client import HEADER, Client, frame
from tests.wire.conftest import WireServer, wire_server
from tests.wire.fake_engine import FakeEngine


def test_a_query_of_the_largest_size_is_still_answered() -> None:
    limits = Limits(query_bytes=300_000, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        body = b'[1,"now"' + b" " * (300_000 - 9) + b"]"
        assert len(body) == 300_000
        assert client.ask(1, body) == {"t": 1, "r": ["now"]}


def test_a_query_that_is_too_large_is_read_refused_and_the_connection_closed() -> None:
    limits = Limits(query_bytes=1000, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        client.query(1, [1, "now"])
        client.query(2, b"[1," + b"x" * 500_000)
        assert client.response()[0] == 1
        text = "Query size (500003) greater than maximum (1000)."
        assert client.response() == (2, {"t": 16, "r": [text], "b": []})
        assert client.rest() == b""


def test_a_small_query_that_is_too_large_is_refused_the_same_way() -> None:
    limits = Limits(query_bytes=20, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        client.send(frame(2, b"[1," + b"x" * 30) + frame(3, [1, "now"]))
        assert client.response()[1]["r"] == ["Query size (33) greater than maximum (20)."]
        assert client.rest() == b""


def test_a_monstrous_length_is_refused_without_waiting_for_the_bytes(server: WireServer) -> None:
    with Client(server.port) as client:
        client.send(HEADER.pack(2, 0xFFFFFFFF))
        token, response = client.response()
        assert (token, response["t"]) == (2, 16)
        assert response["r"] == ["Query size (4294967295) greater than maximum (134217727)."]
        assert client.rest() == b""


def test_a_client_that_reads_late_gets_everything_and_holds_up_nobody(server: WireServer) -> None:
    with Client(server.port) as client, Client(server.port) as other:
        size = 200_000
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        for token in range(200):
            client.query(token, [1, "big", size])
        assert other.ask(1, [1, "now"])["t"] == 1
        # The server stopped looking at queries when the first replies were not read.
        backlog = server.on_loop(
            lambda: max(
                member._transport.get_write_buffer_size() for member in server.listener.connections
            )
        )
        assert isinstance(backlog, int)
        assert backlog < 3 * server.limits.write_high_water_bytes
        assert [client.response()[0] for _ in range(200)] == list(range(200))
        assert client.ask(1, [1, "now"])["t"] == 1


def test_a_client_that_never_reads_is_cut_off() -> None:
    limits = Limits(
        write_high_water_bytes=10_000, write_backlog_bytes=50_000, shutdown_seconds=0.05
    )
    big = Reply(b'{"t":1,"r":["' + b"x" * 10_000_000 + b'"]}', None)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        client.send(frame(1, [1, "later", "one"]) + frame(2, [1, "later", "two"]))
        with Client(server.port) as other:
            while "two" not in server.engine.waiting:
                other.ask(1, [1, "now"])
            for name in ("one", "two"):
                running = server.engine.waiting.pop(name)
                server.on_loop(lambda running=running: running.done(big))
                other.ask(1, [1, "now"])
        assert len(client.rest()) < len(big.body)


def test_five_hundred_connections_come_and_go(server: WireServer) -> None:
    clients = [Client(server.port) for _ in range(500)]
    for number, client in enumerate(clients):
        client.query(1, [1, "feed", f"feed{number}"])
        client.query(1, [2])
    for client in clients:
        client.sock.close()
    with Client(server.port) as client:
        while client.ask(1, [1, "open"])["r"] != [0]:
            pass
        while server.on_loop(lambda: len(server.listener._members)) != 1:
            pass


def test_shutting_down_lets_running_queries_finish() -> None:
    with wire_server(limits=Limits(shutdown_seconds=20)) as server, Client(server.port) as client:
        client.query(1, [1, "later", "slow"])
        with Client(server.port) as other:
            while "slow" not in server.engine.waiting:
                other.ask(1, [1, "now"])

        async def close() -> None:
            server.loop.call_later(0.01, server.engine.release, "slow")
            await server.listener.close()

        server.on_loop(close)
        assert client.response() == (1, {"t": 1, "r": ["released"]})
        assert client.rest() == b""


def test_incomplete_queries_of_all_clients_together_are_bounded() -> None:
    limits = Limits(inbound_bytes=1_000_000, shutdown_seconds=0.05)
    with (
        wire_server(limits=limits) as server,
        Client(server.port) as greedy,
        Client(server.port) as modest,
        Client(server.port) as other,
    ):
        modest.send(HEADER.pack(1, 400_009) + b'[1,"now"' + b" " * 200_000)
        greedy.send(HEADER.pack(1, 3_000_000) + b"[1," + b" " * 700_000)
        while server.on_loop(lambda: server.listener._inbound_bytes) != 200_008 + 12 + 700_003 + 12:
            other.ask(1, [1, "now"])
        modest.send(b" " * 200_000 + b"]")
        assert modest.response()[1]["r"] == ["now"]
        greedy.send(b" " * 400_000)
        assert greedy.rest() == b""
        while server.on_loop(lambda: server.listener._inbound_bytes):
            other.ask(1, [1, "now"])


def test_a_turn_of_one_client_ends_so_that_others_have_theirs() -> None:
    times = iter((0.0, 0.5, 1.5, 2.0, 2.5))
    limits = Limits(receive_slice_seconds=1.0)
    session = Session(FakeEngine(), "", limits, wake=lambda: None, clock=lambda: next(times))
    frames = [frame(token, [1, "now"]) for token in range(3)]
    data = b"".join(frames)
    at, only_bytes_missing = session.receive(data)
    assert (at, only_bytes_missing) == (len(frames[0]) * 2, False)
    assert session.receive(data, at) == (len(data), True)


def test_a_turn_that_others_wait_for_is_a_share_of_that() -> None:
    times = iter((0.0, 0.6))
    limits = Limits(receive_slice_seconds=1.0)
    session = Session(FakeEngine(), "", limits, wake=lambda: None, clock=lambda: next(times))
    frames = [frame(token, [1, "now"]) for token in range(2)]
    assert session.receive(b"".join(frames), 0, 0.5) == (len(frames[0]), False)


def test_a_turn_in_which_something_is_written_is_a_whole_one() -> None:
    times = iter((0.0, 0.6, 0.9, 1.1))
    limits = Limits(receive_slice_seconds=1.0)
    session = Session(FakeEngine(), "", limits, wake=lambda: None, clock=lambda: next(times))
    frames = [frame(token, [1, "write", "a"]) for token in range(4)]
    assert session.receive(b"".join(frames), 0, 0.5) == (3 * len(frames[0]), False)


def test_a_client_waits_for_its_turn_and_is_answered_in_it(server: WireServer) -> None:
    turns = server.engine.scheduler
    with Client(server.port) as client, Client(server.port) as other:
        assert client.ask(1, [1, "now"])["t"] == 1
        assert other.ask(1, [1, "now"])["t"] == 1
        turns.now = False
        client.query(2, [1, "later", "held"])
        other.query(2, [1, "now"])
        until(server, lambda: len(turns.line) == 2)
        client.query(3, [1, "now"])
        until(server, lambda: held_bytes(server) > 3 * HEADER.size + 3 * len('[1,"now"]'))
        assert server.engine.started == []
        assert len(turns.line) == 2  # a connection is there once
        server.on_loop(turns.turn)
        server.on_loop(turns.turn)
        assert {client.response()[0], other.response()[0]} == {2, 3}
        assert server.engine.started == ["held"]
        assert server.on_loop(lambda: held_bytes(server)) == 0
        server.on_loop(lambda: server.engine.release("held"))
        assert client.response()[0] == 2


def test_a_client_that_waits_for_its_turn_cannot_send_without_end() -> None:
    limits = Limits(read_ahead_bytes=100_000, shutdown_seconds=0.05)
    with wire_server(limits=limits) as server, Client(server.port) as client:
        turns = server.engine.scheduler
        assert client.ask(1, [1, "now"])["t"] == 1
        turns.now = False
        client.sock.settimeout(0.2)
        body = frame(2, b'[1,"now"' + b" " * 100_000 + b"]")
        sent = 0
        try:
            while True:
                sent += client.sock.send(body)
        except TimeoutError:
            pass
        client.sock.settimeout(10)
        held = server.on_loop(lambda: held_bytes(server))
        assert isinstance(held, int)
        assert 100_000 < held < sent


def test_what_a_client_sent_before_it_left_is_done_in_its_turn(server: WireServer) -> None:
    turns = server.engine.scheduler
    with Client(server.port) as client:
        assert client.ask(1, [1, "now"])["t"] == 1
        turns.now = False
        client.query(2, [1, "stream", 9])
        client.sock.shutdown(socket.SHUT_WR)
        until(server, lambda: bool(turns.line))
        assert server.engine.open == 0
        server.on_loop(turns.turn)
        assert client.response()[0] == 2
        assert client.rest() == b""


def test_the_turn_of_somebody_who_is_gone_does_nothing(server: WireServer) -> None:
    turns = server.engine.scheduler
    with Client(server.port) as client:
        assert client.ask(1, [1, "now"])["t"] == 1
        turns.now = False
        client.query(2, [1, "later", "never"])
        until(server, lambda: bool(turns.line))
        server.on_loop(lambda: [member.abort() for member in server.listener.connections])
        assert client.rest() == b""
        server.on_loop(turns.turn)
        assert server.engine.started == []
        assert server.on_loop(lambda: server.listener._inbound_bytes) == 0


def held_bytes(server: WireServer) -> int:
    """Of all that are connected; on the loop."""
    return sum(each.held_bytes for each in server.listener.connections)


def until(server: WireServer, reached: Callable[[], bool]) -> None:
    """Turns of the loop until that is so."""
    while not server.on_loop(reached):
        pass
