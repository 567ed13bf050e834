"""An environment for terms that wait: the loop runs until what is waited for is done."""

import asyncio
from types import SimpleNamespace
from typing import Any

from rethought.exec.env import NO_OPTIONS, Options


def environment(loop: asyncio.AbstractEventLoop, *, private_targets: bool = False) -> Any:
    env = SimpleNamespace(
        array_limit=100_000,
        defaults=NO_OPTIONS,
        limits=SimpleNamespace(http_private_targets=private_targets),
        require=lambda permission, target: None,
        scheduler=SimpleNamespace(loop=loop),
        tick=lambda: None,
        transaction=None,
        wait=loop.run_until_complete,
    )
    return env


def options(env: Any, **given: Any) -> Options:
    return Options(env, {name: (lambda value=value: value) for name, value in given.items()})
