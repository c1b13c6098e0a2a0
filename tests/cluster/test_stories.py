"""Real Ray tells the stories of models that were never trained."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import psutil
import pytest
import torch

from tinyscale.cluster import Outcome, PreflightError
from tinyscale.cluster.session import ray_session
from tinyscale.cluster.stories import tell_stories
from tinyscale.grading.prompts import load_prompts
from tinyscale.grading.stories import read_stories, tell, write_stories
from tinyscale.model.store import save_model
from tinyscale.model.transformer import Transformer
from tinyscale.results.store import StudyStore
from tinyscale.spec import Grading, Trial, TrialResult, write_json
from tinyscale.spec.study import Resources

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own code warns of much

PROMPTS = load_prompts("builtin")[:6]
GRADING = Grading(completions=4, max_tokens=60)
RESOURCES = Resources(max_failures=2)


@pytest.fixture
def trials(store: StudyStore, make_jobs: Callable[..., list]) -> list[Trial]:
    """Two finished trials, each with a model."""
    torch.set_num_threads(1)
    jobs = make_jobs(store, range(2), 1)
    for job in jobs:
        folder = store.trial(job.trial.id)
        folder.path.mkdir(parents=True)
        model = Transformer(replace(job.trial.model, init_std=0.5))
        model.init_weights(job.trial.train.seed)
        save_model(folder.model, model.config, model.state_dict(), Path(job.tokenizer))
        weights = sha256((folder.model / "model.safetensors").read_bytes()).hexdigest()
        write_json(
            folder.result,
            TrialResult(trial_id=job.trial.id, name=job.trial.name, status="done", model_digest=weights),
        )
    return [job.trial for job in jobs]


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """One Ray for the tests that need it: tell_stories uses what is there."""
    with ray_session(None, RESOURCES):
        yield


def never() -> bool:
    return False


def tell_all(
    store: StudyStore,
    trials: list[Trial],
    grading: Grading = GRADING,
    *,
    address: str | None = None,
    should_stop: Callable[[], bool] = never,
) -> tuple[Outcome, dict[str, int]]:
    told: dict[str, int] = {}

    def on_told(trial: Trial, stories: int) -> None:
        assert trial.id not in told
        told[trial.id] = stories

    outcome = tell_stories(
        store,
        trials,
        grading,
        PROMPTS,
        address=address,
        resources=RESOURCES,
        on_told=on_told,
        should_stop=should_stop,
    )
    return outcome, told


def test_stories_that_are_there_need_no_ray(store: StudyStore, trials: list[Trial]) -> None:
    for trial in trials:
        folder = store.trial(trial.id)
        write_stories(folder.stories, tell(folder.model, PROMPTS, GRADING, name=trial.name))
    outcome, told = tell_all(store, trials, address="127.0.0.1:1")
    assert (outcome.finished, told) == (tuple(trial.id for trial in trials), {})
    with pytest.raises(PreflightError, match="no Ray cluster answers"):
        tell_all(store, trials, replace(GRADING, seed=1), address="127.0.0.1:1")


def test_a_trial_without_a_model_is_refused(store: StudyStore, trials: list[Trial]) -> None:
    store.trial(trials[1].id).result.unlink()
    with pytest.raises(ValueError, match=rf"{trials[1].id} is not finished: it has no model"):
        tell_all(store, trials)


@pytest.mark.slow
def test_each_model_is_told_once_although_a_worker_dies(one_ray: None, store: StudyStore, trials: list[Trial]) -> None:
    killed: list[int] = []

    def kill_one() -> bool:
        if not killed and (found := tasks()):
            found[0].kill()
            killed.append(found[0].pid)
        return False

    outcome, told = tell_all(store, trials, should_stop=kill_one)
    ids = tuple(trial.id for trial in trials)
    assert outcome == Outcome(finished=ids)
    assert killed
    assert told == dict.fromkeys(ids, 24)
    for trial in trials:
        folder = store.trial(trial.id)
        assert read_stories(folder.stories) == tell(folder.model, PROMPTS, GRADING, name=trial.name, device="cpu")


@pytest.mark.slow
def test_a_broken_model_fails_alone_and_a_stop_ends_the_tasks(
    one_ray: None, store: StudyStore, trials: list[Trial]
) -> None:
    good, bad = (trial.id for trial in trials)
    (store.trial(bad).model / "tokenizer.json").write_text("{")
    outcome, told = tell_all(store, trials)
    assert (outcome.finished, list(outcome.failed), told) == ((good,), [bad], {good: 24})
    assert "tokenizer.json: not a tokenizer" in outcome.failed[bad]

    before = store.trial(good).stories.read_bytes()
    outcome, told = tell_all(store, trials[:1], replace(GRADING, max_tokens=10**6), should_stop=lambda: bool(tasks()))
    assert (outcome, told) == (Outcome(interrupted=True), {})
    give_up = time.monotonic() + 30
    while tasks():
        assert time.monotonic() < give_up, "a task goes on"
        time.sleep(0.1)
    assert store.trial(good).stories.read_bytes() == before


def tasks() -> list[psutil.Process]:
    """Workers that tell at this moment, by the title that Ray gives them."""
    below = psutil.Process().children(recursive=True)
    return [process for process in below if process.name().startswith("ray::tell")]
