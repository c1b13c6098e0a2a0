"""The law of a study, fitted from what its folder holds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tinyscale.laws.ablations import answer_questions
from tinyscale.laws.analysis import analyse
from tinyscale.laws.fit import fit_points
from tinyscale.results.points import points_table, read_results
from tinyscale.results.store import StudyStore
from tinyscale.spec import Analysis, Answer, LawFit, Point, ResolvedStudy, Trial, TrialResult, read_json, write_json


@dataclass(frozen=True, kw_only=True)
class StudyLaw:
    """A fit, or the reason why there is none."""

    law: LawFit | None
    refused: str = ""
    """Why no law could be fitted, and what to add."""
    analysis: Analysis | None = None
    """What the points say beside the law; None where there is no law, or only the law was asked for."""
    answers: tuple[Answer, ...] = ()
    """What the trials say to the study's questions, law or no law; empty where only the law was asked for."""


def fit_law(store: StudyStore) -> StudyLaw:
    """Fit L(N, D) on a study's finished trials and store it; hold-outs are never fitted.

    Trials that diverged, were stopped early, failed or are still missing are named in the fit's ``excluded``.
    """
    return _fit(store, _read(store))


def fit_study(store: StudyStore) -> StudyLaw:
    """The law as :func:`fit_law`, what the points say beside it (:func:`analyse`) and to the study's questions
    (:func:`answer_questions`), stored next to it."""
    known = _read(store)
    answers = answer_questions(known.resolved.study, known.resolved.trials, known.results)
    if answers:
        write_json(store.answers, answers)
    else:
        store.answers.unlink(missing_ok=True)
    fitted = replace(_fit(store, known), answers=answers)
    if fitted.law is None:
        return fitted
    analysis = analyse(known.points, fitted.law, known.resolved.study.law, pruned=known.pruned)
    write_json(store.analysis, analysis)
    return replace(fitted, analysis=analysis)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What a study's folder holds for a fit."""

    resolved: ResolvedStudy
    results: Mapping[str, TrialResult]
    """Of all its trials that ended, by id."""
    points: tuple[Point, ...]
    """Of the trials that are done."""
    absent: Mapping[str, str]
    """Why the other trials have no points, by id."""
    pruned: tuple[Trial, ...]
    """Those of them that were stopped early."""


def _fit(store: StudyStore, known: _Known) -> StudyLaw:
    store.analysis.unlink(missing_ok=True)  # it was of another law
    try:
        law = fit_points(known.points, options=known.resolved.study.law, excluded=known.absent)
    except ValueError as error:
        store.law.unlink(missing_ok=True)
        return StudyLaw(law=None, refused=str(error))
    write_json(store.law, law)
    return StudyLaw(law=law)


def _read(store: StudyStore) -> _Known:
    resolved = read_json(ResolvedStudy, store.study)
    wanted = {trial.id for trial in resolved.trials}
    results = {trial_id: result for trial_id, result in read_results(store).items() if trial_id in wanted}
    absent = {
        trial.id: f"{results[trial.id].status}: {results[trial.id].message}" if trial.id in results else "not finished"
        for trial in resolved.trials
        if trial.id not in results or results[trial.id].status != "done"
    }
    return _Known(
        resolved=resolved,
        results=results,
        points=points_table(results),
        absent=absent,
        pruned=tuple(t for t in resolved.trials if t.id in results and results[t.id].status == "pruned"),
    )
