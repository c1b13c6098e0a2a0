"""The picture of models from elsewhere among the study's own."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyscale.report.content import ReportContent
from tinyscale.report.imported import ImportedRow, imported_rows
from tinyscale.report.style import FLOOR, GREY, INK, count_axis, legend_beside, loss_axis, loss_label, panels
from tinyscale.spec import Interval

ELSEWHERE = "#CC79A7"
"""Of Okabe & Ito 2008, as the other colours."""


def imported_figure(content: ReportContent) -> Figure | None:
    """Bits per byte against parameters: what an imported model cost to train is not known, so compute is no axis."""
    placed = [(row, row.validation.bpb) for row in imported_rows(content) if row.validation]
    if all(not row.source for row, _ in placed):
        return None
    figure, (axes,) = panels()
    for point in content.points:
        axes.plot(point.params_total, point.bpb, "o", ms=5, color=GREY, mec="white", mew=0.6, alpha=0.8,
                  label="trials, slice of the text")  # fmt: skip
    for row, span in placed:
        if not row.source:
            _bar(axes, row, span, "o", INK, "trials, all the text")
    elsewhere = sorted(((row, span) for row, span in placed if row.source), key=lambda pair: pair[0].params_total)
    for row, span in elsewhere:
        _bar(axes, row, span, "D", ELSEWHERE, "from elsewhere, all the text")
    if content.entropy_bpb:
        axes.axhline(content.entropy_bpb, color=FLOOR, linestyle="--", linewidth=1.4, label="entropy of the text")
    sizes = [point.params_total for point in content.points] + [row.params_total for row, _ in placed]
    axes.set_xlim(min(sizes) / 2.5, max(sizes) * 2.5)
    count_axis(axes, "x", "parameters N, all of them")
    loss_axis(axes, loss_label("bpb"))
    _names(axes, elsewhere)
    legend_beside(figure, axes)
    return figure


def _bar(axes: Axes, row: ImportedRow, span: Interval, marker: str, colour: str, label: str) -> None:
    away = [[span.value - span.low], [span.high - span.value]]
    axes.errorbar(row.params_total, span.value, yerr=away, fmt=marker, ms=8, color=colour, mec="white", mew=0.8,
                  ecolor=colour, capsize=4, label=label, zorder=4)  # fmt: skip


def _names(axes: Axes, elsewhere: Sequence[tuple[ImportedRow, Interval]]) -> None:
    """Names above and below their marks by turns, so that neighbours have room."""
    for number, (row, span) in enumerate(elsewhere):
        above = number % 2 == 0
        axes.annotate(row.name, (row.params_total, span.high if above else span.low), xytext=(0, 8 if above else -8),
                      textcoords="offset points", ha="center", va="bottom" if above else "top", fontsize=9,
                      color=ELSEWHERE, parse_math=False)  # fmt: skip
