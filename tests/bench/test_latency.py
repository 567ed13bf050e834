"""The latency programme runs from beginning to end, and its figures are what they say."""

import os

import pytest

from bench.latency import Share, main
from bench.server import Server
from tools.serverprocess import ServerProcess


def test_a_small_run_prints_a_line_for_each_run(
    shared_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--port", str(shared_server.port), "--rate", "200", "--seconds", "0.1"]
    followers = ["--subscribers", "1", "--subscribers", "3"]
    assert main([*options, *followers, "--runs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [int(line.split()[0]) for line in lines] == [1, 1, 3]
    for line in lines:
        for share in line.split("│")[1:4]:
            p50, p99, most = map(float, share.split())
            assert 0 <= p50 <= p99 <= most


def test_a_share_is_of_the_sorted_list() -> None:
    share = Share.of([number / 1000 for number in range(1000, -1, -1)])
    assert (share.p50, share.p99, share.most) == (500, 990, 1000)


def test_a_process_is_measured() -> None:
    server = Server(0, os.getpid())
    assert server.cpu_s() > 0
    assert server.resident_bytes() > 2**20
