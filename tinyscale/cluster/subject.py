"""What is graded: models of a study, one model, or stories that somebody told."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tinyscale.data import default_cache
from tinyscale.data.corpus import CorpusFiles, iter_stories, prepare_corpus
from tinyscale.grading.calibrate import calibration_stories
from tinyscale.grading.prompts import load_prompts
from tinyscale.grading.stories import read_stories, settings_match
from tinyscale.results.imported import import_folder, read_imported
from tinyscale.results.points import read_results
from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import (
    BuiltinCorpus,
    Grading,
    ImportedModel,
    Prompt,
    ResolvedStudy,
    Story,
    Trial,
    TrialResult,
    read_json,
)

OWN_TEST_TEXT = BuiltinCorpus(train_stories=1, valid_stories=1_000)
"""Where the models' own validation text is unknown, the judge is tested with stories of the built-in grammar."""
_CALIBRATION_TEXTS = 2_000
"""First validation stories among which those of the calibration are drawn."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is graded: models of a study, one model, or stories that somebody told."""

    name: str
    """In words, and whom the judge's calls are charged to."""
    home: Path
    """Folder in which ``grades/`` lies."""
    grading: Grading
    """What is asked for."""
    store: StudyStore | None = None
    """Of the study, where the subject is one."""
    resolved: ResolvedStudy | None = None
    trials: tuple[Trial, ...] = ()
    """The models of a study that are graded, best first."""
    imported: tuple[ImportedModel, ...] = ()
    """Models from elsewhere that are graded beside them."""
    model: Path | None = None
    """Folder of the one model."""
    file: Path | None = None
    """The stories that somebody told."""


def of_study(store: StudyStore, resolved: ResolvedStudy, grading: Grading) -> Subject:
    """The best finished models of a study by bits per byte, hold-outs among them, and all that were imported into it.

    :raises ValueError: no trial has finished.
    """
    results = read_results(store)
    done = [(trial, results[trial.id]) for trial in resolved.trials if _has_points(results.get(trial.id))]
    if not done:
        raise ValueError(f"{resolved.study.name}: no trial has finished; launch the study first")
    done.sort(key=lambda pair: pair[1].points[-1].bpb)
    trials = tuple(trial for trial, _ in done[: grading.models or None])
    return Subject(
        name=resolved.study.name,
        home=store.path,
        grading=grading,
        store=store,
        resolved=resolved,
        trials=trials,
        imported=read_imported(store),
    )


def of_path(path: Path, grading: Grading) -> Subject:
    """A model's folder (of a trial, of an imported model, or of the model itself), or a file of stories.

    :raises ValueError: it is neither.
    """
    if path.is_file():
        return Subject(name=str(path), home=path.with_name(f"{path.stem}-grades"), grading=grading, file=path)
    model = path if (path / "model.safetensors").exists() else TrialFolder(path).model
    if not (model / "model.safetensors").exists():
        raise ValueError(
            f"{path}: no launched study, no folder of a finished model and no file of stories; give one of them"
        )
    store = StudyStore(path.parent.parent)
    of_study = path.parent in (store.trials, store.imports) and store.study.exists()
    resolved = read_json(ResolvedStudy, store.study) if of_study else None
    return Subject(name=str(path), home=path, grading=grading, resolved=resolved, model=model)


def expected_stories(subject: Subject) -> list[Story]:
    """The stories to be graded, for a quote: those not told yet as long as they may get."""
    grading = subject.grading
    if subject.file:
        stories = read_stories(subject.file)
    else:
        prompts = load_prompts(grading.prompts)
        stories = []
        for name, folder, model_digest in models_of(subject):
            told = read_stories(folder) if folder.exists() else []
            if not settings_match(told, grading, prompts, model_digest):
                told = [_longest(name, prompt, sample, grading) for prompt in prompts
                        for sample in range(grading.completions)]  # fmt: skip
            stories += told
    return [*stories, *own_test(subject)]


def models_of(subject: Subject) -> Iterator[tuple[str, Path, str]]:
    """Name, file of stories and digest of each model."""
    if subject.store is None:
        from tinyscale.model.store import model_digest

        assert subject.model
        yield subject.home.name, TrialFolder(subject.home).stories, model_digest(subject.model)
        return
    results = read_results(subject.store)
    for trial in subject.trials:
        yield trial.name, subject.store.trial(trial.id).stories, results[trial.id].model_digest
    for model in subject.imported:
        yield model.name, import_folder(subject.store, model.name).stories, model.model_digest


def corpus_of(subject: Subject) -> CorpusFiles | None:
    """The text that the study's models were trained on; None: nobody knows."""
    return prepare_corpus(subject.resolved.study.corpus, default_cache()) if subject.resolved else None


def own_test(subject: Subject) -> list[Story]:
    """The judge's own test: stories of known quality, of the models' validation text where that is known."""
    grading = subject.grading
    if not grading.calibration:
        return []
    corpus = corpus_of(subject) or prepare_corpus(OWN_TEST_TEXT, default_cache())
    texts = list(islice(iter_stories(corpus.valid), _CALIBRATION_TEXTS))
    return calibration_stories(texts, grading.calibration, grading.seed)


def _has_points(result: TrialResult | None) -> bool:
    return result is not None and bool(result.points)


def _longest(name: str, prompt: Prompt, sample: int, grading: Grading) -> Story:
    return Story(
        model=name,
        model_digest="",
        prompt_id=prompt.id,
        prompt=prompt.text,
        instruction=prompt.instruction,
        completion="word " * grading.max_tokens,
        sample=sample,
    )
