"""The pictures of a report. Each takes the content and gives a figure, or None when it has nothing to show."""

from collections import defaultdict
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
from tinyscale.report.style import (
    FLOOR,
    FORECAST,
    GREY,
    HELD,
    INK,
    count_axis,
    legend_beside,
    loss_axis,
    panels,
    png,
    power_axis,
    size_colours,
    styled,
)
from tinyscale.spec import LawFit, Point, short_count

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
    """Loss against tokens, a colour a model size, with the fitted lines and their 95 % band."""
    law = content.law
    if law is None:
        return None
    seen, held = fitted_points(law, content.points), _held_out(law, content)
    rows = forecast_rows(content.forecasts, content.results)
    colours = size_colours([params_of(p, law.params) for p in (*seen, *held)] + [row.forecast.params for row in rows])
    figure, (axes,) = panels()
    all_tokens = [point.tokens for point in (*seen, *held)] + [row.forecast.tokens for row in rows]
    tokens = np.geomspace(min(all_tokens) / 1.3, max(all_tokens) * 1.3, 80)
    shapes = {params_of(point, law.params): f"d{point.hidden_size}, L{point.num_layers}" for point in (*seen, *held)}
    for size, colour in colours.items():
        line, low, high = _law_band(law, np.full_like(tokens, size), tokens)
        shape = f" ({shapes[size]})" if size in shapes else ""
        axes.plot(tokens, line, color=colour, label=f"{short_count(size)}{shape}")
        axes.fill_between(tokens, low, high, color=colour, alpha=0.15, linewidth=0)
    for point in seen:
        colour = colours[params_of(point, law.params)]
        axes.plot(point.tokens, loss_of(point, law.unit), "o", ms=6, mfc=colour, mec="white", mew=0.8)
    for row in rows:
        span = row.forecast.predicted
        away = [[max(span.value - span.low, 0)], [max(span.high - span.value, 0)]]
        axes.errorbar(row.forecast.tokens, span.value, yerr=away, fmt="D", ms=8, mfc="none", mec=FORECAST, mew=1.6,
                      ecolor=FORECAST, capsize=4, label="forecast, locked", zorder=4)  # fmt: skip
    _stars(axes, [(point.tokens, loss_of(point, law.unit)) for point in held])
    _floors(axes, law, content.entropy_bpb)
    axes.set_xlim(tokens[0], tokens[-1])
    count_axis(axes, "x", "training tokens D")
    loss_axis(axes, _loss_label(law.unit))
    legend_beside(figure, axes, title=f"parameters N ({law.params.replace('_', '-')})")
    return figure


def residuals_figure(content: ReportContent) -> Figure | None:
    """Measured over fitted loss, against N and against D: a trend here is what the law does not know."""
    law = content.law
    if law is None:
        return None
    seen, held = fitted_points(law, content.points), _held_out(law, content)
    colours = size_colours(params_of(point, law.params) for point in (*seen, *held))
    figure, both = panels(2, height=3.9)
    for axes, name in zip(both, ("N", "D"), strict=True):
        axes.axhline(0, color=GREY, linewidth=1)
        for point in (*seen, *held):
            size = params_of(point, law.params)
            x = size if name == "N" else point.tokens
            off = 100 * (loss_of(point, law.unit) / float(_predicted(law, size, point.tokens)) - 1)
            if point.holdout:
                _stars(axes, [(x, off)])
            else:
                axes.plot(x, off, "o", ms=6, mfc=colours[size], mec="white", mew=0.8)
        count_axis(axes, "x", "parameters N" if name == "N" else "training tokens D")
    both[0].set_ylabel("measured over law, %")
    return figure


