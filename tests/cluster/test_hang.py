"""A worker from which nothing comes any more: noticed, killed, started again."""

import os
import signal
from dataclasses import replace

import pytest

from tinyscale.cluster import Event, TrialReported, TrialRestarted, run_trials
from tinyscale.cluster.hang import START_S, HangWatch
from tinyscale.cluster.session import ray_session
from tinyscale.cluster.task import Report
from tinyscale.results.journal import read_journal
from tinyscale.spec import Record, Study, TrialResult, read_json
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_hung_worker_is_killed_and_its_trial_goes_on(store, make_jobs, tmp_path):
    """Of a hung rank of several tells test_group.py."""
    (job,) = make_jobs(store, range(1), steps=800)
    study = Study(name="tiny", space=({},), resources=Resources(engine="torch", max_failures=1, timeout_s=3.0))
    events: list[Event] = []
    hung: list[int] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, TrialReported) and not hung:
            hung.append(event.pid)
            os.kill(event.pid, signal.SIGSTOP)

    with ray_session(None, study.resources):
        outcome = run_trials(store, [job], study, on_event=on_event, should_stop=lambda: False)
        with pytest.raises(ProcessLookupError):
            os.kill(hung[0], 0)

    assert outcome.finished == (job.trial.id,)
    (restart,) = [event for event in events if isinstance(event, TrialRestarted)]
    assert "no new record for 3 s (resources.timeout_s): it hung" in restart.message
    assert restart.failures == 1
    folder = store.trial(job.trial.id)
    assert [record.step for record in read_journal(folder.journal)[0]] == list(range(10, job.trial.steps + 1, 10))
    expected = run(replace(job, folder=str(tmp_path / "alone")), lambda record: None)
    assert read_json(TrialResult, folder.result).model_digest == expected.model_digest
