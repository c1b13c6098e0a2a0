"""A cluster reached through Ray's client (``ray://``): the driver of the trials runs there, and we listen to it.

Tune moves itself onto the cluster behind such an address, and its callbacks with it. So the whole of
:func:`tinyscale.cluster.trials.run_trials` moves there instead, and its events come back in bunches.
"""

from collections import deque
from collections.abc import Callable

import ray

from tinyscale.cluster.events import Event, Outcome

LISTEN_EVERY_S = 0.5

RunHere = Callable[[Callable[[Event], None], Callable[[], bool]], Outcome]
"""Runs the trials in the process it is called in, given ``on_event`` and ``should_stop``."""


class RemoteDriver:
    """The process on the cluster; one thread of it runs the trials, the other answers us."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._stop = False

    def run(self, run_here: RunHere) -> Outcome:
        """Run the trials to the end."""
        return run_here(self._events.append, lambda: self._stop)

    def listen(self, stop: bool) -> list[Event]:
        """The events since the last call; ``stop`` passes the caller's wish on."""
        self._stop = self._stop or stop
        return [self._events.popleft() for _ in range(len(self._events))]


def behind_client() -> bool:
    """Whether this process speaks to its cluster through Ray's client."""
    return bool(ray.util.client.ray.is_connected())


def run_remotely(run_here: RunHere, on_event: Callable[[Event], None], should_stop: Callable[[], bool]) -> Outcome:
    """Run the trials on the cluster that Ray's client is connected to."""
    driver = ray.remote(num_cpus=0, max_concurrency=2)(RemoteDriver).remote()
    outcome = driver.run.remote(run_here)
    over = False
    while not over:
        over = bool(ray.wait([outcome], timeout=LISTEN_EVERY_S)[0])
        for event in ray.get(driver.listen.remote(should_stop())):
            on_event(event)
    result: Outcome = ray.get(outcome)
    return result
