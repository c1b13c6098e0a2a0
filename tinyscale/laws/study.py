"""The law of a study, fitted from what its folder holds."""

from dataclasses import dataclass

from tinyscale.laws.fit import fit_points
from tinyscale.results.points import points_table, read_results
from tinyscale.results.store import StudyStore
from tinyscale.spec import LawFit, ResolvedStudy, read_json, write_json


@dataclass(frozen=True, kw_only=True)
class StudyLaw:
    """A fit, or the reason why there is none."""

    law: LawFit | None
    refused: str = ""
    """Why no law could be fitted, and what to add."""


def fit_study(store: StudyStore) -> StudyLaw:
    """Fit L(N, D) on a study's finished trials and store it; hold-outs are never fitted.

    Trials that diverged, failed or are still missing are named in the fit's ``excluded``.
    """
    resolved = read_json(ResolvedStudy, store.study)
    results = read_results(store)
    wanted = {trial.id: trial for trial in resolved.trials}
    absent = {
        trial.id: f"{results[trial.id].status}: {results[trial.id].message}" if trial.id in results else "not finished"
        for trial in resolved.trials
        if trial.id not in results or results[trial.id].status != "done"
    }
    points = points_table({trial_id: result for trial_id, result in results.items() if trial_id in wanted})
    try:
        law = fit_points(points, options=resolved.study.law, excluded=absent)
    except ValueError as error:
        store.law.unlink(missing_ok=True)
        return StudyLaw(law=None, refused=str(error))
    write_json(store.law, law)
    return StudyLaw(law=law)
