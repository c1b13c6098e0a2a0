"""What stands in MLflow of a study, a trial, a record and a result: plain values, no MLflow."""

import getpass
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tinyscale.spec import Corpus, Point, Record, Study, Trial, TrialResult, canonical, short_count
from tinyscale.spec.study import Setting
from tinyscale.spec.trial import NOT_IDENTITY

KIND, STUDY, TRIAL = "tinyscale.kind", "tinyscale.study", "tinyscale.trial_id"
JOURNAL = "tinyscale.journal"
"""Tag: Unix time of the journal's first record; tells a trial that was begun anew from the one before."""
STATUS, ROLE, NON_FINITE = "tinyscale.status", "tinyscale.role", "tinyscale.non_finite"
NOTE, PARENT = "mlflow.note.content", "mlflow.parentRunId"
EXPERIMENT_KIND = "mlflow.experimentKind"
"""Tag of the experiment: its page opens without asking what kind of work it holds."""
RUN_STATUS = {"done": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}
MetricPoint = tuple[str, float, int, int]
"""Key, value, timestamp in ms, step."""
LEADERBOARD_COLUMNS = ("rank", "trial", "status", "bpb", "loss", "params", "tokens", "flops", "vocab_size", "hold-out")
PACKAGES = ("tinyscale", "torch", "deepspeed", "ray", "mlflow")


def metric_key(name: str) -> str:
    """``name`` with what MLflow doesn't allow in a metric's name (an ``@``, say) turned into ``_``."""
    parts = (part for part in re.sub(r"[^\w\-. :/]", "_", name).split("/") if part.strip(". "))
    return "/".join(parts)[:250] or "_"


def points(records: Iterable[Record]) -> tuple[list[MetricPoint], list[str]]:
    """A point for every finite value, and words on the values left out.

    MLflow stores an infinity as 1.8e308, which flattens the chart it stands in; the journal keeps the true value.
    """
    finite, left_out = [], []
    for record in records:
        for name, value in {"train/tokens": record.tokens, **record.metrics}.items():
            if math.isfinite(value):
                finite.append((metric_key(name), float(value), round(record.time_s * 1000), record.step))
            else:
                left_out.append(f"{name} = {value} at step {record.step}")
    return finite, left_out


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
    model = trial.model
    return {
        KIND: "trial",
        STUDY: study.name,
        TRIAL: trial.id,
        STATUS: "running",
        **_origin(),
        ROLE: "hold-out" if trial.holdout else "fit",
        NOTE: (
            f"A {model.preset} model of {model.num_layers} layers x {model.hidden_size}, vocabulary "
            f"{model.vocab_size}, on {short_count(trial.train.tokens)} tokens: {role}.\n\nTrial id: `{trial.id}`"
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


def study_tags(study: Study, folder: Path) -> dict[str, str]:
    """Tags of the study's run: the question, the code and the versions of this launch."""
    commit, dirty = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--untracked-files=no")
    tags = {
        KIND: "study",
        STUDY: study.name,
        STATUS: "running",
        NOTE: study_note(study),
        **_origin(),
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.dirty": str(bool(dirty)) if commit else "",
        "tinyscale.versions": ", ".join([f"python {sys.version.split()[0]}", *_versions()]),
    }
    return {name: value for name, value in tags.items() if value}


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


def _origin() -> dict[str, str]:
    """Who and what made a run, in the tags that have columns of their own in MLflow's tables."""
    try:
        user = {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):
        user = {}  # a container's user may have no name
    return {**user, "mlflow.source.name": "tinyscale"}


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue  # an optional engine that isn't installed here
    return found


def _git(folder: Path, *args: str) -> str:
    """What git answers in ``folder``; empty where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
