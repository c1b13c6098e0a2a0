"""The picture of runs of equal training compute."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyscale.laws.form import Floats, predict
from tinyscale.laws.frontier import frontier
from tinyscale.laws.select import fitted_points, params_of
from tinyscale.report.content import ReportContent
from tinyscale.report.style import (
    GREY,
    INK,
    count_axis,
    legend_once,
    loss_axis,
    loss_label,
    panels,
    power_axis,
    size_colours,
)
from tinyscale.spec import IsoFlop, LawFit, Point


def isoflop_figure(content: ReportContent) -> Figure | None:
    """Left: loss against N at each compute, with its parabola and the law. Right: the minima beside the law's best N.

    The right one is there where some level has a minimum.
    """
    isoflops, law = content.analysis.isoflops, content.law
    if isoflops is None or law is None:
        return None
    accepted = [level for level in isoflops.levels if level.best_params]
    figure, (left, *others) = panels(2 if accepted else 1, height=4.6)
    _levels(left, isoflops.levels, law, fitted_points(law, content.points))
    for right in others:
        _minima(right, accepted, law)
    return figure


def _levels(axes: Axes, levels: Sequence[IsoFlop], law: LawFit, points: Sequence[Point]) -> None:
    colours = size_colours(range(len(levels)))
    for index, level in enumerate(levels):
        name = f"{level.flops:.2g} FLOP" + (", refused" if level.refused else "")
        axes.plot(level.params, level.loss, "o", ms=6, mec=colours[index], mew=1.2, label=name,
                  mfc="none" if level.refused else colours[index])  # fmt: skip
        N = np.geomspace(level.params[0], level.params[-1], 80)
        D = level.flops / _flops_per_token(points, law, N)
        expected = predict(law.E, law.A, law.B, law.alpha, law.beta, N=N, D=D)
        axes.plot(N, expected, color=colours[index], linestyle="--", linewidth=1.2)
        if level.coefficients and level.best_params:
            parabola = np.polynomial.Polynomial(level.coefficients)
            axes.plot(N, parabola(np.log(N)), color=colours[index])
            axes.plot(level.best_params, parabola(np.log(level.best_params)), "v", ms=9, color=INK)
    for style, name in (("-", "parabola"), ("--", "the law L(N, D)")):
        axes.plot([], [], color=INK, linestyle=style, label=name)
    count_axis(axes, "x", "parameters N")
    loss_axis(axes, loss_label(law.unit))
    axes.set_title("runs of equal compute")
    axes.legend(loc="best")


def _flops_per_token(points: Sequence[Point], law: LawFit, N: Floats) -> Floats:
    """Training FLOPs a token at sizes N, a smooth line through those of the trials: for tiny models it is not 6 N."""
    sizes, costs = zip(*((params_of(point, law.params), point.flops / point.tokens) for point in points), strict=True)
    found: Floats = np.exp(np.polyval(np.polyfit(np.log(sizes), np.log(costs), 2), np.log(N)))
    return found


def _minima(axes: Axes, levels: Sequence[IsoFlop], law: LawFit) -> None:
    for level in levels:
        axes.plot(level.flops, level.best_params or np.nan, "v", ms=9, color=INK, linestyle="none",
                  label="minimum of a parabola")  # fmt: skip
    if law.exponents_hold:
        C = np.geomspace(levels[0].flops / 1.5, levels[-1].flops * 1.5, 40)
        axes.plot(C, frontier(law).params(C), color=GREY, label="best N of the law, C = 6 N D")
    power_axis(axes, "training compute C, FLOP")
    count_axis(axes, "y", "best N")
    axes.set_title("size with the least loss")
    legend_once(axes)
