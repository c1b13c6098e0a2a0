"""The picture of the learning rates tried."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from tinyscale.report.content import ReportContent
from tinyscale.report.style import GREY, HELD, legend_beside, panels, size_colours
from tinyscale.spec import short_count

STYLES = ("-", "--", ":", "-.")


def regret_figure(content: ReportContent) -> Figure | None:
    """Loss over the best one against the learning rate, a line for each size and token budget with several rates."""
    cells = content.analysis.rates
    if not cells:
        return None
    colours = size_colours(cell.hidden_size for cell in cells)
    budgets = sorted({cell.tokens for cell in cells})
    figure, (axes,) = panels(height=4.2)
    axes.axhline(0, color=GREY, linewidth=1)
    for cell in cells:
        regrets = 100 * np.array(cell.regrets)
        label = f"d{cell.hidden_size}, L{cell.num_layers}, V{cell.vocab_size}, {short_count(cell.tokens)} tokens"
        style = STYLES[budgets.index(cell.tokens) % len(STYLES)]
        axes.plot(
            cell.rates, regrets, "o", linestyle=style, color=colours[cell.hidden_size], ms=6, mec="white", label=label
        )
        if cell.at_edge:
            axes.plot(
                cell.best, 0, "o", ms=13, mfc="none", mec=HELD, mew=1.8, linestyle="none", label="best at the edge"
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(sorted({rate for cell in cells for rate in cell.rates}))
    axes.set_xlabel("peak learning rate")
    axes.set_ylabel("regret: loss over the best, %")
    legend_beside(figure, axes)
    return figure
