"""What stands in MLflow of a study, a trial and a result: plain values, no MLflow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from tinyscale.spec import Corpus, Forecast, Point, Study, Trial, TrialResult, canonical, short_count
from tinyscale.spec.study import Setting
from tinyscale.spec.trial import NOT_IDENTITY

KIND, STUDY, TRIAL = "tinyscale.kind", "tinyscale.study", "tinyscale.trial_id"
JOURNAL = "tinyscale.journal"
"""Tag: Unix time of the journal's first record; tells a trial that was begun anew from the one before."""
STATUS, ROLE, NON_FINITE = "tinyscale.status", "tinyscale.role", "tinyscale.non_finite"
FORECAST = "tinyscale.forecast"
LONGEST_TAG = 5000
"""Characters that every store of MLflow takes."""
NOTE, PARENT = "mlflow.note.content", "mlflow.parentRunId"
EXPERIMENT_KIND = "mlflow.experimentKind"
"""Tag of the experiment: its page opens without asking what kind of work it holds."""
RUN_STATUS = {"done": "FINISHED", "diverged": "FAILED", "pruned": "KILLED", "failed": "FAILED"}
LEADERBOARD_COLUMNS = ("rank", "trial", "status", "bpb", "loss", "params", "tokens", "flops", "vocab_size", "hold-out")


def trial_params(trial: Trial, derived: Mapping[str, Setting]) -> dict[str, str]:
    """The resolved shape and training (what decides the outcome), with ``derived`` counts such as params_total."""
    settings = {
        f.name: getattr(part, f.name) for part in (trial.model, trial.train) for f in fields(part)
    }  # fmt: skip
    settings |= {"steps": trial.steps, "batch_tokens": trial.batch_tokens, **derived}
    return {name: str(value) for name, value in settings.items() if name not in NOT_IDENTITY}


def trial_tags(study: Study, trial: Trial) -> dict[str, str]:
    """Tags of a trial's run, present from its start."""
    role = "held out of every fit; the law forecasts it first" if trial.holdout else "a point of the law"
    model, budgets = trial.model, ", ".join(map(short_count, trial.budgets))
    return {
        KIND: "trial",
        STUDY: study.name,
        TRIAL: trial.id,
        STATUS: "running",
        "mlflow.source.name": "tinyscale",
        ROLE: "hold-out" if trial.holdout else "fit",
        NOTE: (
            f"A {model.preset} model of {model.num_layers} layers x {model.hidden_size}, vocabulary "
            f"{model.vocab_size}, on {budgets} tokens: {role}.\n\nTrial id: `{trial.id}`"
        ),
    }


def result_tags(result: TrialResult) -> dict[str, str]:
    """Tags that a trial's run gets at its end."""
    versions = ", ".join(f"{name} {number}" for name, number in sorted(result.versions.items()))
    tags = {
        STATUS: result.status,
        "tinyscale.message": result.message,
        "tinyscale.device": result.device,
        "tinyscale.engine": f"{result.engine} x {result.workers}" if result.engine else "",
        "tinyscale.precision": result.precision,
        "tinyscale.kernels": result.kernels,
        "tinyscale.peak": f"{result.peak_flops:.4g} FLOP/s ({result.peak_source})" if result.peak_flops else "",
        "tinyscale.model_digest": result.model_digest,
        "tinyscale.versions": versions,
    }
    return {name: value for name, value in tags.items() if value}


def forecast_tags(forecasts: Sequence[Forecast]) -> dict[str, str]:
    """What was said of a hold-out before it was trained, in words."""
    return {FORECAST: "; ".join(map(_forecast_words, forecasts))[:LONGEST_TAG]} if forecasts else {}


def _forecast_words(forecast: Forecast) -> str:
    at, span = f"at {short_count(forecast.tokens)} tokens", forecast.predicted
    if span is None:
        return f"{at}: withheld: {' '.join(forecast.withheld)}"
    said = f"{at}: {span.value:.4f} {forecast.unit} (95 % interval {span.low:.4f} to {span.high:.4f})"
    return f"{said}, from {len(forecast.fitted_on)} points"


def result_metrics(result: TrialResult) -> dict[str, float]:
    """``final/...`` of a trial that is done: what its row in the runs table and the scatter charts need.

    They belong at step 0: MLflow draws a metric that never leaves it as bars, one a trial, and any other as a curve.
    """
    if not result.points:
        return {}
    last = max(result.points, key=lambda point: point.tokens)
    values = {
        "bpb": last.bpb,
        "loss": last.loss,
        "params": last.params_total,
        "tokens": last.tokens,
        "flops": last.flops,
        "train_s": result.train_s,
        "tokens_per_s": result.tokens_per_s,
        "mfu": result.mfu,
        "peak_memory_mb": result.peak_memory_bytes / 1e6,
    }
    finite = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
    return {f"final/{name}": value for name, value in finite.items()}


def study_tags(study: Study) -> dict[str, str]:
    """Tags of the study's run, present from its start."""
    return {
        KIND: "study",
        STUDY: study.name,
        STATUS: "running",
        NOTE: study_note(study),
        "mlflow.source.name": "tinyscale",
    }


def study_note(study: Study, links: str = "") -> str:
    """What the pages of the experiment and of the study's run say first (Markdown); folded, one line of it is seen."""
    return (
        f"**{study.question or 'A scaling study of tiny language models.'}** {links}\n\n"
        f"The run `{study.name}` is the study: its law as metrics, `report.html` and `leaderboard.json` as artifacts. "
        "The runs below it are its trials, one model each. Losses are compared in bits per byte (`eval/bpb`, "
        "`final/bpb`), across vocabularies too. "
        "The journals beside the checkpoints are the truth, these pages their projection."
    )


def corpus_name(corpus: Corpus) -> str:
    """A short name for MLflow's data set column."""
    if corpus.source == "builtin":
        return f"builtin-stories-{short_count(corpus.train_stories)}"
    return corpus.repo if corpus.source == "hub" else Path(corpus.train[0]).name


def corpus_source(corpus: Corpus) -> str:
    """The whole corpus entry of the study, as JSON."""
    return canonical(corpus)


def leaderboard(results: Sequence[TrialResult]) -> list[list[object]]:
    """Rows of LEADERBOARD_COLUMNS: the trials from the best bits per byte down, then those without a point."""
    scored = [(max(r.points, key=lambda p: p.tokens), r) for r in results if r.points]
    scored.sort(key=lambda pair: (pair[0].bpb, pair[1].trial_id))
    rows: list[list[object]] = [[rank, r.name, r.status, *_scores(p)] for rank, (p, r) in enumerate(scored, start=1)]
    return rows + [["", r.name, r.status, *[""] * 7] for r in results if not r.points]


def _scores(p: Point) -> tuple[object, ...]:
    role = "yes" if p.holdout else ""
    return round(p.bpb, 4), round(p.loss, 4), p.params_total, p.tokens, f"{p.flops:.3g}", p.vocab_size, role
