import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tinyscale.cluster import (
    Event,
    Outcome,
    PreflightError,
    TrialEnded,
    TrialFailed,
    TrialReported,
    TrialRestarted,
    run_trials,
)
from tinyscale.cluster.session import ray_session
from tinyscale.results.journal import read_journal
from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import Job, Study, TrialResult, read_json
from tinyscale.spec.study import Resources
from tinyscale.train.loop import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own code warns of much

STUDY = Study(name="tiny", space=({},), resources=Resources(engine="torch", max_failures=2))


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """One Ray for the module: run_trials uses what is there."""
    with ray_session(None, STUDY.resources):
        yield


def launch(store: StudyStore, jobs: list[Job], study: Study = STUDY, **more: object) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    listen: Callable[[Event], None] = more.pop("on_event", lambda event: None)  # type: ignore[assignment]

    def on_event(event: Event) -> None:
        events.append(event)
        listen(event)

    settings = {"should_stop": lambda: False} | more
    return run_trials(store, jobs, study, on_event=on_event, **settings), events  # type: ignore[arg-type]


def steps(folder: TrialFolder) -> list[int]:
    return [record.step for record in read_journal(folder.journal)[0]]


def undisturbed(job: Job, folder: Path) -> TrialResult:
    result = run(replace(job, folder=str(folder)), lambda record: None)
    assert result
    return result


def test_trials_share_warm_workers_and_a_bad_one_fails_alone(store, make_jobs, tmp_path):
    jobs = [
        *make_jobs(store, range(0, 3), steps=60),
        *make_jobs(store, range(3, 4), steps=60, engine="zero"),
        *make_jobs(store, range(4, 5), steps=60, shards=str(tmp_path / "nowhere")),
    ]
    outcome, events = launch(store, jobs)

    good, bad = [job.trial.id for job in jobs[:4]], jobs[4].trial.id
    assert outcome.finished == tuple(good)
    assert list(outcome.failed) == [bad]
    assert "nowhere" in outcome.failed[bad]
    assert not outcome.interrupted
    assert not outcome.budget_reached
    assert {e.trial_id: e.result.status for e in events if isinstance(e, TrialEnded)} == dict.fromkeys(good, "done")
    assert [e.trial_id for e in events if isinstance(e, TrialFailed)] == [bad]
    assert not [e for e in events if isinstance(e, TrialRestarted)], "a ValueError is not worth a second try"
    assert len({e.pid for e in events if isinstance(e, TrialReported)}) <= os.cpu_count()
    for job in jobs[:4]:
        folder = store.trial(job.trial.id)
        assert steps(folder) == [10, 20, 30, 40, 50, 60]
        assert read_json(TrialResult, folder.result).engine.startswith(job.engine)
        assert read_json(Job, folder.job) == job
    assert "Traceback" in store.trial(bad).log.read_text()
    assert not store.trial(bad).result.exists()
    assert not (store.path / ".ray").exists()
    # What a worker trained before leaves no trace: the last trial of a warm worker equals one in a fresh process.
    assert (
        read_json(TrialResult, store.trial(good[2]).result).model_digest
        == undisturbed(jobs[2], tmp_path / "alone").model_digest
    )

    again, events = launch(store, jobs[:4])
    assert again.finished == tuple(good)
    assert not [e for e in events if isinstance(e, TrialReported)], "a finished trial does not run again"


def test_a_killed_worker_costs_nothing_but_time(store, make_jobs, tmp_path):
    job = make_jobs(store, range(1), steps=500)[0]
    killed: list[int] = []

    def kill(event: Event) -> None:
        if isinstance(event, TrialReported) and event.record.step >= 50 and not killed:
            os.kill(event.pid, signal.SIGKILL)
            killed.append(event.record.step)

    outcome, events = launch(store, [job], on_event=kill)

    assert outcome.finished == (job.trial.id,)
    assert killed[0] < 500
    restart = next(e for e in events if isinstance(e, TrialRestarted))
    assert "died" in restart.message
    assert restart.failures == 1
    folder = store.trial(job.trial.id)
    assert steps(folder) == list(range(10, 501, 10))
    expected = undisturbed(job, tmp_path / "alone")
    result = read_json(TrialResult, folder.result)
    assert result.model_digest == expected.model_digest
    assert result.points == expected.points


def test_a_worker_that_always_dies_is_given_up(store, make_jobs):
    job = make_jobs(store, range(1), steps=500)[0]

    def kill(event: Event) -> None:
        if isinstance(event, TrialReported):
            os.kill(event.pid, signal.SIGKILL)

    study = replace(STUDY, resources=replace(STUDY.resources, max_failures=0))
    outcome, events = launch(store, [job], study, on_event=kill)
    assert "died" in outcome.failed[job.trial.id]
    assert events[-1] == TrialFailed(job.trial.id, outcome.failed[job.trial.id])


def test_a_stopped_study_goes_on_where_it_was(store, make_jobs, tmp_path):
    jobs = make_jobs(store, range(3), steps=300)
    reached: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, TrialReported):
            reached.append(event.trial_id)

    outcome, _ = launch(store, jobs, on_event=note, should_stop=lambda: bool(reached))
    assert outcome == Outcome(interrupted=True)
    saved = json.loads(max(store.trial(reached[0]).checkpoints.glob("*/state.json")).read_text())
    assert saved["step"] >= steps(store.trial(reached[0]))[-1], "nothing that was reported is computed again"

    outcome, events = launch(store, jobs)
    assert outcome == Outcome(finished=tuple(job.trial.id for job in jobs))
    assert not [e for e in events if isinstance(e, TrialRestarted)]
    assert all(steps(store.trial(job.trial.id)) == list(range(10, 301, 10)) for job in jobs)
    job = next(job for job in jobs if job.trial.id == reached[0])
    result = read_json(TrialResult, store.trial(job.trial.id).result)
    assert result.model_digest == undisturbed(job, tmp_path / "alone").model_digest


def test_no_trial_starts_after_the_deadline(store, make_jobs):
    outcome, events = launch(store, make_jobs(store, range(1), steps=10), deadline_s=time.time())
    assert outcome == Outcome(budget_reached=True)
    assert not events


def test_what_cannot_run_here_is_refused_before_it_waits(store, make_jobs):
    study = replace(STUDY, resources=Resources(workers=1_000, cpus=2))
    with pytest.raises(PreflightError, match=r"1000 worker\(s\) of 2 CPU"):
        launch(store, make_jobs(store, range(1), steps=10, workers=1_000), study)
