"""The driver's side of a study in an object store. On a plain folder nothing here does anything."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tinyscale.cluster.events import PreflightError
from tinyscale.cluster.inputs import send_inputs
from tinyscale.cluster.patience import Patience
from tinyscale.results.objects import ObjectStore, ObjectStoreError
from tinyscale.results.storage import fetch, fetch_trial, fetch_trials, mirror_of, publish, shown, storage_uri
from tinyscale.results.store import WORKER, StudyStore, TrialFolder
from tinyscale.spec import Job
from tinyscale.spec.study import Resources

T = TypeVar("T")

FETCH_EVERY_S = 5.0
"""Least seconds between two looks at what the workers wrote: as often as they write."""
AWAY_S = 1800.0
"""Longest wait for a storage that is away, where the driver can do nothing without it."""


def check_supported(storage: Path, resources: Resources) -> None:
    """:raises PreflightError: the study needs a folder that its machines share."""
    if not storage_uri(storage):
        return
    needs = ""
    if resources.workers > 1:
        needs = f"resources.workers is {resources.workers}, and every worker of a trial reads the same checkpoint"
    elif resources.scheduler == "asha":
        needs = "resources.scheduler is asha, whose verdicts are files beside the journals"
    if needs:
        raise PreflightError(
            f"{shown(storage)}: {needs}: that needs a folder that all machines have mounted at one path (NFS, EFS, "
            "Filestore) as the storage; with trials of one worker and scheduler: fifo an object store will do"
        )


def begin(store: StudyStore, jobs: Sequence[Job], client: bool) -> None:
    """Send what the workers need, and dismiss those that an earlier driver left behind.

    :param client: the driver speaks to its cluster through Ray's client.
    :raises PreflightError: the trials would then run where this folder is not.
    """
    mirror = mirror_of(store)
    if mirror is None:
        return
    if client:
        raise PreflightError(
            f"{shown(store.path.parent)}: with an object store the driver must be a part of the cluster: launch on its "
            "head with --address auto, or send the launch there with `ray job submit`"
        )
    storage = ObjectStore(storage_uri(store.path.parent))

    def dismiss() -> None:
        for name in mirror.store.list("trials"):
            if name.endswith(f"/{WORKER}"):
                mirror.store.delete(name)

    patiently(lambda: send_inputs(storage, jobs))
    patiently(dismiss)
    patiently(lambda: publish(store))


def refresh(store: StudyStore, *, now: bool = False) -> None:
    """Bring what the workers wrote, if the time has come, or ``now``, however long it takes."""
    if now:
        patiently(lambda: fetch_trials(store))
    elif time.monotonic() >= _next_fetch.get(store.path, 0.0):
        with suppress(ObjectStoreError):  # the workers say so themselves; what is missing comes with the next look
            fetch_trials(store)
        _next_fetch[store.path] = time.monotonic() + FETCH_EVERY_S


_next_fetch: dict[Path, float] = {}


def arrived(folder: TrialFolder) -> TrialFolder:
    """A trial's folder with all that its worker sent before it left."""
    patiently(lambda: fetch_trial(folder))
    return folder


def begin_study(store: StudyStore, resources: Resources) -> None:
    """Bring what is there already, before anything is written.

    :raises PreflightError: as :func:`check_supported`.
    """
    check_supported(store.path.parent, resources)
    patiently(lambda: fetch(store, driving=True))


def keep(store: StudyStore) -> None:
    """Send what the driver wrote."""
    patiently(lambda: publish(store))


def patiently(ask: Callable[[], T]) -> T:
    """Ask a storage again and again while it is away.

    :raises ObjectStoreError: it was away for too long.
    """
    patience, give_up = Patience(), time.monotonic() + AWAY_S
    while True:
        try:
            return ask()
        except ObjectStoreError as error:
            if time.monotonic() >= give_up:
                raise
            patience.wait_for(str(error))
            patience.rest(lambda: False)
