"""Stopping a study: a file beside it, which its driver and every worker see wherever they run."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tinyscale.cluster.folders import stop_file
from tinyscale.results.store import StudyStore

LOOK_EVERY_S = 0.2

StopReason = Literal["interrupted", "budget"]


def request_stop(store: StudyStore) -> None:
    """Ask the study's running trials to checkpoint and end, from any process that sees the study's folder."""
    stop_file(store).touch()


class StopSeen:
    """True from the moment the file exists: the ``stop`` that a worker hands to the training loop.

    Looks at most every 0.2 s, since the loop asks at every step and the folder may be a network's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next_look = 0.0
        self._seen = False

    def set(self) -> None:
        """Stop this one loop, file or no file."""
        self._seen = True

    def __call__(self) -> bool:
        """Whether to stop."""
        now = time.monotonic()
        if not self._seen and now >= self._next_look:
            self._next_look = now + LOOK_EVERY_S
            self._seen = self._path.exists()
        return self._seen


class Halt:
    """The driver's side: turns the caller's wish, the deadline or a foreign request into the stop file."""

    def __init__(self, store: StudyStore, should_stop: Callable[[], bool], deadline_s: float | None) -> None:
        store.path.mkdir(parents=True, exist_ok=True)
        self._path = stop_file(store)
        self._path.unlink(missing_ok=True)
        self._requested = StopSeen(self._path)
        self._should_stop = should_stop
        self._deadline_s = deadline_s
        self.reason: StopReason | None = None

    def __call__(self) -> bool:
        """Whether the trials are to end now; the first True also tells the workers."""
        if self.reason is None:
            if self._should_stop() or self._requested():
                self.reason = "interrupted"
            elif self._deadline_s is not None and time.time() >= self._deadline_s:
                self.reason = "budget"
            if self.reason is not None:
                self._path.touch()
        return self.reason is not None

    def clear(self) -> None:
        """Remove the file once every worker is gone."""
        self._path.unlink(missing_ok=True)
