"""A stop in the middle of work: what was acknowledged is there afterwards, and nobody waits forever."""

import signal
import threading
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE_S
from tests.wire.client import Client, frame
from tools.serverprocess import start

TABLE = [15, [[14, ["test"]], "t"]]


def write_until_cut_off(
    port: int, base: int, acknowledged: list[int], started: threading.Event
) -> None:
    """Keep 50 inserts on their way and note which were answered."""
    with Client(port) as client:
        number = base
        try:
            while True:
                keys = range(number, number + 50)
                number += 50
                options: dict[str, Any] = {"durability": "hard" if base else "soft"}
                client.send(
                    b"".join(frame(key, [1, [56, [TABLE, {"id": key}]], options]) for key in keys)
                )
                for _ in keys:
                    key, answer = client.response()
                    if answer["t"] == 1 and answer["r"][0]["inserted"] == 1:
                        acknowledged.append(key)
                started.set()
        except (EOFError, ConnectionError):
            return


def test_a_stop_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    try:
        with Client(server.port) as client:
            assert client.ask(1, [1, [60, [[14, ["test"]], "t"]]])["t"] == 1
        acknowledged: list[int] = []
        started = [threading.Event(), threading.Event()]
        writers = [
            threading.Thread(
                target=write_until_cut_off,
                args=(server.port, number * 1_000_000, acknowledged, event),
            )
            for number, event in enumerate(started)
        ]
        for writer in writers:
            writer.start()
        for event in started:
            assert event.wait(PATIENCE_S)
        assert server.stop(signal.SIGTERM) == 0
        for writer in writers:
            writer.join(PATIENCE_S)
    finally:
        server.kill()
    again = start(tmp_path / "data")
    try:
        with Client(again.port) as client:
            kept = client.ask(1, [1, [51, [[170, [TABLE, "id"]], "array"]]])["r"][0]
    finally:
        again.stop()
    assert set(acknowledged) <= set(kept)


def test_a_stop_does_not_wait_for_open_cursors_and_feeds(tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    try:
        with Client(server.port) as client:
            client.ask(1, [1, [60, [[14, ["test"]], "t"]]])
            assert client.ask(2, [1, [173, []]])["t"] == 3
            client.query(2, [2])
            assert client.response()[1]["t"] == 3
            client.ask(3, [1, [152, [TABLE]]])
            client.query(3, [2])
            assert server.stop() == 0
            assert client.rest() == b""
    finally:
        server.kill()
