"""Trials that occupy different shares of the machine, in one launch."""

from itertools import product

import pytest

from tinyscale.cluster import Event, Outcome, PreflightError, TrialReported, run_trials, session
from tinyscale.results.store import StudyStore
from tinyscale.spec import Study, TrialResult, read_json
from tinyscale.spec.study import Resources, Share

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own code warns of much

STUDY = Study(name="tiny", space=({},), resources=Resources(engine="torch", cpus="auto"))


def test_sizes_run_side_by_side_in_warm_workers_with_threads_of_their_own(
    store: StudyStore, make_jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "usable_cpus", lambda: 3)  # room for one of each kind
    jobs = [
        job
        for seed in range(3)
        for threads in (2, 1)
        for job in make_jobs(store, range(2 * seed + threads, 2 * seed + threads + 1), steps=60, threads=threads)
    ]
    shares = {job.trial.id: Share(cpus=job.threads) for job in jobs}
    workers: dict[int, set[str]] = {}

    def on_event(event: Event) -> None:
        if isinstance(event, TrialReported):
            workers.setdefault(event.pid, set()).add(event.trial_id)

    with session.ray_session(None, STUDY.resources):
        outcome = run_trials(store, jobs, STUDY, shares=shares, on_event=on_event, should_stop=lambda: False)
        with pytest.raises(PreflightError, match="4 CPU each"):
            run_trials(
                store,
                make_jobs(store, range(9, 10), steps=10),
                STUDY,
                shares={make_jobs(store, range(9, 10), steps=10)[0].trial.id: Share(cpus=4)},
                on_event=on_event,
                should_stop=lambda: False,
            )
    assert outcome == Outcome(finished=tuple(job.trial.id for job in jobs))
    results = {job.trial.id: read_json(TrialResult, store.trial(job.trial.id).result) for job in jobs}
    assert {name: result.threads for name, result in results.items()} == {job.trial.id: job.threads for job in jobs}
    kinds = [[results[job.trial.id] for job in jobs if job.threads == threads] for threads in (1, 2)]
    assert any(a.started_s < b.finished_s and b.started_s < a.finished_s for a, b in product(*kinds)), "side by side"
    assert all(len({shares[name].cpus for name in trained}) == 1 for trained in workers.values())
    assert max(map(len, workers.values())) >= 2, "workers are kept warm for trials of their size"
