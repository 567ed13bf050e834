"""Whoever keeps failing to log in, as issues for the operator.

Pure; `reporting` calls it with what the wire's throttle remembers.
"""

from collections.abc import Iterable
from typing import Protocol

from rethought.system.node import Issue


class Guessing(Protocol):
    """Somebody whose refusals are delayed."""

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def failures(self) -> int: ...

    @property
    def delay_seconds(self) -> float: ...


def lockout_issues(guessing: Iterable[Guessing]) -> list[Issue]:
    """One issue for each address and each name that is tried."""
    return [_issue(each) for each in guessing]


def _issue(each: Guessing) -> Issue:
    who = f"from {each.name}" if each.kind == "address" else f"as user `{each.name}`"
    return Issue(
        type="login_lockout",
        subject=f"{each.kind}/{each.name}",
        critical=False,
        here=False,
        info={
            each.kind: each.name,
            "failures": each.failures,
            "delay_seconds": each.delay_seconds,
        },
        description=(
            f"{each.failures} logins {who} failed. Somebody may be guessing passwords; answers to "
            f"wrong ones are delayed by {each.delay_seconds:g} seconds."
        ),
    )
