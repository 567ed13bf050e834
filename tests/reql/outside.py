"""What terms are evaluated with outside any query: never interrupted, with the usual limits."""

from types import SimpleNamespace

from rethought.exec.chance import Chance
from rethought.exec.env import Env
from rethought.limits import Limits

UNDIVIDED_S = 1e9


def outside(array_limit: int = 100_000) -> Env:
    limits = Limits(array_limit=array_limit, undivided_seconds=UNDIVIDED_S)
    env = Env(SimpleNamespace(chance=Chance()), None, None, limits, None)
    env.hold_on()
    return env
