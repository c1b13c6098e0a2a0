"""The report of a study, from what its folder holds."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tinyscale.laws.forecast import study_forecasts
from tinyscale.laws.study import StudyLaw
from tinyscale.report.grades import read_grades_content
from tinyscale.report.page import ReportContent, write_report
from tinyscale.report.stories import PROMPTS, Storyteller
from tinyscale.results.imported import read_imported
from tinyscale.results.journal import read_journal
from tinyscale.results.points import read_results
from tinyscale.results.storage import fetch_trial
from tinyscale.results.store import StudyStore, TrialFolder
from tinyscale.spec import Analysis, ResolvedStudy, TrialResult, Validation, read_json

STORY_TOKENS = 200


def report_study(store: StudyStore, fitted: StudyLaw, commands: Sequence[str]) -> Path:
    """Write ``report.html`` and its pictures.

    :param commands: how to reproduce the study.
    """
    resolved = read_json(ResolvedStudy, store.study)
    results = read_results(store)
    wanted = {trial.id: results[trial.id] for trial in resolved.trials if trial.id in results}
    best = _best(list(wanted.values()))
    imported = read_imported(store)
    grades = read_grades_content(store, wanted.values(), imported)
    beside = grades is not None and grades.beside
    content = ReportContent(
        study=resolved.study,
        trials=resolved.trials,
        results=wanted,
        curves={trial.id: read_journal(store.trial(trial.id).journal)[0] for trial in resolved.trials},
        law=fitted.law,
        law_refused=fitted.refused,
        forecasts=study_forecasts(store.forecasts, resolved.trials),
        analysis=fitted.analysis or Analysis(),
        answers=fitted.answers,
        stories=_stories(store.trial(best.trial_id)) if best and not beside else (),
        stories_from=best.name if best else "",
        entropy_bpb=resolved.entropy_bpb,
        commands=commands,
        grades=grades,
        vocabularies=resolved.vocabularies,
        imported=imported,
        validations=_validations(store, wanted.values()),
    )
    return write_report(store, content)


def _validations(store: StudyStore, results: Iterable[TrialResult]) -> dict[str, Validation]:
    """What is known of trials' models on all the validation text; what was measured on other weights is left out."""
    found = {}
    for result in results:
        path = store.trial(result.trial_id).validation
        if path.exists() and (known := read_json(Validation, path)).model_digest == result.model_digest:
            found[result.trial_id] = known
    return found


def _best(results: Sequence[TrialResult]) -> TrialResult | None:
    """The finished trial with the lowest bits per byte, hold-outs included."""
    scored = [result for result in results if result.points]
    return min(scored, key=lambda result: result.points[-1].bpb, default=None)


def _stories(folder: TrialFolder) -> tuple[tuple[str, str], ...]:
    """A few stories of one model; a fixed seed, so the same model always tells the same."""
    fetch_trial(folder, "model")
    teller = Storyteller(folder.path)
    return tuple((prompt, "".join(teller.tell(prompt, max_tokens=STORY_TOKENS))) for prompt in PROMPTS)
