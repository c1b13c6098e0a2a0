"""All trials of a launch on Ray Tune, as many at once as the resources allow."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence

from tinyscale.cluster.capacity import concurrent_trials
from tinyscale.cluster.events import Event, Outcome
from tinyscale.cluster.folders import own_folder, scratch_folder
from tinyscale.cluster.mirrored import begin, refresh
from tinyscale.cluster.session import environment, ray_session
from tinyscale.cluster.stop import Halt
from tinyscale.cluster.task import Task, trial_id
from tinyscale.plan.share import smallest_share
from tinyscale.results.state import finished
from tinyscale.results.storage import storage_uri
from tinyscale.results.store import StudyStore
from tinyscale.spec import Job, Study, Trial
from tinyscale.spec.study import Share

STOP_GRACE_S = 120
"""Longest wait for trials to checkpoint after a stop; then their workers are killed."""

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the caller's: see should_stop
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the journal is the log
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # events tell them
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune's own state is never restored
    "TUNE_FORCE_TRIAL_CLEANUP_S": str(STOP_GRACE_S),
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def run_trials(
    store: StudyStore,
    jobs: Sequence[Job],
    study: Study,
    *,
    shares: Mapping[str, Share] | None = None,
    trials: Sequence[Trial] = (),
    address: str | None = None,
    on_event: Callable[[Event], None],
    deadline_s: float | None = None,
    should_stop: Callable[[], bool],
) -> Outcome:
    """Train all jobs and return when each is finished, failed or stopped.

    The caller holds the study's lock. Trials start in the order given, so hand over the longest first.

    :param shares: what each trial occupies, by id, as the plan has chosen it; None: what the study's numbers say.
    :param trials: all of the study: under ``scheduler: asha`` the jobs are compared with those among them.
    :param address: None starts this machine's own Ray and ends it after; else as for ``ray.init``: ``auto``,
        ``host:port`` or ``ray://host:port``. The machines of a cluster must see the store at the same path, unless it
        mirrors an object store.
    :param on_event: called on this thread.
    :param deadline_s: Unix time at which to stop the trials.
    :param should_stop: asked some ten times a second; True makes the trials checkpoint and end.
    :raises PreflightError: no cluster at the address, or one in which a trial can never run.
    """
    if not jobs:
        return Outcome()
    here = StudyStore(store.path.absolute())
    here.trials.mkdir(parents=True, exist_ok=True)  # here alone: to a worker, its absence means a storage that is away

    uri, usual = storage_uri(here.path.parent), smallest_share(study.resources)
    occupied = [(job, (shares or {}).get(job.trial.id, usual)) for job in jobs]
    tasks = [
        Task(job=job, cpus=share.cpus, gpus=share.gpus, study_folder=str(here.path), storage=uri)
        for job, share in occupied
    ]

    def run_here(on_event: Callable[[Event], None], should_stop: Callable[[], bool]) -> Outcome:
        return _run(here, tasks, study, trials, Halt(here, should_stop, deadline_s), on_event)

    with ray_session(address, study.resources):
        from tinyscale.cluster.client import behind_client, run_remotely

        begin(here, jobs, client=behind_client())
        if behind_client():
            return run_remotely(run_here, on_event, should_stop)
        return run_here(on_event, should_stop)


def _run(
    store: StudyStore,
    tasks: Sequence[Task],
    study: Study,
    trials: Sequence[Trial],
    halt: Halt,
    on_event: Callable[[Event], None],
) -> Outcome:
    """Run the tasks in the Ray that is up."""
    failed: dict[str, str] = {}
    try:
        if not halt():
            with environment(TUNE_ENVIRONMENT), own_folder("tune") as notes:
                failed = _tune(store, tasks, study, trials, halt, on_event, notes)
    finally:
        halt.clear()
        shutil.rmtree(scratch_folder(store), ignore_errors=True)
    refresh(store, now=True)
    names = [task.job.trial.id for task in tasks]
    through = tuple(name for name in names if finished(store.trial(name), study.resources.scheduler))
    left = len(through) + len(failed) < len(tasks)
    return Outcome(
        finished=through,
        failed=failed,
        interrupted=left and halt.reason == "interrupted",
        budget_reached=left and halt.reason == "budget",
    )


def _tune(
    store: StudyStore,
    tasks: Sequence[Task],
    study: Study,
    trials: Sequence[Trial],
    halt: Halt,
    on_event: Callable[[Event], None],
    notes: str,
) -> dict[str, str]:
    """Hand the tasks to Tune; the failed ones with their messages.

    :param notes: folder for Tune's own, on this machine: Tune does not wait for a storage that is away.
    """
    import ray
    from ray import tune

    from tinyscale.cluster.asha import AshaByCell
    from tinyscale.cluster.group import TrialGroup
    from tinyscale.cluster.hang import HangWatch
    from tinyscale.cluster.watch import HaltStopper, Watcher
    from tinyscale.cluster.worker import TrialWorker

    several = study.resources.workers > 1
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    at_once = min(concurrent_trials(share, nodes) for share in {task.share for task in tasks})
    scheduler = study.resources.scheduler
    watcher = Watcher(store, on_event, HangWatch(study.resources.timeout_s), scheduler)
    tuner = tune.Tuner(
        TrialGroup if several else TrialWorker,
        param_space={"trial": tune.grid_search([task.to_config() for task in tasks])},
        tune_config=tune.TuneConfig(
            # Workers of one process wait in Ray's queue; a group's supervisor asks for no CPU, so count them here.
            max_concurrent_trials=at_once if several else None,
            reuse_actors=True,
            scheduler=AshaByCell(store, trials) if scheduler == "asha" else None,
            trial_name_creator=lambda trial: trial_id(trial.config),
            trial_dirname_creator=lambda trial: trial_id(trial.config),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=notes,
            callbacks=[watcher],
            stop=HaltStopper(halt),
            failure_config=tune.FailureConfig(max_failures=study.resources.max_failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    logging.getLogger("ray.tune.tune").addFilter(_worth_saying)
    tuner.fit()
    return watcher.failed


def _worth_saying(entry: logging.LogRecord) -> bool:
    """Tune logs the list of unfinished trials as an error; the events and the outcome tell of them."""
    return not entry.getMessage().startswith("Trials did not complete")
