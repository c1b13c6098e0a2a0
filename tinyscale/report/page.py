"""One self-contained HTML page: pictures inside, no request to anywhere."""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tinyscale.laws.ablation_words import held_words, setting_words
from tinyscale.report.captions import CAPTIONS
from tinyscale.report.content import ANSWER_ROWS, COUNTS, ForecastRow, ReportContent, forecast_rows
from tinyscale.report.grades import PROTOCOLS, ages
from tinyscale.report.imported import imported_rows
from tinyscale.report.tables import cell_name, optimum_row, unsaid, withheld_reasons
from tinyscale.report.terminal import MEANINGS
from tinyscale.results.store import StudyStore
from tinyscale.spec import CRITERIA, Trial, short_count, to_json
from tinyscale.spec.words import number, utc

__all__ = ["ReportContent", "write_report"]


def write_report(store: StudyStore, content: ReportContent) -> Path:
    """Write ``report.html`` and, under ``figures/``, its pictures as PNG files.

    :returns: path of the page.
    """
    from tinyscale.report.ablations import draw_answers
    from tinyscale.report.figures import draw_figures

    answers, pictures = draw_answers(content), draw_figures(content)
    if answers and not content.asks_for_law:
        pictures.pop("curves", None)  # the answers have them, told apart
    pictures = answers | pictures
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
    environment.filters["setting_words"] = setting_words
    environment.globals |= {"cell_name": cell_name, "optimum_row": optimum_row, "zip": zip}
    environment.globals |= {"imported_rows": imported_rows, "held_words": held_words, "answer_rows": ANSWER_ROWS}
    environment.globals |= {"ages": ages, "criteria": CRITERIA, "protocols": PROTOCOLS}
    rows = forecast_rows(content.forecasts, content.results)
    trials = [_trial(trial, content) for trial in content.trials]
    encoded = {name: base64.b64encode(data).decode("ascii") for name, data in pictures.items()}
    return environment.get_template("page.html").render(
        c=content,
        law=content.law,
        meanings=MEANINGS,
        rows=rows,
        worst=worst(rows),
        counts_of_n=COUNTS,
        withheld=withheld_reasons(content),
        unsaid=unsaid(content),
        trials=trials,
        counts=Counter(trial["status"] for trial in trials),
        figures=[(name, *CAPTIONS[name], data) for name, data in encoded.items() if name in CAPTIONS],
        answer_pictures={name: data for name, data in encoded.items() if name not in CAPTIONS},
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
        ran_on["compiled"] = "by torch.compile" if result.compiled else ""
        for name, version in {**result.versions, **ran_on}.items():
            if version:
                seen.setdefault(name, set()).add(version)
    return {name: sorted(versions) for name, versions in sorted(seen.items())}
