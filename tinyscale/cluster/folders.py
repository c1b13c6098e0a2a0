"""Where this room keeps its own notes."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyscale.results.lock import FileLock
from tinyscale.results.store import StudyStore

OWNED = "tinyscale-"
"""Begins the name of every folder of :func:`own_folder`."""
OWNER = "owner.lock"
"""Held by the process that made the folder."""
YOUNG_S = 60.0
"""A folder that is younger may be one that its owner is about to lock."""


def stop_file(store: StudyStore) -> Path:
    """While it exists, workers checkpoint and return."""
    return store.path.absolute() / ".stop"


def scratch_folder(store: StudyStore) -> Path:
    """Where Ray Train keeps notes that nobody reads; gone when the launch ends."""
    return store.path.absolute() / ".ray"


@contextmanager
def own_folder(what: str, parent: Path | None = None) -> Iterator[str]:
    """A temporary folder of this process; those of processes that were killed are taken away on the way.

    :param what: short, for Ray makes UNIX sockets below it, and a socket's path ends at 107 characters.
    :param parent: else where Ray has its own.
    """
    parent = parent or Path(os.environ.get("RAY_TMPDIR", "/tmp"))
    remove_orphans(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{OWNED}{what}-", dir=parent))
    lock = FileLock(folder / OWNER)
    lock.acquire()
    try:
        yield str(folder)
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_orphans(parent: Path) -> None:
    """Remove the folders whose owner is gone: a SIGKILL leaves them, with the logs of its Ray."""
    for folder in parent.glob(f"{OWNED}*"):
        owner = FileLock(folder / OWNER)
        try:
            orphan = owner.path.exists() and time.time() - owner.path.stat().st_mtime > YOUNG_S and not owner.held()
        except OSError:  # another user's, or gone in this moment
            continue
        if orphan:
            shutil.rmtree(folder, ignore_errors=True)
