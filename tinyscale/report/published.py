"""The losses by shape that the TinyStories authors print, and the picture of a study's own among them."""

from matplotlib.figure import Figure

from tinyscale.report.content import ReportContent
from tinyscale.report.style import HELD, count_axis, legend_beside, loss_axis, panels, size_colours
from tinyscale.spec import Point, short_count

ELDAN_LI_2023: dict[tuple[int, int], float] = {
    (64, 2): 2.38, (64, 4): 2.26, (64, 8): 2.08, (64, 12): 2.02,
    (128, 2): 1.92, (128, 4): 1.78, (128, 8): 1.65, (128, 12): 1.62,
    (256, 2): 1.60, (256, 4): 1.47, (256, 8): 1.38, (256, 12): 1.34,
    (512, 2): 1.39, (512, 4): 1.27, (512, 8): 1.20, (512, 12): 1.19,
    (768, 1): 1.54, (768, 2): 1.31, (768, 4): 1.20, (768, 8): 1.18, (768, 12): 1.18,
    (1024, 1): 1.49, (1024, 2): 1.27, (1024, 4): 1.21, (1024, 8): 1.20, (1024, 12): 1.22,
}  # fmt: skip
"""Evaluation loss (nats per token of their vocabulary) by (hidden size, layers): TinyStories, Eldan & Li 2023."""
LEAST_MATCHES = 2


def published_figure(content: ReportContent) -> Figure | None:
    """Their loss by shape, a line a depth, with this study's models of the same shapes after their most tokens.

    Levels do not compare, since a token of their vocabulary holds another amount of text; slopes do, roughly.
    """
    if content.study.corpus.source == "builtin":
        return None  # another text altogether
    ours = _ours(content)
    if len(ours) < LEAST_MATCHES:
        return None
    depths = sorted({layers for _, layers in ELDAN_LI_2023})
    colours = size_colours(depths)
    figure, (axes,) = panels(height=4.6)
    for depth in depths:
        widths = [hidden for hidden, layers in ELDAN_LI_2023 if layers == depth]
        losses = [ELDAN_LI_2023[hidden, depth] for hidden in widths]
        axes.plot(widths, losses, "o-", ms=4, color=colours[depth], label=f"paper, {depth} layers")
    for (hidden, layers), point in sorted(ours.items()):
        axes.plot(hidden, point.loss, "*", ms=15, mfc=colours[layers], mec=HELD, mew=1.2, linestyle="none",
                  label=f"this study, {layers} layers, V = {point.vocab_size:,}")  # fmt: skip
        axes.annotate(f"{short_count(point.tokens)} tokens", (hidden, point.loss), xytext=(9, -3),
                      textcoords="offset points", fontsize=10)  # fmt: skip
    count_axis(axes, "x", "hidden size")
    axes.set_xticks(sorted({hidden for hidden, _ in ELDAN_LI_2023}), minor=False)
    loss_axis(axes, "loss, nats per token of each one's own vocabulary")
    legend_beside(figure, axes)
    return figure


def _ours(content: ReportContent) -> dict[tuple[int, int], Point]:
    """The point after the most tokens, then with the least bits per byte, of each shape that the paper has."""
    found: dict[tuple[int, int], Point] = {}
    for point in sorted(content.points, key=lambda point: (point.tokens, -point.bpb)):
        if (point.hidden_size, point.num_layers) in ELDAN_LI_2023:
            found[point.hidden_size, point.num_layers] = point
    return found
