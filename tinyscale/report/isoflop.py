"""The picture of runs of equal training compute."""

import numpy as np
from matplotlib.figure import Figure

from tinyscale.laws.frontier import frontier
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


def isoflop_figure(content: ReportContent) -> Figure | None:
    """Left: loss against N at each compute, with its parabola. Right: the minima against C beside the law's best N."""
    isoflops, law = content.analysis.isoflops, content.law
    if isoflops is None or law is None:
        return None
    levels = isoflops.levels
    colours = size_colours(range(len(levels)))
    figure, (left, right) = panels(2, height=4.6)
    for index, level in enumerate(levels):
        name = f"{level.flops:.2g} FLOP" + (", refused" if level.refused else "")
        left.plot(level.params, level.loss, "o", ms=6, mec=colours[index], mew=1.2, label=name,
                  mfc="none" if level.refused else colours[index])  # fmt: skip
        if level.coefficients is None or level.best_params is None:
            continue
        N = np.geomspace(level.params[0], level.params[-1], 80)
        parabola = np.polynomial.Polynomial(level.coefficients)
        left.plot(N, parabola(np.log(N)), color=colours[index])
        left.plot(level.best_params, parabola(np.log(level.best_params)), "v", ms=9, color=INK)
        right.plot(level.flops, level.best_params, "v", ms=9, color=INK, label="minimum of a parabola")
    C = np.geomspace(levels[0].flops / 1.5, levels[-1].flops * 1.5, 40)
    if law.exponents_hold:
        right.plot(C, frontier(law).params(C), color=GREY, label="best N of the law, C = 6 N D")
    count_axis(left, "x", "parameters N")
    loss_axis(left, loss_label(law.unit))
    power_axis(right, "training compute C, FLOP")
    count_axis(right, "y", "best N")
    left.set_title("runs of equal compute")
    right.set_title("size with the least loss")
    left.legend(loc="best", fontsize=9)
    legend_once(right)
    return figure
