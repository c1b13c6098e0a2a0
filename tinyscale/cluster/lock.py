"""One driver a study."""

import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tinyscale.cluster.events import PreflightError
from tinyscale.results.lock import FileLock


class StudyLockedError(PreflightError):
    """Another process drives the study."""


class StudyLock:
    """Held by the one driver of a study, as a context manager on ``StudyStore.lock``."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def __enter__(self) -> Self:
        """:raises StudyLockedError: another driver holds it; the message names it."""
        try:
            file = self._lock.acquire()
        except BlockingIOError as error:
            raise StudyLockedError(
                f"{self._lock.path.parent}: the study is being run by {_holder(self._lock.path)}. "
                "Wait for it to end or stop it, then launch again"
            ) from error
        started = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        file.truncate(0)
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "started": started}, file)
        file.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # it holds the lock, and has yet to write who it is
        return "another process"
    return f"process {note['pid']} on {note['host']} since {note['started']}"
