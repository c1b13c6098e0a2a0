"""Storage that is full or away: the trials say so, wait, and go on with nothing lost and nothing twice."""

import itertools
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.cluster import Event, Outcome, TrialFailed, TrialReported, TrialRestarted, TrialWaits, run_trials
from tinyscale.cluster.session import ray_session
from tinyscale.results.journal import Journal, read_journal
from tinyscale.results.store import StudyStore
from tinyscale.spec import Job, Record, Study, TrialResult, read_json
from tinyscale.spec.study import Resources
from tinyscale.train.loop import run

pytestmark = pytest.mark.filterwarnings("ignore")
RESOURCES = Resources(engine="torch", max_failures=0)
STEPS = 1_000
AWAY_S = 4.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 400 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tinyscale-test", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(path: Path) -> None:
    """Take all the room that is left on the path's disk."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1_000))


def append_until_full(journal: Journal) -> None:
    with suppress(OSError):
        for step in itertools.count(1):
            journal.append(record(step))


def record(step: int) -> Record:
    return Record(step=step, tokens=step, time_s=0.0, metrics={"train/loss": 1.0})


def test_a_record_that_does_not_fit_is_an_error_and_not_half_a_line(small_disk):
    path = small_disk / "trial" / "journal.jsonl"
    with Journal(path) as journal:
        append_until_full(journal)
        accepted = journal.last_step
    assert path.read_bytes()[-1:] != b"\n", "the disk took a part of the line"
    assert [r.step for r in read_journal(path)[0]] == list(range(1, accepted + 1))
    with Journal(path) as journal:
        assert journal.last_step == accepted
        assert path.read_bytes().endswith(b"}\n")


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    with ray_session(None, RESOURCES):
        yield


def launch(store: StudyStore, jobs: list[Job], disturb: Callable[[Event], None]) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        disturb(event)

    study = Study(name="tiny", space=({},), resources=RESOURCES)
    outcome = run_trials(store, jobs, study, on_event=on_event, should_stop=lambda: False)
    assert not [event for event in events if isinstance(event, TrialRestarted | TrialFailed)]
    return outcome, events


def check(store: StudyStore, jobs: list[Job], tmp_path: Path) -> None:
    for job in jobs:
        folder = store.trial(job.trial.id)
        assert [r.step for r in read_journal(folder.journal)[0]] == list(range(10, STEPS + 1, 10))
        alone = run(replace(job, folder=str(tmp_path / f"alone-{job.trial.id}")), lambda record: None)
        assert read_json(TrialResult, folder.result).model_digest == alone.model_digest


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_full_disk_is_waited_for(small_disk, make_jobs, tmp_path):
    store = StudyStore(small_disk / "tiny")
    jobs = make_jobs(store, range(1), steps=STEPS)
    ballast, waits = small_disk / "ballast", []

    def disturb(event: Event) -> None:
        if isinstance(event, TrialReported) and not waits and not ballast.exists():
            fill(ballast)
        if isinstance(event, TrialWaits):
            waits.append(event.message)
            if len(waits) == 3:  # somebody makes room
                ballast.unlink()

    outcome, _ = launch(store, jobs, disturb)
    assert outcome.finished == tuple(job.trial.id for job in jobs)
    assert "no room left on the disk of " in waits[0]
    assert "trying again in 0.5 s" in waits[0]
    assert "trying again in 2 s" in waits[2]
    check(store, jobs, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_storage_that_is_away_for_a_while_is_waited_for(tmp_path, make_jobs):
    storage, elsewhere = tmp_path / "mount" / "runs", tmp_path / "unmounted"
    store = StudyStore(storage / "tiny")
    jobs = make_jobs(store, range(3), steps=STEPS)  # one of them begins while the storage is away
    back: list[threading.Timer] = []

    def bring_back() -> None:
        assert not storage.exists(), "somebody has made up a storage in the place of the one that is away"
        elsewhere.rename(storage)

    def disturb(event: Event) -> None:
        if isinstance(event, TrialReported) and not back:
            storage.rename(elsewhere)
            back.append(threading.Timer(AWAY_S, bring_back))
            back[0].start()

    outcome, events = launch(store, jobs, disturb)
    back[0].join()
    assert outcome.finished == tuple(job.trial.id for job in jobs)
    waits = [event.message for event in events if isinstance(event, TrialWaits)]
    assert waits
    assert all("the storage is away" in message for message in waits)
    check(store, jobs, tmp_path)
