"""One worker a trial folder."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.05


class FolderLockedError(RuntimeError):
    """Another live process trains in the folder."""


@contextmanager
def hold_folder(folder: Path, patience_s: float = 20.0) -> Iterator[None]:
    """Hold ``folder/.lock`` while the context lasts. The system lets go of it when the process dies, however it does.

    :raises FolderLockedError: another process still holds it after ``patience_s``, the time a dying one is given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as file:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise FolderLockedError(
                        f"{folder} is in use by another process (waited {patience_s:g} s); "
                        "wait for that worker to end, or end it"
                    ) from error
            time.sleep(POLL_S)
        yield
