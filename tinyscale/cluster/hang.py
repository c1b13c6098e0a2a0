"""Trials from which nothing comes any more: their workers are killed, so that Tune starts them again."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import ray

from tinyscale.cluster.task import Report, trial_id

START_S = 60.0
"""On top of the limit until a worker's first record: it imports, meets the other ranks and reads its checkpoint."""
GAP_S = 1.0
"""Longest time that counts between two looks: a driver that was asleep itself must not blame its trials."""


class HangWatch:
    """Seconds since the last new record of each running trial, in the driver's own waking time."""

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """:param timeout_s: 0: nothing is ever killed."""
        self._timeout_s = timeout_s
        self._clock = clock
        self._looked = clock()
        self._awake_s = 0.0
        self._due: dict[str, float] = {}
        self._killed: set[str] = set()

    def started(self, trial: str) -> None:
        """A worker has the trial."""
        self._due[trial] = self._awake_s + START_S + self._timeout_s
        self._killed.discard(trial)

    def reported(self, trial: str, report: Report) -> None:
        """A report came; one without a record is no sign of progress, unless it says why."""
        if report.record or report.waits:
            self._due[trial] = self._awake_s + (START_S if report.waits else 0) + self._timeout_s

    def look(self, trials: Iterable[Any]) -> None:
        """Kill the workers of Tune's trials that hang; called some ten times a second."""
        now = self._clock()
        self._awake_s += min(now - self._looked, GAP_S)
        self._looked = now
        for trial in trials:
            name = trial_id(trial.config)
            if self._timeout_s and trial.status == "RUNNING" and self._awake_s > self._due.get(name, self._awake_s):
                self._killed.add(name)
                del self._due[name]
                ray.kill(trial.temporary_state.ray_actor)  # Ray sees to it with SIGKILL, wherever the worker is

    def words(self, trial: str) -> str:
        """What was done to a trial that has just failed; empty: it was not us."""
        if trial not in self._killed:
            return ""
        return f"no new record for {self._timeout_s:g} s (resources.timeout_s): it hung, and its worker was killed"
