"""Where a worker works on a trial: in the storage's own folder, or in one of this machine that is mirrored there."""

import json
import os
import shutil
import socket
import time
import traceback
import uuid
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

from tinyscale.cluster.folders import own_folder
from tinyscale.cluster.inputs import bring_inputs
from tinyscale.cluster.output import enter_folder
from tinyscale.cluster.patience import Patience, storage_trouble
from tinyscale.cluster.task import Task
from tinyscale.data import default_cache
from tinyscale.results.mirror import Mirror, every
from tinyscale.results.objects import ObjectStore, ObjectStoreError
from tinyscale.results.store import WORKER
from tinyscale.spec import Job

SEND_EVERY_S = 5.0
"""What a kill of the machine can cost beside the steps since the last checkpoint."""
LEAVE_S = 60.0
"""Longest time that a worker tries to send its last checkpoint to a storage that is away."""


class TakenOverError(RuntimeError):
    """Another worker has the trial: this one was thought dead."""


class Workplace:
    """The trial's folder in a storage that every machine sees."""

    def __init__(self, task: Task) -> None:
        self.trials = task.trials
        self._job = task.job

    def enter(self) -> Job:
        """Begin work, or begin again after a trouble; the job with this machine's paths."""
        enter_folder(self._job)
        return self._job

    def send(self, *, all_of_it: bool) -> str:
        """Store what is new, if the time has come or ``all_of_it`` has to be there; what is wrong, if it could not."""
        return ""

    def leave(self) -> None:
        """The trial is over here, or stopped."""


class MirroredWorkplace(Workplace):
    """A folder of this machine, for as long as the trial is here; the truth is in the object store."""

    _mirror: Mirror | None = None
    """None: not entered yet."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._uri = task.storage
        there = Path(task.job.folder)  # the driver's words; only the names mean anything here
        self._study, self._trial = there.parent.parent.name, there.name
        self.trials = _work_folder() / self._study / "trials"
        self.trials.mkdir(parents=True, exist_ok=True)
        self._token = uuid.uuid4().hex
        self._patience = Patience()
        self._next_send = 0.0

    def enter(self) -> Job:
        """:raises ObjectStoreError: the storage is away.

        :raises ValueError: it lacks the shards or the tokenizer.
        """
        if self._mirror is None:
            storage, folder = ObjectStore(self._uri), self.trials / self._trial
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            mirror = Mirror(storage.below(f"{self._study}/trials/{self._trial}"), folder)
            who = {"token": self._token, "host": socket.gethostname(), "pid": os.getpid()}
            mirror.store.write(WORKER, json.dumps(who).encode())  # from here on, no other sends anything
            mirror.pull(_worked_on)
            self._job = replace(bring_inputs(storage, self._job, default_cache()), folder=str(folder))
            self._next_send = time.monotonic() + SEND_EVERY_S
            self._mirror = mirror
        return super().enter()

    def send(self, *, all_of_it: bool) -> str:
        """:raises TakenOverError: nothing was sent."""
        if self._mirror is None or (not all_of_it and time.monotonic() < self._next_send):
            return ""
        try:
            _check_ours(self._mirror.store, self._token)
            self._mirror.push(order=_sending_order)
        except ObjectStoreError as error:
            trouble = self._patience.wait_for(storage_trouble(error, self.trials))
            self._next_send = self._patience.until
            return trouble
        self._patience.reset()
        self._next_send = time.monotonic() + SEND_EVERY_S
        return ""

    def leave(self) -> None:
        """Send the rest and take the folder away; what cannot be sent is computed again elsewhere."""
        if self._mirror is None:
            return
        give_up = time.monotonic() + LEAVE_S
        try:
            while (trouble := self.send(all_of_it=True)) and time.monotonic() < give_up:
                self._patience.rest(lambda: False)
            if not trouble:
                self._mirror.store.delete(WORKER)
        except (ObjectStoreError, TakenOverError):
            traceback.print_exc()
        shutil.rmtree(self._mirror.folder, ignore_errors=True)
        self._mirror = None


def _check_ours(store: ObjectStore, token: str) -> None:
    now = store.read(WORKER)
    if now is None or json.loads(now)["token"] != token:
        raise TakenOverError(f"the trial has another worker: {now.decode() if now else 'its driver began anew'}")


def workplace(task: Task) -> Workplace:
    """Of the kind that the task's storage asks for."""
    return MirroredWorkplace(task) if task.storage else Workplace(task)


@cache
def _work_folder() -> Path:
    """This process's own, as long as it lives; the next worker here takes away what a killed one left."""
    parent = default_cache() / "work"
    parent.mkdir(parents=True, exist_ok=True)
    return Path(_KEPT.enter_context(own_folder("work", parent)))


_KEPT = ExitStack()


def _worked_on(name: str) -> bool:
    """The model is written once, at the end, and not read before."""
    return every(name) and not name.startswith("model/")


def _sending_order(name: str) -> int:
    """Data before the file that makes it count, and the records of a step before its checkpoint does."""
    if name == "result.json":
        return 3
    if name.endswith("/state.json"):
        return 2
    return 0 if "/" in name else 1
