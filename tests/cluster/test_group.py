"""Trials of two workers: ranks that take one trial after another, die, hang and are called off."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from tinyscale.cluster import Event, TrialFailed, TrialReported, TrialRestarted, TrialStarted, run_trials
from tinyscale.cluster.session import ray_session
from tinyscale.cluster.task import Report, Task
from tinyscale.results.journal import read_journal
from tinyscale.results.store import StudyStore
from tinyscale.spec import Job, Study, Trial, TrialResult, read_json
from tinyscale.spec.study import Resources
from tinyscale.train.loop import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own code warns of much
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs 2 cores"),
]
RESOURCES = Resources(workers=2, engine="zero", max_failures=1, timeout_s=6.0)
STEPS = 200
"""Of the trials that are disturbed: it takes half a second until the first one is reported."""


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    with ray_session(None, RESOURCES):
        yield


@pytest.fixture(scope="module")
def jobs(make_jobs, tmp_path_factory) -> tuple[StudyStore, dict[str, Job]]:
    """A store, and in it jobs that differ in what they could leave behind in a process; the last one cannot run."""
    store = StudyStore(tmp_path_factory.mktemp("group") / "runs" / "tiny")

    def changed(job: Job, trial: Trial) -> Job:
        return replace(job, trial=trial, folder=str(store.trial(trial.id).path))

    killed, hung = make_jobs(store, range(2), steps=STEPS, engine="zero", workers=2)
    plain, bad = make_jobs(store, range(2, 4), steps=60, engine="zero", workers=2)
    train = replace(killed.trial.train, schedule="trunk", branches=(killed.trial.train.tokens // 2,))
    wide = replace(hung.trial.model, hidden_size=32, intermediate_size=48)
    blown_up = replace(plain.trial.train, learning_rate=1e30, grad_clip=0.0)
    return store, {
        "plain": plain,
        "killed": changed(killed, replace(killed.trial, train=train)),
        "hung": changed(hung, replace(hung.trial, model=wide)),
        "diverging": changed(plain, replace(plain.trial, train=blown_up)),
        "bad": replace(bad, shards="/nowhere"),
    }


def ranks() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in p.name()]


@pytest.fixture(scope="module")
def launched(jobs) -> tuple[list[Event], set[frozenset[int]]]:
    """The events of a launch in which one trial loses a rank and one hangs, and the groups of ranks that it had."""
    store, named = jobs
    folder = store.trial(named["plain"].trial.id)
    folder.path.mkdir(parents=True)
    (folder.path / ".placement").write_text("734b0a75b441e9ab80325b5b993901000000")  # of a cluster that is no more
    disturb = {named["killed"].trial.id: signal.SIGKILL, named["hung"].trial.id: signal.SIGSTOP}
    events: list[Event] = []
    groups: set[frozenset[int]] = set()

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, TrialReported):
            found = ranks()
            groups.add(frozenset(rank.pid for rank in found))
            if number := disturb.pop(event.trial_id, None):
                assert len(found) == 2
                found[-1].send_signal(number)

    study = Study(name="tiny", space=({},), resources=RESOURCES)
    outcome = run_trials(store, [*named.values()], study, on_event=on_event, should_stop=lambda: False)
    assert outcome.finished == tuple(job.trial.id for name, job in named.items() if name != "bad")
    assert not disturb
    return events, groups


def test_a_lost_or_hung_rank_ends_its_group_and_the_trial_goes_on(jobs, launched):
    (store, named), (events, _) = jobs, launched
    lost, hung = [event for event in events if isinstance(event, TrialRestarted)]
    assert (lost.trial_id, lost.failures) == (named["killed"].trial.id, 1)
    assert "rank " in lost.message
    assert (hung.trial_id, hung.failures) == (named["hung"].trial.id, 1)
    assert "no new record for 6 s (resources.timeout_s): it hung" in hung.message
    for name in ("plain", "killed", "hung"):
        folder = store.trial(named[name].trial.id)
        result = read_json(TrialResult, folder.result)
        assert (result.status, result.workers) == ("done", 2)
        assert [record.step for record in read_journal(folder.journal)[0]] == [
            *range(10, named[name].trial.steps + 1, 10)
        ]
        assert not (folder.path / ".placement").exists()
    assert not ranks()


def test_the_others_share_their_ranks(jobs, launched):
    (store, named), (events, groups) = jobs, launched
    assert len([group for group in groups if len(group) == 2]) == 3, "one more after each of the two faults"
    starts = [event.trial_id for event in events if isinstance(event, TrialStarted)]
    assert [starts.count(job.trial.id) for job in named.values()] == [1, 2, 2, 1, 1]
    (bad,) = [event for event in events if isinstance(event, TrialFailed)]
    assert (bad.trial_id, bad.message.partition(":")[0]) == (named["bad"].trial.id, "JobError")
    for name, job in named.items():
        log = store.trial(job.trial.id).log.read_text()
        assert ("/nowhere" in log) == (name == "bad"), "what a rank says goes to the log of its trial"


def test_what_ranks_trained_before_leaves_no_trace(jobs, launched, make_jobs, tmp_path):
    """The same trials in another order, in one group that no Tune drives, and one of them called off in between."""
    import ray

    from tinyscale.cluster.group import TrialGroup

    store, before = jobs
    here = StudyStore(tmp_path / "runs" / "tiny")
    here.trials.mkdir(parents=True)

    def config(name: str) -> dict[str, object]:
        job = replace(before[name], folder=str(here.trial(before[name].trial.id).path))
        return {"trial": Task(job=job, cpus=1, gpus=0, study_folder=str(here.path)).to_config()}

    def report() -> Report:
        return Report.from_result(ray.get(group.train.remote()))

    order = ["hung", "diverging", "killed", "plain", "hung"]
    group = ray.remote(num_cpus=0)(TrialGroup).remote(config=config(order[0]))
    while not report().record:
        pass
    first = {rank.pid for rank in ranks()}
    for name in order[1:]:
        ray.get(group.reset.remote(config(name)))
        if name == order[1]:
            left = here.trial(before[order[0]].trial.id)
            assert [*left.checkpoints.glob("step-*")], "called off, it has left a checkpoint"
            assert not left.result.exists()
        while not report().done:
            pass
    assert {rank.pid for rank in ranks()} == first
    ray.get(group.stop.remote())
    assert not ranks()
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]
    for name in order[1:]:
        results = [read_json(TrialResult, s.trial(before[name].trial.id).result) for s in (store, here)]
        assert results[0].model_digest == results[1].model_digest
        assert results[0].points == results[1].points
    alone = run(replace(before["plain"], workers=1, folder=str(tmp_path / "alone")), lambda record: None)
    assert results_of(here, before["plain"]).points[0].loss == pytest.approx(alone.points[0].loss, rel=1e-4)


def results_of(store: StudyStore, job: Job) -> TrialResult:
    return read_json(TrialResult, store.trial(job.trial.id).result)
