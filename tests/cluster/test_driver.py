"""Launches as processes of their own, for what only shows when one ends or is killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tinyscale.results.journal import read_journal
from tinyscale.results.store import StudyStore
from tinyscale.spec import Job, TrialResult, read_json, to_json
from tinyscale.train.loop import run

pytestmark = pytest.mark.slow

DRIVER = """
import json, signal, sys
from pathlib import Path
from tinyscale.cluster import StudyLock, run_trials
from tinyscale.results.store import StudyStore
from tinyscale.spec import Job, Study, from_json

stopped = []
signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
store = StudyStore(Path(sys.argv[1]))
jobs = [from_json(Job, job) for job in json.loads(sys.argv[2])]
with StudyLock(store.lock):
    outcome = run_trials(
        store, jobs, Study(name="tiny", space=({},)),
        on_event=lambda event: print("event", type(event).__name__, flush=True), should_stop=lambda: bool(stopped),
    )
print("outcome", len(outcome.finished), len(outcome.failed), outcome.interrupted, flush=True)
"""


class Driver:
    """A launch with its descendants noted, in a process group of its own, as a terminal would start it."""

    def __init__(self, store: StudyStore, jobs: list[Job]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(store.path), json.dumps(to_json(jobs))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            env=os.environ | {"RAY_ADDRESS": "192.0.2.1:1"},  # a cluster that is not there, and was not asked for
        )
        self.said: list[str] = []

    def until(self, word: str) -> None:
        for line in self.process.stdout:
            self.said.append(line)
            if word in line:
                return
        raise AssertionError(f"it never said {word!r}: {self.said}")

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def launch() -> Iterator[Callable[[StudyStore, list[Job]], Driver]]:
    drivers: list[Driver] = []

    def start(store: StudyStore, jobs: list[Job]) -> Driver:
        drivers.append(Driver(store, jobs))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.process.kill()
        driver.process.wait()
        driver.process.stdout.close()


def seconds_until_gone(processes: list[psutil.Process], at_most: float) -> float:
    started = time.monotonic()
    _, alive = psutil.wait_procs(processes, timeout=at_most)
    assert not alive
    return time.monotonic() - started


def test_a_killed_driver_leaves_nothing_behind_and_the_next_one_goes_on(launch, store, make_jobs, tmp_path):
    jobs = make_jobs(store, range(2), steps=400)
    first = launch(store, jobs)
    first.until("TrialReported")
    processes = first.descendants()
    trainers = [process for process in processes if "TrialWorker" in process.name()]
    agents = [process for process in processes if process.name().endswith("Agent")]
    assert trainers
    first.process.kill()
    second = launch(store, jobs)  # at once: while the first one's workers may still be dying
    print(f"workers gone after {seconds_until_gone(trainers, 10):.1f} s")
    second.until("TrialReported")
    # Two idle agents of Ray first try for a minute to tell the dead head of its death; they hold nothing of ours.
    seconds_until_gone([process for process in processes if process not in agents], 1)
    processes = second.descendants()
    out, _ = second.process.communicate()
    assert "outcome 2 0 False" in out
    assert second.process.returncode == 0
    seconds_until_gone(processes, 3)
    folder = store.trial(jobs[0].trial.id)
    assert [record.step for record in read_journal(folder.journal)[0]] == list(range(10, 401, 10))
    undisturbed = run(Job(**vars(jobs[0]) | {"folder": str(tmp_path / "alone")}), lambda record: None)
    assert read_json(TrialResult, folder.result).model_digest == undisturbed.model_digest


def test_ctrl_c_reaches_the_whole_group_and_only_the_driver_heeds_it(launch, store, make_jobs):
    driver = launch(store, make_jobs(store, range(2), steps=5_000))
    driver.until("TrialReported")
    processes = driver.descendants()
    ray_folders = set(re.findall(r"/tmp/tinyscale-[\w-]+", " ".join(a for p in processes for a in p.cmdline())))
    assert len(ray_folders) == 1
    os.killpg(driver.process.pid, signal.SIGINT)
    out, _ = driver.process.communicate()
    assert "outcome 0 0 True" in out
    assert "Traceback" not in out
    assert driver.process.returncode == 0
    seconds_until_gone(processes, 3)
    assert all("event" in line or "outcome" in line for line in [*driver.said, *out.splitlines()]), "Ray is quiet"
    assert not any(Path(folder).exists() for folder in ray_folders)
