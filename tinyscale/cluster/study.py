"""One launch of a study: prepare, run what is missing, fit, lock forecasts, run the hold-outs, fit again."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tinyscale.cluster.events import Event, Outcome, TrialEnded, TrialReported
from tinyscale.cluster.mirrored import begin_study, keep
from tinyscale.cluster.session import ray_session
from tinyscale.cluster.survivors import revive
from tinyscale.cluster.track import finish_trial, note_launch, send_trial, send_trials, study_projector
from tinyscale.cluster.trials import run_trials
from tinyscale.data import Prepared, cached_shards, prepare
from tinyscale.data.coverage import vocabulary_facts
from tinyscale.laws.forecast import lock_forecasts
from tinyscale.laws.study import StudyLaw, fit_law, fit_study
from tinyscale.plan.planner import Plan
from tinyscale.results.state import finished_ids
from tinyscale.results.store import StudyStore
from tinyscale.spec import (
    Job,
    ResolvedStudy,
    Trial,
    TrialResult,
    VocabularyFacts,
    read_json,
    short_count,
    write_json,
)
from tinyscale.tracking import Projector

PROJECT_EVERY_S = 2.0
"""Least seconds between two projections of a running trial's journal."""


@dataclass(frozen=True, kw_only=True)
class Launched:
    """How a launch came out."""

    law: StudyLaw
    failed: Mapping[str, str]
    """Trials given up, by id, with the first line of the error."""
    interrupted: bool
    budget_reached: bool
    projector: Projector


