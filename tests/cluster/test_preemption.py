"""A worker that is told to go: its trial checkpoints, goes on elsewhere, and no failure is counted."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from tinyscale.cluster import Event, TrialReported, TrialRestarted, run_trials
from tinyscale.cluster.session import ray_session
from tinyscale.results.journal import read_journal
from tinyscale.spec import Study, TrialResult, read_json
from tinyscale.spec.study import Resources
from tinyscale.train.loop import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
NO_FAILURE = Resources(engine="torch", max_failures=0)


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    with ray_session(None, NO_FAILURE):
        yield


def test_sigterm_checkpoints_and_counts_no_failure(store, make_jobs, tmp_path):
    job = make_jobs(store, range(1), steps=1_500)[0]
    job = replace(job, trial=replace(job.trial, train=replace(job.trial.train, checkpoint_every=100_000)))
    folder = store.trial(job.trial.id)
    told: list[int] = []
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, TrialReported) and event.pid not in told and len(told) < 2:
            os.kill(event.pid, signal.SIGTERM)
            told.append(event.pid)
        if isinstance(event, TrialRestarted):
            newest = max(folder.checkpoints.glob("step-*/state.json"))
            assert json.loads(newest.read_text())["step"] >= read_journal(folder.journal)[0][-1].step

    study = Study(name="tiny", space=({},), resources=NO_FAILURE)
    outcome = run_trials(store, [job], study, on_event=on_event, should_stop=lambda: False)

    assert outcome.finished == (job.trial.id,)
    restarts = [event for event in events if isinstance(event, TrialRestarted)]
    assert [restart.failures for restart in restarts] == [0, 0]
    assert all("told to go" in restart.message for restart in restarts)
    assert not any(psutil.pid_exists(pid) for pid in told)
    assert [record.step for record in read_journal(folder.journal)[0]] == list(range(10, 1_501, 10))
    expected = run(replace(job, folder=str(tmp_path / "alone")), lambda record: None)
    assert read_json(TrialResult, folder.result).model_digest == expected.model_digest
