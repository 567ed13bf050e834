"""Hostile input against a real server: whatever arrives, it answers or closes, and everybody else goes on working.

The seed is printed; `RETHOUGHT_FUZZ_SEED=...` repeats a run.
"""

import json
import random
import socket
import struct
from typing import Any

import pytest

from tests.chance import new_seed
from tests.wire.client import HEADER, JSON, V0_4, V1_0, Client, Login, Raw, frame
from tools.serverprocess import ServerProcess, running

FRAMES = 10_000
FRAMES_PER_CONNECTION = 100

TABLE = [15, [[14, ["test"]], "fuzz"]]
FUNC = [69, [[2, [1]], [170, [[10, [1]], "a"]]]]
SEEDS: list[Any] = [
    [1, TABLE],
    [1, [16, [TABLE, 1]]],
    [1, [56, [TABLE, {"id": 1, "a": [2, [1, 2, {"b": None}]]}]], {"durability": "soft"}],
    [1, [53, [[16, [TABLE, 1]], {"a": [24, [1, 2]]}]]],
    [1, [39, [TABLE, [69, [[2, [1]], [17, [[170, [[10, [1]], "a"]], 5]]]]]]],
    [1, [41, [TABLE, FUNC], {"index": "id"}]],
    [1, [152, [TABLE]]],
    [1, [64, [[17, [1, 2]], [12, ["x"]], [97, ["abc", "b+"]]]]],
    [1, [144, [TABLE, "a"]]],
    [1, [38, [[2, [1, 2, 3]], FUNC]], {"array_limit": 5, "noreply": False}],
    [1, [99, ["2020-01-01T00:00:00Z"]]],
    [1, [159, [1, 2]]],
    [1, [98, ['{"a":[1,2,3]}']]],
    [1, [155, [{"$reql_type$": "BINARY", "data": "YWJj"}]]],
    [2],
    [3],
    [4],
    [5],
]
SCALARS: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 1e300, 2**53, 2**70, "", "a", "\x00", "é\U0001f600", [], {}),
    *([[]], {"": {}}, {"$reql_type$": "TIME"}, {"$reql_type$": "x"}, "x" * 5000, [1, 2, 3], 99999),
]


def mutate(random_: random.Random, value: Any, depth: int = 0) -> Any:
    """The same with something replaced, dropped, doubled or moved."""
    if depth > 6 or random_.random() < 0.08:
        return random_.choice([*SCALARS, random_.choice(SEEDS)])
    if isinstance(value, list) and value:
        changed = list(value)
        at = random_.randrange(len(changed))
        match random_.randrange(6):
            case 0:
                del changed[at]
            case 1:
                changed.insert(at, random_.choice(SCALARS))
            case 2 if isinstance(changed[0], int):
                changed[0] = random_.randrange(200)
            case _:
                changed[at] = mutate(random_, changed[at], depth + 1)
        return changed
    if isinstance(value, dict) and value:
        key = random_.choice(list(value))
        return value | {key: mutate(random_, value[key], depth + 1)}
    return random_.choice(SCALARS)


def damaged(random_: random.Random, body: bytes) -> bytes:
    """The same bytes with a few of them changed, cut off, or buried in brackets."""
    changed = bytearray(body)
    match random_.randrange(4):
        case 0:
            for _ in range(random_.randrange(1, 5)):
                changed[random_.randrange(len(changed))] = random_.randrange(256)
        case 1:
            del changed[random_.randrange(len(changed)) :]
        case 2:
            return b"[" * random_.choice((10, 1500, 100_000)) + body
        case _:
            return random_.randbytes(random_.randrange(200))
    return bytes(changed)


def next_body(random_: random.Random) -> bytes:
    query = mutate(random_, random_.choice(SEEDS))
    body = json.dumps(query, separators=(",", ":")).encode()
    return damaged(random_, body) if random_.random() < 0.3 else body


@pytest.mark.slow
def test_a_server_survives_ten_thousand_hostile_frames(tmp_path: Any) -> None:
    seed = new_seed()
    random_ = random.Random(seed)
    with running(tmp_path / "data") as server, Client(server.port) as witness:
        witness.ask(1, [1, [60, [[14, ["test"]], "fuzz"]]])
        for start in range(0, FRAMES, FRAMES_PER_CONNECTION):
            hostile_connection(random_, server)
            assert witness.ask(start, [1, 1]) == {"t": 1, "r": [1]}, f"seed {seed}"
        answer = witness.ask(1, [1, [43, [TABLE]]])
        assert answer["t"] == 1 or "does not exist" in answer["r"][0]
        assert server.process.poll() is None
        assert server.stop() == 0, server.output


