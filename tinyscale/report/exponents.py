"""The pictures of the exponents: how sure they are, and how they hang on what N counts."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from tinyscale.laws.form import Floats
from tinyscale.laws.verdict import WIDEST_EXPONENT
from tinyscale.report.content import COUNTS, ReportContent
from tinyscale.report.style import FLOOR, FORECAST, HELD, panels
from tinyscale.spec import CountedLaw, LawFit

NAMES = ("alpha", "beta", "a")
COLOURS, MARKERS = (FORECAST, HELD, FLOOR), ("o", "s", "^")
"""One a count of N."""
STEPS = 100
"""Of the grid that the outline is drawn on, along each axis."""


def exponents_figure(content: ReportContent) -> Figure | None:
    """The bootstrap's alpha and beta, whose shape tells how they trade off, and the exponents by count of N.

    Withheld exponents are not drawn, but for a cloud so wide that it shows just that: they cannot be told.
    """
    law, counting = content.law, content.analysis.counting
    cloud = law is not None and bool(law.draws) and (law.exponents_hold or _is_wide(law))
    counts = any(not counted.warnings for counted in counting)
    if not cloud and not counts:
        return None
    figure, axes = panels(cloud + counts, height=4.4)
    if law and cloud:
        _cloud(axes[0], law)
    if counts:
        _counts(axes[-1], counting)
    return figure


def _is_wide(law: LawFit) -> bool:
    return any(law.intervals[name].high > WIDEST_EXPONENT * law.intervals[name].low for name in ("alpha", "beta"))


def _cloud(axes: Axes, law: LawFit) -> None:
    cloud_2d = np.array(law.draws).T[3:]
    # A few refits that lost a term lie anywhere; the picture is of the others.
    low_2, high_2 = np.quantile(cloud_2d, (0.005, 0.995), axis=1)
    margin_2 = 0.15 * (high_2 - low_2) + 1e-3
    axes.axis((low_2[0] - margin_2[0], high_2[0] + margin_2[0], low_2[1] - margin_2[1], high_2[1] + margin_2[1]))
    axes.plot(*cloud_2d, "o", ms=3.5, color=FORECAST, alpha=0.35, mew=0, label=f"{cloud_2d.shape[1]:,} refits")
    if law.exponents_hold:
        _outline(axes, cloud_2d)
        axes.plot(law.alpha, law.beta, "D", ms=9, mfc=HELD, mec="white", linestyle="none", label="the law")
        axes.set_title("refits to resampled trials")
    else:
        axes.set_title("too far apart to state: exponents withheld")
    axes.set_xlabel("alpha, exponent of N")
    axes.set_ylabel("beta, exponent of D")
    axes.legend(loc="best", markerscale=1.3)


def _outline(axes: Axes, cloud_2d: Floats) -> None:
    """The line around the densest 95 % of the draws."""
    density = gaussian_kde(cloud_2d)
    x, y = (np.linspace(*limits, STEPS) for limits in (axes.get_xlim(), axes.get_ylim()))
    height = density(np.stack([np.tile(x, STEPS), np.repeat(y, STEPS)])).reshape(STEPS, STEPS)
    axes.contour(x, y, height, levels=[np.quantile(density(cloud_2d), 0.05)], colors=[FORECAST], linewidths=1.6)
    axes.plot([], [], color=FORECAST, label="95 % of them")


def _counts(axes: Axes, counting: tuple[CountedLaw, ...]) -> None:
    for place, (counted, colour, marker) in enumerate(zip(counting, COLOURS, MARKERS, strict=False)):
        label = COUNTS[counted.params]
        if counted.warnings:
            axes.plot([], [], marker, color=colour, mfc="none", label=f"{label}: withheld, see the text")
            continue
        for row, name in enumerate(NAMES):
            span = getattr(counted, name)
            away = np.maximum([[span.value - span.low], [span.high - span.value]], 0)
            axes.errorbar(span.value, row + 0.22 * (place - 1), xerr=away, fmt=marker, ms=8, color=colour, mec="white",
                          capsize=4, label=label if row == 0 else None)  # fmt: skip
    axes.set_yticks(range(len(NAMES)), NAMES)
    # Room below the rows for the legend.
    axes.set_ylim(len(NAMES) + 0.5, -0.6)
    axes.set_xlabel("exponent, 95 % interval")
    axes.set_title("by what N counts")
    axes.legend(loc="lower left")
