"""The picture of grades against loss and against size."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyscale.grading.paper import paper_rows
from tinyscale.report.content import ReportContent
from tinyscale.report.grades import shape_of
from tinyscale.report.style import FLOOR, FORECAST, GREY, HELD, INK, legend_beside, panels, plain_axis
from tinyscale.spec import Interval

LOOKS = {
    "grammar": ("o", FORECAST), "creativity": ("s", HELD), "consistency": ("^", FLOOR), "plot": ("v", "#CC79A7"),
}  # fmt: skip
"""Marker and colour (Okabe & Ito 2008) of a criterion; the overall mean is in ink."""
SHADES = {1: "#cccccc", 2: "#b5b5b5", 4: "#9a9a9a", 8: "#7d7d7d", 12: "#555555"}
"""The paper's lines by layers."""


def grades_figure(content: ReportContent) -> Figure | None:
    """Left: scores against bits per byte. Right: the overall score against hidden size, the paper's behind it.

    The paper's losses are nats per token of its own tokenizer and have no place on an axis of bits per byte; its hidden
    sizes have one beside our own.
    """
    shapes = shape_of(content.results.values())
    scores = content.grades.summary.scores if content.grades else ()
    drawn = [(shapes[score.model], score.means) for score in scores if score.model in shapes and score.means]
    if not drawn:
        return None
    figure, (left, right) = panels(2, height=4.8)
    for name, (marker, colour) in LOOKS.items():
        places = sorted((bpb, means[name].value) for (_, _, bpb), means in drawn if name in means)
        left.plot([x for x, _ in places], [y for _, y in places], marker + ":", ms=5, lw=0.9, color=colour, label=name)
    for (_, _, bpb), means in drawn:
        if "overall" in means:
            _bar(left, bpb, means["overall"], "overall, 95 % interval")
    left.set_xlabel("validation loss, bits per byte")
    left.set_ylabel("score, 1 to 10")
    left.set_title("this study")
    _paper(right)
    for (hidden, _, _), means in drawn:
        if "overall" in means:
            _bar(right, hidden, means["overall"], "")
    sizes = {row.hidden_size for row in paper_rows() if row.hidden_size} | {hidden for (hidden, _, _), _ in drawn}
    plain_axis(right, _apart(sizes), "hidden size")
    right.set_title("beside the paper: another judge,\nother prompts, longer training", color=GREY)
    spans = [means["overall"] for _, means in drawn if "overall" in means]
    values = [span.low for span in spans] + [m[name].value for _, m in drawn for name in LOOKS if name in m]
    for axes in (left, right):
        axes.set_ylim(max(min([*values, 2.0]) - 0.3, 0.7), 10.2)
    for line in right.lines:
        if str(line.get_label()).startswith("paper"):
            left.plot([], [], "o-", ms=3, lw=1, color=line.get_color(), label=line.get_label())
    legend_beside(figure, left)
    return figure


def _bar(axes: Axes, x: float, span: Interval, label: str) -> None:
    away = [[span.value - span.low], [span.high - span.value]]
    axes.errorbar(x, span.value, yerr=away, fmt="D", ms=6, color=INK, mec="white", ecolor=INK, capsize=3,
                  label=label, zorder=4)  # fmt: skip


def _paper(axes: Axes) -> None:
    known = [(row, row.overall) for row in paper_rows() if row.overall is not None]
    for depth, shade in SHADES.items():
        line = sorted((row.hidden_size, mean) for row, mean in known if row.num_layers == depth and row.hidden_size)
        axes.plot([x for x, _ in line], [y for _, y in line], "o-", ms=3, lw=1, color=shade, zorder=1,
                  label=f"paper, {depth} layer{'s' * (depth > 1)}")  # fmt: skip
    (best,) = [mean for row, mean in known if row.model == "GPT-4"]
    axes.axhline(best, color=GREY, linestyle="--", linewidth=1)
    axes.annotate("GPT-4, as the paper has it", (0.02, best), xycoords=("axes fraction", "data"), xytext=(0, 3),
                  textcoords="offset points", fontsize=8, color=GREY)  # fmt: skip


def _apart(sizes: set[int]) -> list[int]:
    """Ticks that leave room for their labels: no two closer than a factor of 1.6."""
    kept: list[int] = []
    for size in sorted(sizes):
        if not kept or size >= 1.6 * kept[-1]:
            kept.append(size)
    return kept
