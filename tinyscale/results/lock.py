"""Advisory locks on files of the store, which the kernel drops when their holder dies, however it dies."""

import fcntl
import time
from pathlib import Path
from typing import IO

POLL_S = 0.05


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

    def held(self) -> bool:
        """Whether anyone holds it now."""
        if not self.path.exists():
            return False
        with self.path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
