"""One driver a study."""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tinyscale.cluster.events import PreflightError
from tinyscale.cluster.stop import request_stop
from tinyscale.results.lease import Lease, LeaseHeldError
from tinyscale.results.lock import FileLock
from tinyscale.results.objects import ObjectStoreError
from tinyscale.results.storage import mirror_home, mirror_of, shown
from tinyscale.results.store import StudyStore


class StudyLockedError(PreflightError):
    """Another process drives the study."""


class StudyLock:
    """Held by the one driver of a study, as a context manager on ``StudyStore.lock``.

    A study in an object store has a :class:`~tinyscale.results.lease.Lease` there as well.
    """

    _lease: Lease | None = None

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)
        self._store = StudyStore(path.parent)

    def __enter__(self) -> Self:
        """:raises StudyLockedError: another driver holds it; the message names it.

        :raises ObjectStoreError: the study's object store is away.
        """
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
        try:
            self._take_lease()
        except BaseException:
            self._lock.release()
            raise
        return self

    def _take_lease(self) -> None:
        mirror = mirror_of(self._store)
        if mirror is None:
            return
        storage = self._store.path.parent
        self._lease = Lease(mirror.store, mirror_home(storage), lambda: request_stop(self._store))
        try:
            self._lease.acquire()
        except LeaseHeldError as error:
            raise StudyLockedError(
                f"{shown(storage)}/{self._store.path.name}: the study is being run by {error}. "
                "Wait for it to end or stop it, then launch again"
            ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lease is not None:
            with suppress(ObjectStoreError):  # it falls silent by itself
                self._lease.release()
        self._lock.release()


def _holder(path: Path) -> str:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # it holds the lock, and has yet to write who it is
        return "another process"
    return f"process {note['pid']} on {note['host']} since {note['started']}"
