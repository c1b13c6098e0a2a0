"""The picture of what width and depth explain beyond N."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyscale.laws.form import predict
from tinyscale.laws.select import fitted_points, loss_of, params_of
from tinyscale.report.content import ReportContent
from tinyscale.report.style import (
    GREY,
    legend_once,
    loss_axis,
    loss_label,
    panels,
    plain_axis,
    size_colours,
)
from tinyscale.spec import LawFit, Point, ShapeLaw, short_count


def shape_figure(content: ReportContent) -> Figure | None:
    """Left: loss against width by depth, at one token budget. Right: what L(N, D) leaves over."""
    law, shape = content.law, content.analysis.shape
    if law is None or shape is None:
        return None
    points = fitted_points(law, content.points)
    colours = size_colours(point.num_layers for point in points)
    figure, (left, right) = panels(2, height=4.2)
    for point in points:
        off = 100 * (loss_of(point, law.unit) / _of_size(law, point) - 1)
        right.plot(point.hidden_size / point.num_layers, off, "o", ms=6, mfc=colours[point.num_layers], mec="white",
                   mew=0.8)  # fmt: skip
    right.axhline(0, color=GREY, linewidth=1)
    aspects = [point.hidden_size / point.num_layers for point in points]
    low, high = np.floor(np.log2(min(aspects))), np.ceil(np.log2(max(aspects)))
    plain_axis(right, 2.0 ** np.arange(low, high + 1), "hidden size / layers")
    right.set_ylabel("measured over L(N, D), %")
    right.set_title("what L(N, D) leaves over")
    for depth, colour in colours.items():
        left.plot([], [], "o", color=colour, label=f"{depth} layers")
    _by_width(left, _same_budget(points), law, shape, colours)
    return figure


def _by_width(axes: Axes, points: Sequence[Point], law: LawFit, shape: ShapeLaw, colours: dict[int, object]) -> None:
    by_depth: dict[int, list[Point]] = defaultdict(list)
    for point in sorted(points, key=lambda point: point.hidden_size):
        by_depth[point.num_layers].append(point)
    for depth, mine in by_depth.items():
        widths = [point.hidden_size for point in mine]
        axes.plot(widths, [loss_of(p, law.unit) for p in mine], "o", ms=6, color=colours[depth], mec="white", mew=0.8)
        axes.plot(widths, [_of_size(law, p) for p in mine], "--", color=colours[depth], linewidth=1.2)
        hidden = np.geomspace(widths[0], widths[-1], 40)
        of_shape = shape.A / (hidden**shape.gamma.value * depth**shape.delta.value)
        axes.plot(hidden, shape.E + of_shape + shape.B / points[0].tokens ** shape.beta.value, color=colours[depth])
    for style, name in (("-", "law of width and depth"), ("--", "L(N, D)")):
        axes.plot([], [], color=GREY, linestyle=style, label=name)
    plain_axis(axes, {point.hidden_size for point in points}, "hidden size")
    loss_axis(axes, loss_label(law.unit))
    axes.set_title(f"{short_count(points[0].tokens)} tokens")
    legend_once(axes, loc="upper right")


def _same_budget(points: Sequence[Point]) -> list[Point]:
    """The points of the token budget at which most shapes were trained, the larger one of two."""
    shapes: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for point in points:
        shapes[point.tokens].add((point.hidden_size, point.num_layers))
    tokens = max(shapes, key=lambda tokens: (len(shapes[tokens]), tokens))
    return [point for point in points if point.tokens == tokens]


def _of_size(law: LawFit, point: Point) -> float:
    N = params_of(point, law.params)
    return float(predict(law.E, law.A, law.B, law.alpha, law.beta, N=N, D=point.tokens))
