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
    shapes = shape_of(content.results.values(), content.imported)
    elsewhere = {model.name for model in content.imported}
    scores = content.grades.summary.scores if content.grades else ()
    placed = [score for score in scores if score.model in shapes and score.means]
    if not placed:
        return None
    ours, theirs = ([s for s in placed if (s.model in elsewhere) is foreign] for foreign in (False, True))
    figure, (left, right) = panels(2, height=4.8)
    for name, (marker, colour) in LOOKS.items():
        for some, dots in ((ours, ":"), (theirs, "")):
            at = sorted((shapes[s.model][2], s.means[name].value) for s in some if name in s.means)
            left.plot([x for x, _ in at], [y for _, y in at], marker, ls=dots, ms=5, lw=0.9, color=colour,
                      mfc=colour if some is ours else "white", label=name if some is ours else "_")  # fmt: skip
    _paper(right)
    for score in placed:
        hidden, _, bpb = shapes[score.model]
        if "overall" in score.means:
            for axes, x in ((left, bpb), (right, hidden)):
                _bar(axes, x, score.means["overall"], hollow=score.model in elsewhere)
    left.set_xlabel("validation loss, bits per byte")
    left.set_ylabel("score, 1 to 10")
    left.set_title("this study; from elsewhere\nhollow, by name" if theirs else "this study")
    sizes = {row.hidden_size for row in paper_rows() if row.hidden_size} | {shapes[score.model][0] for score in placed}
    plain_axis(right, _apart(sizes), "hidden size")
    right.set_title("beside the paper: another judge,\nother prompts, longer training", color=GREY)
    spans = [score.means["overall"] for score in placed if "overall" in score.means]
    values = [span.low for span in spans] + [s.means[name].value for s in placed for name in LOOKS if name in s.means]
    for axes in (left, right):
        axes.set_ylim(max(min([*values, 2.0]) - 0.3, 0.7), 10.2)
    for score in theirs:
        if "overall" in score.means:
            for axes, x in ((left, shapes[score.model][2]), (right, shapes[score.model][0])):
                _name(axes, x, score.means["overall"].high, score.model)
    for line in right.lines:
        if str(line.get_label()).startswith("paper"):
            left.plot([], [], "o-", ms=3, lw=1, color=line.get_color(), label=line.get_label())
    legend_beside(figure, left)
    return figure


def _bar(axes: Axes, x: float, span: Interval, *, hollow: bool) -> None:
    away = [[span.value - span.low], [span.high - span.value]]
    fill, edge = ("white", INK) if hollow else (INK, "white")
    axes.errorbar(x, span.value, yerr=away, fmt="D", ms=6, color=INK, mfc=fill, mec=edge, ecolor=INK, capsize=3,
                  label="_" if hollow else "overall, 95 % interval", zorder=4)  # fmt: skip


def _name(axes: Axes, x: float, y: float, name: str) -> None:
    """Above a bar, to the side where the picture has more room."""
    across = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0]
    axes.annotate(name, (x, y), xytext=(0, 4), textcoords="offset points", ha="left" if across < 0.5 else "right",
                  fontsize=8, parse_math=False)  # fmt: skip


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
