"""A study on disk, projected into MLflow: by its launch as it runs, and by ``tinyscale track`` at any time after."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from tinyscale.accounting import count_parameters, training_flops
from tinyscale.cluster.events import PreflightError
from tinyscale.cluster.lock import StudyLock
from tinyscale.cluster.mirrored import refresh
from tinyscale.grading.results import read_gradings
from tinyscale.grading.stories import read_stories
from tinyscale.laws.forecast import forecast_error, measured_outcome, study_forecasts
from tinyscale.results.journal import read_journal
from tinyscale.results.points import read_results
from tinyscale.results.state import driven, finished_ids
from tinyscale.results.store import StudyStore
from tinyscale.spec import Forecast, LawFit, ResolvedStudy, Study, Trial, TrialResult, read_json
from tinyscale.spec.study import Setting, Tracking
from tinyscale.tracking import Origin, Projector, Table, find_origin, mask, note_origin, read_origins, resolve_uri

FORECASTS = "forecasts.json"
FORECAST_COLUMNS = ("trial", "tokens", "forecast", "low", "high", "unit", "measured", "error", "withheld")


def note_launch(store: StudyStore) -> None:
    """Note who launches the study, from which commit, with which versions: the tags of its runs."""
    note_origin(store.launches, find_origin(Path.cwd()))


def study_projector(
    store: StudyStore, study: Study, warn: Callable[[str], None], *, rebuild: bool = False
) -> Projector:
    """What sends the study to the MLflow that it names, with all that its folder knows. No request is made yet."""
    origins = read_origins(store.launches) or (Origin(started_s=_first_record_s(store)),)
    return Projector(
        study,
        store.path.parent,
        store.tracking,
        warn=warn,
        derived=_counts,
        origins=origins,
        rebuild=rebuild,
    )


def send_trial(projector: Projector, store: StudyStore, trial: Trial) -> None:
    """Send what MLflow lacks of the trial's journal."""
    refresh(store)
    journal = store.trial(trial.id).journal
    if not journal.exists():
        return
    if journal.stat().st_size < projector.sent(trial.id):
        projector.forget(trial.id)
    records, offset = read_journal(journal, projector.sent(trial.id))
    projector.project(trial, records, offset, _forecasts(store, trial))


def finish_trial(projector: Projector, store: StudyStore, trial: Trial, result: TrialResult) -> None:
    """Send the rest of the journal, then how the trial ended."""
    send_trial(projector, store, trial)
    projector.finish_trial(trial, result, _forecasts(store, trial))


def send_trials(projector: Projector, store: StudyStore, trials: Sequence[Trial]) -> None:
    """Send what MLflow lacks of these trials; what it has costs no request."""
    results = read_results(store)
    projector.connect()
    for trial in trials:
        if trial.id in results:
            finish_trial(projector, store, trial, results[trial.id])
        else:
            send_trial(projector, store, trial)


def send_study(projector: Projector, store: StudyStore) -> None:
    """Send the law, the forecasts, the report and its pictures, and close the study's run: stopped if trials lack."""
    resolved = read_json(ResolvedStudy, store.study)
    results = read_results(store)
    mine = {trial.id: results[trial.id] for trial in resolved.trials if trial.id in results}
    forecasts = study_forecasts(store.forecasts, resolved.trials)
    files = (store.study, store.plan, store.law, store.analysis, store.answers, store.report, store.forecasts)
    ended_s = [result.finished_s for result in mine.values()] + [p.stat().st_mtime for p in (store.law,) if p.exists()]
    projector.finish_study(
        _metrics(store, forecasts, mine),
        [path for path in (*files, *sorted(store.figures.glob("*.png"))) if path.exists()],
        results=[*mine.values()],
        tables={FORECASTS: Table(columns=FORECAST_COLUMNS, rows=_rows(forecasts, mine))} if forecasts else {},
        ended_s=max(ended_s, default=None),
    )
    if not finished_ids(store, resolved.study.resources.scheduler) >= {trial.id for trial in resolved.trials}:
        projector.stop()


def send_gradings(projector: Projector, store: StudyStore, trials: Sequence[Trial]) -> None:
    """Send what judges said of the models, the newest grading last, after :func:`send_study`."""
    by_name = {trial.name: trial for trial in trials}
    for graded in reversed(read_gradings(store.path)):
        files = [store.trial(by_name[s.model].id).stories for s in graded.summary.scores if s.model in by_name]
        stories = [story for file in files if file.exists() for story in read_stories(file)]
        projector.send_grades(graded.summary, by_name, stories, graded.grades)


