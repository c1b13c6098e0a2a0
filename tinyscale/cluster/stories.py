"""Stories of finished trials, told on a cluster or on this machine: one Ray task a model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinyscale.cluster.capacity import concurrent_trials
from tinyscale.cluster.events import Outcome
from tinyscale.cluster.session import ray_session
from tinyscale.grading.stories import read_stories, settings_match, tell, write_stories
from tinyscale.plan.share import smallest_share
from tinyscale.results.state import finished
from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import Grading, Prompt, Trial, from_json, to_json
from tinyscale.spec.study import Resources

LOOK_EVERY_S = 0.2


def tell_stories(
    store: StudyStore,
    trials: Sequence[Trial],
    grading: Grading,
    prompts: Sequence[Prompt],
    *,
    address: str | None = None,
    resources: Resources,
    on_told: Callable[[Trial, int], None],
    should_stop: Callable[[], bool],
) -> Outcome:
    """Write each trial's ``stories.jsonl``; a model whose file has these very stories is not asked again.

    Where none is left to tell, Ray is not started. A task takes ``cpus`` and ``gpus`` of the study's ``resources`` and
    is started again up to ``max_failures`` times when its process dies; what it says goes to the trial's log.

    :param address: as for :func:`tinyscale.cluster.run_trials`.
    :param on_told: called on this thread with a trial and the number of its stories, as they come.
    :param should_stop: asked five times a second; True ends the tasks at once, and what they told is lost.
    :return: ``finished``: the trials whose stories are there, told now or before; ``failed``: the others, with a line.
    :raises ValueError: a trial has no finished model.
    :raises PreflightError: no cluster at the address, or one in which a task never fits.
    """
    here = StudyStore(store.path.absolute())
    due = [trial for trial in trials if not _told(here.trial(trial.id), grading, prompts)]
    failed: dict[str, str] = {}
    interrupted = bool(due) and should_stop()
    if due and not interrupted:
        with ray_session(address, resources):
            failed, interrupted = _run(here, due, grading, prompts, resources, on_told, should_stop)
    through = tuple(trial.id for trial in trials if _told(here.trial(trial.id), grading, prompts))
    return Outcome(finished=through, failed=failed, interrupted=interrupted)


def _told(folder: TrialFolder, grading: Grading, prompts: Sequence[Prompt]) -> bool:
    """Whether the folder's stories are those that its model would tell now."""
    result = finished(folder)
    if result is None or not result.model_digest:
        state = f"is {result.status}" if result else "is not finished"
        raise ValueError(f"{folder.path} {state}: it has no model that could tell stories")
    if not folder.stories.exists():
        return False
    return settings_match(read_stories(folder.stories), grading, prompts, result.model_digest)


def _run(
    store: StudyStore,
    due: Sequence[Trial],
    grading: Grading,
    prompts: Sequence[Prompt],
    resources: Resources,
    on_told: Callable[[Trial, int], None],
    should_stop: Callable[[], bool],
) -> tuple[dict[str, str], bool]:
    """The trials that failed, and whether the caller stopped it, in the Ray that is up."""
    import ray

    from tinyscale.cluster.words import plain_words

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    share = smallest_share(replace(resources, workers=1))
    concurrent_trials(share, nodes)
    task = ray.remote(tell_one).options(
        num_cpus=share.cpus, num_gpus=share.gpus, max_retries=resources.max_failures, name="tell_stories"
    )
    asked = {"grading": to_json(grading), "prompts": to_json(prompts)}
    running = {task.remote(str(store.trial(trial.id).path), trial.name, asked): trial for trial in due}
    failed: dict[str, str] = {}
    while running:
        if should_stop():
            for reference in running:
                ray.cancel(reference, force=True)
            return failed, True
        for reference in ray.wait([*running], timeout=LOOK_EVERY_S)[0]:
            trial = running.pop(reference)
            try:
                on_told(trial, ray.get(reference))
            except ray.exceptions.RayError as error:
                failed[trial.id] = plain_words(error)
    return failed, False


def tell_one(folder: str, name: str, asked: dict[str, Any]) -> int:
    """The task: tell and write one model's stories; their number."""
    from tinyscale.cluster.output import redirect_output

    trial = TrialFolder(Path(folder))
    redirect_output(trial.log)
    prompts = [from_json(Prompt, prompt) for prompt in asked["prompts"]]
    stories = tell(trial.model, prompts, from_json(Grading, asked["grading"]), name=name)
    write_stories(trial.stories, stories)
    return len(stories)
