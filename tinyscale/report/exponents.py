"""The pictures of the exponents: how sure they are, and how they hang on what N counts."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyscale.report.content import COUNTS, ReportContent
from tinyscale.report.style import FORECAST, GREY, HELD, INK, panels
from tinyscale.spec import CountedLaw, LawFit


def exponents_figure(content: ReportContent) -> Figure | None:
    """Left: the bootstrap's alpha and beta, whose shape tells how they trade off. Right: exponents by count of N."""
    law = content.law
    if law is None or not law.draws:
        return None
    figure, (left, right) = panels(2, height=4.4)
    _cloud(left, law)
    if not all(counted.warnings for counted in content.analysis.counting):
        _counts(right, content.analysis.counting)
    else:
        figure.delaxes(right)
    return figure


def _cloud(axes: Axes, law: LawFit) -> None:
    draws = np.array(law.draws)
    alpha, beta = draws[:, 3], draws[:, 4]
    axes.plot(alpha, beta, "o", ms=3, color=FORECAST, alpha=0.35, mew=0, label=f"{len(draws):,} refits")
    if law.exponents_hold:
        axes.plot(law.alpha, law.beta, "o", ms=8, mfc=HELD, mec="white", label="the law")
        for name, draw_line in (("alpha", axes.axvline), ("beta", axes.axhline)):
            for end in (law.intervals[name].low, law.intervals[name].high):
                draw_line(end, color=GREY, linewidth=1, linestyle=":")
    # A few refits that lost a term lie anywhere; the picture is of the others.
    for set_limits, values in ((axes.set_xlim, alpha), (axes.set_ylim, beta)):
        low, high = np.quantile(values, (0.005, 0.995))
        set_limits(low - 0.1 * (high - low) - 1e-3, high + 0.1 * (high - low) + 1e-3)
    axes.set_title("refits to resampled trials" if law.exponents_hold else "refits: too loose to state an exponent")
    axes.set_xlabel("alpha, exponent of N")
    axes.set_ylabel("beta, exponent of D")
    axes.legend(loc="best")


def _counts(axes: Axes, counting: tuple[CountedLaw, ...]) -> None:
    rows = [(name, counted) for name in ("alpha", "beta", "a") for counted in counting]
    markers = dict(zip(COUNTS, ("o", "s", "^"), strict=True))
    labels = []
    for place, (name, counted) in enumerate(reversed(rows)):
        labels.append(f"{name}, {COUNTS[counted.params]}")
        if counted.warnings:
            axes.text(0.02, place, "withheld", transform=axes.get_yaxis_transform(), va="center", color=GREY)
            continue
        known = getattr(counted, name)
        away = [[known.value - known.low], [known.high - known.value]]
        axes.errorbar(known.value, place, xerr=np.maximum(away, 0), fmt=markers[counted.params], ms=7, mfc=INK,
                      mec="white", ecolor=INK, capsize=4)  # fmt: skip
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("exponent, 95 % interval")
    axes.set_title("by what N counts")
