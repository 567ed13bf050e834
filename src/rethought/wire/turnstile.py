"""Makes whoever runs into limits wait, so that refusing costs the others next to nothing.

What always holds: work that ended at a limit gets at most `share` of the loop's time, all connections together: whoever
caused some waits until it is paid for, behind those who did so before, but never longer than `seconds_max`. One that
hits a limit now and then waits for milliseconds at most; hundreds that do nothing else wait for each other. When they
would wait too long they line up anew, from half of that on, so that they never all come back at once.
Pure; owned by `wire.listener`.
"""


class Turnstile:
    """One per listener."""

    __slots__ = ("_free_at", "_seconds_max", "_share")

    def __init__(self, share: float, seconds_max: float) -> None:
        self._share = share
        self._seconds_max = seconds_max
        self._free_at = 0.0  # when all that was refused so far is paid for

    def wait(self, now: float, cost_seconds: float) -> float:
        """Seconds to hold back a client whose refused work took `cost_seconds`."""
        if not self._share:
            return 0.0
        seconds = cost_seconds / self._share
        wait = max(0.0, self._free_at - now) + seconds
        if wait > self._seconds_max:
            wait = min(self._seconds_max / 2 + seconds, self._seconds_max)
        self._free_at = now + wait
        return wait