def run_study(
    plan: Plan,
    storage: Path,
    *,
    cache: Path,
    address: str | None,
    on_event: Callable[[Event], None],
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> Launched:
    """Bring a study to its end, from wherever it stands. The caller holds the study's lock.

    :param address: of a Ray cluster; None starts one on this machine.
    :param on_event: hears of the trials, on this thread.
    :param say: hears everything else, a line at a time.
    :raises ValueError: the corpus can't be had, or is too small for the tokenizer.
    :raises PreflightError: the cluster can't run these trials.
    """
    if plan.provisional:
        raise ValueError("the plan's budgets of text rest on estimates; prepare its vocabularies and plan again")
    store = StudyStore(storage / plan.study.name)
    begin_study(store, plan.study.resources)
    resolved = _resolve(plan, store, cache)
    deadline = time.time() + plan.study.budget.wall_s if plan.study.budget.wall_s else None
    note_launch(store)
    projector = study_projector(store, plan.study, say)
    follower = _Follower(plan.trials, store, projector, on_event)
    scheduler = plan.study.resources.scheduler
    if scheduler == "asha":
        revive(store, plan.trials)
    done = finished_ids(store, scheduler)
    missing = [trial for trial in plan.trials if trial.id not in done]
    outcome = Outcome()
    if missing:
        say(f"{len(missing)} of {len(plan.trials)} trials to run")
        prepared = prepare(plan.study, tuple(sorted({t.model.vocab_size for t in missing})), cache, say)
        if prepared.corpus.digest != plan.trials[0].corpus:
            raise ValueError("the corpus changed between planning and preparing it; launch again")
        facts = _vocabularies(plan, cache, resolved.vocabularies)
        write_json(store.study, replace(resolved, vocabularies=facts, entropy_bpb=prepared.corpus.entropy_bpb))
        jobs = [_job(plan, trial, prepared, store) for trial in missing]

        def run(phase: Sequence[Job]) -> Outcome:
            return run_trials(
                store,
                phase,
                plan.study,
                shares={trial_id: quote.share for trial_id, quote in plan.quotes.items()},
                trials=plan.trials,
                on_event=follower,
                deadline_s=deadline,
                should_stop=should_stop,
            )

        with ray_session(address, plan.study.resources):  # one for both phases
            for phase in _phases(jobs):
                if phase[0].trial.holdout and not _lock(plan, store, phase, say):
                    break
                ran = run(phase)
                while scheduler == "asha" and (revived := revive(store, plan.trials)):
                    ran = _joined(ran, run([_job(plan, trial, prepared, store) for trial in revived]))
                outcome = _joined(outcome, ran)
                if ran.interrupted or ran.budget_reached or ran.failed:
                    break
        _keep_failures(store, plan.trials, outcome.failed)
        keep(store)
    say("fitting the law")
    send_trials(projector, store, plan.trials)
    return Launched(
        law=fit_study(store),
        failed=outcome.failed,
        interrupted=outcome.interrupted,
        budget_reached=outcome.budget_reached,
        projector=projector,
    )


def _resolve(plan: Plan, store: StudyStore, cache: Path) -> ResolvedStudy:
    """Write the resolved study; what was known of a corpus and its vocabularies prepared before stays known."""
    before = read_json(ResolvedStudy, store.study) if store.study.exists() else None
    resolved = ResolvedStudy(
        study=plan.study,
        trials=plan.trials,
        vocabularies=_vocabularies(plan, cache, before.vocabularies if before and _same_text(before, plan) else ()),
        entropy_bpb=before.entropy_bpb if before else None,
    )
    write_json(store.study, resolved)
    write_json(store.plan, plan.rows())
    return resolved


def _same_text(before: ResolvedStudy, plan: Plan) -> bool:
    """Whether a study was of the same corpus and tokenizer, as far as vocabularies go."""
    return before.trials[0].corpus == plan.trials[0].corpus and before.study.tokenizer == plan.study.tokenizer


def _vocabularies(plan: Plan, cache: Path, before: Sequence[VocabularyFacts]) -> tuple[VocabularyFacts, ...]:
    """Of each of the study's vocabularies what the cache's shards tell, else what was known before, if anything."""
    known = {facts.vocab_size: facts for facts in before if facts.vocab_size in plan.vocab_sizes}
    for vocab_size in plan.vocab_sizes:
        if shards := cached_shards(plan.study, plan.trials[0].corpus, vocab_size, cache):
            known[vocab_size] = vocabulary_facts(shards, plan.vocab_sizes)
    return tuple(known[vocab_size] for vocab_size in sorted(known))


def _job(plan: Plan, trial: Trial, prepared: Prepared, store: StudyStore) -> Job:
    resources, vocab_size = plan.study.resources, trial.model.vocab_size
    return Job(
        trial=trial,
        shards=str(prepared.shards[vocab_size]),
        tokenizer=str(prepared.tokenizers[vocab_size]),
        folder=str(store.trial(trial.id).path.absolute()),
        engine=resources.engine,
        workers=resources.workers,
        threads=plan.quotes[trial.id].share.cpus,
    )


def _phases(jobs: Sequence[Job]) -> list[list[Job]]:
    """The trials that are fitted, then the hold-outs: a forecast is locked between them."""
    phases = [[job for job in jobs if job.trial.holdout is held] for held in (False, True)]
    return [phase for phase in phases if phase]


def _lock(plan: Plan, store: StudyStore, phase: Sequence[Job], say: Callable[[str], None]) -> bool:
    """Forecast the hold-outs that have not begun. False: fitted trials are missing, so the hold-outs wait."""
    done = finished_ids(store, plan.study.resources.scheduler)
    waiting = [trial.name for trial in plan.trials if not trial.holdout and trial.id not in done]
    if waiting:
        say(f"the hold-outs wait: {len(waiting)} fitted trials have no result yet ({', '.join(waiting[:3])}, ...)")
        return False
    fitted = fit_law(store)
    if fitted.law is None:
        say(f"no forecast of the hold-outs: {fitted.refused}")
        return True
    fresh = [job.trial for job in phase if not store.trial(job.trial.id).journal.exists()]
    for forecast in lock_forecasts(store.forecasts, fitted.law, fresh):
        run, span = f"{forecast.name} at {short_count(forecast.tokens)} tokens", forecast.predicted
        if span is None:
            say(f"forecast withheld: {run}: {' '.join(forecast.withheld)}")
        else:
            say(
                f"forecast locked: {run}: {span.value:.4f} {forecast.unit} (95 % interval {span.low:.4f} to "
                f"{span.high:.4f}), from {len(forecast.fitted_on)} points"
            )
    return True


def _joined(first: Outcome, second: Outcome) -> Outcome:
    return Outcome(
        finished=(*first.finished, *second.finished),
        failed={**first.failed, **second.failed},
        interrupted=first.interrupted or second.interrupted,
        budget_reached=first.budget_reached or second.budget_reached,
    )


def _keep_failures(store: StudyStore, trials: Sequence[Trial], failed: Mapping[str, str]) -> None:
    for trial in trials:
        if message := failed.get(trial.id):
            failure = TrialResult(
                trial_id=trial.id, name=trial.name, status="failed", message=message, finished_s=time.time()
            )
            write_json(store.trial(trial.id).result, failure)


class _Follower:
    """Passes events on, and journals on to MLflow as they grow."""

    def __init__(
        self, trials: Sequence[Trial], store: StudyStore, projector: Projector, on_event: Callable[[Event], None]
    ) -> None:
        self._trials = {trial.id: trial for trial in trials}
        self._store = store
        self._projector = projector
        self._on_event = on_event
        self._projected_s: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        self._on_event(event)
        match event:
            case TrialReported(trial_id=trial_id):
                if time.monotonic() - self._projected_s.get(trial_id, 0.0) >= PROJECT_EVERY_S:
                    send_trial(self._projector, self._store, self._trials[trial_id])
                    self._projected_s[trial_id] = time.monotonic()
            case TrialEnded(trial_id=trial_id, result=result):
                finish_trial(self._projector, self._store, self._trials[trial_id], result)
