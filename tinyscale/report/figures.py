"""The pictures of a report. Each takes the content and gives a figure, or None when it has nothing to show."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tinyscale.laws.form import predict
from tinyscale.laws.frontier import draw_frontiers, frontier
from tinyscale.laws.select import fitted_points, loss_of, params_of
from tinyscale.report.content import ReportContent, forecast_rows
from tinyscale.report.curves import curves_figure
from tinyscale.report.exponents import exponents_figure
from tinyscale.report.grades_figure import grades_figure
from tinyscale.report.holdouts import foretold, held_out
from tinyscale.report.imported_figure import imported_figure
from tinyscale.report.isoflop import isoflop_figure
from tinyscale.report.optimum import vocabulary_optimum_figure
from tinyscale.report.published import published_figure
from tinyscale.report.rates import regret_figure
from tinyscale.report.residuals import residuals_figure
from tinyscale.report.shape import shape_figure
from tinyscale.report.style import (
    FLOOR,
    FORECAST,
    GREY,
    INK,
    count_axis,
    legend_beside,
    legend_once,
    loss_axis,
    loss_label,
    panels,
    png,
    power_axis,
    size_colours,
    stars,
    styled,
)
from tinyscale.report.vocabulary import vocabulary_figure
from tinyscale.report.vocabulary_parts import vocabulary_parts_figure
from tinyscale.spec import LawFit, short_count

Floats = NDArray[np.float64]


def draw_figures(content: ReportContent) -> dict[str, bytes]:
    """Every picture that the content supports, as PNG bytes by name."""
    drawn: dict[str, bytes] = {}
    with styled():
        for name, draw in FIGURES.items():
            if (figure := draw(content)) is not None:
                drawn[name] = png(figure)
    return drawn


def law_figure(content: ReportContent) -> Figure | None:
    """Loss against tokens, a colour a model size, with the fitted lines and their 95 % band.

    The lines go on to the hold-outs only where the law may forecast them.
    """
    law = content.law
    if law is None:
        return None
    seen, drawn = fitted_points(law, content.points), foretold(content, law)
    locked = [row.forecast for row in forecast_rows(content.forecasts, content.results) if row.forecast.predicted]
    colours = size_colours([params_of(p, law.params) for p in (*seen, *drawn)] + [told.params for told in locked])
    figure, (axes,) = panels()
    all_tokens = [point.tokens for point in (*seen, *drawn)] + [told.tokens for told in locked]
    tokens = np.geomspace(min(all_tokens) / 1.3, max(all_tokens) * 1.3, 80)
    shapes = {params_of(point, law.params): f"d{point.hidden_size}, L{point.num_layers}" for point in (*seen, *drawn)}
    for size, colour in colours.items():
        line, low, high = _law_band(law, np.full_like(tokens, size), tokens)
        shape = f" ({shapes[size]})" if size in shapes else ""
        axes.plot(tokens, line, color=colour, label=f"{short_count(size)}{shape}")
        axes.fill_between(tokens, low, high, color=colour, alpha=0.15, linewidth=0)
    for point in seen:
        colour = colours[params_of(point, law.params)]
        axes.plot(point.tokens, loss_of(point, law.unit), "o", ms=6, mfc=colour, mec="white", mew=0.8)
    for told in locked:
        if span := told.predicted:
            away = [[max(span.value - span.low, 0)], [max(span.high - span.value, 0)]]
            axes.errorbar(told.tokens, span.value, yerr=away, fmt="D", ms=8, mfc="none", mec=FORECAST, mew=1.6,
                          ecolor=FORECAST, capsize=4, label="forecast, locked", zorder=4)  # fmt: skip
    held = held_out(content, law)
    stars(axes, [(point.tokens, loss_of(point, law.unit)) for point in held])
    _floors(axes, law, content.entropy_bpb)
    axes.set_xlim(tokens[0], max(tokens[-1], *(1.3 * point.tokens for point in held), 0))
    count_axis(axes, "x", "training tokens D")
    loss_axis(axes, loss_label(law.unit))
    legend_beside(figure, axes, title=f"parameters N ({law.params.replace('_', '-')})")
    return figure


def frontier_figure(content: ReportContent) -> Figure | None:
    """Left: loss against compute with the compute-optimal frontier. Right: the model size it asks for.

    A law that may not forecast is drawn no further than its points. Where the exponents are withheld, so is the line of
    the best size, whose slope is one of them: the band shows how far it may lie.
    """
    law = content.law
    if law is None:
        return None
    seen, held = fitted_points(law, content.points), held_out(content, law)
    colours = size_colours(params_of(point, law.params) for point in (*seen, *held))
    compute = {id(point): 6.0 * params_of(point, law.params) * point.tokens for point in (*seen, *held)}
    known = [compute[id(point)] for point in (*seen, *foretold(content, law))]
    C = np.geomspace(min(known) / 1.5, max(known) * (3 if law.forecast_holds else 1), 80)
    best, draws = frontier(law), draw_frontiers(law)
    figure, (left, right) = panels(2, height=4.4)
    for axes, line, lines in (
        (left, best.loss(C), [each.loss(C) for each in draws]),
        (right, best.params(C), [each.params(C) for each in draws]),
    ):
        if axes is left or law.exponents_hold:
            axes.plot(C, line, color=INK, label="frontier, 95 % band")
        low, high = np.quantile(np.stack(lines), (0.025, 0.975), axis=0)
        axes.fill_between(C, low, high, color=GREY, alpha=0.25, linewidth=0)
        power_axis(axes, "training compute C = 6 N D, FLOP")
    for point in seen:
        style: dict[str, Any] = {"ms": 6, "mfc": colours[params_of(point, law.params)], "mec": "white", "mew": 0.8}
        left.plot(compute[id(point)], loss_of(point, law.unit), "o", **style)
        right.plot(compute[id(point)], params_of(point, law.params), "o", **style)
    stars(left, [(compute[id(point)], loss_of(point, law.unit)) for point in held])
    stars(right, [(compute[id(point)], params_of(point, law.params)) for point in held])
    _floors(left, law, content.entropy_bpb)
    loss_axis(left, loss_label(law.unit))
    sizes = [params_of(point, law.params) for point in (*seen, *held)]
    right.set_ylim(min(sizes) / 3, max(sizes) * 3)
    count_axis(right, "y", "parameters N")
    left.set_title("least loss that C reaches")
    right.set_title("model size that reaches it")
    legend_once(left, loc="upper right")
    return figure


FIGURES: Mapping[str, Callable[[ReportContent], Figure | None]] = {
    "law": law_figure,
    "frontier": frontier_figure,
    "isoflop": isoflop_figure,
    "residuals": residuals_figure,
    "exponents": exponents_figure,
    "shape": shape_figure,
    "vocabulary": vocabulary_figure,
    "vocabulary_parts": vocabulary_parts_figure,
    "vocabulary_optimum": vocabulary_optimum_figure,
    "regret": regret_figure,
    "curves": curves_figure,
    "published": published_figure,
    "imported": imported_figure,
    "grades": grades_figure,
}
"""In the order of the report."""


def _law_band(law: LawFit, N: Floats, D: Floats) -> tuple[Floats, Floats, Floats]:
    """The law with the 2.5 % and 97.5 % quantiles of its bootstrap draws, each of N's shape."""
    drawn = predict(*np.array(law.draws).T[:, :, None], N=N, D=D)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return predict(law.E, law.A, law.B, law.alpha, law.beta, N=N, D=D), low, high


def _floors(axes: Axes, law: LawFit, entropy_bpb: float | None) -> None:
    if entropy_bpb and law.unit == "bpb":
        axes.axhline(entropy_bpb, color=FLOOR, linestyle="--", linewidth=1.4, label="entropy of the text")