def track_study(
    store: StudyStore, warn: Callable[[str], None], *, uri: str = "", rebuild: bool = False
) -> tuple[str, int, int]:
    """Send a study that was launched into MLflow, at any time.

    A study that is being run is sent as far as it is, to another MLflow than its driver's: that one it sends itself.

    :param uri: empty: the one that the study's launches go to.
    :param rebuild: into fresh runs, from the journals alone; those that are there go to MLflow's bin.
    :returns: the URI, the number of trials sent, and how many of them are over.
    :raises ValueError: MLflow keeps no runs at such a URI.
    :raises PreflightError: the study's driver sends there, or MLflow can't be written to.
    """
    resolved = read_json(ResolvedStudy, store.study)
    study = replace(resolved.study, tracking=Tracking(uri=uri)) if uri else resolved.study
    target = resolve_uri(study.tracking, store.path.parent)
    running = driven(store)
    if running and target == resolve_uri(resolved.study.tracking, store.path.parent):
        raise PreflightError(
            f"{study.name} is being run, and its driver sends it to {mask(target)} by itself; "
            "wait for its end, or name another MLflow with --uri"
        )
    with nullcontext() if running else StudyLock(store.lock):
        projector = study_projector(store, study, warn, rebuild=rebuild)
        send_trials(projector, store, resolved.trials)
        if not running:
            send_study(projector, store)
            send_gradings(projector, store, resolved.trials)
    if projector.down:
        raise PreflightError(
            f"{study.name} is not all in {mask(target)}: see above; the same command goes on from there"
        )
    begun = [trial for trial in resolved.trials if store.trial(trial.id).journal.exists()]
    return target, len(begun), len(finished_ids(store, study.resources.scheduler) & {trial.id for trial in begun})


def _first_record_s(store: StudyStore) -> float:
    """When the study began, of a study whose launches were not noted: its oldest record, else its file."""
    journals = [read_journal(path)[0] for path in store.trials.glob("*/journal.jsonl")]
    return min((records[0].time_s for records in journals if records), default=store.study.stat().st_mtime)


def _counts(trial: Trial) -> Mapping[str, Setting]:
    """Params of a trial that are counted, not set."""
    parameters = count_parameters(trial.model)
    return {
        "params_total": parameters.total,
        "params_non_embedding": parameters.non_embedding,
        "flops": training_flops(trial.model, trial.steps * trial.batch_tokens),
    }


def _forecasts(store: StudyStore, trial: Trial) -> tuple[Forecast, ...]:
    return study_forecasts(store.forecasts, [trial]) if trial.holdout else ()


def _metrics(store: StudyStore, forecasts: Sequence[Forecast], results: Mapping[str, TrialResult]) -> dict[str, float]:
    """The law's parameters, unless withheld, and the largest error of the forecasts."""
    metrics: dict[str, float] = {}
    if store.law.exists():
        law = read_json(LawFit, store.law)
        stated = ("E", "A", "B", "alpha", "beta") if law.exponents_hold else ()
        metrics = {f"law/{name}": getattr(law, name) for name in (*stated, "residual_rms")}
    found = [forecast_error(locked, measured_outcome(locked, results.get(locked.trial_id))) for locked in forecasts]
    errors = [error for error in found if error is not None]
    return metrics | ({"forecast/error": max(errors, key=abs)} if errors else {})


def _rows(forecasts: Sequence[Forecast], results: Mapping[str, TrialResult]) -> list[list[object]]:
    """Rows of FORECAST_COLUMNS; an empty cell where a forecast is withheld, or not measured yet."""
    rows: list[list[object]] = []
    for locked in forecasts:
        measured = measured_outcome(locked, results.get(locked.trial_id))
        error, span = forecast_error(locked, measured), locked.predicted
        numbers = (span.value, span.low, span.high) if span else (None, None, None)
        shown: list[object] = ["" if number is None else round(number, 4) for number in numbers]
        outcome = ["" if measured is None else round(measured, 4), "" if error is None else f"{error:+.2%}"]
        rows.append([locked.name, locked.tokens, *shown, locked.unit, *outcome, " ".join(locked.withheld)])
    return rows
