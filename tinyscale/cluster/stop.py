"""Stopping a study: a file beside it, which its driver and every worker see wherever they run."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tinyscale.cluster.folders import stop_file
from tinyscale.results.lease import ask_to_stop
from tinyscale.results.lock import FileLock
from tinyscale.results.objects import ObjectStore
from tinyscale.results.storage import mirror_of
from tinyscale.results.store import StudyStore

LOOK_EVERY_S = 0.2

StopReason = Literal["interrupted", "budget"]


def request_stop(store: StudyStore) -> None:
    """Ask the study's running trials to checkpoint and end, from any process that sees the study's folder.

    The request names the driver it is for: a launch that is still preparing heeds it, a later one does not.
    """
    draft = stop_file(store).with_name(".stop.draft")
    draft.write_text(_driver(store), encoding="utf-8")
    draft.replace(stop_file(store))


def stop_study(store: StudyStore, wait_s: float) -> bool:
    """Ask a study's driver to stop, and wait until it is gone. False: there was none.

    :raises TimeoutError: it still runs after ``wait_s`` seconds; the request stands.
    """
    lock = FileLock(store.lock)
    if not lock.held():
        mirror = mirror_of(store)
        return mirror is not None and _stop_elsewhere(store, mirror.store, wait_s)
    driver = _driver(store)
    request_stop(store)
    give_up = time.monotonic() + wait_s
    while lock.held() and _driver(store) == driver:
        if time.monotonic() >= give_up:
            raise _still_runs(store, wait_s, driver)
        time.sleep(LOOK_EVERY_S)
    if stop_file(store).exists() and stop_file(store).read_text(encoding="utf-8") == driver:
        stop_file(store).unlink()
    return True


def _stop_elsewhere(store: StudyStore, study: ObjectStore, wait_s: float) -> bool:
    """The same through the object store, for a driver on another machine."""
    try:
        return ask_to_stop(study, wait_s)
    except TimeoutError as error:
        raise _still_runs(store, wait_s, str(error)) from error


def _still_runs(store: StudyStore, wait_s: float, driver: str) -> TimeoutError:
    return TimeoutError(
        f"{store.path.name} still runs after {wait_s:g} s ({driver}); the request to stop stands. "
        "A driver that does not come to its end can be killed: the next launch goes on from the checkpoints"
    )


def _driver(store: StudyStore) -> str:
    """What the newest driver of the study wrote of itself; empty: there never was one."""
    return store.lock.read_text(encoding="utf-8") if store.lock.exists() else ""


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
        self._driver = _driver(store)
        if not self._meant_for_us():
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
        """Remove the file once every worker is gone; a request to this driver stands, for the trials to come."""
        if not self._meant_for_us():
            self._path.unlink(missing_ok=True)

    def _meant_for_us(self) -> bool:
        """Whether the file is a request to this very driver."""
        return bool(self._driver) and self._path.exists() and self._path.read_text(encoding="utf-8") == self._driver
