"""Grading: stories told where they lack, measured, judged, summed up, and written down beside the models."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from itertools import islice
from pathlib import Path

from tinyscale.cluster.events import PreflightError
from tinyscale.cluster.stories import tell_stories
from tinyscale.data import default_cache
from tinyscale.data.corpus import CorpusFiles, iter_stories, prepare_corpus
from tinyscale.grading.ask import Asker
from tinyscale.grading.calibrate import calibration_stories
from tinyscale.grading.copies import find_copies
from tinyscale.grading.measures import judge_free
from tinyscale.grading.prompts import load_prompts
from tinyscale.grading.relative import check_anchors
from tinyscale.grading.results import write_grading
from tinyscale.grading.rubric import instrument
from tinyscale.grading.scores import summarise
from tinyscale.grading.session import Graded, asked_for, grade_stories
from tinyscale.grading.stories import read_stories, settings_match, tell, write_stories
from tinyscale.results.points import read_results
from tinyscale.results.storage import fetch_trial, mirror_of
from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import (
    BuiltinCorpus,
    Grade,
    GradeSummary,
    Grading,
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
    model: Path | None = None
    """Folder of the one model."""
    file: Path | None = None
    """The stories that somebody told."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a grading came out."""

    measures: GradeSummary
    """What needs no judge."""
    summary: GradeSummary | None
    """Of the judge; None: none was asked."""
    stories: tuple[Story, ...]
    grades: tuple[Grade, ...] = ()
    graded: Graded | None = None


def of_study(store: StudyStore, resolved: ResolvedStudy, grading: Grading) -> Subject:
    """The best finished models of a study by bits per byte, hold-outs among them.

    :raises ValueError: no trial has finished.
    """
    results = read_results(store)
    done = [(trial, results[trial.id]) for trial in resolved.trials if _has_points(results.get(trial.id))]
    if not done:
        raise ValueError(f"{resolved.study.name}: no trial has finished; launch the study first")
    done.sort(key=lambda pair: pair[1].points[-1].bpb)
    trials = tuple(trial for trial, _ in done[: grading.models or None])
    return Subject(
        name=resolved.study.name, home=store.path, grading=grading, store=store, resolved=resolved, trials=trials
    )