def hostile_connection(random_: random.Random, server: ServerProcess) -> None:
    """A hundred frames in odd pieces; then a query that must be answered, whatever came before."""
    with Client(server.port) as client:
        frames = [frame(token, next_body(random_)) for token in range(FRAMES_PER_CONNECTION)]
        data = b"".join(frames) + frame(1 << 40, [1, 1])
        while data:
            size = random_.choice((1, 7, 1000, 1 << 20))
            client.send(data[:size])
            data = data[size:]
        while client.response()[0] != 1 << 40:
            pass


@pytest.mark.slow
def test_a_server_survives_broken_handshakes_and_lengths(tmp_path: Any) -> None:
    seed = new_seed()
    random_ = random.Random(seed)
    legacy = struct.pack("<III", V0_4, 0, JSON)
    modern = struct.pack("<I", V1_0) + Login().first()
    with running(tmp_path / "data") as server, Client(server.port) as witness:
        for number in range(1000):
            start = bytearray(random_.choice((legacy, modern)))
            if random_.random() < 0.7:
                start[random_.randrange(len(start))] = random_.randrange(256)
            length = HEADER.pack(random_.randrange(2**62), random_.choice((0, 1, 2**27, 2**32 - 1)))
            with Raw(server.port) as raw:
                raw.send(bytes(start[: random_.randrange(1, len(start) + 1)]))
                if random_.random() < 0.3:
                    raw.send(length + random_.randbytes(random_.randrange(50)))
                if random_.random() < 0.3:
                    raw.sock.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
            assert witness.ask(number, [1, 1]) == {"t": 1, "r": [1]}, f"seed {seed}"


def spoiled(random_: random.Random, message: bytes) -> bytes:
    """A message of a handshake with something wrong about its JSON, its fields, or its bytes."""
    match random_.randrange(5):
        case 0:
            return damaged(random_, message[:-1]) + b"\0"
        case 1:
            return message.replace(
                random_.choice((b"n=", b"r=", b"p=", b"c=biws", b",", b"=", b'"')), b"", 1
            )
        case 2:
            return message.replace(b"SCRAM-SHA-256", random_.choice((b"PLAIN", b"", b"x" * 1000)))
        case 3:
            content = json.loads(message[:-1])
            name = random_.choice([*content, "more"])
            content[name] = random_.choice(SCALARS)
            return json.dumps(content).encode() + b"\0"
        case _:
            return message


def handshake(random_: random.Random, port: int) -> None:
    """One login with the old or the new protocol, each message perhaps spoiled; what comes back is well-formed."""
    with Raw(port) as raw:
        if random_.random() < 0.3:
            key = random_.randbytes(random_.choice((0, 1, 50, 2048, 5000)))
            size = random_.choice((len(key), len(key), 0, 2**31, 2**32 - 1))
            protocol = random_.choice((JSON, JSON, 0, 2**32 - 1))
            raw.send(struct.pack("<II", V0_4, size) + key + struct.pack("<I", protocol))
            raw.sock.shutdown(socket.SHUT_WR)
            answer = raw.rest().partition(b"\0")[0]
            assert answer in (b"", b"SUCCESS") or answer.startswith(b"ERROR: ")
            return
        login = Login(random_.choice(("admin", "nobody", "a,b=c", "\u00e9", "x" * 3000)))
        raw.send(struct.pack("<I", V1_0))
        answers = [json.loads(raw.until_nul())]
        try:
            raw.send(spoiled(random_, login.first()))
            answers.append(json.loads(raw.until_nul()))
            if answers[-1]["success"]:
                raw.send(spoiled(random_, login.final(answers[-1]["authentication"])))
                raw.sock.shutdown(socket.SHUT_WR)
                answers.append(json.loads(raw.until_nul()))
        except (EOFError, ConnectionError, TimeoutError):
            pass
        for answer in answers:
            assert answer["success"] or 1 <= answer["error_code"] <= 22


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_spoiled_handshakes_are_refused_with_a_code_or_closed(tmp_path: Any, count: int) -> None:
    seed = new_seed()
    random_ = random.Random(seed)
    limits = ("--limit", "login_delay_seconds=0.001")
    with running(tmp_path / "data", *limits) as server, Client(server.port) as witness:
        for number in range(count):
            handshake(random_, server.port)
            assert witness.ask(number, [1, 1]) == {"t": 1, "r": [1]}, f"seed {seed}"
        server.stop()
        assert "Internal error" not in server.output, f"seed {seed}"
