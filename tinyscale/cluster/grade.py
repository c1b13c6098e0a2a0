"""Grading: stories told where they lack, measured, judged, summed up, and written down beside the models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tinyscale.cluster.events import PreflightError
from tinyscale.cluster.stories import tell_stories
from tinyscale.cluster.subject import Subject, corpus_of, models_of, own_test
from tinyscale.data.corpus import iter_stories
from tinyscale.grading.ask import Asker
from tinyscale.grading.copies import find_copies
from tinyscale.grading.measures import judge_free
from tinyscale.grading.prompts import load_prompts
from tinyscale.grading.quote import quote
from tinyscale.grading.relative import check_anchors
from tinyscale.grading.results import read_sessions, write_grading, write_sessions
from tinyscale.grading.rubric import instrument
from tinyscale.grading.scores import summarise
from tinyscale.grading.session import Graded, asked_for, grade_stories
from tinyscale.grading.stories import read_stories, settings_match, tell, write_stories
from tinyscale.results.imported import import_folder
from tinyscale.results.storage import fetch_trial, mirror_of
from tinyscale.spec import Grade, GradeSummary, Grading, Prompt, Story


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
        ((name, file, model_digest),) = models_of(subject)
        return tuple(_told_here(subject.model, name, file, model_digest, grading, prompts, say)), False
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
    stories = [story for folder in folders for story in read_stories(folder.stories)]
    for model in subject.imported:
        if outcome.interrupted or should_stop():
            return tuple(stories), True
        home = import_folder(subject.store, model.name)
        stories += _told_here(home.model, model.name, home.stories, model.model_digest, grading, prompts, say)
    return tuple(stories), outcome.interrupted


def _told_here(
    folder: Path,
    name: str,
    file: Path,
    model_digest: str,
    grading: Grading,
    prompts: Sequence[Prompt],
    say: Callable[[str], None],
) -> list[Story]:
    """The stories of one model that is no trial's, told in this process unless its file has them."""
    told = read_stories(file) if file.exists() else []
    if not settings_match(told, grading, prompts, model_digest):
        say(f"telling {len(prompts) * grading.completions} stories with {name}")
        told = tell(folder, prompts, grading, name=name)
        write_stories(file, told)
    return told


def grade_subject(
    subject: Subject,
    stories: Sequence[Story],
    *,
    cache_path: Path,
    asker: Asker | None,
    say: Callable[[str], None],
    on_begin: Callable[[int], None],
    on_grade: Callable[[Grade], None],
    should_stop: Callable[[], bool],
) -> Outcome:
    """Measure the stories, have them judged where there is a judge, and write it all into the subject's ``grades/``.

    Stopped or out of budget, what was graded so far is summed up, and the same call goes on.

    :param cache_path: the judge's answers, of all gradings of a storage folder.
    :param asker: None: nobody is asked.
    :param on_begin: hears, before the first grade, how many will be asked for.
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
    ruler, to_grade = instrument(grading.judge), [*own_test(subject), *stories]
    days = session_days(subject, stories, cache_path)
    write_sessions(subject.home, ruler.id, days)
    on_begin(sum(1 for _ in asked_for(to_grade, grading, len(days))))
    grades: list[Grade] = []

    def take(one: Grade) -> None:
        grades.append(one)
        on_grade(one)

    graded = grade_stories(
        to_grade,
        grading,
        cache_path=cache_path,
        asker=asker,
        account=subject.name,
        sessions=len(days),
        on_grade=take,
        should_stop=should_stop,
    )
    summary = summarise(grades, stories, grading, ruler)
    write_grading(subject.home, summary, grades)
    return Outcome(measures=measures, summary=summary, stories=tuple(stories), grades=tuple(grades), graded=graded)


def session_days(subject: Subject, stories: Sequence[Story], cache_path: Path) -> list[str]:
    """Days on which the judge has its own test: today is one if stories are to be graded, and it had none today."""
    days = read_sessions(subject.home, instrument(subject.grading.judge).id)
    today = datetime.now(UTC).date().isoformat()
    if not days:
        return [today]
    if today in days or not quote(stories, subject.grading, cache_path, account=subject.name).calls:
        return days
    return [*days, today]


def _measure(
    subject: Subject, stories: Sequence[Story], models: Sequence[str], say: Callable[[str], None]
) -> GradeSummary:
    """What can be said without a judge; copies are looked for where the training text is known."""
    corpus = corpus_of(subject)
    copies = None
    if corpus:
        say(f"looking for copies in {corpus.train_bytes / 1e6:,.0f} MB of training text")
        copies = find_copies(stories, iter_stories(corpus.train))
    return GradeSummary(instrument=None, judge_free=tuple(judge_free(name, stories, copies) for name in models))