def of_path(path: Path, grading: Grading) -> Subject:
    """A model's folder (of a trial, or of the model itself), or a file of stories.

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
    resolved = read_json(ResolvedStudy, store.study) if path.parent.name == "trials" and store.study.exists() else None
    return Subject(name=str(path), home=path, grading=grading, resolved=resolved, model=model)


def expected_stories(subject: Subject) -> list[Story]:
    """The stories to be graded, for a quote: those not told yet as long as they may get."""
    grading = subject.grading
    if subject.file:
        stories = read_stories(subject.file)
    else:
        prompts = load_prompts(grading.prompts)
        stories = []
        for name, folder, model_digest in _models(subject):
            told = read_stories(folder) if folder.exists() else []
            if not settings_match(told, grading, prompts, model_digest):
                told = [_longest(name, prompt, sample, grading) for prompt in prompts
                        for sample in range(grading.completions)]  # fmt: skip
            stories += told
    return [*stories, *_calibration(subject)]


def told_stories(
    subject: Subject,
    *,
    address: str | None,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> tuple[tuple[Story, ...], bool]:
    """All stories of the subject, told now where they lack, and whether the caller stopped it before its end.

    :raises ValueError: the file is no file of stories, the prompts can't be had, or a model could not tell.
    :raises PreflightError: no cluster at the address, or one in which a model never fits.
    """
    if subject.file:
        return tuple(read_stories(subject.file)), False
    grading = subject.grading
    prompts = load_prompts(grading.prompts)
    if subject.model:
        ((name, file, model_digest),) = _models(subject)
        told = read_stories(file) if file.exists() else []
        if not settings_match(told, grading, prompts, model_digest):
            say(f"telling {len(prompts) * grading.completions} stories")
            told = tell(subject.model, prompts, grading, name=name)
            write_stories(file, told)
        return tuple(told), False
    assert subject.store
    assert subject.resolved
    if mirror_of(subject.store):
        if address:
            raise PreflightError(
                "the models lie in an object store, and their stories are told on this machine: leave --address out"
            )
        for trial in subject.trials:
            fetch_trial(subject.store.trial(trial.id), "model")
    outcome = tell_stories(
        subject.store,
        subject.trials,
        grading,
        prompts,
        address=address,
        resources=subject.resolved.study.resources,
        on_told=lambda trial, count: say(f"told   {trial.name}  {count} stories"),
        should_stop=should_stop,
    )
    if outcome.failed:
        trial_id, why = next(iter(outcome.failed.items()))
        raise ValueError(f"{len(outcome.failed)} model(s) told no stories; {trial_id}: {why} (see its log.txt)")
    folders = [subject.store.trial(trial_id) for trial_id in outcome.finished]
    return tuple(story for folder in folders for story in read_stories(folder.stories)), outcome.interrupted


def grade_subject(
    subject: Subject,
    stories: Sequence[Story],
    *,
    cache_path: Path,
    asker: Asker | None,
    say: Callable[[str], None],
    on_grade: Callable[[Grade], None],
    should_stop: Callable[[], bool],
) -> Outcome:
    """Measure the stories, have them judged where there is a judge, and write it all into the subject's ``grades/``.

    Stopped or out of budget, what was graded so far is summed up, and the same call goes on.

    :param cache_path: the judge's answers, of all gradings of a storage folder.
    :param asker: None: nobody is asked.
    :raises ValueError: the anchors of the relative score are no models of the subject.
    :raises FatalError: the judge will answer nothing until the user acts.
    """
    grading = subject.grading
    models = list(dict.fromkeys(story.model for story in stories))
    check_anchors(grading.worst, grading.reference, models)
    measures = _measure(subject, stories, models, say)
    write_grading(subject.home, measures)
    if asker is None:
        return Outcome(measures=measures, summary=None, stories=tuple(stories))
    own_test = _calibration(subject)
    grades: list[Grade] = []

    def take(one: Grade) -> None:
        grades.append(one)
        on_grade(one)

    graded = grade_stories(
        [*own_test, *stories],
        grading,
        cache_path=cache_path,
        asker=asker,
        account=subject.name,
        on_grade=take,
        should_stop=should_stop,
    )
    summary = summarise(grades, stories, grading, instrument(grading.judge))
    write_grading(subject.home, summary, grades)
    return Outcome(measures=measures, summary=summary, stories=tuple(stories), grades=tuple(grades), graded=graded)


def count_grades(subject: Subject, stories: Sequence[Story]) -> int:
    """Grades that will be asked for, the judge's own test and repeats included."""
    return sum(1 for _ in asked_for([*_calibration(subject), *stories], subject.grading))


def _has_points(result: TrialResult | None) -> bool:
    return result is not None and bool(result.points)


def _models(subject: Subject) -> Iterator[tuple[str, Path, str]]:
    """Name, file of stories and digest of each model."""
    if subject.store is None:
        assert subject.model
        with (subject.model / "model.safetensors").open("rb") as file:
            yield subject.home.name, subject.home / "stories.jsonl", file_digest(file, "sha256").hexdigest()
        return
    results = read_results(subject.store)
    for trial in subject.trials:
        yield trial.name, subject.store.trial(trial.id).stories, results[trial.id].model_digest


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


def _corpus(subject: Subject) -> CorpusFiles | None:
    """The text that the models were trained on; None: nobody knows."""
    return prepare_corpus(subject.resolved.study.corpus, default_cache()) if subject.resolved else None


def _calibration(subject: Subject) -> list[Story]:
    grading = subject.grading
    if not grading.calibration:
        return []
    corpus = _corpus(subject) or prepare_corpus(OWN_TEST_TEXT, default_cache())
    texts = list(islice(iter_stories(corpus.valid), _CALIBRATION_TEXTS))
    return calibration_stories(texts, grading.calibration, grading.seed)


def _measure(
    subject: Subject, stories: Sequence[Story], models: Sequence[str], say: Callable[[str], None]
) -> GradeSummary:
    """What can be said without a judge; copies are looked for where the training text is known."""
    corpus = _corpus(subject)
    copies = None
    if corpus:
        say(f"looking for copies in {corpus.train_bytes / 1e6:,.0f} MB of training text")
        copies = find_copies(stories, iter_stories(corpus.train))
    return GradeSummary(instrument=None, judge_free=tuple(judge_free(name, stories, copies) for name in models))
