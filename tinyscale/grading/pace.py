"""How fast a judge is asked: one rate for all threads, and longer waits where it can't keep up."""

import random
import threading
import time
from collections.abc import Callable

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
_CATCH_UP_S = 0.05  # a thread that wakes late may make up for this much
_NAP_S = 0.2  # how soon a wish to stop is noticed


class Pace:
    """At most ``per_minute`` requests a minute, evenly spaced, however many threads ask.

    In any stretch of T seconds at most ``per_minute / 60 * (T + 0.05) + 1`` are let go (the generic cell rate
    algorithm, ITU-T I.371, with a tolerance of 0.05 s).
    """

    def __init__(self, per_minute: float) -> None:
        self._interval_s = 60.0 / per_minute
        self._next = time.monotonic()
        self._held_until = 0.0
        self._lock = threading.Lock()

    def wait(self, stopping: Callable[[], bool]) -> bool:
        """Return True when the next request may go; False as soon as ``stopping`` says so."""
        while not stopping():
            with self._lock:
                now = time.monotonic()
                start = max(self._next, self._held_until)
                if start <= now:
                    self._next = max(start, now - _CATCH_UP_S) + self._interval_s
                    return True
            time.sleep(min(start - now, _NAP_S))
        return False

    def hold(self, seconds: float) -> None:
        """Let nobody go for this long; afterwards the spacing holds, so that there is no rush."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)


def backoff_s(failures: int, asked_s: float | None = None) -> float:
    """Seconds to wait after so many failures in a row: doubling, with full jitter (Brooker 2015), at most a minute.

    :param asked_s: what Retry-After asks for; the wait is never shorter.
    """
    longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (failures - 1))
    if asked_s is None:
        return random.uniform(0, longest)
    return asked_s + random.uniform(0, min(longest, 0.1 * asked_s))


def nap(seconds: float, stopping: Callable[[], bool]) -> None:
    """Sleep, but not on when ``stopping`` says so."""
    until = time.monotonic() + seconds
    while not stopping() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _NAP_S))
