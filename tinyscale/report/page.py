"""One self-contained HTML page: pictures inside, no request to anywhere."""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tinyscale.report.content import COUNTS, ForecastRow, ReportContent, forecast_rows, number, utc
from tinyscale.report.outlook import vocabulary_lines
from tinyscale.report.terminal import MEANINGS
from tinyscale.results.store import StudyStore
from tinyscale.spec import Analysis, Trial, short_count, to_json

__all__ = ["ReportContent", "write_report"]

CAPTIONS: Mapping[str, tuple[str, str]] = {
    "law": (
        "Loss against tokens",
        "Dots are trials, lines the law at each model size with its 95 % band, stars the hold-outs as they came out, "
        "diamonds what the law had said of them before.",
    ),
    "frontier": (
        "Compute-optimal frontier",
        "Left: the least loss that a training compute C = 6 N D reaches, with its 95 % band. Right: the model size N "
        "that reaches it. Past the dots it is extrapolation.",
    ),
    "isoflop": (
        "Equal compute",
        "Runs of one training compute with the parabola of their loss in the logarithm of N (Hoffmann et al. 2022, "
        "approach 2): a check of the law by other means. Levels with too few sizes, or without a minimum inside, are "
        "drawn hollow and refused.",
    ),
    "residuals": (
        "Residuals",
        "Measured loss over the law's. A trend means that the law misses something; scatter without one is noise.",
    ),
    "exponents": (
        "How sure the exponents are",
        "Left: the law refitted to resampled trials; a long thin cloud means that alpha and beta trade off. Right: "
        "the same points with another count of N; between tiny models the exponents move with what is counted (Porian "
        "et al. 2024).",
    ),
    "shape": (
        "Does shape matter beyond N?",
        "What L(N, D) leaves over, against the width over the depth: level where the number of parameters tells all.",
    ),
    "vocabulary_optimum": (
        "The best vocabulary",
        "Bits per byte at a few training computes under the law of the vocabulary (after Tao et al. 2024), the best "
        "V as a diamond, its 95 % interval as a bar.",
    ),
    "regret": (
        "Learning rates",
        "What each rate loses to the best one tried at its size and token budget. The law sees the best; where it lies "
        "at the edge, a better one may lie beyond.",
    ),
    "published": (
        "Beside the TinyStories paper",
        "Stars are models of this study; lines are the losses that Eldan & Li 2023 print for the same shapes, per "
        "token of ANOTHER TOKENIZER and after far more tokens: levels do not compare, slopes do, roughly.",
    ),
    "curves": (
        "Learning curves",
        "Lines are the training loss (means in log-spaced windows, turned into bits per byte with the tokens per byte "
        "of the validation text), dots the evaluations.",
    ),
    "vocabulary": (
        "Vocabulary",
        "Equal shape and tokens. Bits per byte compare vocabularies; loss per token does not, since a token of a "
        "larger vocabulary holds more text: it favours small vocabularies.",
    ),
}
"""Heading and caption of each picture."""


def write_report(store: StudyStore, content: ReportContent) -> Path:
    """Write ``report.html`` and, under ``figures/``, its pictures as PNG files.

    :returns: path of the page.
    """
    from tinyscale.report.figures import draw_figures

    pictures = draw_figures(content)
    store.figures.mkdir(parents=True, exist_ok=True)
    for name, data in pictures.items():
        (store.figures / f"{name}.png").write_bytes(data)
    for stale in store.figures.glob("*.png"):
        if stale.stem not in pictures:
            stale.unlink()
    partial = store.report.with_name(f".{store.report.name}.partial")
    partial.write_text(render(content, pictures), encoding="utf-8")
    partial.replace(store.report)
    return store.report


def render(content: ReportContent, pictures: Mapping[str, bytes]) -> str:
    """The page as text. Everything that comes from outside is escaped: names, messages and stories are not trusted."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "count": short_count, "utc": utc, "percent": percent}
    rows = forecast_rows(content.forecasts, content.results)
    trials = [_trial(trial, content) for trial in content.trials]
    return environment.get_template("page.html").render(
        c=content,
        law=content.law,
        meanings=MEANINGS,
        rows=rows,
        worst=worst(rows),
        counts_of_n=COUNTS,
        vocabulary_lines=_vocabulary(content.analysis),
        unsaid=_unsaid(content.analysis),
        trials=trials,
        counts=Counter(trial["status"] for trial in trials),
        figures=[(name, *CAPTIONS[name], base64.b64encode(data).decode("ascii")) for name, data in pictures.items()],
        names={trial.id: trial.name for trial in content.trials},
        best=min(content.points, key=lambda point: point.bpb, default=None),
        versions=_versions(content),
        corpus=content.trials[0].corpus if content.trials else "",
        study_json=json.dumps(to_json(content.study), indent=2, ensure_ascii=False),
        ended=max((result.finished_s for result in content.results.values()), default=0.0),
    )


def worst(rows: list[ForecastRow]) -> ForecastRow | None:
    """The forecast with the largest error; None while no hold-out has an outcome."""
    return max((row for row in rows if row.error is not None), key=lambda row: abs(row.error or 0.0), default=None)


def percent(fraction: float, *, sign: bool = False) -> str:
    """A fraction in percent, two decimals below 10: 0.73 %, 12 %; with a sign +0.73 %."""
    digits = 2 if abs(fraction) < 0.1 else 0
    return f"{100 * fraction:{'+' if sign else ''}.{digits}f} %".replace("-", "−")


def _vocabulary(analysis: Analysis) -> list[str]:
    """The law of the vocabulary as the terminal tells it."""
    return [line.strip() for line in vocabulary_lines(analysis.vocabulary)] if analysis.vocabulary else []


def _unsaid(analysis: Analysis) -> dict[str, str]:
    """What the points do not tell, with the reason."""
    reasons = {
        "exponents by count of N": analysis.counting_refused,
        "equal compute": analysis.isoflops_refused,
        "shape beyond N": analysis.shape_refused,
        "law of the vocabulary": analysis.vocabulary_refused,
    }
    return {part: reason for part, reason in reasons.items() if reason}


def _trial(trial: Trial, content: ReportContent) -> dict[str, Any]:
    """A row of the table of trials."""
    result = content.results.get(trial.id)
    waiting = "unfinished" if content.curves.get(trial.id) else "not started"
    return {
        "id": trial.id,
        "name": trial.name,
        "holdout": trial.holdout,
        "model": trial.model,
        "learning_rate": trial.train.learning_rate,
        "tokens": trial.budgets[-1],
        "status": result.status if result else waiting,
        "result": result,
        "points": result.points if result else (),
    }


def _versions(content: ReportContent) -> dict[str, list[str]]:
    """Every version of each package, device and engine that a trial ran on."""
    seen: dict[str, set[str]] = {}
    for result in content.results.values():
        ran_on = {name: getattr(result, name) for name in ("device", "engine", "precision", "kernels")}
        for name, version in {**result.versions, **ran_on}.items():
            if version:
                seen.setdefault(name, set()).add(version)
    return {name: sorted(versions) for name, versions in sorted(seen.items())}
