"""The picture of how the units of the loss rank the vocabularies."""

from collections import defaultdict
from typing import Any

from matplotlib.figure import Figure

from tinyscale.report.content import ReportContent
from tinyscale.report.style import loss_axis, panels, size_colours, vocabulary_axis
from tinyscale.spec import Point, short_count


def vocabulary_figure(content: ReportContent) -> Figure | None:
    """Each unit of the loss against the vocabulary, at equal shape and tokens: they rank differently."""
    cells: dict[tuple[int, int, int], dict[int, Point]] = defaultdict(dict)
    for point in content.points:
        cell = cells[point.hidden_size, point.num_layers, point.tokens]
        if point.vocab_size not in cell or point.bpb < cell[point.vocab_size].bpb:
            cell[point.vocab_size] = point
    series = {key: sorted(cell.items()) for key, cell in sorted(cells.items()) if len(cell) > 1}
    if not series:
        return None
    colours = size_colours(range(len(series)))
    unigram = all(point.unigram_loss > 0 for ranked in series.values() for _, point in ranked)
    figure, axes = panels(3 if unigram else 2, height=4.2)
    for index, ((hidden, layers, tokens), ranked) in enumerate(series.items()):
        sizes = [size for size, _ in ranked]
        label = f"d{hidden}, L{layers}, {short_count(tokens)} tokens"
        style: dict[str, Any] = {"color": colours[index], "label": label, "ms": 6, "mec": "white", "mew": 0.8}
        axes[0].plot(sizes, [point.bpb for _, point in ranked], "o-", **style)
        axes[1].plot(sizes, [point.loss for _, point in ranked], "o-", **style)
        if unigram:
            axes[2].plot(sizes, [point.loss - point.unigram_loss for _, point in ranked], "o-", **style)
    for panel in axes:
        vocabulary_axis(panel, [size for ranked in series.values() for size, _ in ranked])
    axes[0].set_title("per byte: comparable")
    axes[1].set_title("per token: not comparable")
    loss_axis(axes[0], "loss, bits per byte")
    loss_axis(axes[1], "loss, nats per token")
    if unigram:
        axes[2].set_title("less the unigram loss")
        axes[2].set_ylabel("nats per token")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