def frontier_figure(content: ReportContent) -> Figure | None:
    """Left: loss against compute with the compute-optimal frontier. Right: the model size it asks for."""
    law = content.law
    if law is None:
        return None
    seen, held = fitted_points(law, content.points), _held_out(law, content)
    colours = size_colours(params_of(point, law.params) for point in (*seen, *held))
    compute = {id(point): 6.0 * params_of(point, law.params) * point.tokens for point in (*seen, *held)}
    C = np.geomspace(min(compute.values()) / 1.5, max(compute.values()) * 3, 80)
    best, draws = frontier(law), draw_frontiers(law)
    figure, (left, right) = panels(2, height=4.4)
    for axes, line, lines in (
        (left, best.loss(C), [each.loss(C) for each in draws]),
        (right, best.params(C), [each.params(C) for each in draws]),
    ):
        axes.plot(C, line, color=INK, label="frontier, 95 % band")
        low, high = np.quantile(np.stack(lines), (0.025, 0.975), axis=0)
        axes.fill_between(C, low, high, color=GREY, alpha=0.25, linewidth=0)
        power_axis(axes, "training compute C = 6 N D, FLOP")
    for point in seen:
        style: dict[str, Any] = {"ms": 6, "mfc": colours[params_of(point, law.params)], "mec": "white", "mew": 0.8}
        left.plot(compute[id(point)], loss_of(point, law.unit), "o", **style)
        right.plot(compute[id(point)], params_of(point, law.params), "o", **style)
    _stars(left, [(compute[id(point)], loss_of(point, law.unit)) for point in held])
    _stars(right, [(compute[id(point)], params_of(point, law.params)) for point in held])
    _floors(left, law, content.entropy_bpb)
    loss_axis(left, _loss_label(law.unit))
    sizes = [params_of(point, law.params) for point in (*seen, *held)]
    right.set_ylim(min(sizes) / 3, max(sizes) * 3)
    count_axis(right, "y", "parameters N")
    left.set_title("least loss that C reaches")
    right.set_title("model size that reaches it")
    left.legend(loc="upper right")
    return figure


def vocabulary_figure(content: ReportContent) -> Figure | None:
    """Bits per byte and nats per token against the vocabulary, at equal shape and tokens: they rank differently."""
    cells: dict[tuple[int, int, int], dict[int, Point]] = defaultdict(dict)
    for point in content.points:
        cell = cells[point.hidden_size, point.num_layers, point.tokens]
        if point.vocab_size not in cell or point.bpb < cell[point.vocab_size].bpb:
            cell[point.vocab_size] = point
    series = {key: sorted(cell.items()) for key, cell in sorted(cells.items()) if len(cell) > 1}
    if not series:
        return None
    colours = size_colours(range(len(series)))
    figure, (left, right) = panels(2, height=4.2)
    for index, ((hidden, layers, tokens), ranked) in enumerate(series.items()):
        sizes = [size for size, _ in ranked]
        label = f"d{hidden}, L{layers}, {short_count(tokens)} tokens"
        style: dict[str, Any] = {"color": colours[index], "label": label, "ms": 6, "mec": "white", "mew": 0.8}
        left.plot(sizes, [point.bpb for _, point in ranked], "o-", **style)
        right.plot(sizes, [point.loss for _, point in ranked], "o-", **style)
    ticks = sorted({size for ranked in series.values() for size, _ in ranked})
    for axes in (left, right):
        count_axis(axes, "x", "vocabulary size V, tokens")
        axes.set_xticks(ticks, [f"{size:,}" for size in ticks])
    left.set_title("per byte: comparable across vocabularies")
    right.set_title("per token: not comparable")
    loss_axis(left, "loss, bits per byte")
    loss_axis(right, "loss, nats per token")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


FIGURES: Mapping[str, Callable[[ReportContent], Figure | None]] = {
    "law": law_figure,
    "frontier": frontier_figure,
    "residuals": residuals_figure,
    "curves": curves_figure,
    "vocabulary": vocabulary_figure,
}
"""In the order of the report."""


def _held_out(law: LawFit, content: ReportContent) -> list[Point]:
    return [point for point in content.points if point.holdout and point.vocab_size == law.vocab_size]


def _predicted(law: LawFit, N: float, D: float) -> Floats:
    return predict(law.E, law.A, law.B, law.alpha, law.beta, N=N, D=D)


def _law_band(law: LawFit, N: Floats, D: Floats) -> tuple[Floats, Floats, Floats]:
    """The law with the 2.5 % and 97.5 % quantiles of its bootstrap draws, each of N's shape."""
    drawn = predict(*np.array(law.draws).T[:, :, None], N=N, D=D)
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return predict(law.E, law.A, law.B, law.alpha, law.beta, N=N, D=D), low, high


def _stars(axes: Axes, places: list[tuple[float, float]]) -> None:
    for x, y in places:
        axes.plot(
            x, y, "*", ms=14, mfc=HELD, mec="white", mew=0.8, linestyle="none", label="hold-out, measured", zorder=5
        )


def _floors(axes: Axes, law: LawFit, entropy_bpb: float | None) -> None:
    if entropy_bpb and law.unit == "bpb":
        axes.axhline(entropy_bpb, color=FLOOR, linestyle="--", linewidth=1.4, label="entropy of the text")


def _loss_label(unit: str) -> str:
    return "validation loss, bits per byte" if unit == "bpb" else "validation loss, nats per token"
