"""A worker from which nothing comes any more: noticed, killed, started again."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from tinyscale.cluster import Event, TrialReported, TrialRestarted, run_trials
from tinyscale.cluster.hang import START_S, HangWatch
from tinyscale.cluster.session import ray_session
from tinyscale.cluster.task import Report
from tinyscale.results.journal import read_journal
from tinyscale.results.store import StudyStore
from tinyscale.spec import Job, Record, Study, TrialResult, read_json
from tinyscale.spec.study import Resources
from tinyscale.train.loop import run

RECORD = Record(step=1, tokens=1, time_s=0.0, metrics={})


class StuckTrial:
    """As Tune's: what is asked of it."""

    status = "RUNNING"

    def __init__(self, killed):
        self.config = {"trial": {"trial_id": "one"}}
        self.temporary_state = self
        self.ray_actor = killed


def test_only_time_without_records_that_the_driver_was_awake_for_counts(monkeypatch):
    now, killed = 0.0, []
    monkeypatch.setattr("ray.kill", killed.append)
    watch, trial = HangWatch(5.0, lambda: now), StuckTrial("actor")

    def seconds(count: int) -> None:
        nonlocal now
        for _ in range(count):
            now += 1.0
            watch.look([trial])

    seconds(20)
    assert not killed, "it waits in Ray's queue"
    watch.started("one")
    seconds(int(START_S) + 4)
    watch.reported("one", Report(done=False, record=RECORD))
    seconds(4)
    watch.reported("one", Report(done=False, waits="no room left"))
    seconds(int(START_S) + 4)
    now += 3600.0  # the machine, and its driver with it, was asleep
    watch.reported("one", Report(done=False, record=RECORD))
    seconds(4)
    watch.reported("one", Report(done=False))
    assert not killed
    assert not watch.words("one")
    seconds(4)
    assert killed == ["actor"]
    assert "no new record for 5 s" in watch.words("one")
    watch.started("one")
    assert not watch.words("one"), "what ends it next is something else"


def expect_a_restart(store: StudyStore, job: Job, study: Study, hang: Callable[[TrialReported], int]) -> None:
    """Launch; ``hang`` is handed the first report and says which process it has stopped."""
    events: list[Event] = []
    hung: list[int] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, TrialReported) and not hung:
            hung.append(hang(event))
            os.kill(hung[0], signal.SIGSTOP)

    with ray_session(None, study.resources):
        outcome = run_trials(store, [job], study, on_event=on_event, should_stop=lambda: False)
        with pytest.raises(ProcessLookupError):
            os.kill(hung[0], 0)

    assert outcome.finished == (job.trial.id,)
    (restart,) = [event for event in events if isinstance(event, TrialRestarted)]
    timeout_s = study.resources.timeout_s
    assert f"no new record for {timeout_s:g} s (resources.timeout_s): it hung" in restart.message
    assert restart.failures == 1
    steps = [record.step for record in read_journal(store.trial(job.trial.id).journal)[0]]
    assert steps == list(range(10, job.trial.steps + 1, 10))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_hung_rank_ends_its_group_and_the_trial_goes_on(store, make_jobs, tmp_path):
    study = Study(name="tiny", space=({},), resources=Resources(workers=2, max_failures=1, timeout_s=8.0))
    (job,) = make_jobs(store, range(1), steps=300, engine="zero", workers=2)
    folder = store.trial(job.trial.id)
    folder.path.mkdir(parents=True)
    (folder.path / ".placement").write_text("734b0a75b441e9ab80325b5b993901000000")  # of a cluster that is no more

    def a_rank(event: TrialReported) -> int:
        return [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in p.name()][-1].pid

    expect_a_restart(store, job, study, a_rank)
    assert not (folder.path / ".placement").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_hung_worker_is_killed_and_its_trial_goes_on(store, make_jobs, tmp_path):
    job = make_jobs(store, range(1), steps=800)[0]
    study = Study(name="tiny", space=({},), resources=Resources(engine="torch", max_failures=1, timeout_s=4.0))
    expect_a_restart(store, job, study, lambda event: event.pid)
    expected = run(replace(job, folder=str(tmp_path / "alone")), lambda record: None)
    assert read_json(TrialResult, store.trial(job.trial.id).result).model_digest == expected.model_digest
