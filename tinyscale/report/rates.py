"""The picture of the learning rates tried."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tinyscale.report.content import ReportContent
from tinyscale.report.style import GREY, HELD, INK, legend_beside, panels, size_colours
from tinyscale.report.tables import cell_name

STYLES = ("-", "--", ":", "-.")
"""One a token budget."""


def regret_figure(content: ReportContent) -> Figure | None:
    """Loss over the best one against the learning rate, a line for each size and token budget with several rates."""
    cells = content.analysis.rates
    if not cells:
        return None
    colours = size_colours(cell.hidden_size for cell in cells)
    budgets = sorted({cell.tokens for cell in cells})
    figure, (axes,) = panels(height=max(4.2, 1.5 + 0.23 * len(cells)))
    axes.axhline(0, color=GREY, linewidth=1)
    for cell in cells:
        style = STYLES[budgets.index(cell.tokens) % len(STYLES)]
        axes.plot(cell.rates, 100 * np.array(cell.regrets), "o", linestyle=style, color=colours[cell.hidden_size],
                  ms=6, mec="white", label=cell_name(cell))  # fmt: skip
    for label, colour, at_edge in (("best tried", INK, False), ("best at the edge of those tried", HELD, True)):
        places = [cell.best for cell in cells if cell.at_edge == at_edge]
        if places:
            axes.plot(places, np.zeros(len(places)), "o", ms=13, mfc="none", mec=colour, mew=1.8, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.set_xlabel("peak learning rate")
    axes.set_ylabel("regret: loss over the best, %")
    legend_beside(figure, axes)
    return figure
