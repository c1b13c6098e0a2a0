"""Storage that is away or full: a trial waits for it, however long that takes, and counts no failure."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tinyscale.cluster.words import first_line
from tinyscale.results.objects import ObjectStoreError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
LOOK_EVERY_S = 0.1
FULL = {errno.ENOSPC, errno.EDQUOT}
AWAY = {errno.EIO, errno.ESTALE, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT,
        errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EREMOTEIO}  # fmt: skip
"""What network file systems and dying mounts say. A file that is missing or not ours to write is no such trouble."""


class Patience:
    """The pauses of one worker, doubled from try to try until one goes well."""

    def __init__(self) -> None:
        self._pause_s = 0.0
        self.until = 0.0
        """When the pause is over, on the monotonic clock."""

    def wait_for(self, trouble: str) -> str:
        """Begin a pause; the words to say about it."""
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s or FIRST_PAUSE_S)
        self.until = time.monotonic() + self._pause_s
        return f"{trouble}; trying again in {self._pause_s:g} s"

    def rest(self, stop: Callable[[], bool]) -> None:
        """Sit the pause out, if there is one."""
        while time.monotonic() < self.until and not stop():
            time.sleep(LOOK_EVERY_S)

    def reset(self) -> None:
        """It went well: the next trouble begins with a short pause."""
        self._pause_s = 0.0


def storage_trouble(error: BaseException, trials: Path) -> str:
    """What is wrong with the storage, in a line, if that is what raised ``error``; empty: it is something else.

    :param trials: the study's folder of trials, made by its driver: while it is missing, the storage is away.
    """
    if not os.path.isdir(trials):  # noqa: PTH112  pathlib raises some of the errors that are asked for here
        return f"the storage is away: there is no {trials}"
    for cause in _causes(error):
        if isinstance(cause, ObjectStoreError):
            return f"the storage does not answer: {cause}"
        if isinstance(cause, OSError) and cause.errno in FULL:
            return f"no room left on the disk of {trials}: {first_line(cause)}"
        if isinstance(cause, OSError) and cause.errno in AWAY:
            return f"the storage does not answer: {first_line(cause)}"
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, those it came from, and those of all ranks."""
    from ray.train import WorkerGroupError

    while error is not None:
        yield error
        if isinstance(error, WorkerGroupError):
            for failure in error.worker_failures.values():
                yield from _causes(failure)
        error = error.__cause__
