"""The picture of a model card: the law of its study, with the one model in it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from tinyscale.laws.forecast import study_forecasts
from tinyscale.laws.form import predict
from tinyscale.laws.frontier import draw_frontiers, frontier
from tinyscale.laws.select import fitted_points, loss_of, params_of
from tinyscale.report.content import ReportContent
from tinyscale.report.holdouts import foretold, held_out
from tinyscale.report.style import (
    FLOOR,
    FORECAST,
    GREY,
    HELD,
    INK,
    legend_beside,
    loss_axis,
    loss_label,
    panels,
    png,
    power_axis,
    size_colours,
    stars,
    styled,
)
from tinyscale.results.points import read_results
from tinyscale.results.store import StudyStore
from tinyscale.spec import Analysis, Forecast, LawFit, Point, ResolvedStudy, short_count


def promotion_content(store: StudyStore, resolved: ResolvedStudy, law: LawFit | None) -> ReportContent:
    """As much of a report's content as the picture shows."""
    results = read_results(store)
    return ReportContent(
        study=resolved.study,
        trials=resolved.trials,
        results={trial.id: results[trial.id] for trial in resolved.trials if trial.id in results},
        curves={},
        law=law,
        law_refused="",
        analysis=Analysis(),
        forecasts=study_forecasts(store.forecasts, resolved.trials),
        stories=(),
        stories_from="",
        entropy_bpb=resolved.entropy_bpb,
        commands=(),
    )


def promotion_figure(content: ReportContent, trial_id: str) -> bytes:
    """Loss against training compute, as PNG: the law, the points it was fitted on, and one model ringed and named.

    A locked forecast of the model is drawn with its interval. Without a law the points stand alone.

    :raises ValueError: that trial has no point.
    """
    mine = [point for point in content.points if point.trial_id == trial_id]
    if not mine:
        raise ValueError(f"trial {trial_id} has no point: it is not finished, so there is nothing to draw")
    model = max(mine, key=lambda point: point.tokens)
    name = next(trial.name for trial in content.trials if trial.id == trial_id)
    law = content.law
    params, unit = (law.params, law.unit) if law else (content.study.law.params, "bpb")
    shown = [*fitted_points(law, content.points), *held_out(content, law)] if law else content.points
    shown += [] if model in shown else [model]
    with styled():
        figure, (axes,) = panels()
        colours = size_colours(params_of(point, params) for point in shown)
        if law:
            _draw_law(axes, law, content, colours)
        else:
            for size, colour in colours.items():
                axes.plot([], [], "o", color=colour, label=short_count(size))
        for point in shown:
            place = _compute(point, params), loss_of(point, unit)
            if point.holdout:
                stars(axes, [place])
            else:
                axes.plot(*place, "o", ms=6, mfc=colours[params_of(point, params)], mec="white", mew=0.8)
        place = _compute(model, params), loss_of(model, unit)
        _draw_forecast(axes, content.forecasts, model, unit)
        axes.plot(*place, "o", ms=23, mfc="none", mec=HELD, mew=1.8, zorder=7)
        # Losses fall with compute, so the upper right corner is free.
        axes.annotate(f"{name}\n{loss_of(model, unit):.4f} {unit}", place, (0.98, 0.96), textcoords="axes fraction",
                      ha="right", va="top", color=HELD, fontsize=10, zorder=8,
                      arrowprops={"arrowstyle": "-", "color": HELD, "linewidth": 1, "shrinkB": 12})  # fmt: skip
        if content.entropy_bpb and unit == "bpb":
            axes.axhline(content.entropy_bpb, color=FLOOR, linestyle="--", linewidth=1.4, label="entropy of the text")
        power_axis(axes, f"training compute C = 6 N D, FLOP (N: {params.replace('_', '-')} parameters)")
        loss_axis(axes, loss_label(unit))
        legend_beside(figure, axes, title="parameters N")
        return png(figure)


def _draw_law(axes: Axes, law: LawFit, content: ReportContent, colours: dict[int, object]) -> None:
    """A line a model size over the tokens fitted, and the frontier with its band, as far as each may be shown."""
    seen = fitted_points(law, content.points)
    known = (*seen, *foretold(content, law))
    for size, colour in colours.items():
        of_size = [point.tokens for point in known if params_of(point, law.params) == size]
        if of_size:
            D = np.geomspace(min(of_size) / 1.3, max(of_size) * 1.3, 40)
            loss = predict(law.E, law.A, law.B, law.alpha, law.beta, N=size, D=D)
            axes.plot(6.0 * size * D, loss, color=colour, label=short_count(size))
        else:
            axes.plot([], [], "o", color=colour, label=short_count(size))
    computes = [_compute(point, law.params) for point in known]
    C = np.geomspace(min(computes), max(computes) * (1.5 if law.forecast_holds else 1), 80)
    low, high = np.quantile(np.stack([each.loss(C) for each in draw_frontiers(law)]), (0.025, 0.975), axis=0)
    axes.fill_between(C, low, high, color=GREY, alpha=0.2, linewidth=0, label="least loss for C, 95 %")
    if law.exponents_hold:
        axes.plot(C, frontier(law).loss(C), color=INK, linewidth=1.2)


def _draw_forecast(axes: Axes, forecasts: Sequence[Forecast], model: Point, unit: str) -> None:
    for told in forecasts:
        span = told.predicted
        if told.trial_id == model.trial_id and told.tokens == model.tokens and told.unit == unit and span:
            away = [[max(span.value - span.low, 0)], [max(span.high - span.value, 0)]]
            axes.errorbar(6.0 * told.params * told.tokens, span.value, yerr=away, fmt="D", ms=6, mfc="none", mew=1.6,
                          mec=FORECAST, ecolor=FORECAST, capsize=5, label="forecast, locked", zorder=6)  # fmt: skip


def _compute(point: Point, params: str) -> float:
    """C = 6 N D."""
    return 6.0 * params_of(point, params) * point.tokens
