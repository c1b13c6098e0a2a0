"""One worker a trial folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyscale.results.lock import FileLock
from tinyscale.results.store import TrialFolder


class FolderLockedError(RuntimeError):
    """Another live process trains in the folder."""


@contextmanager
def hold_folder(folder: Path, patience_s: float = 20.0) -> Iterator[None]:
    """Hold a trial's lock while the context lasts.

    :raises FolderLockedError: another process still holds it after ``patience_s``, the time a dying one is given.
    """
    lock = FileLock(TrialFolder(folder).lock)
    try:
        lock.acquire(patience_s)
    except BlockingIOError as error:
        raise FolderLockedError(
            f"{folder} is in use by another process (waited {patience_s:g} s); wait for that worker to end, or end it"
        ) from error
    try:
        yield
    finally:
        lock.release()
