"""Which trials of a study may not be promoted whatever their numbers, and why."""

from collections.abc import Mapping

from tinyscale.data.cache import Progress
from tinyscale.data.corpus import CorpusFiles
from tinyscale.data.overlap import validation_overlap
from tinyscale.grading.results import read_judge_free
from tinyscale.results.storage import mirror_of
from tinyscale.results.store import StudyStore
from tinyscale.spec import JudgeFree, ResolvedStudy, Trial, TrialResult

MOST_OVERLAP = 0.01
"""Share of the validation text's bytes that may stand in the training text. A model that knew them by heart would seem
better by about as much (1 %), less than what the seeds of two single runs may explain (3.2 %): above it, the ranking
may be one of memory. The built-in text and 10,663 stories of TinyStories with 600 for validation have none. Of common
data sets more than 4 % of the validation text has near copies in the training text (Lee et al. 2022)."""
MOST_RECITED = 0.1
"""Share of the stories a model told that may be recited. Of stories that nobody trained on none is (0 of 300 validation
stories, built-in and TinyStories alike), of the quickstart's models' 1 in 100."""


def refusals(
    store: StudyStore, resolved: ResolvedStudy, results: Mapping[str, TrialResult], overlap: str
) -> dict[str, str]:
    """The trials that may not be promoted, by id, each with what was found and what to do.

    :param overlap: as :func:`overlap_problem` says of the study's corpus.
    """
    measures = read_judge_free(store.path)
    told = {of.model: of for of in measures.judge_free} if measures else {}
    found = {
        trial.id: _unfinished(trial, results.get(trial.id))
        or _gone(store, trial)
        or overlap
        or _recites(told.get(trial.name))
        for trial in resolved.trials
    }
    return {trial_id: reason for trial_id, reason in found.items() if reason}


def overlap_problem(corpus: CorpusFiles, say: Progress) -> str:
    """Whether so much of the validation text was trained on that it measures nothing; empty: it was not."""
    found = validation_overlap(corpus, progress=say)
    if found.share <= MOST_OVERLAP:
        return ""
    return (
        f"contaminated: {found.stories:,} of the {found.valid_stories:,} validation stories, "
        f"{100 * found.share:.1f} % of their bytes, stand word for word in the training text; above "
        f"{100 * MOST_OVERLAP:.0f} % bits per byte are a test of memory: take them out of the training text and launch "
        "the study again"
    )


def _unfinished(trial: Trial, result: TrialResult | None) -> str:
    if result is None:
        return "not finished: launch the study again, which goes on with it"
    why = f" ({result.message})" if result.message else ""
    match result.status:
        case "diverged":
            return f"diverged{why}: no model came of it; try a lower learning_rate"
        case "pruned":
            return f"stopped early{why}: it is not trained to its end; launch with resources.scheduler=fifo"
        case "failed":
            return f"failed{why}: launch the study again, which goes on from its last checkpoint"
        case "done":
            return ""


def _gone(store: StudyStore, trial: Trial) -> str:
    """Of a study in an object store, models are fetched when they are looked at."""
    folder = store.trial(trial.id).model
    if mirror_of(store) or (folder / "model.safetensors").is_file():
        return ""
    return f"its model is gone ({folder}): bring it back, or remove the trial's folder and launch the study again"


def _recites(measures: JudgeFree | None) -> str:
    if measures is None or not measures.stories or measures.copied <= MOST_RECITED * measures.stories:
        return ""
    return (
        f"recites: {measures.copied} of the {measures.stories} stories it told, more than {100 * MOST_RECITED:.0f} %, "
        "are for the most part one run of words of the training text: train on more text, or on fewer tokens of it"
    )
