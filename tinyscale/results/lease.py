"""Who drives a study, said in an object store: it has no locks, so its driver says every few seconds that it lives.

The stores' own comparing writes are not to be had through pyarrow. So two drivers that begin in the same second both
write, wait, and the one whose word stands goes on; and one that was cut off or asleep for longer than the others waited
finds another's word when it is back, and stops. In between two may drive: their trials are guarded each by a word of
its own (:mod:`tinyscale.cluster.workplace`).
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from tinyscale.results.objects import ObjectStore, ObjectStoreError
from tinyscale.results.store import DRIVER

logger = logging.getLogger(__name__)

BEAT_S = 3.0
SILENT_S = 20.0
"""A driver that has not said a word for so long is gone."""
SETTLE_S = 1.0
"""Longest time between the look at the object and the word in it that is waited for."""
LOOK_EVERY_S = 0.5
TRIES = 3
STOP = ".stop"
"""Object that names the driver which is asked to stop."""


class LeaseHeldError(RuntimeError):
    """Another driver lives; the message says who."""


@dataclass(frozen=True)
class Word:
    """What the object says."""

    token: str
    """Of one driver's life."""
    home: str
    """Its folder and machine."""
    who: str
    beat: int

    @classmethod
    def read(cls, study: ObjectStore) -> "Word | None":
        """The newest word; None: nobody drives."""
        for _ in range(TRIES):
            try:
                content = study.read(DRIVER)
                return cls(**json.loads(content)) if content else None
            except (ObjectStoreError, ValueError) as error:  # replaced while it was read: pyarrow reads in two requests
                trouble = error
                time.sleep(LOOK_EVERY_S)
        raise trouble

    def write(self, study: ObjectStore) -> None:
        """Make it the newest one."""
        study.write(DRIVER, json.dumps(self.__dict__).encode())


class Lease:
    """Held from :meth:`acquire` to :meth:`release`, kept alive by a thread."""

    def __init__(self, study: ObjectStore, home: str, on_stop: Callable[[], None]) -> None:
        """:param home: the id of the mirror's folder, which this process alone drives from: its lock is held.

        :param on_stop: called on the thread when the driver is asked to stop, or another one has taken over.
        """
        self._study = study
        self._on_stop = on_stop
        who = f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S %Z')}"
        self._word = Word(token=uuid.uuid4().hex, home=home, who=who, beat=0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def acquire(self) -> None:
        """Take the lease, after at most SILENT_S if the last holder has died elsewhere.

        :raises LeaseHeldError: its holder lives, or another one was quicker.
        :raises ObjectStoreError: the store is away.
        """
        found = Word.read(self._study)
        if found and found.home != self._word.home:
            logger.warning("the storage names %s as the driver: listening up to %g s for it", found.who, SILENT_S)
            if alive := next_word(self._study, found):
                raise LeaseHeldError(alive.who)
        self._word.write(self._study)
        time.sleep(SETTLE_S)
        self._still_ours()
        self._thread.start()

    def release(self) -> None:
        """Let the next one in; the object goes."""
        self._over.set()
        self._thread.join()
        now = Word.read(self._study)
        if now and now.token == self._word.token:
            self._study.delete(DRIVER)

    def _live(self) -> None:
        while not self._over.wait(BEAT_S):
            try:
                self._still_ours()
                if self._study.read(STOP) == self._word.token.encode():
                    self._study.delete(STOP)
                    self._on_stop()
                self._word = Word(**{**self._word.__dict__, "beat": self._word.beat + 1})
                self._word.write(self._study)
            except ObjectStoreError:
                continue  # away; nobody can take over meanwhile who does not see it either
            except LeaseHeldError:
                self._on_stop()
                return

    def _still_ours(self) -> None:
        now = Word.read(self._study)
        if now and now.token != self._word.token:
            raise LeaseHeldError(now.who)


def next_word(study: ObjectStore, found: Word) -> Word | None:
    """Wait for another word than ``found``; None: none came within SILENT_S, or the driver has gone."""
    give_up = time.monotonic() + SILENT_S
    while (now := Word.read(study)) == found and time.monotonic() < give_up:
        time.sleep(LOOK_EVERY_S)
    return now if now != found else None


def ask_to_stop(study: ObjectStore, wait_s: float) -> bool:
    """Ask a study's driver to stop, and wait until it has gone. False: there was none, or a dead one.

    :raises TimeoutError: it still runs after ``wait_s`` seconds; the request stands, and the message says who it is.
    """
    asked = Word.read(study)
    if asked is None:
        return False
    study.write(STOP, asked.token.encode())
    give_up = time.monotonic() + wait_s
    found = asked
    while (heard := next_word(study, found)) and heard.token == asked.token:
        if time.monotonic() >= give_up:
            raise TimeoutError(asked.who)
        found = heard
    study.delete(STOP)
    return Word.read(study) != found
