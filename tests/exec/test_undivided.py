"""Evaluation that nobody may interrupt has an end, which the work it does brings, not a machine that is busy."""

import pytest

from rethought.errors import ResourceLimitError
from rethought.exec import env as module
from rethought.exec.env import Env
from rethought.limits import Limits


def test_half_of_its_time_must_be_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now, worked = [0.0], [7.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    monkeypatch.setattr(module, "thread_time", lambda: worked[0])
    env = Env(None, None, None, Limits(undivided_seconds=1.0), None)
    env.hold_on()
    for work in (0.0, 0.2, 0.2):
        now[0] += 100.0
        worked[0] += work
        env.tick()
    now[0] += 100.0
    worked[0] += 0.2
    with pytest.raises(ResourceLimitError, match=r"must not be interrupted took more than 1 s"):
        env.tick()
    env.hold_on()
    now[0] += 100.0
    env.tick()
