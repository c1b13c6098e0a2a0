"""The picture of grades against loss and against size."""

from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinyscale.grading.paper import paper_rows
from tinyscale.report.content import ReportContent
from tinyscale.report.grades import shape_of
from tinyscale.report.style import FLOOR, FORECAST, GREY, HELD, INK, legend_beside, panels, plain_axis, size_colours
from tinyscale.spec import Interval, ModelScore

LOOKS = {
    "grammar": ("o", FORECAST), "creativity": ("s", HELD), "consistency": ("^", FLOOR), "plot": ("v", "#CC79A7"),
}  # fmt: skip
"""Marker and colour (Okabe & Ito 2008) of a criterion; the overall mean is in ink."""
Shapes = Mapping[str, tuple[int, int, float]]
"""Hidden size, layers and bits per byte by the name of a model."""


def grades_figure(content: ReportContent) -> Figure | None:
    """Left: scores against bits per byte. Right: the overall score against hidden size by depth, and the paper's.

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
    depths = {row.num_layers for row in paper_rows() if row.num_layers} | {shapes[score.model][1] for score in ours}
    colours = size_colours(depths)
    _paper(right, colours)
    _by_width(right, ours, shapes, colours)
    for score in placed:
        hidden, layers, bpb = shapes[score.model]
        if "overall" in score.means:
            foreign = score.model in elsewhere
            _bar(left, bpb, score.means["overall"], INK, hollow=foreign)
            _bar(right, hidden, score.means["overall"], INK if foreign else colours[layers], hollow=foreign)
    left.set_xlabel("validation loss, bits per byte")
    left.set_ylabel("score, 1 to 10")
    left.set_title("this study; from elsewhere\nhollow, by name" if theirs else "this study")
    sizes = {row.hidden_size for row in paper_rows() if row.hidden_size} | {shapes[score.model][0] for score in placed}
    plain_axis(right, _apart(sizes), "hidden size")
    right.set_title("beside the paper: another judge,\nanother training", color=GREY)
    spans = [score.means["overall"] for score in placed if "overall" in score.means]
    values = [span.low for span in spans] + [s.means[name].value for s in placed for name in LOOKS if name in s.means]
    for axes in (left, right):
        axes.set_ylim(max(min([*values, 2.0]) - 0.3, 0.7), 10.2)
    for score in theirs:
        if "overall" in score.means:
            for axes, x in ((left, shapes[score.model][2]), (right, shapes[score.model][0])):
                _name(axes, x, score.means["overall"].high, score.model)
    for depth in sorted(colours):
        left.plot([], [], "-", lw=3, color=colours[depth], label=f"{depth} layer{'s' * (depth > 1)}")
    left.plot([], [], "D--", ms=5, lw=1, color=GREY, mec="white", label="this study, by width")
    left.plot([], [], "o-", ms=3, lw=1, color=GREY, label="paper, by width")
    legend_beside(figure, left)
    return figure


def _by_width(axes: Axes, scores: Iterable[ModelScore], shapes: Shapes, colours: Mapping[int, Any]) -> None:
    """A line a depth through this study's own models, the best one of each width."""
    overall = sorted((s.means["overall"].value, *shapes[s.model][:2]) for s in scores if "overall" in s.means)
    for depth, colour in colours.items():
        best = {hidden: value for value, hidden, layers in overall if layers == depth}
        axes.plot(sorted(best), [best[hidden] for hidden in sorted(best)], "--", lw=1, color=colour, zorder=2)


def _bar(axes: Axes, x: float, span: Interval, colour: Any, *, hollow: bool) -> None:
    away = [[span.value - span.low], [span.high - span.value]]
    fill, edge = ("white", colour) if hollow else (colour, "white")
    axes.errorbar(x, span.value, yerr=away, fmt="D", ms=6, color=colour, mfc=fill, mec=edge, ecolor=colour, capsize=3,
                  label="_" if hollow else "overall, 95 % interval", zorder=4)  # fmt: skip


def _name(axes: Axes, x: float, y: float, name: str) -> None:
    """Above a bar, to the side where the picture has more room."""
    across = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0]
    axes.annotate(name, (x, y), xytext=(0, 4), textcoords="offset points", ha="left" if across < 0.5 else "right",
                  fontsize=8, parse_math=False)  # fmt: skip


def _paper(axes: Axes, colours: Mapping[int, Any]) -> None:
    known = [(row, row.overall) for row in paper_rows() if row.overall is not None]
    for depth in sorted({row.num_layers for row, _ in known if row.num_layers}):
        line = sorted((row.hidden_size, mean) for row, mean in known if row.num_layers == depth and row.hidden_size)
        axes.plot([x for x, _ in line], [y for _, y in line], "o-", ms=3, lw=1, color=colours[depth], zorder=1,
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
