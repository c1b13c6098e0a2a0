"""Random SIGKILLs over a small study: to workers, to its driver, to everything at once.

The seed draws who is hit and when; TINYSCALE_CHAOS_KILLS and TINYSCALE_CHAOS_SEED take other numbers.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tinyscale.results.journal import read_journal
from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import Job, TrainConfig, TrialResult, read_json, to_json
from tinyscale.train.loop import run

KILLS = int(os.environ.get("TINYSCALE_CHAOS_KILLS", "20"))
SEED = int(os.environ.get("TINYSCALE_CHAOS_SEED", "0"))
LATEST = 12
"""A kill falls when the journals have grown by at most so many records since the last one."""

DRIVER = """
import json, sys
from pathlib import Path
from tinyscale.cluster import StudyLock, run_trials
from tinyscale.results.store import StudyStore
from tinyscale.spec import Job, Study, from_json
from tinyscale.spec.study import Resources

store = StudyStore(Path(sys.argv[1]))
jobs = [from_json(Job, job) for job in json.loads(sys.argv[2])]
study = Study(name="tiny", space=({},), resources=Resources(engine="torch", max_failures=int(sys.argv[3])))
with StudyLock(store.lock):
    run_trials(store, jobs, study, on_event=lambda event: print(event, flush=True), should_stop=lambda: False)
"""


class Driver:
    """Launches the study, again whenever it was killed."""

    def __init__(self, store: StudyStore, jobs: list[Job], log: Path) -> None:
        self._command = [sys.executable, "-c", DRIVER, str(store.path), json.dumps(to_json(jobs)), str(KILLS)]
        self._log = log
        self.launches = 0
        self.launch()

    def launch(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        self.launches += 1

    def processes(self, word: str = "") -> list[psutil.Process]:
        """What runs below the driver, by a word in its name."""
        found = psutil.Process(self._process.pid).children(recursive=True)
        return [process for process in found if word in name_of(process)]

    def kill(self, also: list[psutil.Process]) -> None:
        for process in also:
            kill(process)
        self._process.kill()
        self._process.wait()

    def ended(self) -> bool:
        return self._process.poll() is not None

    def end(self, at_most: float) -> int:
        return self._process.wait(at_most)


def name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Callable[[StudyStore, list[Job]], Driver]]:
    drivers: list[Driver] = []

    def start(store: StudyStore, jobs: list[Job]) -> Driver:
        drivers.append(Driver(store, jobs, tmp_path / "driver.log"))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.kill([])


def records(store: StudyStore) -> int:
    return sum(path.read_bytes().count(b"\n") for path in store.trials.glob("*/journal.jsonl"))


def wait_for_records(store: StudyStore, driver: Driver, count: int) -> None:
    give_up = time.monotonic() + 60
    while records(store) < count:
        assert time.monotonic() < give_up, "no new record for a minute"
        assert not driver.ended(), "the study was over before all kills were sent: give its trials more steps"
        time.sleep(0.02)


def tear_newest_checkpoints(store: StudyStore) -> None:
    """What a power cut may do to a file that was written last."""
    for checkpoints in store.trials.glob("*/checkpoints"):
        if steps := sorted(checkpoints.glob("step-*")):
            os.truncate(steps[-1] / "tensors.safetensors", 100)


def same_numbers(folder: TrialFolder) -> list[object]:
    """A journal without what a clock measured."""
    return [
        (r.step, r.tokens, {k: v for k, v in r.metrics.items() if not k.startswith(("speed/", "memory/"))})
        for r in read_journal(folder.journal)[0]
    ]


@pytest.mark.slow
@pytest.mark.timeout(120 + 15 * KILLS)
def test_random_kills_change_nothing(launched, store, make_jobs, tmp_path):
    steps = 200 + 90 * KILLS
    jobs = make_jobs(store, range(4), steps=steps)
    train = jobs[0].trial.train
    trunk = replace(train, schedule="trunk", branches=(train.tokens // 4, train.tokens // 2), checkpoint_every=25)
    jobs[0] = with_training(store, jobs[0], trunk)
    jobs += make_jobs(store, range(4, 5), steps=steps)
    jobs[4] = with_training(store, jobs[4], replace(jobs[4].trial.train, learning_rate=1e30, grad_clip=0.0))
    rng = random.Random(SEED)
    targets = ["driver"] * (KILLS // 10) + ["everything"] * max(1, KILLS // 20)
    targets += ["worker"] * (KILLS - len(targets))
    rng.shuffle(targets)

    driver, seen = launched(store, jobs), 0
    for target in targets:
        wait_for_records(store, driver, seen + rng.randint(1, LATEST))
        if target == "worker":
            while not (workers := driver.processes("TrialWorker")):
                time.sleep(0.02)
            kill(rng.choice(workers))
        else:
            driver.kill(driver.processes() if target == "everything" else [])
            if target == "everything":
                tear_newest_checkpoints(store)
            driver.launch()
        seen = records(store)
    assert driver.end(at_most=100 + KILLS) == 0, (tmp_path / "driver.log").read_text()

    assert driver.launches == 1 + len(targets) - targets.count("worker")
    for index, job in enumerate(jobs):
        alone = TrialFolder(tmp_path / f"alone-{index}")
        expected = run(replace(job, folder=str(alone.path)), lambda record: None)
        folder = store.trial(job.trial.id)
        result = read_json(TrialResult, folder.result)
        assert result.status == expected.status == ("diverged" if job is jobs[4] else "done")
        assert result.points == expected.points
        assert len(result.points) == (0 if job is jobs[4] else len(job.trial.budgets))
        assert (result.model_digest, result.message) == (expected.model_digest, expected.message)
        assert same_numbers(folder) == same_numbers(alone)


def with_training(store: StudyStore, job: Job, train: TrainConfig) -> Job:
    trial = replace(job.trial, train=train)
    return replace(job, trial=trial, folder=str(store.trial(trial.id).path))
