"""The losses by shape that the TinyStories authors print, and the picture of a study's own among them."""

from collections import defaultdict
from collections.abc import Mapping

from matplotlib.figure import Figure

from tinyscale.grading.paper import paper_rows
from tinyscale.report.content import ReportContent
from tinyscale.report.style import GREY, HELD, legend_beside, loss_axis, panels, plain_axis, size_colours
from tinyscale.spec import Point, short_count

Shape = tuple[int, int]
"""Hidden size and layers."""
ELDAN_LI_2023: Mapping[Shape, float] = {
    (row.hidden_size, row.num_layers): row.loss
    for row in paper_rows()
    if row.hidden_size is not None and row.num_layers is not None and row.loss is not None
}
"""Evaluation loss (nats per token of their vocabulary): TinyStories, Eldan & Li 2023."""
LEAST_MATCHES = 2


def published_figure(content: ReportContent) -> Figure | None:
    """Their loss by shape, a line a depth, with this study's models of the same shapes, one vocabulary and budget.

    Levels do not compare, since a token of their vocabulary holds another amount of text; slopes do, roughly.
    """
    if content.study.corpus.source == "builtin":
        return None  # another text altogether
    ours = _ours(content)
    if len(ours) < LEAST_MATCHES:
        return None
    depths = sorted({layers for _, layers in ELDAN_LI_2023})
    colours = size_colours(depths)
    figure, (axes,) = panels(height=4.8)
    point = next(iter(ours.values()))
    run = f"V = {point.vocab_size:,}, {short_count(point.tokens)} tokens"
    for depth in depths:
        told = f"{depth} layer{'s' * (depth > 1)}"
        widths = [hidden for hidden, layers in ELDAN_LI_2023 if layers == depth]
        axes.plot(widths, [ELDAN_LI_2023[hidden, depth] for hidden in widths], "o-", ms=4, color=colours[depth],
                  label=f"paper, {told}")  # fmt: skip
        mine = sorted(hidden for hidden, layers in ours if layers == depth)
        if mine:
            axes.plot(mine, [ours[hidden, depth].loss for hidden in mine], "*--", ms=12, color=colours[depth], mec=HELD,
                      mew=1, label=f"this study, {told}")  # fmt: skip
    plain_axis(axes, {hidden for hidden, _ in ELDAN_LI_2023}, "hidden size")
    loss_axis(axes, "loss, nats per token of each one's own vocabulary")
    axes.set_title(
        f"this study: {run}; the paper: another tokenizer\nlevels are not comparable, slopes are", color=GREY
    )
    legend_beside(figure, axes)
    return figure


def _ours(content: ReportContent) -> dict[Shape, Point]:
    """The best points of the shapes that the paper has, at the vocabulary and budget with most of them."""
    groups: dict[tuple[int, int], dict[Shape, Point]] = defaultdict(dict)
    for point in sorted(content.points, key=lambda point: -point.loss):
        if (point.hidden_size, point.num_layers) in ELDAN_LI_2023:
            groups[point.tokens, point.vocab_size][point.hidden_size, point.num_layers] = point
    return groups[max(groups, key=lambda group: (len(groups[group]), group))] if groups else {}
