"""One driver a study, one worker a trial: advisory locks that the kernel drops when their holder dies."""

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tinyscale.cluster.events import PreflightError

POLL_S = 0.05


class StudyLockedError(PreflightError):
    """Another process drives the study."""


class FileLock:
    """flock(2) on a file that stays: deleting it would let two holders in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self, wait_s: float = 0.0) -> IO[str]:
        """Take the lock, waiting at most ``wait_s`` for its holder to go; the open file is for notes of the holder.

        :raises BlockingIOError: it is still held.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+", encoding="utf-8")
        give_up = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    file.close()
                    raise
                time.sleep(POLL_S)
            else:
                self._file = file
                return file

    def release(self) -> None:
        """Let the next one in; nothing happens if the lock is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None


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
